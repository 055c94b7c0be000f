"""Growth in PostgreSQL: INSERT ... SELECT over generate_series, in chunks, inside the server.

AFTER INSERT triggers are off while rows are made, those of foreign keys among them: keys are taken from
rows that exist, so they hold by construction (the tests prove it by joining), and an audit log of a million
rows is nobody's wish. BEFORE INSERT triggers stay, for they complete the row itself; unique indexes, CHECK
and exclusion constraints and types are checked by the server as always. Sequences go on behind the last row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bedev.sandboxes.engines.engine import GrowthPlan, Schema, Table, TableGrowth
from bedev.sandboxes.engines.postgres.growth_rows import TableFiller
from bedev.sandboxes.engines.postgres.growth_sql import literal
from bedev.sandboxes.engines.postgres.sessions import quoted
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

CHUNK = 100_000  # rows an INSERT makes: some tenths of a second, so that progress can be shown
TIMEOUT = 1800.0  # seconds for one statement

# Bits of pg_trigger.tgtype: not BEFORE (2), not INSTEAD OF (64), INSERT (4).
_AFTER_INSERT = (
    "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgenabled = 'O' "
    "AND tgtype & 66 = 0 AND tgtype & 4 <> 0 ORDER BY tgname"
)


def grow(session: SqlSession, plan: GrowthPlan, schema: Schema, progress: Any = None) -> Mapping[str, int]:
    """Insert the plan's rows; the exact row counts read back, for every table of the plan.

    `session` is the admin's. `progress` is called with one line for a person. Raises DatabaseError with the
    server's words, or naming the table that did not reach its count.
    """
    zone = str(session.query("SHOW timezone").scalar)
    session.query("SET timezone = 'UTC'")  # no hour of a day is missing in it
    try:
        for growth in plan.tables:
            _fill(session, plan.seed, growth, schema, progress)
    finally:
        session.query(f"SET timezone = {literal(zone)}")
    return _read_back(session, plan)


def _fill(session: SqlSession, seed: int, growth: TableGrowth, schema: Schema, progress: Any) -> None:
    new = growth.wanted - growth.present
    if new <= 0:
        return
    table = schema.table(growth.table)
    if table is None:
        raise DatabaseError(
            f"The growth plan names the table {growth.table!r}, which the schema does not have.",
            where=growth.table,
            next_step="Make the plan from the schema as it is now.",
        )
    triggers = [str(row[0]) for row in session.query(_AFTER_INSERT, (quoted(table.name),)).rows]
    filler = TableFiller(session, seed, growth, table, schema, TIMEOUT)
    try:
        _switch(session, table, triggers, "DISABLE")
        filler.prepare()
        made, at = 0, 0
        while made < new and at < filler.candidates:
            size = min(filler.chunk(CHUNK, at), filler.candidates - at)
            made += session.query(filler.insert(at, size, new - made), timeout=TIMEOUT).affected
            at += size
            if progress is not None:
                progress(f"growing {growth.table}: {growth.present + made:,} of {growth.wanted:,} rows")
        _move_sequences(session, table)
    except DatabaseError as error:
        raise DatabaseError(
            f"{growth.table} could not be grown: {error.what}",
            code=error.code,
            where=growth.table,
            next_step=error.next_step
            or f"Leave {growth.table} out of --rows, or seed it with a script of yours (--data).",
            detail=error.detail,
        ) from error
    finally:
        filler.clean_up()
        _switch(session, table, triggers, "ENABLE")


def _switch(session: SqlSession, table: Table, triggers: Sequence[str], how: str) -> None:
    for trigger in triggers:
        session.query(f"ALTER TABLE {quoted(table.name)} {how} TRIGGER {quoted(trigger)}")


def _move_sequences(session: SqlSession, table: Table) -> None:
    for column in (c for c in table.columns if c.auto_increment):
        named = re.search(r"nextval\('((?:[^']|'')*)'", column.default or "")
        sequence = (
            f"'{named[1]}'"
            if named
            else f"pg_get_serial_sequence({literal(quoted(table.name))}, {literal(column.name)})"
        )
        session.query(
            f"SELECT setval(({sequence})::regclass, m) FROM (SELECT MAX({quoted(column.name)})::bigint AS m "
            f"FROM {quoted(table.name)}) x WHERE m >= 1",
            timeout=TIMEOUT,
        )


def _read_back(session: SqlSession, plan: GrowthPlan) -> dict[str, int]:
    counts: dict[str, int] = {}
    for growth in plan.tables:
        count = int(session.query(f"SELECT COUNT(*) FROM {quoted(growth.table)}", timeout=TIMEOUT).scalar)
        counts[growth.table] = count
        if count != growth.wanted:
            raise DatabaseError(
                f"{growth.table} has {count:,} rows after growth where {growth.wanted:,} were wanted.",
                where=growth.table,
                next_step="Look for a trigger or rule that moves rows, or leave it out of --rows.",
            )
    return counts
