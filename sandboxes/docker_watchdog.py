"""Cleans up after an owner that was killed: a process of its own that waits at a pipe.

A container ends by itself when its owner dies (its PID 1 reads the owner's socket), but one that was
created and not yet started cannot. The pipe closes whenever the owner is gone, however it went.
"""

from __future__ import annotations

import subprocess
import sys
import time

TRIES = 10
PAUSE_SECONDS = 1.0


class Watchdog:
    """Started with a run and stopped with it; costs one sleeping process."""

    def __init__(self) -> None:
        # -P: the current folder, which may be the user's repository, is not looked at for modules
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def stop(self) -> None:
        """Tell it that there is nothing to clean up; idempotent."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.write(b"done")
                self._process.stdin.close()
            except BrokenPipeError:
                pass
            self._process.wait()


def main() -> None:
    """Wait for the end of standard input; sweep unless the owner said goodbye."""
    if sys.stdin.buffer.read() == b"done":
        return
    from bedev.sandboxes.docker_sweep import sweep
    from bedev.sandboxes.errors import BedevError

    # the engine may still be making what the owner asked for last
    for _ in range(TRIES):
        try:
            sweep()
        except BedevError:
            return
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
