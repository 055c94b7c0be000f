"""The values that a question carries, each with its place, and how another value is put there.

Everything else of the question stays byte-equal: a place is a span of the text or of the body.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, unquote, unquote_plus

from bedev.tools.database.fingerprint import tokens
from bedev.tools.scenarios.scenario import Question

Writing = Literal["query", "segment", "form", "json", "json-number", "literal", "number", "word"]


@dataclass(frozen=True)
class Place:
    """Where a value stands: `name` is the query parameter, the JSON pointer or the number of the segment,
    literal or word; `value` is the value with its encoding undone. `start` and `end` delimit it in the
    question's text, or in its body where `in_body`; `writing` says how a value is encoded there."""

    name: str
    value: str
    writing: Writing
    start: int
    end: int
    in_body: bool = False

    @property
    def id(self) -> str:
        return f"{self.writing.removesuffix('-number')}:{self.name}"


def places(question: Question, dialect: str = "mysql") -> tuple[Place, ...]:
    """All values of a question that could stand for a column's, in order. Never raises."""
    if question.kind == "sql":
        return tuple(_literals(question.text, dialect))
    if question.kind == "command":
        return tuple(_words(question.text))
    return (*_url(question.text), *_body(question.body))


def put(question: Question, place: Place, value: str, dialect: str = "mysql") -> Question:
    """The question with `value` at `place`, encoded as that place needs it."""
    written = _write(place, value, dialect)
    text = question.body if place.in_body else question.text
    text = text[: place.start] + written + text[place.end :]
    return replace(question, body=text) if place.in_body else replace(question, text=text)


def is_number(text: str) -> bool:
    return re.fullmatch(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", text) is not None


def _write(place: Place, value: str, dialect: str) -> str:
    if place.writing in ("query", "segment", "form"):
        return quote(value, safe="")
    if place.writing == "word":
        return shlex.quote(value)
    if place.writing == "json" or (place.writing == "json-number" and not is_number(value)):
        return json.dumps(value, ensure_ascii=False)
    if place.writing in ("json-number", "number") and is_number(value):
        return value
    escaped = value.replace("'", "''")
    if dialect in ("mysql", "mariadb"):
        escaped = escaped.replace("\\", "\\\\")
    return f"'{escaped}'"


def _url(text: str) -> Iterator[Place]:
    start = text.find(" ") + 1
    mark = text.find("?", start)
    fragment = text.find("#", start)
    end = fragment if fragment >= 0 else len(text)
    path_end = mark if 0 <= mark < end else end
    at = start
    for number, segment in enumerate(text[start:path_end].split("/")):
        if segment:
            yield Place(str(number), unquote(segment), "segment", at, at + len(segment))
        at += len(segment) + 1
    if path_end == mark:
        yield from _pairs(text, mark + 1, end, "query")


def _pairs(text: str, start: int, end: int, writing: Writing) -> Iterator[Place]:
    at = start
    for pair in text[start:end].split("&"):
        name, equals, value = pair.partition("=")
        if equals and value:
            value_start = at + len(name) + 1
            yield Place(
                unquote_plus(name),
                unquote_plus(value),
                writing,
                value_start,
                value_start + len(value),
                in_body=writing == "form",
            )
        at += len(pair) + 1


def _body(body: str) -> Iterator[Place]:
    if not body.strip():
        return
    if body.lstrip()[0] in "{[":
        try:
            json.loads(body)
            yield from _json(body, _blank(body, 0), "")[0]
        except (ValueError, RecursionError):
            return
    elif re.fullmatch(r"[^\s=&]+=[^\s&]*(?:&[^\s=&]+=[^\s&]*)*", body):
        yield from _pairs(body, 0, len(body), "form")


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


_DECODER = json.JSONDecoder()
_SCALAR = re.compile(r"[-+\w.]+")


def _json(text: str, at: int, pointer: str) -> tuple[list[Place], int]:
    """The leaves of the JSON value that begins at `at` (known to be valid) and where it ends."""
    if text[at] == '"':
        value, end = _DECODER.raw_decode(text, at)
        return [Place(pointer, value, "json", at, end, in_body=True)], end
    if text[at] not in "{[":
        match = _SCALAR.match(text, at)
        end = match.end() if match else at + 1
        leaf = text[at:end]
        number = leaf not in ("true", "false", "null")
        return ([Place(pointer, leaf, "json-number", at, end, in_body=True)] if number else []), end
    found: list[Place] = []
    is_object, count = text[at] == "{", 0
    at = _blank(text, at + 1)
    while text[at] not in "}]":
        key = str(count)
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _blank(text, _blank(text, at) + 1)
        inner, at = _json(text, at, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        found += inner
        count += 1
        at = _blank(text, at)
        if text[at] == ",":
            at = _blank(text, at + 1)
    return found, at + 1


def _literals(sql: str, dialect: str) -> Iterator[Place]:
    number = 0
    for token in tokens(sql, dialect):
        if token.kind in ("string", "number"):
            writing: Writing = "number" if token.kind == "number" else "literal"
            yield Place(str(number), token.value, writing, token.start, token.end)
            number += 1


_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_OPTION = re.compile(r"--?[A-Za-z][\w-]*=")


def _words(command: str) -> Iterator[Place]:
    for number, match in enumerate(_WORD.finditer(command)):
        start, end = match.span()
        option = _OPTION.match(command, start, end)
        if option:
            start = option.end()
        name = option[0].strip("-=") if option else str(number)
        try:
            value = "".join(shlex.split(command[start:end]))
        except ValueError:
            continue
        if number and value and not value.startswith("-"):
            yield Place(name, value, "word", start, end)
