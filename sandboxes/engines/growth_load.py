"""The rows of one table, chunk by chunk, and the counts read back: the same on every engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from bedev.sandboxes.engines.engine import GrowthPlan, Schema, Table, TableGrowth
from bedev.sandboxes.engines.growth_dialect import GrowthDialect
from bedev.sandboxes.engines.growth_rows import TableFiller
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

CHUNK = 100_000
"""Rows an INSERT makes: some tenths of a second, so that progress can be shown."""

TIMEOUT = 1800.0
"""Seconds for one statement."""


def table_of(schema: Schema, growth: TableGrowth) -> Table:
    """The table that is to grow. Raises DatabaseError where the schema does not have it."""
    table = schema.table(growth.table)
    if table is None:
        raise DatabaseError(
            f"The growth plan names the table {growth.table!r}, which the schema does not have.",
            where=growth.table,
            next_step="Make the plan from the schema as it is now.",
        )
    return table


@contextlib.contextmanager
def naming(growth: TableGrowth) -> Iterator[None]:
    """The server's errors within name the table and say what to do about it."""
    try:
        yield
    except DatabaseError as error:
        raise DatabaseError(
            f"{growth.table} could not be grown: {error.what}",
            code=error.code,
            where=growth.table,
            next_step=error.next_step
            or f"Leave {growth.table} out of --rows, or seed it with a script of yours (--data).",
            detail=error.detail,
        ) from error


def load(
    session: SqlSession,
    filler: TableFiller,
    growth: TableGrowth,
    chunk: int,
    progress: Any = None,
    committing: bool = False,
) -> None:
    """Insert the table's new rows, `chunk` at a time, each chunk with a COMMIT of its own if `committing`.

    `progress` is called with one line for a person after each. What the filler made is the caller's to
    clean up. Raises DatabaseError with the server's words.
    """
    new = growth.wanted - growth.present
    filler.prepare()
    made, at = 0, 0
    while made < new and at < filler.candidates:
        size = min(filler.chunk(chunk, at), filler.candidates - at)
        made += session.query(filler.insert(at, size, new - made), timeout=TIMEOUT).affected
        if committing:
            session.query("COMMIT")
        at += size
        if progress is not None:
            progress(f"growing {growth.table}: {growth.present + made:,} of {growth.wanted:,} rows")


def read_back(session: SqlSession, dialect: GrowthDialect, plan: GrowthPlan) -> dict[str, int]:
    """The exact row counts of the plan's tables. Raises DatabaseError for one that is not as wanted."""
    counts: dict[str, int] = {}
    for growth in plan.tables:
        count = int(
            session.query(f"SELECT COUNT(*) FROM {dialect.quote(growth.table)}", timeout=TIMEOUT).scalar
        )
        counts[growth.table] = count
        if count != growth.wanted:
            raise DatabaseError(
                f"{growth.table} has {count:,} rows after growth where {growth.wanted:,} were wanted.",
                where=growth.table,
                next_step="Look for a trigger, rule or partition that moves rows, or leave it out of --rows.",
            )
    return counts
