"""advise_indexes: candidate indexes, each tried on the workspace's database, and what no index settles."""

from __future__ import annotations

from collections.abc import Sequence
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
from bedev.tools.text_table import aligned
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.trace_command import as_somebody, asked_for
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

MOST_STATEMENTS = 10
MOST_ASKED = 4
LONGEST_REASON = 400


class Input(ToolInput):
    sql: list[str] = Field(
        [], max_length=MOST_STATEMENTS, description="statements with values, or queries of a trace: q3"
    )
    http: str = Field("", description="or the queries of this request; the scenario's when both are left out")
    as_user: str = ""
    write: bool = Field(False, description="create the best index's migration")


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
    key = bench.state_key("advice", *given.sql, given.http, given.as_user)
    known = bench.advised.get(key)
    if given.write and known:
        words = _migration(bench, known, schema, True)
        return ToolResult(notes + "\n".join(words), words[0])
    sqls, workload = _statements(app, questions, scenario, given.sql)
    advice = index_trials.advise(app, sqls)
    lines: list[str] = []
    asked = [q for q in questions if q.kind != "sql" or is_read(q.text)][:MOST_ASKED]
    helped: list[IndexTrial] = []
    if not advice.candidates:
        brief = "no index could serve these statements"
        lines.append(f"{brief}: those that could are there already, or the conditions below prevent it")
    elif not asked:
        brief = f"{len(advice.candidates)} candidates, not tried"
        lines.append("Only reading statements are run, so these were not tried:")
        lines += [f"{_name(c.index)}: {c.reason}" for c in advice.candidates]
    else:
        measured = _PerQuestion(app, asked, scenario)
        done = _tried(bench, advice, measured)
        helped = [t for t in done.trials if not t.error and t.ratio >= BETTER]
        brief = _brief(done)
        bench.advised[key] = done.chosen
        lines += [*_table(done, measured), brief, *_passed_over(done)]
        lines += _migration(bench, done.chosen, schema, given.write)
        if len(questions) > len(asked):
            lines.append(
                f"[measured by {len(asked)} of {len(questions)} statements: reading ones, at most 4]"
            )
    lines += _beyond(advice, helped, workload, app.engine.dialect)
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


class _PerQuestion:
    """Measures the work of all questions together, and keeps that of each."""

    def __init__(self, app: Application, questions: Sequence[Question], scenario: Scenario) -> None:
        self._app, self._questions, self._scenario = app, questions, scenario
        self.base: list[int] = []
        self.by_trial: dict[int, list[int]] = {}
        self._last: list[int] = []
        self._trials = 0

    def __call__(self) -> int:
        self._last = [work(counted(self._app, q, self._scenario)) for q in self._questions]
        self.base = self.base or self._last
        return sum(self._last)

    def on_trial(self, trial: IndexTrial) -> None:
        if not trial.error:
            self.by_trial[self._trials] = self._last
        self._trials += 1

    def words(self, number: int) -> str:
        """`1: 5,000 -> 20, 2: the same`; nothing where there is one question alone."""
        now = self.by_trial.get(number)
        if now is None or len(self.base) < 2:
            return ""
        return ", ".join(
            f"{place}: {f'{before:,} -> {after:,}' if before != after else 'the same'}"
            for place, (before, after) in enumerate(zip(self.base, now, strict=True), 1)
        )


def _tried(bench: Workbench, advice: Advice, measure: _PerQuestion) -> Trials:
    try:
        return index_trials.try_indexes(
            bench.app, advice.candidates, measure, bench.progress, measure.on_trial
        )
    except BaseException:
        bench.touched = "a trial of an index was broken off"
        raise


def _name(index: IndexSpec) -> str:
    return f"{index.table}({', '.join(index.columns)})"


def _table(done: Trials, measured: _PerQuestion) -> list[str]:
    """Each index tried, in order; one that is tried again beside a kept one begins at that one's work."""
    several = len(measured.base) > 1
    headers = ("index tried", "work", "", "MB", "built in", *(("each statement",) if several else ()), "why")
    rows = []
    for number, trial in enumerate(done.trials):
        *cells, why = _row(trial)
        rows.append((*cells, *((measured.words(number),) if several else ()), why))
    return aligned(headers, rows, {3, 4}, LONGEST_REASON)


def _row(trial: IndexTrial) -> tuple[str, ...]:
    if trial.error:
        return (_name(trial.index), "refused", "", "", "", trial.error)
    return (
        _name(trial.index),
        f"{trial.base_work:,} -> {trial.work:,}",
        ratio(trial.base_work, trial.work),
        f"{trial.bytes / 1e6:.1f}",
        f"{trial.seconds:.1f} s",
        trial.reason,
    )


def _passed_over(done: Trials) -> list[str]:
    """Why the best is not the one with the least work."""
    lines = []
    for trial in done.passed_over:
        share = 100 * (1 - trial.work / max(1, done.work))
        lines.append(f"({_name(trial.index)} does {share:.1g} % less: not worth a wider index)")
    return lines if len(done.chosen) == 1 else []


def _brief(done: Trials) -> str:
    if not done.chosen:
        return f"no index tried makes the work {BETTER} times less"
    names = " and ".join(_name(index) for index in done.chosen)
    return f"best: {names}, work {done.base_work:,} -> {done.work:,} ({ratio(done.base_work, done.work)})"


def _migration(bench: Workbench, chosen: Sequence[IndexSpec], schema: Schema, write: bool) -> list[str]:
    if not chosen:
        return []
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    migration = bench.app.stack.write_migration(bench.tree, chosen, moment, schema, bench.app.engine.name)
    adds = f": {migration.up}" if migration.up else ""
    if not write:
        others = f" (it changes {', '.join(migration.others)} too)" if migration.others else ""
        return [f"its migration (write: true creates it): {migration.path}{others}{adds}"]
    for path, content in migration.files.items():
        refused = bench.refuse(path)
        if refused:
            raise ToolFailed(f"{path} must not be edited: {refused}")
        bench.write(path, content)
        bench.remember(path, content)
    others = f" (and {', '.join(migration.others)})" if migration.others else ""
    return [f"created {migration.path}{others}{adds}"]


def _beyond(advice: Advice, helped: Sequence[IndexTrial], workload: Workload, dialect: str) -> list[str]:
    """What no index settles. An expression that the server sees through, as a trial showed, is settled."""
    settled = {(t.index.table, column) for t in helped for column in t.index.columns}
    left = [u for u in advice.unusable if not u.tried or (u.table, u.tried) not in settled]
    words = [f"{fingerprint(u.condition, dialect)} on {u.table}: {u.reason}" for u in left[:6]]
    words += repeated(workload)
    words += [note.partition(":")[0] for note in advice.notes[:2]]
    return ["What an index does not settle:", *(f"- {word}" for word in words)] if words else []


TOOL: Tool[Workbench] = Tool(
    name="advise_indexes",
    description="Tries candidate indexes on the grown database, one by one: work (of all statements "
    "together, and each), size, build time; names the best one's migration, and what no index settles.",
    input=Input,
    example={"http": "GET /api/users?email=a%40b.c"},
    run=run,
    edits=True,
)
