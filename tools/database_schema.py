"""database_schema: tables, rows, columns, indexes, foreign keys, and what the workspace changed of them."""

from __future__ import annotations

from bedev.tools.database import schema_words
from bedev.tools.database.index_trials import children_per_parent, column_samples, quoter
from bedev.tools.near_names import near_names, or_none
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

COUNT_SECONDS = 120.0


class Input(ToolInput):
    table: str = Field("", description="one table in full; all in brief when left out")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    notes = bench.ready_to_look()
    app = bench.app
    schema = app.engine.schema(app.admin, app.database.database)
    changes = schema_words.differences(bench.base_schema(), schema) if bench.migrations else ()
    if not given.table:
        text = schema_words.brief(schema)
        summary = f"{len(schema.tables)} tables"
    else:
        table = schema.table(given.table.strip("`\"' "))
        if table is None:
            names = [t.name for t in schema.tables]
            near = near_names(given.table, names) or tuple(names[:30])
            raise ToolFailed(f"There is no table {given.table!r}. Nearest: {or_none(near)}.")
        counted = f"SELECT COUNT(*) FROM {quoter(app)(table.name)}"
        rows = int(app.admin.query(counted, timeout=COUNT_SECONDS).scalar)
        skew = {key.name: children_per_parent(app, table, key) for key in table.foreign_keys}
        text = schema_words.full(schema, table, rows, column_samples(app, table), skew)
        changes = tuple(c for c in changes if f" {table.name}." in c or c.endswith(f" {table.name}"))
        summary = f"{table.name}: {rows:,} rows"
    if changes:
        text += "\nchanged by the workspace's migrations:\n" + "\n".join(changes)
    return ToolResult(notes + bench.bounded(text), summary)


TOOL: Tool[Workbench] = Tool(
    name="database_schema",
    description="Tables with rows, columns, indexes, foreign keys, and what the workspace changes of them.",
    input=Input,
    example={"table": "orders"},
    run=run,
)
