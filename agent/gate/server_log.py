"""What the application's own server wrote of a request that it could not answer. Text of the repository."""

from __future__ import annotations

import re

_ERROR = re.compile(r"error|exception", re.IGNORECASE)
LINE = 240  # characters of one line that are shown
MARK = 300  # characters by which the end of a log is found again


def first_error(log: str) -> str:
    """The line of a server's log that says what went wrong (stack traces follow it), and a few after it."""
    lines = log.splitlines()
    at = next((i for i, line in enumerate(lines) if _ERROR.search(line)), None)
    shown = lines[-8:] if at is None else lines[at : at + 4]
    return "\n".join(line[:400] for line in shown)


def error_line(log: str) -> str:
    """The first line that speaks of an error, empty where none does."""
    return next((line.strip()[:LINE] for line in log.splitlines() if _ERROR.search(line)), "")


def since(before: str, after: str) -> str:
    """What a log's tail has got since an earlier look at it; all of it where too much came to tell."""
    if not before:
        return after
    end = before[-MARK:]
    at = after.rfind(end)
    return after if at < 0 else after[at + len(end) :]
