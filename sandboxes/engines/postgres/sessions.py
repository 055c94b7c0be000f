"""Sessions of the three roles.

A backend keeps what it counted of tables to itself for up to 10 s after its last statement
(PGSTAT_IDLE_INTERVAL), unless it ends or is told to flush. Nobody else can tell it. bedev's own sessions tell
themselves after each statement; for the application's see `counters.settle`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from bedev.sandboxes.engines.engine import Instance, Role
from bedev.sandboxes.engines.roles import USERS
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import Probe, Rows, SqlSession

FLUSH = "SELECT pg_catalog.pg_stat_force_next_flush()"
"""Left out of captures and of the counters of statements."""

OWN_SCHEMA = "bedev"
"""Where the admin keeps pg_stat_statements in the application's database: no command that empties an
application's schema finds it there."""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class FlushingSession:
    """A session whose counts of tables are there for others when a statement has ended."""

    def __init__(self, inner: SqlSession) -> None:
        self._inner = inner

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        try:
            return self._inner.query(sql, params, max_rows=max_rows, timeout=timeout)
        finally:
            # Refused in a transaction that has failed, or where the connection is gone.
            with contextlib.suppress(DatabaseError):
                self._inner.query(FLUSH)

    def close(self) -> None:
        self._inner.close()


class AdminSession:
    """The admin's session, which remembers where a capture began and what statements had done when their
    statistics were last reset (a real reset would make the counters fall)."""

    def __init__(self, inner: SqlSession) -> None:
        self._inner = inner
        self.capture_from = 0
        self.reset_at: dict[tuple[int, int], tuple[int, int, float]] = {}

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        return self._inner.query(sql, params, max_rows=max_rows, timeout=timeout)

    def close(self) -> None:
        self._inner.close()


def own(admin: SqlSession) -> AdminSession:
    """Raises DatabaseError for a session that `connect` did not make for the admin."""
    if not isinstance(admin, AdminSession):
        raise DatabaseError(
            "This needs the admin's session.",
            where="PostgreSQL",
            next_step="Use Engine.connect with the role 'admin'.",
        )
    return admin


def connect(probe: Probe, instance: Instance, role: Role, database: str = "") -> SqlSession:
    """The reader's transactions are read-only, beside its privileges: a view may call what writes."""
    session = probe.connect(
        "postgres",
        port=instance.port,
        user=USERS[role],
        password=instance.passwords[role],
        database=database or instance.database,
    )
    return AdminSession(session) if role == "admin" else FlushingSession(session)
