"""Finds the user's checkout and its git folder, and refuses what could lead somewhere else.

Everything here is lstat, small reads and `git config --file` (which parses a file as data); git itself
never discovers a repository. What is refused: a `.git` that is a link or points at a repository that
does not know this checkout, folders of another owner, and links inside the git folder, through which an
object or a branch would be written outside (SECURITY.md 8, 14, 24).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from bedev.agent.git import command
from bedev.sandboxes.errors import UsageError

_GITFILE_LIMIT = 8192


@dataclass(frozen=True)
class Checkout:
    """A checkout whose folders were looked at.

    `top` is the folder with the files, `git_dir` holds its HEAD and index, `common` the objects, branches
    and configuration; the latter two differ in a linked worktree only. All three are absolute real paths.
    """

    top: Path
    git_dir: Path
    common: Path


def find(path: Path) -> Checkout:
    """The checkout that `path` (the top or any folder or file below it) belongs to.

    Raises UsageError where there is none, or one that is refused; the message says why.
    """
    try:
        start = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            next_step="give the folder of a git repository with --repo",
        ) from error
    folder = start if start.is_dir() else start.parent
    for top in (folder, *folder.parents):
        dot_git = top / ".git"
        if _lstat(dot_git) is not None:
            checkout = _checked(top, dot_git)
            check_components(checkout)
            alternates(checkout)
            return checkout
        if top.name == ".git":
            raise UsageError(
                f"{path} is inside git's own folder {top}",
                next_step=f"run bedev in the checkout: cd {top.parent}",
            )
        if (top / "HEAD").is_file() and (top / "objects").is_dir() and (top / "refs").is_dir():
            raise UsageError(
                f"{top} is a bare repository: it has no checkout",
                next_step="clone it and run bedev in the clone",
            )
    raise UsageError(
        f"{path} is not in a git repository",
        next_step="run bedev inside a repository, or make one: git init && git add -A && git commit -m base",
    )


def check_components(checkout: Checkout, ref: str | None = None) -> None:
    """Refuses links among the parts of the git folder that bedev reads or writes through, and files that
    are none (a fifo would make git wait for ever).

    With `ref` (such as `refs/heads/bedev/x`) also every folder above that ref and its log; this is done
    again just before writing, because the repository may change while a run goes on.
    """
    common = checkout.common
    parts = [common / name for name in ("HEAD", "config", "objects", "refs", "packed-refs", "shallow")]
    parts += [common / "objects" / name for name in ("pack", "info")]
    parts += [checkout.git_dir / name for name in ("HEAD", "index", "commondir")]
    names = (ref or "refs/heads/bedev/x").split("/")
    for root in (common, common / "logs"):
        parts += [root.joinpath(*names[: depth + 1]) for depth in range(len(names))]
    parts.append(common / "logs")
    for part in parts:
        info = _refuse_link(part)
        if info is not None and not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            raise UsageError(
                f"{part} is neither a file nor a folder",
                where=str(part),
                next_step="remove it: git's own folder holds files and folders only",
            )
    with os.scandir(common / "objects") as entries:
        for entry in entries:
            if entry.is_symlink():
                _refuse_link(Path(entry.path))


def alternates(checkout: Checkout) -> tuple[Path, ...]:
    """The object folders of other repositories that this one borrows from (`git clone --shared`).

    Raises UsageError where one belongs to another user or is missing: its objects are then somebody
    else's to change (SECURITY.md 19).
    """
    found: list[Path] = []
    queue = [checkout.common / "objects"]
    while queue:
        objects = queue.pop()
        listing = objects / "info" / "alternates"
        if _lstat(listing) is None:
            continue
        _refuse_link(listing)
        for line in _small_file(listing, 65536).splitlines():
            if not line or line.startswith("#"):
                continue
            other = Path(os.path.realpath(objects / line))
            if not other.is_dir():
                raise UsageError(
                    f"the repository borrows objects from {other}, which is not there",
                    where=str(listing),
                    next_step="bring that folder back, or clone the repository anew",
                )
            _check_owner(other, listing)
            if other not in found:
                found.append(other)
                queue.append(other)
            if len(found) > 50:
                raise UsageError(
                    "the repository borrows objects from more than 50 others",
                    where=str(listing),
                    next_step="run `git repack -a -d` and remove the alternates",
                )
    return tuple(found)


def _checked(top: Path, dot_git: Path) -> Checkout:
    _refuse_link(dot_git)
    if dot_git.is_dir():
        git_dir = common = dot_git
    elif dot_git.is_file():
        git_dir, common = _linked(top, dot_git)
    else:
        raise UsageError(f"{dot_git} is neither a folder nor a file", next_step="clone the repository anew")
    for folder in dict.fromkeys((top, git_dir, common)):
        _check_owner(folder, folder)
    if not (common / "objects").is_dir() or not (git_dir / "HEAD").is_file():
        raise UsageError(
            f"{git_dir} is not a complete git folder (HEAD or objects missing)",
            next_step="run `git init` there if it is a new project, or clone it anew",
        )
    return Checkout(top, git_dir, common)


def _linked(top: Path, dot_git: Path) -> tuple[Path, Path]:
    """Git folder and common folder behind a `.git` file, if that repository names this checkout back."""
    text = _small_file(dot_git)
    if not text.startswith("gitdir: "):
        raise UsageError(f"{dot_git} is no git file", next_step="clone the repository anew")
    git_dir = Path(os.path.realpath(top / text.removeprefix("gitdir: ").rstrip("\r\n")))
    if not git_dir.is_dir():
        raise UsageError(
            f"{dot_git} points to {git_dir}, which is not there",
            next_step="if the main checkout was moved, run `git worktree repair` in it",
        )
    if (git_dir / "commondir").is_file():
        common = Path(os.path.realpath(git_dir / _small_file(git_dir / "commondir").strip()))
        back = git_dir / _small_file(git_dir / "gitdir").strip() if (git_dir / "gitdir").is_file() else None
        registered = (
            git_dir.parent == common / "worktrees"
            and back is not None
            and Path(os.path.realpath(back.parent)) / back.name == dot_git
        )
    else:
        # A submodule's git folder lies in the repository above and names its checkout in core.worktree.
        common = git_dir
        listed = command.run(
            ["config", "--file", str(git_dir / "config"), "--no-includes", "--get", "core.worktree"],
            git_dir=None,
            check=False,
        )
        registered = listed.status == 0 and Path(os.path.realpath(git_dir / listed.text)) == top
    if not registered:
        raise UsageError(
            f"{dot_git} points to {git_dir}, a repository that does not know this checkout",
            next_step="clone the repository anew, or run `git worktree repair` in its main checkout",
        )
    return git_dir, common


def _check_owner(folder: Path, where: Path) -> None:
    """Git's own rule: a repository of another user is refused unless the user has said it is safe."""
    owner = os.stat(folder).st_uid
    allowed = {os.geteuid()}
    sudo_uid = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and sudo_uid.isdecimal():
        allowed.add(int(sudo_uid))
    if owner in allowed or _declared_safe(folder):
        return
    raise UsageError(
        f"{folder} belongs to another user (uid {owner})",
        where=str(where),
        next_step=f"if you trust it: git config --global --add safe.directory {_work_folder(folder)}",
    )


def _declared_safe(folder: Path) -> bool:
    wanted = str(_work_folder(folder))
    for value in global_setting("safe.directory"):
        if value == "*" or os.path.realpath(os.path.expanduser(value)) == wanted:
            return True
        if value.endswith("/*") and wanted.startswith(value[:-1]):
            return True
    return False


def _work_folder(folder: Path) -> Path:
    """The folder that people name in safe.directory: the checkout, not what lies in its `.git`."""
    for parent in (folder, *folder.parents):
        if parent.name == ".git":
            return parent.parent
    return folder


def global_setting(key: str, git_dir: Path | None = None) -> list[str]:
    """All values of a key in the user's own global configuration, which is trusted as git trusts it.

    With `git_dir`, `includeIf "gitdir:..."` is honoured for that repository (people keep one e-mail
    address for work that way); nothing of the repository's own configuration is returned.
    """
    found = command.run(
        ["config", "--global", "--includes", "--null", "--get-all", key],
        git_dir=git_dir,
        env=_own_configuration(),
        check=False,
    )
    return os.fsdecode(found.out).split("\0")[:-1] if found.status == 0 else []


def _own_configuration() -> dict[str, str | None]:
    """What git needs to find the user's global configuration where the user's own git finds it."""
    own = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL")
    return {name: os.environ.get(name) or None for name in own}


def _small_file(path: Path, limit: int = _GITFILE_LIMIT) -> str:
    """The text of a small regular file; a fifo or a device would hang or never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > limit:
            raise UsageError(f"{path} is no small regular file", next_step="clone the repository anew")
        return os.fsdecode(file.read(limit))


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _refuse_link(path: Path) -> os.stat_result | None:
    info = _lstat(path)
    if info is not None and stat.S_ISLNK(info.st_mode):
        raise UsageError(
            f"{path} is a symbolic link (to {os.readlink(path)})",
            where=str(path),
            next_step="bedev would write through it; use a plain clone: git clone . ../plain",
        )
    return info
