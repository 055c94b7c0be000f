"""What a workspace changes of base: a tree with edits on top, a digest of them, and .gitignore's lines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from bedev.sandboxes.recipe import TreeReader


class Edited:
    """A tree with edits on top."""

    def __init__(self, base: TreeReader, edits: Mapping[str, bytes | None]) -> None:
        self._base, self._edits = base, dict(edits)

    def paths(self) -> tuple[str, ...]:
        added = (path for path, content in self._edits.items() if content is not None)
        deleted = {path for path, content in self._edits.items() if content is None}
        return tuple(sorted({*self._base.paths(), *added} - deleted))

    def read(self, path: str) -> bytes | None:
        return self._edits[path] if path in self._edits else self._base.read(path)


def digest(edits: Mapping[str, bytes | None]) -> str:
    found = hashlib.sha256()
    for path in sorted(edits):
        content = edits[path]
        found.update(path.encode("utf-8", "surrogateescape") + b"\0")
        found.update(b"-" if content is None else hashlib.sha256(content).digest())
    return found.hexdigest()


def below(folder: str, line: str) -> str:
    """A line of a .gitignore as a line for the top folder; '' for comments."""
    text = line.rstrip()
    if not text or text.startswith("#"):
        return ""
    negated, text = ("!", text[1:]) if text.startswith("!") else ("", text)
    if not folder:
        return negated + text
    anchored = "/" in text.rstrip("/")
    return f"{negated}/{folder}/{text.lstrip('/')}" if anchored else f"{negated}/{folder}/**/{text}"
