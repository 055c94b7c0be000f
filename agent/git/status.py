"""Whether the checkout has changes that are not committed, found without running anything of it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from bedev.agent.git import checkout as checkouts
from bedev.agent.git import command
from bedev.agent.git.store import Store, replace_file
from bedev.sandboxes.errors import EnvironmentUnusable

MAX_INDEX_BYTES = 256 * 1024**2

# How files look on disk; only these words are taken over from the repository's configuration.
_FILE_SETTINGS = {
    "core.autocrlf": {"true", "false", "input"},
    "core.eol": {"lf", "crlf", "native"},
    "core.filemode": {"true", "false"},
    "core.symlinks": {"true", "false"},
    "core.ignorecase": {"true", "false"},
    "core.precomposeunicode": {"true", "false"},
}


def is_dirty(store: Store, head: str) -> bool:
    """Whether tracked, staged or new files differ from the commit `head`.

    `git status` runs in the window, with a copy of the index and of the excludes: drivers named in
    .gitattributes have no definition there. Raises EnvironmentUnusable where the index cannot be read.
    """
    checkout, window = store.checkout, store.window
    replace_file(window / "HEAD", f"{head}\n".encode())
    for shared in checkout.git_dir.glob("sharedindex.*"):
        _copy_plain_file(shared, window / shared.name)
    (window / "info").mkdir(exist_ok=True)
    _copy_plain_file(checkout.common / "info" / "exclude", window / "info" / "exclude")
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    excludes = checkouts.global_setting("core.excludesFile", checkout.git_dir)
    own = os.path.expanduser(excludes[-1]) if excludes else str(config_home / "git" / "ignore")
    with tempfile.TemporaryDirectory(prefix="index-", dir=window) as folder:
        _copy_plain_file(checkout.git_dir / "index", Path(folder) / "index")
        done = command.run(
            [
                *("status", "--porcelain=v2", "-z", "--untracked-files=normal"),
                *("--ignore-submodules=all", "--no-renames"),
            ],
            git_dir=window,
            work_tree=checkout.top,
            config=[f"core.excludesFile={own}", "core.bare=false", *_file_settings(store)],
            env={"GIT_INDEX_FILE": f"{folder}/index"},
            check=False,
        )
    if done.status != 0:
        raise EnvironmentUnusable(
            "the state of the checkout could not be read",
            where=str(checkout.top),
            next_step="look at it with `git status`; bedev works from the commit, not from the checkout",
            detail=done.err[-2000:],
        )
    return bool(done.out)


def _file_settings(store: Store) -> list[str]:
    settings: dict[str, str] = {}
    for key in ("core.autocrlf", "core.eol"):
        for value in checkouts.global_setting(key):
            settings[key] = value.lower()
    listed = command.run(
        ["config", "--file", str(store.checkout.common / "config"), "--no-includes", "--null", "--list"],
        git_dir=None,
        check=False,
    )
    for row in os.fsdecode(listed.out).split("\0"):
        name, _, text = row.partition("\n")
        settings[name] = text.lower()
    return [f"{key}={settings[key]}" for key, words in _FILE_SETTINGS.items() if settings.get(key) in words]


def _copy_plain_file(source: Path, target: Path) -> None:
    """Copies a regular file of reasonable size, never a link or a device; else removes the target."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        target.unlink(missing_ok=True)
        return
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_INDEX_BYTES:
            target.unlink(missing_ok=True)
            return
        with target.open("wb") as out:
            shutil.copyfileobj(file, out)
    # The index is newer than the files that it saw; git trusts its times only if the copy is so as well.
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
