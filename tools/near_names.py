"""Names that somebody may have meant."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable

MOST_COMPARED = 20_000


def near_names(wanted: str, names: Iterable[str], most: int = 4) -> tuple[str, ...]:
    """The names nearest to `wanted`, whatever their case; best first."""
    known = {name.lower(): name for name in list(names)[:MOST_COMPARED]}
    found = difflib.get_close_matches(wanted.lower()[:200], known, n=most, cutoff=0.6)
    return tuple(known[name] for name in found)


def near_paths(wanted: str, paths: Iterable[str], most: int = 4) -> tuple[str, ...]:
    """Paths with the same file name as `wanted`, then those whose file name or whole path is like it."""
    listed = list(paths)[:MOST_COMPARED]
    name = posixpath.basename(wanted).lower()
    same = [p for p in listed if posixpath.basename(p).lower() == name]
    by_name: dict[str, list[str]] = {}
    for path in listed:
        by_name.setdefault(posixpath.basename(path), []).append(path)
    alike = [p for n in near_names(name, by_name, most) for p in by_name[n]]
    return tuple(dict.fromkeys([*same, *alike, *near_names(wanted, listed, most)]))[:most]


def or_none(names: Iterable[str]) -> str:
    """For a sentence: `a, b`, or `none`."""
    return ", ".join(names) or "none"
