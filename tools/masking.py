"""Values of the database on their way to a model: their shape, not what they say, unless the user agrees.

A masked text keeps its length class and punctuation, so that an address still looks like one; equal texts
of one run have equal masks, so that joins and duplicates can still be seen. Numbers, dates, booleans and
NULL are shown: without them no plan can be understood.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?\Z")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d+)?\Z")


class Mask:
    """`show` leaves every value as it is. `plain` are texts that the model has in any case (in the code,
    for instance an enum's values): they are not masked."""

    def __init__(self, show: bool = False, plain: frozenset[str] = frozenset()) -> None:
        self.show, self.plain = show, plain
        self._key = secrets.token_bytes(16)

    def value(self, value: Any) -> Any:
        """One value of a result set."""
        if self.show or value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {"bytes": len(str(value.get("base64", ""))) * 3 // 4}
        text = str(value)
        if text == "" or text in self.plain or _DATE.match(text) or _NUMBER.match(text):
            return text
        return self.text(text)

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
        return self.value(document)
