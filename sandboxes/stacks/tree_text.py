"""Text files of a tree, and the lines that say something: what every stack's detection reads with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bedev.sandboxes.recipe import TreeReader


def text_of(tree: TreeReader, path: str) -> str | None:
    """A text file of the tree, None where there is none; bytes that are not UTF-8 are replaced."""
    content = tree.read(path)
    return None if content is None else content.decode("utf-8-sig", errors="replace")


def line_of(text: str, pattern: str) -> int:
    """The number of the first line that `pattern` (a regular expression) finds, 1 where it finds none."""
    found = re.search(pattern, text, re.MULTILINE)
    return 1 if found is None else text.count("\n", 0, found.start()) + 1


def assignment_source(text: str, path: str, name: str) -> str:
    """`path:LINE` of the line `name=...` of an environment file."""
    return f"{path}:{line_of(text, rf'^[ ]*(?:export )?{re.escape(name)}[ ]*=')}"


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is an object, else an empty one (composer writes `[]` for an empty object)."""
    return value if isinstance(value, dict) else {}
