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
from bedev.sandboxes.engines.sqlite.growth_rows import TableFiller, numbers
from bedev.sandboxes.engines.sqlite.growth_sql import quote
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

CHUNK = 100_000  # rows an INSERT makes, so that progress can be shown
TIMEOUT = 1800.0  # seconds for one statement
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
            counts = _read_back(session, plan)
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
    triggers = _drop_after_insert(session, growth.table)
    filler = TableFiller(session, seed, growth, table, TIMEOUT)
    try:
        filler.prepare()
        made, at = 0, 0
        while made < new and at < filler.candidates:
            size = min(filler.chunk(CHUNK, at), filler.candidates - at)
            sql = filler.insert(numbers(at + 1, at + size), new - made)
            made += session.query(sql, timeout=TIMEOUT).affected
            at += size
            if progress is not None:
                progress(f"growing {growth.table}: {growth.present + made:,} of {growth.wanted:,} rows")
        filler.clean_up()
    except DatabaseError as error:
        raise DatabaseError(
            f"{growth.table} could not be grown: {error.what}",
            code=error.code,
            where=growth.table,
            next_step=error.next_step
            or f"Leave {growth.table} out of --rows, or seed it with a script of yours (--data).",
            detail=error.detail,
        ) from error
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


def _read_back(session: SqlSession, plan: GrowthPlan) -> dict[str, int]:
    counts: dict[str, int] = {}
    for growth in plan.tables:
        count = int(session.query(f"SELECT COUNT(*) FROM {quote(growth.table)}", timeout=TIMEOUT).scalar)
        counts[growth.table] = count
        if count != growth.wanted:
            raise DatabaseError(
                f"{growth.table} has {count:,} rows after growth where {growth.wanted:,} were wanted.",
                where=growth.table,
                next_step="Look for a trigger that moves rows, or leave the table out of --rows.",
            )
    return counts
