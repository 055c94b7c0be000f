"""What SQLite did, counted by the probe.

Work is counted in steps of SQLite's virtual machine (VM_STEP of each statement): they see scans, sorts,
automatic indexes, triggers and cascades alike, repeat exactly, and know neither pages nor the disk. Rows
examined are None: FULLSCAN_STEP counts scans alone and one less than the rows, and nothing else is counted.

Statements of the probe's own sessions are counted as they run. The application is another process, in which
nobody of ours counts: what its tracer wrote is run once more by the probe (probe/sqlite_session.py), after
the fact, in one transaction that is rolled back. Reading statements cost exactly what they cost the
application, as long as the data is the same; one whose result the application did not read to its end costs
more here; of folded lines (`calls`) one is run and multiplied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bedev.sandboxes.engines.engine import Counters, SentStatement, Statement
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

AT_ONCE = 2_000  # statements that one call runs again
ACCOUNT_SECONDS = 900.0


def read(admin: SqlSession) -> Counters:
    steps, sent, written, statements = json.loads(str(admin.query("SELECT bedev_counters()").scalar))
    return Counters(rows_sent=sent, rows_written=written, statements=statements, vm_steps=steps)


def account(admin: SqlSession, sent: Sequence[SentStatement]) -> int:
    """See `LibraryEngine.account`."""
    read_bytes = 0
    for first in range(0, len(sent), AT_ONCE):
        content = json.dumps([_line(one) for one in sent[first : first + AT_ONCE]])
        answer = admin.query("SELECT bedev_account(%s)", (content,), timeout=ACCOUNT_SECONDS)
        said = json.loads(str(answer.scalar))
        problems: list[str] = said["problems"]
        read_bytes += int(said["bytes"])
        if problems:
            raise DatabaseError(
                f"A statement of the application could not be counted: {problems[0]}",
                where="the probe runs again what the application's tracer recorded",
                next_step="It may need something of the application's own connection (docs/proof.md).",
                detail="\n".join(problems),
            )
    return read_bytes


def _line(sent: SentStatement) -> dict[str, Any]:
    return {
        "sql": sent.sql,
        "bindings": list(sent.bindings),
        "calls": sent.calls,
        "process": sent.process,
    }


def start_capture(admin: SqlSession) -> None:
    admin.query("SELECT bedev_capture(1)")


def stop_capture(admin: SqlSession) -> tuple[Statement, ...]:
    heard = json.loads(str(admin.query("SELECT bedev_capture(0)").scalar))
    return tuple(Statement(str(sql), int(connection), float(at)) for sql, connection, at in heard)
