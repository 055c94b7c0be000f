"""The advisor: drives a run without a model, for what can be decided by measuring.

It tries indexes on a grown copy of the database, one by one, and keeps what the server's counters say is
best. An N+1 it names with its line, and leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bedev.agent.gate import measure
from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import IndexSpec, Schema, Statement, work
from bedev.sandboxes.errors import BedevError, DatabaseError
from bedev.tools.database.advice import candidate_indexes
from bedev.tools.database.workload import fingerprint
from bedev.tools.scenarios.scenario import Question, Scenario

BETTER = 1.2
"""An index is kept when the scenario's work falls at least this much: the gate's own bar."""
MOST_INDEXES = 2
SAMPLED = 4
"""Questions that each trial asks: the given ones and some with other values."""


@dataclass(frozen=True)
class IndexTrial:
    """What one candidate did: `work` of the questions with it, `base_work` without; `error` where the
    server refused it."""

    index: IndexSpec
    reason: str
    base_work: int
    work: int
    seconds: float
    error: str = ""

    @property
    def ratio(self) -> float:
        return self.base_work / max(1, self.work)


@dataclass(frozen=True)
class Advice:
    """`chosen` is empty where no index helps."""

    chosen: tuple[IndexSpec, ...]
    trials: tuple[IndexTrial, ...]
    notes: tuple[str, ...]


def distinct_counts(app: Application, tables: Sequence[str]) -> Mapping[tuple[str, str], int]:
    """Distinct values per column of `tables`, counted by the server on at most 20,000 rows."""
    counts: dict[tuple[str, str], int] = {}
    schema = app.engine.schema(app.admin, app.database.database)
    quote = _quoter(app)
    for name in tables:
        table = schema.table(name)
        if table is None:
            continue
        columns = [c.name for c in table.columns if not c.base_type.endswith(("text", "blob", "json"))]
        select = ", ".join(f"COUNT(DISTINCT {quote(c)})" for c in columns)
        try:
            row = app.admin.query(
                f"SELECT {select} FROM (SELECT * FROM {quote(table.name)} LIMIT 20000) t"
            ).rows[0]
        except DatabaseError:
            continue
        counts.update({(table.name, c): int(v) for c, v in zip(columns, row, strict=True)})
    return counts


def _quoter(app: Application) -> Callable[[str], str]:
    from sqlglot import exp

    return lambda name: str(exp.to_identifier(name, quoted=True).sql(dialect=app.engine.dialect))


def advise(
    app: Application,
    scenario: Scenario,
    questions: Sequence[Question],
    statements: Sequence[Statement],
    say: Callable[[str], None],
    on_trial: Callable[[IndexTrial], None],
) -> Advice:
    """Try candidate indexes for `statements` (captured on base) and keep the best set.

    Works on the database of `app`, which is a copy; afterwards its indexes are as before.
    """
    schema = app.engine.schema(app.admin, app.database.database)
    shapes = {fingerprint(s.sql, app.engine.dialect): s.sql for s in statements if _reads(s.sql)}
    sqls = tuple(shapes.values())
    tables = sorted({t.name for t in schema.tables if any(t.name.lower() in s.lower() for s in sqls)})
    candidates = candidate_indexes(sqls, schema, app.engine.dialect, distinct_counts(app, tables))
    asked = _sample(questions)
    trials: list[IndexTrial] = []
    chosen: list[IndexSpec] = []
    notes: list[str] = []
    current = total = _work(app, scenario, asked)
    left = list(candidates)
    try:
        while left and len(chosen) < MOST_INDEXES:
            best: IndexTrial | None = None
            for candidate in left:
                index = candidate.index
                say(f"trying an index on {index.table} ({', '.join(index.columns)})")
                trial = _try(app, scenario, asked, index, candidate.reason, current)
                trials.append(trial)
                on_trial(trial)
                if not trial.error and trial.ratio >= BETTER and (best is None or _preferred(trial, best)):
                    best = trial
            if best is None:
                break
            app.admin.query(app.engine.create_index_sql(_named(app, best.index)), timeout=900)
            chosen.append(best.index)
            current = best.work
            left = [c for c in left if c.index != best.index and not _covered(c.index, best.index)]
            if current * 3 < total:
                # what is left to win cannot matter to anybody who looks at the clock
                break
    finally:
        for index in reversed(chosen):
            _undo(app, _named(app, index), schema)
    if not candidates:
        notes.append("no index could serve these queries: see their call sites")
    elif not chosen:
        notes.append(f"none of {len(trials)} indexes tried makes the scenario do {BETTER} times less work")
    return Advice(tuple(chosen), tuple(trials), tuple(notes))


def _reads(sql: str) -> bool:
    return sql.lstrip("( \n\t").lower().startswith(("select", "with", "update", "delete"))


def _sample(questions: Sequence[Question]) -> tuple[Question, ...]:
    if len(questions) <= SAMPLED:
        return tuple(questions)
    step = len(questions) / SAMPLED
    return tuple(questions[int(i * step)] for i in range(SAMPLED))


def _preferred(new: IndexTrial, old: IndexTrial) -> bool:
    """Less work wins; within 5 % the narrower index, which costs less to keep."""
    if new.work < 0.95 * old.work:
        return True
    return new.work < 1.05 * old.work and len(new.index.columns) < len(old.index.columns)


def _covered(index: IndexSpec, by: IndexSpec) -> bool:
    return index.table == by.table and by.columns[: len(index.columns)] == index.columns


def _named(app: Application, index: IndexSpec) -> IndexSpec:
    return IndexSpec(
        index.table, index.columns, index.unique, index.name or app.stack.default_index_name(index)[:60]
    )


def _work(app: Application, scenario: Scenario, questions: Sequence[Question]) -> int:
    return sum(work(measure.counted(app, q, scenario)) for q in questions)


def _try(
    app: Application,
    scenario: Scenario,
    questions: Sequence[Question],
    index: IndexSpec,
    reason: str,
    base_work: int,
) -> IndexTrial:
    named = _named(app, index)
    before = app.engine.schema(app.admin, app.database.database)
    try:
        made = app.admin.query(app.engine.create_index_sql(named), timeout=900)
    except DatabaseError as error:
        return IndexTrial(index, reason, base_work, base_work, 0.0, error.what)
    try:
        done = _work(app, scenario, questions)
    except BedevError as error:
        return IndexTrial(index, reason, base_work, base_work, made.seconds, error.what)
    finally:
        _undo(app, named, before)
    return IndexTrial(index, reason, base_work, done, made.seconds)


def _undo(app: Application, index: IndexSpec, before: Schema) -> None:
    """Drop a trial's index; first give back what the server dropped for it by itself (an index that only
    served a foreign key goes when another one covers the key)."""
    now = app.engine.schema(app.admin, app.database.database).table(index.table)
    then = before.table(index.table)
    if now is not None and then is not None:
        names = {i.name for i in now.indexes}
        for lost in (i for i in then.indexes if i.name not in names):
            spec = IndexSpec(then.name, lost.columns, lost.unique, lost.name)
            app.admin.query(app.engine.create_index_sql(spec), timeout=900)
    app.admin.query(app.engine.drop_index_sql(index), timeout=300)
