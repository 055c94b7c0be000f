"""Glob patterns over repository paths: `*` within a folder, `**` across folders, `[!_]` one character that is
none of these (other brackets are themselves: files are called `[id].ts`), case-insensitive.

Case is folded because a case twin (`Tests/` beside `tests/`) is the same folder on many machines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    out, i = "", 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out, i = out + "(?:.*/)?", i + 3
        elif pattern.startswith("**", i):
            out, i = out + ".*", i + 2
        elif pattern[i] == "*":
            out, i = out + "[^/]*", i + 1
        elif pattern[i] == "?":
            out, i = out + "[^/]", i + 1
        elif pattern.startswith("[!", i) and "]" in pattern[i + 3 :]:
            end = pattern.index("]", i + 3)
            out, i = out + f"[^/{re.escape(pattern[i + 2 : end])}]", end + 1
        else:
            out, i = out + re.escape(pattern[i]), i + 1
    return re.compile(out, re.IGNORECASE | re.DOTALL)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether any pattern matches the whole path."""
    return any(_compiled(p).fullmatch(path) for p in patterns)
