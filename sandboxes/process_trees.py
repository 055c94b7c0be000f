"""The set-up phase of a process sandbox: the repository's files and its dependencies, as one folder.

Programs write the folder's own path into what they make (the first line of a virtual environment's scripts).
So the files that hold it are listed with the folder, and every copy gets its own path in them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bedev.sandboxes.docker_trees import bring_ca, host_environment, run_step
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.full_disk import FullDisk
from bedev.sandboxes.process_box import ProcessBox
from bedev.sandboxes.process_store import copy
from bedev.sandboxes.sandbox import HostAccess, Progress, SetUpStep, TreeFile

FILE_TIME = 1_000_000_000  # one fixed time for all files: git keeps none
_MOST_TEXT = 4 << 20  # bytes of a file in which a path is changed

OpenBox = Callable[[Path, Mapping[str, str], str], contextlib.AbstractContextManager[ProcessBox]]
"""A box in a folder, with more variables, whose /tmp is the sub-folder of that name."""


def make_tree(
    folder: Path,
    files: Iterable[TreeFile],
    steps: Sequence[SetUpStep],
    access: HostAccess,
    open_box: OpenBox,
    progress: Progress,
) -> dict[str, object]:
    """Write the files to `folder`/work and run the steps there, those with network first. Gives what
    `place_tree` needs. Raises SetUpFailed, UsageError, DiskFull."""
    work = folder / "work"
    work.mkdir()
    progress("copying the repository's files into the sandbox")
    try:
        for file in files:
            write_tree_file(work, file)
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise FullDisk("", str(folder)).error("writing the repository's files", str(error)) from error
        raise
    online = [step for step in steps if step.network]
    offline = [step for step in steps if not step.network]
    if online:
        with open_box(folder, host_environment(access, progress), "tmp-1") as box:
            bring_ca(box, access)
            for step in online:
                run_step(box, step, progress)
    if offline:
        with open_box(folder, {}, "tmp-2") as box:
            for step in offline:
                run_step(box, step, progress)
    texts, links = _own_paths(folder)
    return {"made_at": str(folder), "texts": texts, "links": links, "linked": _set_apart(folder)}


def write_tree_file(work: Path, file: TreeFile) -> None:
    """Raises UsageError for a path that would leave the workspace, and for a mode that git does not have."""
    parts = file.path.split("/")
    if not all(parts) or {".", "..", ".git"} & {part.lower() for part in parts} or "\x00" in file.path:
        raise UsageError("A path in the repository cannot be used.", where=repr(file.path))
    place = work
    for part in parts[:-1]:
        place = place / part
        if place.is_symlink():
            raise UsageError("A path in the repository leads through a link.", where=repr(file.path))
        place.mkdir(exist_ok=True)
    target = place / parts[-1]
    if file.mode == 0o120000:
        os.symlink(file.content, os.fsencode(target))
        os.utime(target, (FILE_TIME, FILE_TIME), follow_symlinks=False)
        return
    if file.mode not in (0o100644, 0o100755):
        raise UsageError(f"Files of mode {file.mode:o} cannot be used.", where=repr(file.path))
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(file.content)
        os.fchmod(descriptor, file.mode & 0o777)
    os.utime(target, (FILE_TIME, FILE_TIME))


def place_tree(tree: Path, facts: Mapping[str, object], pod: Path) -> None:
    """A copy of a prepared tree as `pod`/work, with the pod's path wherever the tree's stood."""
    copy(tree / "work", pod / "work")
    for number, name in enumerate(_names(facts["linked"])):
        copy(tree / "linked" / str(number), pod / name, link=True)
    here = str(facts["made_at"])
    for name in _names(facts["links"]):
        link = pod / name
        target = os.readlink(link)
        link.unlink()
        link.symlink_to(target.replace(here, str(pod), 1))
    for name in _names(facts["texts"]):
        path = pod / name
        content, before = path.read_bytes(), path.stat()
        path.unlink()  # it may be linked to the tree's
        path.write_bytes(content.replace(here.encode(), str(pod).encode()))
        path.chmod(before.st_mode & 0o777)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _set_apart(folder: Path) -> list[str]:
    """Move the packages of Python environments to `folder`/linked: copies link to these files instead of
    copying ten thousand of them. Installers and Python itself replace a package's file and never write into
    it; who is not root could not."""
    names: list[str] = []
    for settings in sorted([*folder.glob("work/*/pyvenv.cfg"), *folder.glob("work/*/*/pyvenv.cfg")]):
        packages = settings.parent / "lib"
        if packages.is_symlink() or not packages.is_dir() or settings.parent.is_symlink():
            continue
        for place, _, files in os.walk(packages):
            for name in files:
                path = os.path.join(place, name)
                if not os.path.islink(path):
                    os.chmod(path, os.stat(path).st_mode & 0o555)
        apart = folder / "linked" / str(len(names))
        apart.parent.mkdir(exist_ok=True)
        packages.rename(apart)
        names.append(str(packages.relative_to(folder)))
    return names


def _own_paths(folder: Path) -> tuple[list[str], list[str]]:
    """The text files below `folder`/work that hold its path, and the links that lead into it; relative."""
    texts = []
    for path in _with_text(folder / "work", str(folder)):
        if not path.is_symlink() and path.stat().st_size <= _MOST_TEXT:
            texts.append(str(path.relative_to(folder)))
    links = []
    for place, folders, names in os.walk(folder / "work"):
        for name in (*folders, *names):
            path = Path(place, name)
            if path.is_symlink() and os.readlink(path).startswith(f"{folder}/"):
                links.append(str(path.relative_to(folder)))
    return sorted(texts), sorted(links)


def _with_text(where: Path, text: str) -> Iterator[Path]:
    """By grep(1), which reads a virtual environment in a tenth of the time; binary files are left out."""
    found = subprocess.run(
        ["grep", "-rlIF", "--null", "-e", text, "--", str(where)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    yield from (Path(os.fsdecode(name)) for name in found.stdout.split(b"\0") if name)
