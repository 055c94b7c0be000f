"""What differs between runs of base itself: ids, tokens, clocks, durations, and the order of a list.

Such parts cannot be compared, and a patch is not to blame for them (TRAPS: volatile output).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bedev.tools.scenarios.answers import Answer, Number, as_json, csv_rows, same_host, shape_of

_TEXT = re.compile(r"[^\s<>\"'=;,()\[\]{}&|]+|\s+|.", re.DOTALL)
MASKED = "*"


@dataclass(frozen=True)
class Mask:
    """Parts of an answer that are left out of a comparison.

    `paths`: JSON paths (`data[*].token`), cells (`[*].token` of rows and CSV); `unordered`: paths of lists
    whose order is base's own whim; `headers`: names; `tokens`: places of words in a text, or
    `lines` of it (from 0) where the number of words varies;
    `whole_body`: no two runs of base agree enough to compare anything, which is not a pass but unmeasured.
    """

    paths: frozenset[str] = frozenset()
    unordered: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    tokens: frozenset[int] = frozenset()
    lines: frozenset[int] = frozenset()
    whole_body: bool = False
    status: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.paths
            or self.unordered
            or self.headers
            or self.tokens
            or self.lines
            or self.whole_body
            or self.status
        )

    @property
    def words(self) -> tuple[str, ...]:
        """For people: what was not compared."""
        return (
            *(("the status",) if self.status else ()),
            *(("the whole body: no two runs of base agree",) if self.whole_body else ()),
            *(f"{p or 'the body'}" for p in sorted(self.paths)),
            *(f"the order of {p or 'the list'}" for p in sorted(self.unordered)),
            *(f"header {h}" for h in sorted(self.headers)),
            *((f"{len(self.tokens)} words of the text",) if self.tokens else ()),
            *(f"line {n + 1} of the text" for n in sorted(self.lines)),
        )


def body_value(answer: Answer) -> tuple[str, Any]:
    """(`json`, a value), (`text`, tokens) or (`binary`, bytes): the form in which bodies are compared.

    Rows and CSV become lists of objects, so that one comparison serves all three.
    """
    if answer.kind == "sql":
        names = _unique(answer.columns)
        return "json", [dict(zip(names, row, strict=False)) for row in answer.rows]
    if answer.kind == "command":
        kind, body = shape_of("", answer.output), answer.output
    else:
        body = answer.body
        kind = shape_of(answer.media_type, body)
    if kind == "json":
        return "json", as_json(body)[1]
    if kind == "csv":
        rows = csv_rows(body)
        names = _unique(rows[0]) if rows else []
        regular = all(len(r) == len(names) for r in rows)
        return "json", [{"columns": rows[:1]}, *(dict(zip(names, r, strict=True)) for r in rows[1:])] if (
            regular
        ) else rows
    if kind in ("text", "html", "none"):
        return "text", text_tokens(body.decode("utf-8", "replace"), spaces=kind != "html")
    return "binary", body


def _unique(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return out


def text_tokens(text: str, spaces: bool) -> list[str]:
    """Words and signs; `spaces` False leaves white space out, which HTML does not show."""
    found = _TEXT.findall(same_host(text.replace("\r\n", "\n")))
    return found if spaces else [t for t in found if not t.isspace()]


def volatile(answers: Sequence[Answer]) -> Mask:
    """What differs between `answers`, all of base to one question; ask them in different seconds."""
    if len(answers) < 2:
        return Mask()
    first = answers[0]
    status = len({(a.kind, a.status, a.exit) for a in answers}) > 1
    names = {n.lower() for a in answers for n, _ in a.headers}
    headers = frozenset(n for n in names if len({_header(a, n) for a in answers}) > 1)
    values = [body_value(a) for a in answers]
    kinds = {k for k, _ in values}
    if len(kinds) > 1:
        return Mask(headers=headers, whole_body=True, status=status)
    if kinds == {"json"}:
        paths: set[str] = set()
        unordered: set[str] = set()
        for _, other in values[1:]:
            if first.kind != "sql" and other == values[0][1]:
                continue
            _json_difference(values[0][1], other, "", paths, unordered)
        return Mask(frozenset(paths), frozenset(unordered), headers, status=status, whole_body="" in paths)
    if kinds == {"text"}:
        return _text_mask([v for _, v in values], headers, status)
    same = all(v == values[0][1] for _, v in values)
    return Mask(headers=headers, whole_body=not same, status=status or first.kind == "failed")


def _header(answer: Answer, name: str) -> tuple[str, ...]:
    return tuple(sorted(v for n, v in answer.headers if n.lower() == name))


def canonical(value: Any, mask: Mask, path: str = "") -> Any:
    """A hashable form, equal for values that are equal under `mask`."""
    if path in mask.paths:
        return MASKED
    if isinstance(value, dict):
        return ("{", tuple((k, canonical(value[k], mask, join(path, k))) for k in sorted(value)))
    if isinstance(value, (list, tuple)):
        items = [canonical(v, mask, f"{path}[*]") for v in value]
        return ("[", tuple(sorted(items, key=repr) if path in mask.unordered else items))
    if isinstance(value, str):
        return ("s", same_host(value))
    if isinstance(value, Number):
        return ("n", value.text)
    return (type(value).__name__, repr(value))


def join(path: str, key: str) -> str:
    plain = re.fullmatch(r"\w[\w-]*", key)
    return (f"{path}.{key}" if path else key) if plain else f'{path}["{key}"]'


def _json_difference(one: Any, other: Any, path: str, paths: set[str], unordered: set[str]) -> None:
    """Add to `paths` and `unordered` what has to be masked so that `one` and `other` are equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in one.keys() | other.keys():
            inner = join(path, key)
            if key not in one or key not in other:
                paths.add(inner)
            else:
                _json_difference(one[key], other[key], inner, paths, unordered)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            paths.add(path)
            return
        inner_paths, inner_unordered = set[str](), set[str]()
        for a, b in zip(one, other, strict=True):
            _json_difference(a, b, f"{path}[*]", inner_paths, inner_unordered)
        if inner_paths and _same_members(one, other, path, Mask()):
            unordered.add(path)
            return
        aligned = _aligned(one, other) if inner_paths else None
        if aligned is not None:
            # Shuffled *and* with a clock in each member: members that are the same are compared, lest
            # everything that moved were masked.
            inner_paths, inner_unordered = set(), set()
            for a, b in aligned:
                _json_difference(a, b, f"{path}[*]", inner_paths, inner_unordered)
            unordered.add(path)
        paths.update(inner_paths)
        unordered.update(inner_unordered)
    elif canonical(one, Mask()) != canonical(other, Mask()):
        paths.add(path)


_IDENTITIES = ("id", "uuid", "key", "code", "slug", "email", "name")


def _aligned(one: list[Any], other: list[Any]) -> list[tuple[Any, Any]] | None:
    """The members paired by what identifies them, None where nothing does or they stand in one order."""
    if not all(isinstance(i, Mapping) for i in (*one, *other)):
        return None
    for key in _IDENTITIES:
        if not all(key in i for i in (*one, *other)):
            continue
        by_key = {canonical(i[key], Mask()): i for i in other}
        keys = [canonical(i[key], Mask()) for i in one]
        if len(by_key) == len(other) and set(keys) == set(by_key):
            return None if keys == list(by_key) else [(i, by_key[k]) for i, k in zip(one, keys, strict=True)]
    return None


def _same_members(one: list[Any], other: list[Any], path: str, mask: Mask) -> bool:
    inner = f"{path}[*]"
    return Counter(canonical(v, mask, inner) for v in one) == Counter(
        canonical(v, mask, inner) for v in other
    )


def lines_of(tokens: Sequence[str]) -> list[str]:
    return "".join(tokens).split("\n")


def _text_mask(texts: Sequence[list[str]], headers: frozenset[str], status: bool) -> Mask:
    """Words that differ; whole lines where the number of words varies; nothing is comparable where more
    than half of the text differs. White space that changes beside a number (a padded column) is a word."""
    first = texts[0]
    if all(len(t) == len(first) for t in texts):
        places = frozenset(i for i in range(len(first)) if len({t[i] for t in texts}) > 1)
        too_many = len(places) > max(8, sum(1 for t in first if not t.isspace()) // 2)
        return Mask(headers=headers, tokens=places, whole_body=too_many, status=status)
    lines = [lines_of(t) for t in texts]
    if any(len(t) != len(lines[0]) for t in lines):
        return Mask(headers=headers, whole_body=True, status=status)
    numbers = frozenset(i for i in range(len(lines[0])) if len({t[i] for t in lines}) > 1)
    too_many = len(numbers) * 2 > len(lines[0])
    return Mask(headers=headers, lines=numbers, whole_body=too_many, status=status)
