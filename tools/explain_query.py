"""explain_query: a statement's plan as a tree, before and after where the workspace changes the schema."""

from __future__ import annotations

import time

from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import Counters, Plan, Role, work
from bedev.sandboxes.errors import DatabaseError
from bedev.tools.database.plan_tree import draw, examined
from bedev.tools.database.statement import is_read, one_statement, refused
from bedev.tools.scenarios.ask import counted
from bedev.tools.scenarios.scenario import Question
from bedev.tools.tool import Tool, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

LONGEST_COUNTED = 20.0
"""Seconds: what takes longer is not run twice more for its counters."""


class Input(ToolInput):
    sql: str = Field(description="with values, not placeholders; or a query of a trace: q3")
    analyze: bool = Field(True, description="run it (a SELECT) to count rows; false: estimates only")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    notes = bench.ready()
    dialect = bench.app.engine.dialect
    captured = bench.captured_query(given.sql)
    sql = captured or one_statement(given.sql, dialect)
    sides = [("workspace", bench.app)]
    if bench.migrations:
        sides.insert(0, ("base", bench.base_app))
    plans, lines, works = [], [], []
    for name, app in sides:
        began = time.monotonic()
        plan = _plan(bench, app, sql, given.analyze)
        plans.append(plan)
        quick = time.monotonic() - began < LONGEST_COUNTED
        counters = counted(app, Question("sql", sql), bench.scenario) if plan.analyzed and quick else None
        works.append(counters)
        if len(sides) > 1:
            lines.append(f"-- {name}")
        lines += [draw(plan, dialect if captured else ""), *_cost(plan, counters)]
    summary = _summary(plans, works)
    lines.append(summary)
    if not given.analyze or not plans[-1].analyzed:
        lines.append("[estimates: it was not run]")
    return ToolResult(notes + bench.bounded("\n".join(lines)), summary)


def _plan(bench: Workbench, app: Application, sql: str, analyze: bool) -> Plan:
    """By the reader; a write's plan needs the application's own rights, and is never run."""
    role: Role = "reader" if is_read(sql) else "application"
    session = app.engine.connect(app.pod.probe, app.database, role)
    try:
        return app.engine.explain(session, sql, analyze and is_read(sql))
    except DatabaseError as error:
        schema = app.engine.schema(app.admin, app.database.database)
        raise refused(error, sql, schema, bench.mask, f"role {app.engine.users[role]}") from error
    finally:
        session.close()


def _cost(plan: Plan, counters: Counters | None) -> list[str]:
    rows = examined(plan)
    if counters is None or rows is None:
        return []
    parts = [
        f"{value:,} {name.replace('_', ' ')}"
        for name in ("rows_examined", "rows_sorted", "rows_sent", "pages", "temp_pages")
        if (value := getattr(counters, name))
    ]
    return [f"counted by the server: {', '.join(parts) or 'nothing'}; work {work(counters):,}"]


def _summary(plans: list[Plan], works: list[Counters | None]) -> str:
    numbers = [work(c) if c is not None else None for c in works]
    found = plans[-1].findings
    findings = ", ".join(dict.fromkeys(f"{f.id} on {f.table}" for f in found)) or "no finding"
    if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
        return f"base -> workspace: work {numbers[0]:,} -> {numbers[1]:,}; {findings}"
    return f"work {numbers[-1]:,}; {findings}" if numbers[-1] is not None else findings


TOOL: Tool[Workbench] = Tool(
    name="explain_query",
    description="A statement's plan: access, index, rows, cost; with base's beside it after a migration.",
    input=Input,
    example={"sql": "SELECT * FROM orders WHERE user_id = 7 ORDER BY placed_at DESC LIMIT 3"},
    run=run,
)
