"""Glob patterns over repository paths."""

from __future__ import annotations

import pytest
from bedev.sandboxes.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("**/migrations/[!_]*.py", "shop/migrations/0001_initial.py", True),
        ("**/migrations/[!_]*.py", "migrations/add_index.py", True),
        ("**/migrations/[!_]*.py", "shop/migrations/__init__.py", False),
        ("**/migrations/[!_]*.py", "shop/migrations/old/0001.py", False),
        ("a/[!]x]b", "a/]b", False),
        ("a/[!]x]b", "a/yb", True),
        ("a/[!b].ts", "a//.ts", False),
        ("pages/[id].ts", "pages/[id].ts", True),
        ("pages/[id].ts", "pages/i.ts", False),
        ("pages/[!id", "pages/[!id", True),
    ],
)
def test_brackets_leave_out_characters_or_are_themselves(pattern: str, path: str, fits: bool) -> None:
    assert matches(path, (pattern,)) is fits
