"""Growing a pod's database: read the schema, plan, let the engine insert, read the counts back."""

from __future__ import annotations

from collections.abc import Mapping

from bedev.sandboxes.engines.engine import Engine
from bedev.sandboxes.sandbox import Progress, SqlSession
from bedev.tools.database.growth import default_rows, plan_growth
from bedev.tools.database.growth_sample import ColumnSampler


def grow_database(
    engine: Engine, admin: SqlSession, database: str, wanted: Mapping[str, int], seed: int, progress: Progress
) -> Mapping[str, int]:
    """Grow the tables of `wanted` (empty: the sensible default for what was seeded) inside the server.

    Returns the exact row counts of the tables that grew, empty where nothing had to. Raises UsageError
    for an unknown table, DatabaseError where a table did not reach its count.
    """
    schema = engine.schema(admin, database, exact=True)
    rows = dict(wanted) or default_rows(schema)
    if not rows:
        return {}
    plan = plan_growth(schema, ColumnSampler(admin, engine.dialect), rows, seed)
    if not any(t.wanted > t.present for t in plan.tables):
        return {}
    words = ", ".join(f"{t.table} to {t.wanted:,}" for t in plan.tables if t.wanted > t.present)
    progress(f"growing {words}")
    return engine.grow(admin, plan, schema, progress)
