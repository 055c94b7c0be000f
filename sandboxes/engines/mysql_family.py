"""What MariaDB and MySQL servers share: roles, sessions, readiness, capture, statistics of statements.

Both engines import from here; what differs is in their folders. (This is a plain file, because every folder
beside it is an engine.)
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bedev.sandboxes.engines.engine import Instance, Role, Statement, StatementStatistics
from bedev.sandboxes.engines.roles import USERS as USERS
from bedev.sandboxes.engines.roles import check_passwords
from bedev.sandboxes.errors import DatabaseError, SandboxBroken
from bedev.sandboxes.sandbox import Probe, Rows, Service, SqlSession

# Not `localhost`: that would let the socket in, and roles are for TCP with a password only.
HOST = "127.0.0.1"

READY_SECONDS = 120.0  # crash recovery included


def name_quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def database_pattern(name: str) -> str:
    """`name` in a GRANT, where `_` and `%` stand for anything if not escaped."""
    return name_quoted(name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))


# -- the three roles


def account(role: Role) -> str:
    return f"'{USERS[role]}'@'{HOST}'"


def user_statements(database: str, passwords: Mapping[Role, str]) -> list[str]:
    """The application's database, and the roles with these passwords. Idempotent. Raises UsageError."""
    check_passwords(passwords)
    statements = [f"CREATE DATABASE IF NOT EXISTS {name_quoted(database)}"]
    for role in USERS:
        statements += [
            f"CREATE USER IF NOT EXISTS {account(role)}",
            f"ALTER USER {account(role)} IDENTIFIED BY '{passwords[role]}'",
        ]
    return statements


def grant_statements(database: str) -> list[str]:
    """The application owns its databases and those that test runners make (`test_...`), and has no global
    privilege: no FILE, SUPER, PROCESS, RELOAD. The reader reads."""
    return [
        f"GRANT ALL PRIVILEGES ON *.* TO {account('admin')} WITH GRANT OPTION",
        f"GRANT ALL PRIVILEGES ON {database_pattern(database)}.* TO {account('application')}",
        f"GRANT ALL PRIVILEGES ON `test\\_%`.* TO {account('application')}",
        f"GRANT SELECT, SHOW VIEW ON {database_pattern(database)}.* TO {account('reader')}",
    ]


def create_database(admin: SqlSession, database: str) -> None:
    admin.query(f"CREATE DATABASE IF NOT EXISTS {name_quoted(database)}")
    pattern = database_pattern(database)
    admin.query(f"GRANT ALL PRIVILEGES ON {pattern}.* TO {account('application')}")
    admin.query(f"GRANT SELECT, SHOW VIEW ON {pattern}.* TO {account('reader')}")


# -- sessions


class AdminSession:
    """The admin's session, which can hold purge up between two readings of the counters.

    A consistent snapshot keeps every old row version, so background purge has nothing to do and reads no
    pages. It would also show this session old rows and, once it had read a table, make that table's ALTER
    wait: so any query ends it first. `inner` is for queries of the server's own counters only.
    """

    def __init__(self, inner: SqlSession) -> None:
        self.inner = inner
        self._holding = False

    def hold_purge(self) -> None:
        self.inner.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        self._holding = True

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        if self._holding:
            self._holding = False
            self.inner.query("COMMIT")
        return self.inner.query(sql, params, max_rows=max_rows, timeout=timeout)

    def close(self) -> None:
        self.inner.close()


def held(admin: SqlSession) -> SqlSession:
    """The session under an AdminSession: reading the server's own counters needs no table, so purge can stay
    held meanwhile."""
    return admin.inner if isinstance(admin, AdminSession) else admin


def connect(probe: Probe, instance: Instance, role: Role) -> SqlSession:
    """The reader's transactions are read-only, beside its privileges: a view may call what writes."""
    session = probe.connect(
        "mysql",
        port=instance.port,
        user=USERS[role],
        password=instance.passwords[role],
        database=instance.database,
    )
    if role == "reader":
        session.query("SET SESSION TRANSACTION READ ONLY")
    return AdminSession(session) if role == "admin" else session


def wait_until_ready(probe: Probe, instance: Instance, service: Service, title: str) -> None:
    """Returns when the server of this data directory answers to the admin's password. Raises SandboxBroken
    with the last lines of its log."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        # Listening comes before the roles are set; a connection then waits for both.
        if probe.wait_for_port(instance.port, 0.5):
            try:
                session = connect(probe, instance, "admin")
            except (DatabaseError, SandboxBroken):
                time.sleep(0.02)
            else:
                home = str(session.query("SELECT @@datadir").scalar).rstrip("/")
                session.close()
                if home == f"{instance.data_dir}/data":
                    return
                raise SandboxBroken(
                    f"Port {instance.port} of the pod belongs to another server ({home}).",
                    where=f"the server {instance.name}",
                    next_step="Give each server of a pod a port of its own.",
                )
        if not service.alive():
            break
    raise SandboxBroken(
        f"{title} did not start.",
        where=f"{instance.data_dir}, port {instance.port}",
        next_step="Its last words are below; another image version may help (--engine, bedev.toml).",
        detail="\n".join(service.log().splitlines()[-20:]),
    )


# Where a disk is full, MyISAM and Aria wait for somebody to make room, for ever. Nobody will: the server
# ends, and whoever waits for it is told at once. `$$` is the server, which takes the shell's place.
NO_WAIT = (
    "trap '' TERM INT; while IFS= read -r line; do printf '%s\\n' \"$line\"; "
    "[[ $line != *'Waiting for someone to free space'* ]] || kill -KILL $$; done"
)
"""What a server's output goes through."""


ENDS_SECONDS = 0.2


def wait_for_ends(session: SqlSession) -> None:
    """A client has its answer before the server has counted the statement: wait until no connection is in
    a statement. One that really runs longer is not waited for."""
    deadline = time.monotonic() + ENDS_SECONDS
    while time.monotonic() < deadline:
        if not session.query(
            "SELECT COUNT(*) FROM performance_schema.threads WHERE PROCESSLIST_USER IN "
            f"('{USERS['application']}', '{USERS['reader']}') AND PROCESSLIST_COMMAND <> 'Sleep'"
        ).scalar:
            return
        time.sleep(0.001)


# -- capture: the general log, as a table


def start_capture(admin: SqlSession) -> None:
    """The log as a CSV table keeps order, connection, user and the literal values of prepared statements;
    a file would leave statements of several lines to guesswork. It costs about 0.05 ms a statement and
    moves one counter at most, `rows_written`, by one a statement.
    """
    admin.query("SET GLOBAL general_log = 0")
    admin.query("SET GLOBAL log_output = 'TABLE'")
    admin.query("TRUNCATE TABLE mysql.general_log")
    admin.query("SET GLOBAL general_log = 1")


PAGE = 5_000  # statements that one reading fetches


def stop_capture(admin: SqlSession) -> tuple[Statement, ...]:
    """What was recorded, and an empty log. A trigger's own statements are recorded after the one that fired
    it, as the server logs them; those of stored procedures and functions are not.

    Bytes that are no UTF-8 appear as `\\xNN` (MariaDB writes them so; MySQL's log is bytes). Raises
    DatabaseError for a statement over 32 MiB.
    """
    admin.query("SET GLOBAL general_log = 0")
    user = USERS["application"]
    statements: list[Statement] = []
    read = 0
    while True:
        page = admin.query(
            "SELECT thread_id, UNIX_TIMESTAMP(event_time), command_type, argument FROM mysql.general_log "
            f"WHERE user_host LIKE '{user}[%' AND command_type IN ('Query', 'Execute') "
            f"LIMIT {PAGE} OFFSET {read}",
            max_rows=PAGE,
            timeout=300.0,
        )
        statements += [
            Statement(_text(argument), int(thread), float(at)) for thread, at, _, argument in page.rows
        ]
        read += len(page.rows)
        if not page.truncated and len(page.rows) < PAGE:
            break
        if not page.rows:
            raise DatabaseError(
                "A captured statement is too large to be read.",
                where=f"statement {read + 1} of the capture",
                next_step="Choose a scenario without statements of 32 MiB and more.",
            )
    admin.query("TRUNCATE TABLE mysql.general_log")
    return tuple(statements)


def _text(argument: Any) -> str:
    if not isinstance(argument, dict):
        return str(argument)
    text = base64.b64decode(argument["base64"]).decode("utf-8", "backslashreplace")
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: f"\\x{found[1].upper()}", text)


# -- the server's own statistics of statements

_SYSTEM = "('mysql', 'sys', 'performance_schema', 'information_schema')"


def statement_statistics(admin: SqlSession, reset: bool) -> tuple[StatementStatistics, ...]:
    """Digests of all databases but the server's own, those with most time first. ROWS_EXAMINED does not see
    all that triggers and stored functions read; an engine's counters do."""
    wait_for_ends(admin)
    rows = admin.query(
        "SELECT DIGEST_TEXT, COUNT_STAR, SUM_ROWS_EXAMINED, SUM_ROWS_SENT, SUM_TIMER_WAIT / 1e12 "
        "FROM performance_schema.events_statements_summary_by_digest "
        f"WHERE SCHEMA_NAME NOT IN {_SYSTEM} AND DIGEST_TEXT IS NOT NULL "
        "ORDER BY SUM_TIMER_WAIT DESC, DIGEST",
        max_rows=20_000,
    ).rows
    if reset:
        admin.query("TRUNCATE TABLE performance_schema.events_statements_summary_by_digest")
    return tuple(
        StatementStatistics(str(text), int(calls), int(examined), int(sent), float(seconds))
        for text, calls, examined, sent, seconds in rows
    )
