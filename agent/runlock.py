"""One run at a time in a repository, and one process at a time in a run."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from bedev.sandboxes.errors import EnvironmentUnusable, UsageError


class RunLock:
    """An advisory lock (flock) on `<folder>/lock`; the kernel frees it when the process ends, however.

    `folder` is a repository's state folder or a run's own. A context manager. What the file holds (pid,
    run, time) is for the message only and decides nothing. `last` is the run that this process last had one
    for: what an interrupted command says of itself.
    """

    last: ClassVar[str] = ""

    def __init__(self, folder: Path, run: str = "") -> None:
        self._path = folder / "lock"
        self._run = run
        self._descriptor = -1

    def acquire(self) -> None:
        """Takes the lock. Raises UsageError where another process has it, saying which and since when."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            _lock(descriptor)
        except OSError as error:
            owner = _owner(descriptor)
            os.close(descriptor)
            if error.errno not in _TAKEN:
                raise self._unusable(error) from error
            raise UsageError(
                f"a run is already going on in this repository{owner}",
                where=str(self._path),
                next_step="wait until it ends, or stop that process",
            ) from error
        note = {
            "pid": os.getpid(),
            "run": self._run,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from error
        self._descriptor = descriptor
        RunLock.last = self._run

    def release(self) -> None:
        """Gives the lock back. The file stays: removing it would let two processes lock two files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _unusable(self, error: OSError) -> EnvironmentUnusable:
        return EnvironmentUnusable(
            f"the lock file cannot be used: {error.strerror or error}",
            where=str(self._path),
            next_step="set BEDEV_STATE_DIR to a folder on a local disk that is writable",
        )


def running(folder: Path) -> str | None:
    """The run that has the lock of `folder` now (empty where it does not say which); None where none has.

    The kernel knows, whatever the file says: a process that was killed has no lock any more.
    """
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except OSError as error:
        return str(_note(descriptor).get("run", "")) if error.errno in _TAKEN else None
    finally:
        os.close(descriptor)


_TAKEN = (errno.EAGAIN, errno.EACCES)


def _lock(descriptor: int) -> None:
    """Tried for a fifth of a second, because `running` holds the lock for a moment while it looks."""
    for left in reversed(range(20)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if not left or error.errno not in _TAKEN:
                raise
        time.sleep(0.01)


def _note(descriptor: int) -> Mapping[str, Any]:
    """What the lock file says, empty where that cannot be read."""
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _owner(descriptor: int) -> str:
    """` (pid 12, run x, since ...)` from the lock file, or nothing where it cannot be read."""
    try:
        note = _note(descriptor)
        run = f", run {str(note['run'])[:80]}" if note.get("run") else ""
        return f" (pid {int(note['pid'])}{run}, since {str(note['since'])[:40]})"
    except (ValueError, KeyError, TypeError):
        return ""
