"""One run at a time in a repository, and one process at a time in a run."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from bedev.sandboxes.errors import EnvironmentUnusable, UsageError


class RunLock:
    """An advisory lock (flock) on `<folder>/lock`; the kernel frees it when the process ends, however.

    `folder` is a repository's state folder or a run's own. A context manager. What the file holds (pid,
    run, time) is for the message only and decides nothing.
    """

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
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _owner(descriptor)
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
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


def _owner(descriptor: int) -> str:
    """` (pid 12, run x, since ...)` from the lock file, or nothing where it cannot be read."""
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        run = f", run {str(note['run'])[:80]}" if note.get("run") else ""
        return f" (pid {int(note['pid'])}{run}, since {str(note['since'])[:40]})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
