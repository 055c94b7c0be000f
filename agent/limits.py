"""The minutes of a run."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from bedev.sandboxes.errors import BedevError


class TimeUp(BedevError):
    """The minutes of --max-minutes are over (exit 1); whatever the run held is removed on the way out."""


@contextlib.contextmanager
def time_limit(minutes: float | None, of: float | None = None) -> Iterator[None]:
    """Raise TimeUp in the main thread after so many minutes; None for no limit. `of`: what all of a run may
    take, where this is what is left of it."""
    if minutes is None:
        yield
        return

    def over(_signal: int, _frame: object) -> None:
        raise TimeUp(
            f"{minutes if of is None else of:g} minutes are over.",
            where="--max-minutes",
            next_step="Give it more, or ask for fewer rows (--rows).",
        )

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, minutes * 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
