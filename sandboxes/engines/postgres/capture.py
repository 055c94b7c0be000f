"""Capture: the server's log as JSON lines, read through the admin's session.

`log_statement` is on only while a capture runs. A statement is written before it runs, so it is in the log's
pipe before the client has its answer; a line of bedev's own, written last, says that the file holds all.
"""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bedev.sandboxes.engines.engine import Statement
from bedev.sandboxes.engines.postgres.sessions import FLUSH, own
from bedev.sandboxes.engines.roles import USERS
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

PAGE = 4 << 20  # bytes of the log that one reading fetches
WAIT_SECONDS = 20.0

_SENT = re.compile(r"(?:statement|execute (?:fetch from )?[^:]*): (.*)", re.DOTALL)
_PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|[eE]'(?:\\.|[^'\\]|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"
    r"|(\$[A-Za-z_]?\w*\$).*?\1|\$(\d+)",
    re.DOTALL,
)
_HOUSEKEEPING = re.compile(r"\s*deallocate\b", re.IGNORECASE)


def start(admin: SqlSession) -> None:
    """From now on the statements of all connections are logged."""
    _log_statements(admin, "all")
    session = own(admin)
    _, session.capture_from = _read_until_marker(admin, _size(admin))


def stop(admin: SqlSession) -> tuple[Statement, ...]:
    """What the application sent since `start`, in order. Parameters of prepared statements stand in the text
    as quoted literals, as the server logs them. DEALLOCATE, which drivers send by themselves, is left out; so
    are statements inside of functions and triggers, which the server does not log. Raises DatabaseError."""
    _log_statements(admin, "none")
    lines, _ = _read_until_marker(admin, own(admin).capture_from)
    found = (_statement(json.loads(line)) for line in lines)
    return tuple(statement for statement in found if statement is not None)


def _log_statements(admin: SqlSession, what: str) -> None:
    """Other backends get the signal in the same moment as the admin's own; it has it when it says so."""
    admin.query(f"ALTER SYSTEM SET log_statement = '{what}'")
    admin.query("SELECT pg_reload_conf()")
    deadline = time.monotonic() + WAIT_SECONDS
    while admin.query("SHOW log_statement").scalar != what:
        if time.monotonic() > deadline:
            raise DatabaseError("The server did not take up its configuration.", where="capture")
        time.sleep(0.002)
    time.sleep(0.005)


_LOG = "pg_current_logfile('jsonlog')"


def _size(admin: SqlSession) -> int:
    return int(admin.query(f"SELECT (pg_stat_file({_LOG})).size").scalar)


def _read_until_marker(admin: SqlSession, offset: int) -> tuple[list[bytes], int]:
    """The complete lines from `offset` to a new line of ours, and where the next one begins."""
    marker = f"bedev-{uuid.uuid4().hex}"
    admin.query(f"DO $$ BEGIN RAISE LOG '{marker}'; END $$")
    wanted = f'"message":"{marker}"'.encode()
    buffer = bytearray()
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        page = admin.query(
            f"SELECT pg_read_binary_file({_LOG}, {offset + len(buffer)}, {PAGE})", timeout=300.0
        ).scalar
        read = base64.b64decode(page["base64"])
        searched = max(0, len(buffer) - len(wanted))
        buffer += read
        at = buffer.find(wanted, searched)
        end = buffer.find(b"\n", at) if at >= 0 else -1
        if end >= 0:
            before = bytes(buffer[: buffer.rfind(b"\n", 0, at) + 1])
            return before.splitlines(), offset + end + 1
        if not read:
            time.sleep(0.005)
    raise DatabaseError(
        "The server's log did not arrive.",
        where="capture",
        next_step="Look whether the disk is full (docker system df).",
    )


def _statement(entry: Mapping[str, Any]) -> Statement | None:
    if entry.get("user") != USERS["application"] or entry.get("error_severity") != "LOG":
        return None
    sent = _SENT.match(str(entry.get("message", "")))
    if sent is None or sent[1] == FLUSH or _HOUSEKEEPING.match(sent[1]):
        return None
    moment = str(entry["timestamp"]).removesuffix(" UTC")
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    return Statement(with_values(sent[1], str(entry.get("detail", ""))), int(entry["pid"]), at)


def with_values(sql: str, detail: str) -> str:
    """`sql` with the values of a log entry's detail (`Parameters: $1 = '4', $2 = NULL`) in place of its
    parameters."""
    values = {int(number): value for number, value in _PARAMETER.findall(detail)}
    if not values:
        return sql
    return _TOKEN.sub(lambda token: values.get(int(token[2] or 0), token[0]), sql)
