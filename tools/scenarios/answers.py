"""An answer as an outsider sees it, and whether it shows anything at all."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

AnswerKind = Literal["http", "command", "sql", "failed"]
# fmt: off
MATTERING_HEADERS = (
    "content-type", "location", "etag", "link", "x-total-count", "cache-control", "set-cookie",
    "www-authenticate", "content-range", "content-disposition", "content-language", "retry-after",
    "allow",
)
# fmt: on
"""Headers that clients act on. Dates, lengths, server names and request ids are not among them."""


@dataclass(frozen=True)
class Answer:
    """What one run of a question gave. `failed` says why there is no answer (the side broke)."""

    kind: AnswerKind
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    exit: int = 0
    output: bytes = field(default=b"", repr=False)
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = field(default=(), repr=False)
    failure: str = ""

    def header(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    @property
    def media_type(self) -> str:
        return (self.header("content-type") or "").split(";")[0].strip().lower()


def http_answer(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
    return Answer("http", status=status, headers=tuple((n, v) for n, v in headers), body=body)


def command_answer(exit: int, output: bytes) -> Answer:
    return Answer("command", exit=exit, output=output)


def sql_answer(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Answer:
    return Answer("sql", columns=tuple(columns), rows=tuple(tuple(r) for r in rows))


def failed_answer(reason: str) -> Answer:
    """No answer at all: the request timed out, the server died, the database refused the statement."""
    return Answer("failed", failure=reason)


@dataclass(frozen=True)
class Number:
    """A JSON number as it was written: 1, 1.0 and 1e0 are different to many a client."""

    text: str


def _constant(name: str) -> Number:
    return Number(name)


LOOPBACK = re.compile(r"(https?://(?:localhost|127\.0\.0\.1|\[::1\])):\d{2,5}(?!\d)")
"""The two sides may listen on different ports of the pod; that is not the application's doing."""


def same_host(text: str) -> str:
    return LOOPBACK.sub(r"\1", text) if "://" in text else text


def as_json(body: bytes) -> tuple[bool, Any]:
    """(True, value) where `body` is JSON, else (False, None). Numbers come as `Number`."""
    try:
        text = body.decode("utf-8-sig")
        return True, json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_constant)
    except (ValueError, RecursionError):
        return False, None


def shape_of(media_type: str, body: bytes) -> Literal["json", "text", "html", "csv", "binary", "none"]:
    """How a body is compared: by its media type, by its first byte where that is missing or wrong."""
    if not body:
        return "none"
    mistyped = media_type in ("", "text/plain", "text/html") and body.lstrip()[:1] in (b"{", b"[")
    if (mistyped or media_type.endswith(("/json", "+json"))) and as_json(body)[0]:
        return "json"
    if media_type in ("text/csv", "application/csv"):
        return "csv"
    if media_type in ("text/html", "application/xhtml+xml"):
        return "html"
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return "binary"
    return "binary" if "\0" in text else "text"


def csv_rows(body: bytes) -> list[list[str]]:
    text = body.decode("utf-8-sig", "replace")
    delimiter = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return [[line] for line in text.splitlines()]


# fmt: off
_DATA_KEYS = frozenset((
    "data", "items", "results", "result", "rows", "records", "hits", "content", "_embedded", "list",
    "value",
))
# fmt: on
# fmt: off
_FRAME_KEYS = frozenset((
    "total", "count", "page", "per_page", "current_page", "last_page", "from", "to", "limit", "offset",
    "size", "has_more", "success", "status", "message", "next", "prev", "previous", "links", "meta",
    "pagination", "path", "first_page_url", "last_page_url", "next_page_url", "prev_page_url", "took",
    "ok", "next_cursor",
))
# fmt: on


def _shows_nothing(value: Any) -> bool:
    if value is None or value in ([], {}, ""):
        return True
    if not isinstance(value, dict):
        return False
    for key in value:
        if key.lower() in _DATA_KEYS:
            return _shows_nothing(value[key])
    lists = [v for v in value.values() if isinstance(v, list)]
    rest = [k for k, v in value.items() if not isinstance(v, list) and k.lower() not in _FRAME_KEYS]
    return bool(lists) and not any(lists) and not rest


def is_empty(answer: Answer) -> bool:
    """Whether an outsider sees nothing: an empty list however it is wrapped, no rows, no output, a 404.

    On such an answer two programs are easily equal that are not.
    """
    if answer.kind == "failed":
        return True
    if answer.kind == "sql":
        return not answer.rows
    if answer.kind == "command":
        return not answer.output.strip()
    if answer.status in (204, 304, 404, 410):
        return True
    body = answer.body.strip()
    kind = shape_of(answer.media_type, body)
    if kind == "json":
        return _shows_nothing(as_json(body)[1])
    if kind == "csv":
        return len(csv_rows(body)) < 2
    if kind == "html":
        visible = re.sub(rb"(?is)<(script|style|head)\b.*?</\1\s*>|<[^>]*>", b" ", body)
        return not visible.strip()
    return not body


_LOGIN = re.compile(r"(?i)(?:^|[/_-])(?:log-?in|sign-?in|auth|authenticate|sso)(?:[/_?.-]|$)")


def refusal(answer: Answer) -> str | None:
    """Why this answer cannot be a scenario's, with the flag that helps; None where it can."""
    if answer.kind == "failed":
        return f"no answer ({answer.failure})"
    if answer.kind == "command":
        if answer.exit in (126, 127):
            return f"exit status {answer.exit}: the command cannot be run (see --scenario)"
        if answer.exit >= 124:
            return f"exit status {answer.exit}: the command crashed or was stopped"
        return None
    if answer.kind != "http":
        return None
    status = answer.status
    if status in (301, 302, 303, 307, 308):
        path = urlsplit(answer.header("location") or "").path
        if _LOGIN.search(path):
            return f"{status}, a redirect to the login page {path}: name a user with --as TABLE:ID"
        return None
    return _REFUSALS.get(status) or (
        f"{status}: it fails on base already, so there is nothing to compare" if status >= 500 else None
    )


_REFUSALS = {
    400: "400 (bad request): give the values that it needs in --http",
    401: "401 (not logged in): name a user with --as TABLE:ID (--as users:1) or send --header "
    "'Authorization: Bearer TOKEN'",
    403: "403 (forbidden): name a user who may see it with --as TABLE:ID",
    405: "405 (method not allowed): write another method in --http, for instance --http 'GET /path'",
    419: "419 (no valid CSRF token): ask a route that reads, or send the token with --header",
    422: "422 (values missing or invalid): give the values that it needs in --http",
    429: "429 (too many requests): switch the rate limit off in the recipe's environment",
}
