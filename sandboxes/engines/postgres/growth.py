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
from bedev.sandboxes.engines.growth_load import CHUNK, TIMEOUT, load, naming, read_back, table_of
from bedev.sandboxes.engines.growth_rows import TableFiller
from bedev.sandboxes.engines.postgres.growth_dialect import PostgresGrowth
from bedev.sandboxes.engines.postgres.growth_sql import literal
from bedev.sandboxes.engines.postgres.sessions import quoted
from bedev.sandboxes.sandbox import SqlSession

DIALECT = PostgresGrowth()

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
    return read_back(session, DIALECT, plan)


def _fill(session: SqlSession, seed: int, growth: TableGrowth, schema: Schema, progress: Any) -> None:
    if growth.wanted <= growth.present:
        return
    table = table_of(schema, growth)
    triggers = [str(row[0]) for row in session.query(_AFTER_INSERT, (quoted(table.name),)).rows]
    filler = TableFiller(session, DIALECT, seed, growth, table, schema, TIMEOUT)
    try:
        with naming(growth):
            _switch(session, table, triggers, "DISABLE")
            load(session, filler, growth, CHUNK, progress)
            _move_sequences(session, table)
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
