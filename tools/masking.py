"""Values of the database on their way to a model: their shape, not what they say, unless the user agrees.

A masked text keeps its length class and punctuation, so that an address still looks like one; equal texts
of one run have equal masks, so that joins and duplicates can still be seen. Numbers, dates, booleans and
NULL are shown: without them no plan can be understood.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from bedev.sandboxes.patterns import matches
from bedev.sandboxes.recipe import TreeReader

_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?\Z")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d+)?\Z")
_SHORT = re.compile(r"-?(\d{1,4}|\d{1,18}\.\d+)\Z")


# Data that stands in code (seeders, tests) says nothing of which words are the code's own.
_NOT_CODE = ("**/*seed*/**", "**/*seed*", "**/*factor*/**", "**/*fixture*/**", "**/test*/**", "**/vendor/**")
_CODE = ("**/*.php", "**/*.py", "**/*.js", "**/*.ts", "**/*.java", "**/*.sql")
_WORD = re.compile(r"""(['"])([A-Za-z][A-Za-z0-9_-]{1,23})\1""")
_CODE_BYTES = 8 << 20


def words_of_code(tree: TreeReader) -> frozenset[str]:
    """Short words that stand in quotes in the code: names of states, roles, kinds. Whoever reads the code
    has them, and without them no condition on a state can be understood."""
    found: set[str] = set()
    left = _CODE_BYTES
    for path in tree.paths():
        if left <= 0 or not matches(path, _CODE) or matches(path, _NOT_CODE):
            continue
        content = tree.read(path) or b""
        left -= len(content)
        found.update(word for _, word in _WORD.findall(content.decode("utf-8", "replace")))
    return frozenset(found)


class Mask:
    """`show` leaves every value as it is. `plain` are texts that the model has in any case (in the code,
    for instance an enum's values): they are not masked. Masks of one `key` (random when empty) have equal
    marks for equal texts."""

    def __init__(self, show: bool = False, plain: frozenset[str] = frozenset(), key: bytes = b"") -> None:
        self.show, self.plain = show, plain
        self._key = hashlib.sha256(key).digest() if key else secrets.token_bytes(32)

    def leaving(self, plain: Iterable[str]) -> Mask:
        """The same mask that also leaves these texts."""
        other = Mask(self.show, self.plain | frozenset(plain))
        other._key = self._key
        return other

    def value(self, value: Any, text: bool = False) -> Any:
        """One value of a result set. `text`: it comes from a column or field of text, where many digits are a
        telephone or a card, and no number (decimals come as text too)."""
        if self.show or value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {"bytes": len(str(value.get("base64", ""))) * 3 // 4}
        said = str(value)
        number = _SHORT if text else _NUMBER
        if said == "" or said in self.plain or _DATE.match(said) or number.match(said):
            return said
        return self.text(said)

    def text(self, text: str) -> str:
        """Letters become x, digits 9; a short mark tells equal texts from others."""
        shape = re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", text))
        mark = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=2
        ).hexdigest()
        return f"{shape[:40]}{'…' if len(shape) > 40 else ''}#{mark}"

    def json(self, document: Any) -> Any:
        """A JSON answer with its texts masked; keys stay."""
        if isinstance(document, Mapping):
            return {key: self.json(part) for key, part in document.items()}
        if isinstance(document, list):
            return [self.json(part) for part in document]
        return self.value(document, text=True)
