"""Growth in SQLite: INSERT ... SELECT over a recursive source of numbers, in one transaction.

Foreign keys are not checked while rows are made: they are taken from rows that exist, and unique values are
built from the row's number. CHECK constraints and unique indexes are, as always. Nothing is synchronised: the
data is disposable. AFTER INSERT triggers are dropped for the load and made again, text and order unchanged:
they would fill side tables that nobody asked to be filled.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from bedev.sandboxes.engines.engine import GrowthPlan, Schema, TableGrowth
from bedev.sandboxes.engines.growth_load import CHUNK, TIMEOUT, load, naming, read_back, table_of
from bedev.sandboxes.engines.growth_rows import TableFiller
from bedev.sandboxes.engines.sqlite.growth_dialect import SqliteGrowth
from bedev.sandboxes.engines.sqlite.growth_sql import quote
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

DIALECT = SqliteGrowth()
CACHE_KB = 400_000  # for the indexes of a table of a million rows, which grow in no order

_AFTER_INSERT = re.compile(r"\bafter\s+insert\b", re.I)


def grow(session: SqlSession, plan: GrowthPlan, schema: Schema, progress: Any = None) -> Mapping[str, int]:
    """Insert the plan's rows, all or none; the exact row counts read back, for every table of the plan.

    `session` is an administrator's; its settings are the same afterwards. Raises DatabaseError with SQLite's
    words, or naming the table that did not reach its count.
    """
    names = ("synchronous", "foreign_keys", "cache_size")
    before = {name: session.query(f"PRAGMA {name}").scalar for name in names}
    session.query("PRAGMA synchronous = OFF")
    session.query("PRAGMA foreign_keys = OFF")
    session.query(f"PRAGMA cache_size = -{CACHE_KB}")
    in_log = str(session.query("PRAGMA journal_mode").scalar).lower() == "wal"
    if not in_log:
        session.query("PRAGMA journal_mode = MEMORY")  # of this connection alone
    try:
        session.query("BEGIN IMMEDIATE")
        try:
            for growth in plan.tables:
                _fill(session, plan.seed, growth, schema, progress)
            counts = read_back(session, DIALECT, plan)
            session.query("COMMIT", timeout=TIMEOUT)
        except BaseException:
            with contextlib.suppress(DatabaseError):
                session.query("ROLLBACK", timeout=TIMEOUT)
            raise
    finally:
        for name, value in before.items():
            session.query(f"PRAGMA {name} = {int(value)}")
        if not in_log:
            session.query("PRAGMA journal_mode = DELETE")
    return counts


def _fill(session: SqlSession, seed: int, growth: TableGrowth, schema: Schema, progress: Any) -> None:
    if growth.wanted <= growth.present:
        return
    table = table_of(schema, growth)
    triggers = _drop_after_insert(session, growth.table)
    filler = TableFiller(session, DIALECT, seed, growth, table, schema, TIMEOUT)
    with naming(growth):
        load(session, filler, growth, CHUNK, progress)
        filler.clean_up()
    for sql in triggers:
        session.query(sql)


def _drop_after_insert(session: SqlSession, table: str) -> list[str]:
    """Drop the table's AFTER INSERT triggers; their texts, in the order in which they were made."""
    found = session.query(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s COLLATE NOCASE "
        "ORDER BY rowid",
        (table,),
    ).rows
    kept = [(str(name), str(sql)) for name, sql in found if _AFTER_INSERT.search(_head(str(sql)))]
    for name, _ in kept:
        session.query(f"DROP TRIGGER {quote(name)}")
    return [sql for _, sql in kept]


def _head(sql: str) -> str:
    return re.split(r"\bbegin\b", sql, maxsplit=1, flags=re.I)[0]
