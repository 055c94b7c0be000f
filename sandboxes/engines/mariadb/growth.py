"""Growth in MariaDB and MySQL: INSERT ... SELECT over a numbers source, in chunks, inside the server.

Foreign key and unique checks are off while rows are made: keys are taken from rows that exist and unique
values are built from the row's number, so both hold by construction (the tests prove it by joining). On
600,000 rows that takes 4.3 s where checks take 5.0 s. CHECK constraints and types are checked by the server
as always. Indexes stay: building two of them afterwards would save 0.8 s of these 4.3, but they would come
back in another order, and a schema dump with them.

Triggers: AFTER INSERT triggers are dropped for the load and created again, text, settings and order
unchanged: they would fill side tables (an audit log of a million rows nobody asked for) and cost a statement
a row (5.5 s where 4.0 s without, for one that inserts a row; minutes for one that counts). BEFORE INSERT
triggers stay, for they complete the row itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bedev.sandboxes.engines.engine import GrowthPlan, Schema, TableGrowth
from bedev.sandboxes.engines.growth_dialect import GrowthDialect
from bedev.sandboxes.engines.growth_load import CHUNK, TIMEOUT, load, naming, read_back, table_of
from bedev.sandboxes.engines.growth_rows import TableFiller
from bedev.sandboxes.engines.mariadb.growth_dialect import MariadbGrowth
from bedev.sandboxes.engines.mariadb.growth_sql import literal, quote
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

SETTINGS = {
    # NO_BACKSLASH_ESCAPES: texts of the plan are written as literals. Zero dates may be copied.
    "sql_mode": "'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'",
    "time_zone": "'+00:00'",  # no hour of a TIMESTAMP is missing in UTC
    "foreign_key_checks": "0",
    "unique_checks": "0",
    "sql_log_bin": "0",
}


def grow(session: SqlSession, plan: GrowthPlan, schema: Schema, progress: Any = None) -> Mapping[str, int]:
    """Insert the plan's rows; the exact row counts read back, for every table of the plan.

    `session` is an administrator's, with the application's database selected; its settings are the same
    afterwards. `progress` is called with one line for a person. Raises DatabaseError with the server's
    words, or naming the table that did not reach its count.
    """
    if _scalar(session, "SELECT DATABASE()") is None:
        raise DatabaseError(
            "Growth needs a session with the application's database selected.",
            where="Engine.grow",
            next_step="Connect with the instance's database.",
        )
    names = [n for n in SETTINGS if n != "sql_log_bin" or _scalar(session, "SELECT @@sql_log_bin") == 1]
    before = session.query(f"SELECT {', '.join('@@' + n for n in names)}").rows[0]
    for name in names:
        session.query(f"SET SESSION {name} = {SETTINGS[name]}")
    try:
        sequences = has_sequences(session)
        if not sequences:
            _make_numbers(session)
        dialect = MariadbGrowth(sequences, CHUNK)
        for growth in plan.tables:
            _fill(session, dialect, plan.seed, growth, schema, progress)
        counts = read_back(session, dialect, plan)
    finally:
        for name, value in zip(names, before, strict=True):
            session.query(f"SET SESSION {name} = {literal(value)}")
    return counts


def _fill(
    session: SqlSession, dialect: GrowthDialect, seed: int, growth: TableGrowth, schema: Schema, progress: Any
) -> None:
    if growth.wanted <= growth.present:
        return
    table = table_of(schema, growth)
    triggers = _drop_after_insert(session, growth.table)
    filler = TableFiller(session, dialect, seed, growth, table, schema, TIMEOUT)
    try:
        with naming(growth):
            load(session, filler, growth, CHUNK, progress, committing=True)
    finally:
        filler.clean_up()
        _create_triggers(session, triggers)


def has_sequences(session: SqlSession) -> bool:
    """Whether the server has the SEQUENCE engine (a plugin that distributions may leave out)."""
    found = _scalar(
        session,
        "SELECT COUNT(*) FROM information_schema.engines WHERE engine = 'SEQUENCE' AND support <> 'NO'",
    )
    return bool(found)


def _scalar(session: SqlSession, sql: str) -> Any:
    return session.query(sql, timeout=TIMEOUT).scalar


def _make_numbers(session: SqlSession) -> None:
    """The numbers 1 to CHUNK, for servers without the SEQUENCE engine. No recursion: its depth has a
    limit that a server may set, and which ends it silently."""
    digits = " UNION ALL ".join(f"SELECT {d} AS d" for d in range(10))
    places = [10**p for p in range(len(str(CHUNK)) - 1)]
    total = " + ".join(f"t{p}.d * {p}" for p in places)
    joined = " CROSS JOIN ".join(f"({digits}) t{p}" for p in places)
    session.query("DROP TEMPORARY TABLE IF EXISTS bedev_numbers")
    session.query(
        f"CREATE TEMPORARY TABLE bedev_numbers (i INT PRIMARY KEY) AS SELECT 1 + {total} AS i FROM {joined}"
    )


def _drop_after_insert(session: SqlSession, table: str) -> list[tuple[str, ...]]:
    """Drop the table's AFTER INSERT triggers; what is needed to make each of them again, in order."""
    found = session.query(
        "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND"
        " event_object_table = %s AND action_timing = 'AFTER' AND event_manipulation = 'INSERT'"
        " ORDER BY action_order",
        (table,),
    )
    kept: list[tuple[str, ...]] = []
    for (name,) in found.rows:
        shown = session.query(f"SHOW CREATE TRIGGER {quote(name)}").rows[0]
        kept.append(tuple(str(v) for v in shown[1:6]))
    for (name,) in found.rows:
        session.query(f"DROP TRIGGER {quote(name)}")
    return kept


def _create_triggers(session: SqlSession, triggers: list[tuple[str, ...]]) -> None:
    if not triggers:
        return
    now = session.query("SELECT @@sql_mode, @@character_set_client, @@collation_connection").rows[0]
    try:
        for mode, statement, client, collation, _database in triggers:
            _settings(session, mode, client, collation)
            # The order among triggers is the order in which they are made.
            session.query(re.sub(r"\s+(FOLLOWS|PRECEDES)\s+`[^`]+`", "", statement, count=1))
    finally:
        _settings(session, *(str(v) for v in now))


def _settings(session: SqlSession, mode: str, client: str, collation: str) -> None:
    session.query(f"SET SESSION sql_mode = {literal(mode)}")
    session.query(f"SET SESSION character_set_client = {client}")
    session.query(f"SET SESSION collation_connection = {collation}")
