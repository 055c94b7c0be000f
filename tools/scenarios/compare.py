"""Whether base and patch answer the same, as an outsider sees it; if not, the shortest counterexample.

The order of JSON keys and white space in JSON and HTML are no difference. A number written otherwise, a
number instead of a string, a missing key instead of null, {} instead of [] are: typed clients break there.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from bedev.tools.scenarios.answers import (
    MATTERING_HEADERS,
    Answer,
    Number,
    command_answer,
    failed_answer,
    http_answer,
    is_empty,
    refusal,
    same_host,
    sql_answer,
)
from bedev.tools.scenarios.volatile import Mask, body_value, canonical, join, lines_of, volatile

__all__ = [
    "Answer",
    "Difference",
    "Mask",
    "command_answer",
    "compare",
    "failed_answer",
    "http_answer",
    "is_empty",
    "refusal",
    "sql_answer",
    "volatile",
]

MOST_CHARACTERS = 160
FLOAT_TOLERANCE = 1e-9
_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """The shortest counterexample. `part`: `status` | `header` | `body` | `exit` | `output` | `columns` |
    `rows` | `failed`; `where`: the JSON path, header, line or row; values as text of bounded length."""

    part: str
    where: str
    base: str
    patch: str

    @property
    def words(self) -> str:
        place = f" {self.where}" if self.where else ""
        return f"{self.part}{place}: base {self.base}, patch {self.patch}"


def compare(
    base: Answer,
    patch: Answer,
    mask: Mask | None = None,
    ordered: bool = True,
    floats: bool | Collection[str] = False,
) -> Difference | None:
    """None where `patch` is equal to `base` but for what `mask` covers.

    `ordered` False: the order of rows (of the outermost list of an answer) says nothing, as in SQL without
    ORDER BY. `floats`: names of columns or fields (True: all) whose type on base is a binary float, where
    1e-9 of the value is no difference. A mask with `whole_body` leaves the body out altogether: such an
    answer is not measured.
    """
    mask = mask or Mask()
    if base.kind == "failed" or patch.kind == "failed":
        if base.kind == patch.kind:
            return None
        return Difference("failed", "", base.failure or "answers", _short(patch.failure or "answers"))
    if base.kind != patch.kind:
        return Difference("kind", "", base.kind, patch.kind)
    if not mask.status and base.status != patch.status:
        return Difference("status", "", str(base.status), str(patch.status))
    if not mask.status and base.exit != patch.exit:
        return Difference("exit", "", str(base.exit), str(patch.exit))
    if base.kind == "sql" and base.columns != patch.columns:
        return Difference("columns", "", _short(", ".join(base.columns)), _short(", ".join(patch.columns)))
    found = None if mask.whole_body else _bodies(base, patch, mask, ordered, floats)
    # Where the body differs, it says more than the length or type that a header tells of it.
    return found or next(_headers(base, patch, mask), None)


def _headers(base: Answer, patch: Answer, mask: Mask) -> Iterator[Difference]:
    for name in MATTERING_HEADERS:
        if name in mask.headers:
            continue
        one, other = _header(base, name), _header(patch, name)
        if name == "etag" and base.body != patch.body:
            # The same answer written with other white space has another tag; that there is one matters.
            one, other = (["an ETag"] if one else []), (["an ETag"] if other else [])
        if one != other:
            yield Difference(
                "header", name, _short("; ".join(one) or "none"), _short("; ".join(other) or "none")
            )


def _header(answer: Answer, name: str) -> list[str]:
    values = [v.strip() for n, v in answer.headers if n.lower() == name]
    if name == "set-cookie":
        return sorted({v.split("=", 1)[0].strip() for v in values})
    if name in ("cache-control", "allow"):
        return sorted({p.strip().lower() for v in values for p in v.split(",") if p.strip()})
    if name == "content-type":
        return [re.sub(r"\s*;\s*", "; ", v).lower().replace('"', "") for v in values]
    if name in ("location", "link"):
        return [same_host(v) for v in values]
    return values


def _bodies(
    base: Answer, patch: Answer, mask: Mask, ordered: bool, floats: bool | Collection[str]
) -> Difference | None:
    part = {"sql": "rows", "command": "output"}.get(base.kind, "body")
    if base.body == patch.body and base.output == patch.output and base.kind != "sql":
        return None
    (one_kind, one), (other_kind, other) = body_value(base), body_value(patch)
    if one_kind != other_kind:
        names = {"json": "JSON", "text": "text", "binary": "binary data"}
        return Difference(part, "", _described(names[one_kind], one), _described(names[other_kind], other))
    if one_kind == "binary":
        return None if one == other else Difference(part, "", _hash(one), _hash(other))
    if one_kind == "text":
        return _texts(part, one, other, mask)
    if base.kind != "sql" and one == other:
        return None  # JSON alone: among SQL's values Python holds 1, 1.0 and True for equal
    if not ordered:
        path = _outermost_list(one)
        if path is not None:
            mask = replace(mask, unordered=mask.unordered | {path})
    found = min(_Walk(mask, floats).differences(one, other, "", ""), key=_length, default=None)
    return None if found is None else Difference(part, found.where, found.base, found.patch)


def _outermost_list(value: Any) -> str | None:
    if isinstance(value, list):
        return ""
    if isinstance(value, dict):
        lists = [k for k, v in value.items() if isinstance(v, list)]
        return join("", lists[0]) if len(lists) == 1 else ("data" if "data" in lists else None)
    return None


def _described(name: str, value: Any) -> str:
    return f"{name} {_short(''.join(value), 60)!r}" if isinstance(value, list) and name == "text" else name


def _hash(body: bytes) -> str:
    return f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()[:16]}"


def _length(difference: Difference) -> tuple[int, int]:
    return (len(difference.base) + len(difference.patch), len(difference.where))


def _short(text: str, most: int = MOST_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _texts(part: str, one: list[str], other: list[str], mask: Mask) -> Difference | None:
    """The first word that differs, with its line and what stands around it."""
    if mask.lines:
        return _lines(part, lines_of(one), lines_of(other), mask)
    line = 1
    for i in range(max(len(one), len(other))):
        a = one[i] if i < len(one) else None
        b = other[i] if i < len(other) else None
        if a != b and not (i in mask.tokens and a is not None and b is not None):
            around = slice(max(0, i - 4), i + 5)
            return Difference(
                part,
                f"line {line}",
                repr(_short("".join(one[around]))) if a is not None else "ends here",
                repr(_short("".join(other[around]))) if b is not None else "ends here",
            )
        line += (a or "").count("\n")
    return None


def _lines(part: str, one: list[str], other: list[str], mask: Mask) -> Difference | None:
    for i, (a, b) in enumerate(zip_longest(one, other)):
        if a != b and not (i in mask.lines and a is not None and b is not None):
            shown = ["ends here" if t is None else repr(_short(t)) for t in (a, b)]
            return Difference(part, f"line {i + 1}", shown[0], shown[1])
    return None


class _Walk:
    """All differences of two JSON values, at most a few dozen (the shortest is shown)."""

    def __init__(self, mask: Mask, floats: bool | Collection[str]) -> None:
        self._mask = mask
        self._floats = floats if isinstance(floats, bool) else frozenset(floats)
        self._left = 50

    def differences(self, one: Any, other: Any, path: str, place: str) -> Iterator[Difference]:
        """`path` with [*] for the mask, `place` with numbers for people."""
        if self._left <= 0 or path in self._mask.paths:
            return
        if isinstance(one, dict) and isinstance(other, dict):
            for key in [*one, *(k for k in other if k not in one)]:
                yield from self.differences(
                    one.get(key, _MISSING), other.get(key, _MISSING), join(path, key), join(place, key)
                )
        elif isinstance(one, list) and isinstance(other, list):
            if path in self._mask.unordered:
                yield from self._members(one, other, path, place)
            else:
                yield from self._items(one, other, path, place)
        elif not self._same(one, other, path):
            self._left -= 1
            yield Difference("body", place, _show(one), _show(other))

    def _items(self, one: list[Any], other: list[Any], path: str, place: str) -> Iterator[Difference]:
        if len(one) != len(other):
            self._left -= 1
            yield Difference("body", place, f"{len(one)} items", f"{len(other)} items")
            return
        same = [canonical(v, self._mask, f"{path}[*]") for v in one]
        others = [canonical(v, self._mask, f"{path}[*]") for v in other]
        if same == others:
            return
        if Counter(same) == Counter(others):
            first = next(i for i, (a, b) in enumerate(zip(same, others, strict=True)) if a != b)
            self._left -= 1
            where = f"{place}[{first}] (the same items in another order)"
            yield Difference("body", where, _show(one[first]), _show(other[first]))
            return
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from self.differences(a, b, f"{path}[*]", f"{place}[{i}]")

    def _members(self, one: list[Any], other: list[Any], path: str, place: str) -> Iterator[Difference]:
        """As sets with repetition; what stays over on both sides is compared pair by pair, since floats
        that are near are equal there too."""
        inner = f"{path}[*]"
        left = Counter(canonical(v, self._mask, inner) for v in one)
        right = Counter(canonical(v, self._mask, inner) for v in other)
        only_one = _left_over(one, left - right, self._mask, inner)
        only_other = _left_over(other, right - left, self._mask, inner)
        if len(only_one) != len(only_other):
            self._left -= 1
            shown_one = _show(only_one[0]) if only_one else "nothing more"
            shown_other = _show(only_other[0]) if only_other else "nothing more"
            counts = f" ({len(one)} items on base, {len(other)} on the patch)"
            yield Difference("body", f"{place or 'rows'}{counts}", shown_one, shown_other)
            return
        for a in only_one:
            near = next((b for b in only_other if not self._differ(a, b, inner)), None)
            if near is not None:
                only_other.remove(near)
                continue
            self._left -= 1
            closest = min(only_other, key=lambda b: self._distance(a, b, inner), default=None)
            yield from _Walk(self._mask, self._floats).differences(a, closest, inner, f"{place}[*]")
            return

    def _differ(self, a: Any, b: Any, path: str) -> bool:
        return next(_Walk(self._mask, self._floats).differences(a, b, path, ""), None) is not None

    def _distance(self, a: Any, b: Any, path: str) -> int:
        return sum(1 for _ in _Walk(self._mask, self._floats).differences(a, b, path, ""))

    def _same(self, one: Any, other: Any, path: str) -> bool:
        if canonical(one, self._mask, path) == canonical(other, self._mask, path):
            return True
        name = re.sub(r"\[.*?\]$", "", path).rsplit(".", 1)[-1]
        if not (self._floats is True or (isinstance(self._floats, frozenset) and name in self._floats)):
            return False
        try:
            a, b = _float(one), _float(other)
        except (TypeError, ValueError):
            return False
        return a == b or abs(a - b) <= FLOAT_TOLERANCE * max(abs(a), abs(b))


def _float(value: Any) -> float:
    if isinstance(value, Number):
        return float(value.text)
    if isinstance(value, float):
        return value
    raise TypeError(type(value))


def _left_over(items: list[Any], wanted: Counter[Any], mask: Mask, path: str) -> list[Any]:
    left = Counter(wanted)
    found = []
    for item in items:
        key = canonical(item, mask, path)
        if left[key] > 0:
            left[key] -= 1
            found.append(item)
    return found


def _show(value: Any) -> str:
    """A value as JSON writes it, shortened; `missing` where there is none."""
    return _short(_json(value)) if value is not _MISSING else "missing"


def _json(value: Any) -> str:
    import json

    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_json(v)}" for k, v in list(value.items())[:20]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_json(v) for v in list(value)[:20]) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)
