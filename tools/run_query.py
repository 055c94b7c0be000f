"""run_query: one reading statement, by a role that can only read; values masked, rows capped."""

from __future__ import annotations

import json
import re
from typing import Any

from bedev.sandboxes.engines.engine import Schema
from bedev.sandboxes.errors import DatabaseError
from bedev.tools.database.fingerprint import literals
from bedev.tools.database.statement import one_statement, refused
from bedev.tools.masking import Mask
from bedev.tools.text_table import aligned
from bedev.tools.tool import Tool, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

SECONDS = 30.0
CELL = 120


class Input(ToolInput):
    sql: str = Field(description="one SELECT")
    limit: int = Field(50, ge=1, le=200, description="rows shown")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    notes = bench.ready_to_look()
    app = bench.app
    sql = one_statement(given.sql, app.engine.dialect)
    schema = app.engine.schema(app.admin, app.database.database)
    mask = _mask(bench, schema, sql)
    session = app.reader()
    try:
        rows = session.query(sql, max_rows=given.limit + 1, timeout=SECONDS)
    except DatabaseError as error:
        role = f"role {app.engine.users['reader']}, which can only read"
        raise refused(error, sql, schema, mask, role) from error
    finally:
        session.close()
    more = len(rows.rows) > given.limit or rows.truncated
    texts = _texts(schema, rows.columns)
    shown = [
        [mask.value(value, text) for value, text in zip(row, texts, strict=True)]
        for row in rows.rows[: given.limit]
    ]
    counted = f"{len(shown)} rows{', and more: add LIMIT, WHERE or COUNT(*)' if more else ''}"
    summary = f"{counted}, {rows.seconds * 1000:.0f} ms"
    text = "\n".join([*_printed(rows.columns, shown), f"[{summary}{_about_masks(mask, shown, rows.rows)}]"])
    return ToolResult(notes + bench.bounded(text), summary)


def _mask(bench: Workbench, schema: Schema, sql: str) -> Mask:
    """Leaves names of the schema, values of its enums, and what the statement itself holds. What SHOW and
    DESCRIBE answer is schema alone."""
    if re.match(r"(show|desc|describe|explain)\b", sql, re.I):
        return Mask(show=True)
    known = set(literals(sql, bench.app.engine.dialect))
    for table in schema.tables:
        known.update((table.name, *(i.name for i in table.indexes)))
        for column in table.columns:
            known.update((column.name, *column.enum_values))
    return bench.mask.leaving(known)


def _texts(schema: Schema, columns: tuple[str, ...]) -> list[bool]:
    """Which columns of the answer are named as a column of text is, in any table."""
    kinds = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "character varying", "bpchar")
    names = {c.name.lower() for t in schema.tables for c in t.columns if c.base_type in kinds}
    return [column.lower() in names for column in columns]


def _about_masks(mask: Mask, shown: list[list[Any]], rows: Any) -> str:
    changed = any(list(row) != masked for row, masked in zip(rows, shown, strict=False))
    return "; texts are masked, equal marks are equal values" if changed and not mask.show else ""


def _printed(columns: tuple[str, ...], rows: list[list[Any]]) -> list[str]:
    """An aligned table or JSON lines, whichever is shorter."""
    if not columns:
        return ["(no result set)"]
    numbers = {
        i for i in range(len(columns)) if rows and all(isinstance(row[i], int | float) for row in rows)
    }
    table = aligned(columns, [[_cell(value) for value in row] for row in rows], numbers, CELL)
    objects = [
        json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=str) for row in rows
    ]
    lines = [line if len(line) <= 10 * CELL else f"{line[: 10 * CELL]}…" for line in objects]
    unique = len(set(columns)) == len(columns)
    return lines if unique and lines and _length(lines) < _length(table) else table


def _length(lines: list[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value)


TOOL: Tool[Workbench] = Tool(
    name="run_query",
    description="One SELECT on the workspace's database, by a role that can only read. Texts are masked.",
    input=Input,
    example={"sql": "SELECT status, COUNT(*) FROM orders GROUP BY status"},
    run=run,
)
