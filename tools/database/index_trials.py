"""Indexes tried on a copy of the database: made, measured by the server's counters, dropped again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import ForeignKey, IndexSpec, Schema, Table
from bedev.sandboxes.errors import BedevError, DatabaseError
from bedev.tools.database import advice
from bedev.tools.database.advice import Candidate
from bedev.tools.database.fingerprint import fingerprint

BETTER = 1.2
"""An index is kept when the work falls at least this much: the gate's own bar."""
MOST_INDEXES = 2
SKEW_SECONDS = 2.0

Measure = Callable[[], int]
"""The work, now, of what is to become faster. May raise BedevError."""


@dataclass(frozen=True)
class IndexTrial:
    """What one candidate did: `work` with it, `base_work` without; `seconds` to build it, its size in
    `bytes`; `error` where the server refused it."""

    index: IndexSpec
    reason: str
    base_work: int
    work: int
    seconds: float
    error: str = ""
    bytes: int = 0

    @property
    def ratio(self) -> float:
        return self.base_work / max(1, self.work)


@dataclass(frozen=True)
class Trials:
    """`chosen`: the best set, at most two, empty where no index helps; `base_work` before, `work` with it.
    `passed_over`: those that made the work less than a chosen narrower one did, but not by enough."""

    chosen: tuple[IndexSpec, ...]
    trials: tuple[IndexTrial, ...]
    base_work: int
    work: int
    passed_over: tuple[IndexTrial, ...] = ()


def advise(app: Application, sqls: Sequence[str]) -> advice.Advice:
    """Candidates for statements, with the distinct values of the tables that they name, and what no index
    can serve."""
    schema = app.engine.schema(app.admin, app.database.database)
    shapes = {fingerprint(sql, app.engine.dialect): sql for sql in sqls if reads(sql)}
    kept = tuple(shapes.values())
    tables = sorted({t.name for t in schema.tables if any(t.name.lower() in s.lower() for s in kept)})
    return advice.advise(kept, schema, app.engine.dialect, distinct_counts(app, tables))


def reads(sql: str) -> bool:
    """Whether a statement looks rows up."""
    return sql.lstrip("( \n\t").lower().startswith(("select", "with", "update", "delete"))


def distinct_counts(app: Application, tables: Sequence[str]) -> Mapping[tuple[str, str], int]:
    """Distinct values per column of `tables`, counted by the server on at most 20,000 rows."""
    counts: dict[tuple[str, str], int] = {}
    schema = app.engine.schema(app.admin, app.database.database)
    quote = quoter(app)
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


SAMPLED_ROWS = 20_000


@dataclass(frozen=True)
class ColumnSample:
    """Of the first `rows` rows of a table: distinct values and NULLs of one column."""

    rows: int
    distinct: int
    nulls: int


def column_samples(app: Application, table: Table) -> Mapping[str, ColumnSample]:
    """By column; those that cannot be compared (long texts) are left out."""
    quote = quoter(app)
    columns = [c.name for c in table.columns if not c.base_type.endswith(("text", "blob", "json"))]
    select = ", ".join(f"COUNT(DISTINCT {quote(c)}), COUNT({quote(c)})" for c in columns)
    try:
        rows, *counts = app.admin.query(
            f"SELECT COUNT(*), {select} FROM (SELECT * FROM {quote(table.name)} LIMIT {SAMPLED_ROWS}) t"
        ).rows[0]
    except DatabaseError:
        return {}
    pairs = zip(counts[::2], counts[1::2], strict=True)
    return {
        name: ColumnSample(int(rows), int(distinct), int(rows) - int(present))
        for name, (distinct, present) in zip(columns, pairs, strict=True)
    }


def children_per_parent(app: Application, table: Table, key: ForeignKey) -> tuple[int, int] | None:
    """Rows per parent that has any: median and most; None where counting takes more than 2 s."""
    quote = quoter(app)
    columns = ", ".join(quote(c) for c in key.columns)
    present = " AND ".join(f"{quote(c)} IS NOT NULL" for c in key.columns)
    session = app.reader()
    try:
        counts = session.query(
            f"SELECT n, COUNT(*) FROM (SELECT COUNT(*) AS n FROM {quote(table.name)} WHERE {present} "
            f"GROUP BY {columns}) t GROUP BY n ORDER BY n",
            timeout=SKEW_SECONDS,
        ).rows
    except DatabaseError:
        return None
    finally:
        session.close()
    left = sum(int(parents) for _, parents in counts) / 2
    for rows, parents in counts:
        left -= int(parents)
        if left <= 0:
            return int(rows), int(counts[-1][0])
    return None


def try_indexes(
    app: Application,
    candidates: Sequence[Candidate],
    measure: Measure,
    say: Callable[[str], None],
    on_trial: Callable[[IndexTrial], None],
) -> Trials:
    """Try `candidates` one by one and keep the best set. Works on the database of `app`, which is a copy;
    afterwards its indexes are as before. Raises BedevError where even the first measurement fails."""
    schema = app.engine.schema(app.admin, app.database.database)
    trials: list[IndexTrial] = []
    chosen: list[IndexSpec] = []
    passed_over: list[IndexTrial] = []
    current = total = measure()
    left = list(candidates)
    try:
        while left and len(chosen) < MOST_INDEXES:
            best: IndexTrial | None = None
            first = len(trials)
            for candidate in left:
                index = candidate.index
                say(f"trying an index on {index.table} ({', '.join(index.columns)})")
                trial = _try(app, measure, index, candidate.reason, current)
                trials.append(trial)
                on_trial(trial)
                if not trial.error and trial.ratio >= BETTER and (best is None or _preferred(trial, best)):
                    best = trial
            if best is None:
                break
            app.admin.query(app.engine.create_index_sql(named(app, best.index)), timeout=900)
            chosen.append(best.index)
            less = [t for t in trials[first:] if not t.error and t.work < best.work]
            passed_over += sorted(less, key=lambda t: t.work)[:1]
            current = best.work
            left = [c for c in left if c.index != best.index and not _covered(c.index, best.index)]
            if current * 3 < total:
                # what is left to win cannot matter to anybody who looks at the clock
                break
    finally:
        for index in reversed(chosen):
            _undo(app, named(app, index), schema)
    return Trials(tuple(chosen), tuple(trials), total, current, tuple(passed_over))


def named(app: Application, index: IndexSpec) -> IndexSpec:
    """The index under the name that the stack would give it."""
    return IndexSpec(
        index.table, index.columns, index.unique, index.name or app.stack.default_index_name(index)[:60]
    )


def quoter(app: Application) -> Callable[[str], str]:
    """Quotes a name as the engine does."""
    from sqlglot import exp

    return lambda name: str(exp.to_identifier(name, quoted=True).sql(dialect=app.engine.dialect))


def _preferred(new: IndexTrial, old: IndexTrial) -> bool:
    """Less work wins; within 5 % the narrower index, which costs less to keep."""
    if new.work < 0.95 * old.work:
        return True
    return new.work < 1.05 * old.work and len(new.index.columns) < len(old.index.columns)


def _covered(index: IndexSpec, by: IndexSpec) -> bool:
    return index.table == by.table and by.columns[: len(index.columns)] == index.columns


def _try(app: Application, measure: Measure, index: IndexSpec, reason: str, base_work: int) -> IndexTrial:
    own = named(app, index)
    before = app.engine.schema(app.admin, app.database.database)
    try:
        made = app.admin.query(app.engine.create_index_sql(own), timeout=900)
    except DatabaseError as error:
        return IndexTrial(index, reason, base_work, base_work, 0.0, error.what)
    try:
        size = _size(app, own)
        done = measure()
    except BedevError as error:
        return IndexTrial(index, reason, base_work, base_work, made.seconds, error.what)
    finally:
        _undo(app, own, before)
    return IndexTrial(index, reason, base_work, done, made.seconds, bytes=size)


def _size(app: Application, index: IndexSpec) -> int:
    sizes = app.engine.index_sizes(app.admin, app.database.database)
    wanted = (index.table.lower(), index.name.lower())
    return next((s.bytes for s in sizes if (s.table.lower(), s.name.lower()) == wanted), 0)


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
