"""advise_indexes: candidate indexes, each tried on the workspace's database, and what no index settles."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import IndexSpec, Schema, Statement, work
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.database import index_trials
from bedev.tools.database.advice import Advice
from bedev.tools.database.fingerprint import fingerprint
from bedev.tools.database.index_trials import BETTER, IndexTrial, Trials
from bedev.tools.database.statement import is_read, one_statement
from bedev.tools.database.workload import Workload, build
from bedev.tools.scenarios.ask import captured, counted, writes
from bedev.tools.scenarios.scenario import Question, Scenario, plain_question
from bedev.tools.scenarios.trace_words import ratio, repeated
from bedev.tools.text_table import aligned, cut
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.trace_command import as_somebody, asked_for
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

MOST_STATEMENTS = 10
MOST_ASKED = 4


class Input(ToolInput):
    sql: list[str] = Field(
        [], max_length=MOST_STATEMENTS, description="statements with values, or queries of a trace: q3"
    )
    http: str = Field("", description="or the queries of this request; the scenario's when both are left out")
    as_user: str = ""


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    if given.sql and given.http:
        raise ToolFailed("Give sql or http, not both.")
    scenario = as_somebody(bench.scenario, given.as_user)
    questions = _questions(bench, given)
    notes = bench.ready()
    if any(q.kind == "http" for q in questions):
        bench.serving(scenario.as_user)
    app = bench.app
    schema = app.engine.schema(app.admin, app.database.database)
    sqls, workload = _statements(app, questions, scenario, given.sql)
    advice = index_trials.advise(app, sqls)
    lines: list[str] = []
    asked = [q for q in questions if q.kind != "sql" or is_read(q.text)][:MOST_ASKED]
    if not advice.candidates:
        brief = "no index could serve these statements"
        lines.append(f"{brief}: those that could are there already, or the conditions below prevent it")
    elif not asked:
        brief = f"{len(advice.candidates)} candidates, not tried"
        lines.append("Only reading statements are run, so these were not tried:")
        lines += [f"{_name(c.index)}: {c.reason}" for c in advice.candidates]
    else:
        done = _tried(bench, advice, lambda: sum(work(counted(app, q, scenario)) for q in asked))
        brief = _brief(done)
        lines += [*_table(done), brief, *_migration(bench, done.chosen, schema)]
    lines += _beyond(advice, workload, app.engine.dialect)
    return ToolResult(notes + bench.bounded("\n".join(lines)), brief)


def _questions(bench: Workbench, given: Input) -> tuple[Question, ...]:
    if given.sql:
        dialect = bench.app.engine.dialect
        sqls = [bench.captured_query(sql) or one_statement(sql, dialect) for sql in given.sql]
        return tuple(plain_question("sql", sql) for sql in sqls)
    found = asked_for(bench, given.http, "", "", "")
    reading = tuple(q for q in found if not writes(q))
    if not reading:
        raise ToolFailed("A writing request cannot be repeated for trials. Give the statements in sql.")
    return reading


def _statements(
    app: Application, questions: Sequence[Question], scenario: Scenario, given: Sequence[str]
) -> tuple[list[str], Workload]:
    if given:
        return [q.text for q in questions], ()
    statements: list[Statement] = []
    traced: list[TracedQuery] = []
    for question in questions:
        _, sent, calls = captured(app, question, scenario)
        statements += sent
        traced += calls
    return [s.sql for s in statements], build(statements, traced, dialect=app.engine.dialect)


def _tried(bench: Workbench, advice: Advice, measure: Callable[[], int]) -> Trials:
    try:
        return index_trials.try_indexes(
            bench.app, advice.candidates, measure, bench.progress, lambda trial: None
        )
    except BaseException:
        bench.touched = "a trial of an index was broken off"
        raise


def _name(index: IndexSpec) -> str:
    return f"{index.table}({', '.join(index.columns)})"


def _table(done: Trials) -> list[str]:
    """Each index tried, in order; one that is tried again beside a kept one begins at that one's work."""
    return aligned(
        ("index tried", "work", "", "MB", "built in", "why"),
        [_row(trial) for trial in done.trials],
        {3, 4},
    )


def _row(trial: IndexTrial) -> tuple[str, ...]:
    if trial.error:
        return (_name(trial.index), "refused", "", "", "", cut(trial.error, 80))
    return (
        _name(trial.index),
        f"{trial.base_work:,} -> {trial.work:,}",
        ratio(trial.base_work, trial.work),
        f"{trial.bytes / 1e6:.1f}",
        f"{trial.seconds:.1f} s",
        cut(trial.reason, 80),
    )


def _brief(done: Trials) -> str:
    if not done.chosen:
        return f"no index tried makes the work {BETTER} times less"
    names = " and ".join(_name(index) for index in done.chosen)
    return f"best: {names}, work {done.base_work:,} -> {done.work:,} ({ratio(done.base_work, done.work)})"


def _migration(bench: Workbench, chosen: Sequence[IndexSpec], schema: Schema) -> list[str]:
    if not chosen:
        return []
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    migration = bench.app.stack.write_migration(bench.tree, chosen, moment, schema, bench.app.engine.name)
    content = migration.content.decode("utf-8", "replace").rstrip("\n")
    lines = [f"its migration, for edit_file at {migration.path}:", content]
    for path, whole in migration.others.items():
        lines += ["and with it:", *_difference(bench, path, whole)]
    return lines


def _difference(bench: Workbench, path: str, content: bytes) -> list[str]:
    before, after = (
        side.decode("utf-8", "replace").splitlines() for side in (bench.tree.read(path) or b"", content)
    )
    return list(difflib.unified_diff(before, after, path, path, n=2, lineterm=""))


def _beyond(advice: Advice, workload: Workload, dialect: str) -> list[str]:
    """What no index settles."""
    words = [f"{fingerprint(u.condition, dialect)} on {u.table}: {u.reason}" for u in advice.unusable[:6]]
    words += repeated(workload)
    words += [note.partition(":")[0] for note in advice.notes[:2]]
    return ["What an index does not settle:", *(f"- {word}" for word in words)] if words else []


TOOL: Tool[Workbench] = Tool(
    name="advise_indexes",
    description="Tries candidate indexes on the grown database, one by one: work, size and build time; "
    "with the best one's migration, and what no index can settle.",
    input=Input,
    example={"http": "GET /api/users?email=a%40b.c"},
    run=run,
)
