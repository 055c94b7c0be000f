"""Folders of the process sandbox below bedev's state folder: caches that stay, and what runs use and leave.

images/HASH, trees/KEY, templates/KEY   caches; one is complete when its `sealed.json` is there, which comes
                                        last and with the folder, by one rename
runs/OWNER-PID-START-NONCE              what one process makes: unfinished caches, pods; removed at its end,
                                        or by the next run when that process is dead
ports                                   its byte at NUMBER is locked while a pod has that port
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import re
import secrets
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from bedev.sandboxes.docker_engine import owner, process_start
from bedev.sandboxes.docker_sweep import CacheUsage, SweepReport
from bedev.sandboxes.errors import EnvironmentUnusable, UsageError
from bedev.sandboxes.full_disk import FullDisk
from bedev.sandboxes.process_box import end_marked

Kind = Literal["images", "trees", "templates"]
KINDS: tuple[Kind, ...] = ("images", "trees", "templates")
SEAL = "sealed.json"
PORTS = range(20_000, 32_000)  # below what the kernel gives to outgoing connections
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")


class Store:
    """The folders of one user; `root` is bedev's state folder. `run_folder` is this process's own."""

    def __init__(self, root: Path) -> None:
        self.root = _private(root.resolve() / "process")
        for name in (*KINDS, "runs"):
            _private(self.root / name)
        self._ports = open(self.root / "ports", "ab")  # noqa: SIM115 - until this process ends
        self._taken: set[int] = set()  # the kernel keeps a process from no byte that it has locked itself
        self._taking = threading.Lock()
        self.name = f"{_prefix()}{os.getpid()}-{_start_token(os.getpid())}-{secrets.token_hex(2)}"
        self.run_folder = _private(self.root / "runs" / self.name)

    # -- caches

    def find(self, kind: Kind, key: str) -> Path | None:
        """The folder of a complete cache."""
        folder = self.root / kind / _checked(key)
        return folder if (folder / SEAL).is_file() else None

    def facts(self, folder: Path) -> Mapping[str, Any]:
        facts: Mapping[str, Any] = json.loads((folder / SEAL).read_bytes())
        return facts

    def new(self, kind: Kind) -> Path:
        """An empty folder of this run, in which a cache is made. Its path is as long as a pod's."""
        return _private(self.run_folder / f"{kind[0]}{secrets.token_hex(3)}")

    def seal(self, kind: Kind, key: str, made: Path, facts: Mapping[str, Any]) -> Path:
        """Put a finished folder in its place. Where another process was faster, its folder stands."""
        with open(made / SEAL, "w", encoding="ascii") as file:
            json.dump(facts, file)
        place = self.root / kind / _checked(key)
        try:
            os.rename(made, place)
        except OSError:
            if not (place / SEAL).is_file():
                raise
            remove(made)
        return place

    def drop(self, kind: Kind, key: str) -> None:
        """No longer found from now on; no error where there is none."""
        place = self.root / kind / _checked(key)
        with contextlib.suppress(OSError):
            gone = self.run_folder / f"gone-{secrets.token_hex(4)}"
            os.rename(place, gone)
            remove(gone)

    def hold(self, folder: Path) -> IO[bytes]:
        """Say that a cache is in use, as long as what is returned stays open."""
        file = open(folder / SEAL, "rb")  # noqa: SIM115 - the holder closes it
        fcntl.flock(file, fcntl.LOCK_SH)
        return file

    # -- ports

    def take_port(self) -> int:
        """A port that nobody listens on and no other pod has, until `give_ports`."""
        with self._taking:
            for port in random.sample(PORTS, 400):
                if port in self._taken:
                    continue
                with contextlib.suppress(OSError):
                    fcntl.lockf(self._ports, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
                    with socket.socket() as attempt:
                        attempt.bind(("127.0.0.1", port))
                    self._taken.add(port)
                    return port
        raise EnvironmentUnusable(
            f"No free port was found between {PORTS.start} and {PORTS.stop}.",
            where="127.0.0.1",
            next_step="Look what listens there: ss -tln",
        )

    def give_ports(self, ports: Iterable[int]) -> None:
        with self._taking, contextlib.suppress(OSError, ValueError):
            for port in ports:
                self._taken.discard(port)
                fcntl.lockf(self._ports, fcntl.LOCK_UN, 1, port)

    def close(self) -> None:
        self._ports.close()
        remove_later(self.run_folder)


# -- what is left, and what caches hold


def sweep(root: Path, include_caches: bool = False, older_than_seconds: float = 0.0) -> SweepReport:
    """End the processes and remove the folders of dead runs; with `include_caches` also caches that were made
    more than `older_than_seconds` ago and are not in use. `root` is bedev's state folder."""
    base = root / "process"
    left = 0
    for folder in _folders(base / "runs"):
        if _is_orphan(folder.name):
            end_marked(folder.name)
            remove(folder)
            left += 1
    removed = dict.fromkeys(KINDS, 0)
    busy = freed = 0
    if include_caches:
        before = time.time() - older_than_seconds
        for kind in KINDS:
            for folder in _folders(base / kind):
                size = _size(folder)
                state = _remove_unused(folder, before)
                removed[kind] += state == "removed"
                busy += state == "busy"
                freed += size if state == "removed" else 0
    return SweepReport(
        volumes=left,
        trees=removed["trees"],
        templates=removed["templates"],
        images=removed["images"],
        kept_in_use=busy,
        freed_bytes=freed,
    )


def cache_usage(root: Path) -> CacheUsage:
    """What the caches hold on disk. An image is what is known of this machine's programs: a few bytes."""
    found = {kind: _folders(root / "process" / kind) for kind in KINDS}
    sizes = {kind: sum(map(_size, folders)) for kind, folders in found.items()}
    return CacheUsage(
        len(found["images"]),
        sizes["images"],
        len(found["trees"]),
        sizes["trees"],
        len(found["templates"]),
        sizes["templates"],
    )


def remove(folder: Path) -> None:
    """A folder and all below it, also where a program took away its own right to remove something."""

    def allow(function: Any, path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            for place in (os.path.dirname(path), path):
                if not os.path.islink(place):
                    os.chmod(place, stat.S_IRWXU)
            function(path)

    if not folder.is_symlink():
        shutil.rmtree(folder, onerror=allow)


def remove_later(folder: Path) -> None:
    """The same by a process that nobody waits for: ten thousand small files take seconds on a busy
    disk. What it is kept from removing, the next sweep finds."""
    code = 'rm -rf -- "$1" 2>/dev/null || { chmod -R u+rwx -- "$1"; rm -rf -- "$1"; }'
    with contextlib.suppress(OSError):
        gone = folder.with_name(f"{folder.name}.gone")
        os.rename(folder, gone)
        remover = subprocess.Popen(
            ["/bin/sh", "-c", code, "sh", str(gone)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            start_new_session=True,
        )
        threading.Thread(target=remover.wait, name="bedev-removing", daemon=True).start()


def copy(source: Path, target: Path, *, link: bool = False) -> None:
    """All of a folder into another one that does not exist; shared blocks where the file system can. With
    `link` the files themselves are shared, and only the folders are new."""
    for words in (["cp", "-al"] if link else ["cp", "-a", "--reflink=auto"], ["cp", "-a"]):
        done = subprocess.run(
            [*words, "--", f"{source}/.", str(target)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return
        free = shutil.disk_usage(target.parent).free
        if "No space left" in done.stderr or free < 1 << 20:
            raise FullDisk("", str(target.parent), shutil.disk_usage(target.parent).total).error(
                f"copying {source}", done.stderr
            )
    raise EnvironmentUnusable(
        "A folder could not be copied.", where=str(source), next_step="ls -l it.", detail=done.stderr[-2000:]
    )


def _remove_unused(folder: Path, before: float) -> str:
    seal = folder / SEAL
    try:
        if seal.stat().st_mtime > before:
            return "young"
        with open(seal, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Without its seal it is found by nobody, whatever happens to the rest.
            seal.unlink()
    except FileNotFoundError:
        pass
    except OSError:
        return "busy"
    remove(folder)
    return "removed"


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.is_symlink())
    except OSError:
        return []


def _size(folder: Path) -> int:
    return sum(_file_sizes(folder))


def _file_sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(place, name)).st_blocks * 512


def _prefix() -> str:
    return f"{owner()[:6]}-"


def _start_token(pid: int) -> str:
    start = process_start(pid)
    return hashlib.sha256(start.encode()).hexdigest()[:8] if start else ""


def _is_orphan(name: str) -> bool:
    """Whether a run's folder is of this machine and user, and its process is dead."""
    parts = name.removesuffix(".gone").split("-")
    if len(parts) != 4 or not name.startswith(_prefix()) or not parts[1].isdigit():
        return False
    return _start_token(int(parts[1])) != parts[2]


def _checked(key: str) -> str:
    if not _KEY.match(key):
        raise UsageError(f"{key!r} cannot be a key of a cache.", next_step="Use a hash.")
    return key


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentUnusable(
            f"The folder cannot be made: {error.strerror}.",
            where=str(folder),
            next_step="Put bedev's files elsewhere: BEDEV_STATE_DIR=FOLDER.",
        ) from error
    return folder
