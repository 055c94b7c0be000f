"""explain_query: a statement's plan as a tree, before and after where the workspace changes the schema."""

from __future__ import annotations

import time

from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import Counters, Plan, Role, work
from bedev.sandboxes.errors import DatabaseError
from bedev.tools.database.plan_tree import draw, examined, missing
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
    sides = [bench.base_app, bench.app] if bench.migrations else [bench.app]
    plans, works = [], []
    for app in sides:
        began = time.monotonic()
        plan = _plan(bench, app, sql, given.analyze)
        plans.append(plan)
        quick = time.monotonic() - began < LONGEST_COUNTED
        counters = counted(app, Question("sql", sql), bench.scenario) if plan.analyzed and quick else None
        works.append(counters)
    lines = _drawn(plans, dialect if captured else "")
    lines += _cost(plans[-1], works[-1])
    summary = _summary(plans, works)
    lines.append(summary)
    if not given.analyze or not plans[-1].analyzed:
        lines.append("[estimates: it was not run]")
    return ToolResult(notes + bench.bounded("\n".join(lines)), summary)


def _drawn(plans: list[Plan], hide: str) -> list[str]:
    """The workspace's plan whole, and of base's what is not the same."""
    now = draw(plans[-1], hide)
    if len(plans) == 1:
        return [now]
    gone = missing(plans[0], plans[-1], hide)
    if not gone and not missing(plans[-1], plans[0], hide):
        return ["base and workspace have the same plan:", now]
    return ["-- workspace", now, "-- base, where it differs", *gone]


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
    words = (f"{f.id} on {f.table}" if f.table else f.id for f in found)
    findings = ", ".join(dict.fromkeys(words)) or "no finding"
    if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
        return f"base -> workspace: work {numbers[0]:,} -> {numbers[1]:,}; {findings}"
    return f"work {numbers[-1]:,}; {findings}" if numbers[-1] is not None else findings


TOOL: Tool[Workbench] = Tool(
    name="explain_query",
    description="A statement's plan: access, index, rows, cost; after a migration also where base's differs.",
    input=Input,
    example={"sql": "SELECT * FROM orders WHERE user_id = 7 ORDER BY placed_at DESC LIMIT 3"},
    run=run,
)
