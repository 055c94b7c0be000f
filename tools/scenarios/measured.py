"""One question measured on one copy: answer, work with its parts, queries with their call sites, time."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import WEIGHTS, Counters, Statement, work
from bedev.sandboxes.errors import DatabaseError
from bedev.tools.database.fingerprint import fingerprint
from bedev.tools.database.workload import Workload, WorkloadQuery, build
from bedev.tools.scenarios.ask import ask, observed, of_question, writes
from bedev.tools.scenarios.compare import Answer
from bedev.tools.scenarios.scenario import Question, Scenario

SAMPLES = 3
"""Statements of one fingerprint that are sent again to see how many rows they examine."""
SAMPLING_SECONDS = 10.0
QUICK = 1.0
"""Seconds: what takes less is timed three times, for the wall clock wanders."""
_READING = re.compile(
    r"\(*\s*(select|with|values|table|explain|desc|describe|analyze|show|kill|lock|unlock|do|handler)\b"
)


@dataclass(frozen=True)
class Measured:
    """`seconds` is the wall time of a run without capture, where there was one: the median of three where one
    is quick, which `runs` says. `wrote`: tables of the application that asking changed (`?` where the server
    counts writes that no statement names), so that the database is no longer what it was. `sampled`:
    fingerprints whose rows examined were counted for some of their statements and multiplied; `works` is the
    work of each that was counted so, its share of `work` but for what the session itself costs."""

    question: Question
    answer: Answer
    seconds: float
    counters: Counters
    workload: Workload
    wrote: tuple[str, ...]
    sampled: frozenset[str] = frozenset()
    runs: int = 1
    works: Mapping[str, int] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        return sum(query.calls for query in self.workload)

    @property
    def work(self) -> int:
        return work(self.counters)

    @property
    def work_words(self) -> str:
        """`work 12,345 = 10,000 rows examined + ... + 100 x 3 statements`; parts that are 0 are left out."""
        parts = []
        for name, weight in WEIGHTS.items():
            value = getattr(self.counters, name)
            if value:
                factor = f"{weight} x " if weight != 1 else ""
                parts.append(f"{factor}{value:,} {name.replace('_', ' ')}")
        return f"work {self.work:,} = {' + '.join(parts) or '0'}"


def measure_question(
    app: Application, question: Question, scenario: Scenario, *, repeat: bool = True, rows: bool = False
) -> Measured:
    """Ask once under capture and, where asking again changes nothing, once more without (`repeat`). A request
    needs a server that was started with a trace. `rows`: count the rows that each query examines, where the
    server keeps no statistics of it. Raises BedevError where there is no answer."""
    app.engine.settle(app.admin)
    app.engine.statement_statistics(app.admin, reset=True)
    before = app.counters()
    answer, seconds, statements, traced = observed(app, question, scenario)
    counters = app.counters().minus(before)
    digests = app.engine.statement_statistics(app.admin)
    workload = build(statements, traced, digests, app.engine.dialect)
    wrote = written(workload)
    runs = 1
    if repeat and not writes(question):
        if wrote:
            app.engine.settle(app.admin)
        before = app.counters()
        _, seconds = ask(app, question, scenario)
        counters = min(counters, app.counters().minus(before), key=work)
        if seconds < QUICK and not wrote:
            times = [seconds, *(ask(app, question, scenario)[1] for _ in range(2))]
            seconds, runs = statistics.median(times), len(times)
    counters = of_question(counters, question)
    sampled: frozenset[str] = frozenset()
    works: Mapping[str, int] = {}
    if rows:
        workload, sampled, works = _counted_rows(app, workload, statements)
    return Measured(question, answer, seconds, counters, workload, wrote, sampled, runs, works)


def written(workload: Workload) -> tuple[str, ...]:
    """The tables that these statements change. What the server counts as written is more: the temporary
    tables of a window function are among it."""
    changing = [q for q in workload if q.writes or not _READING.match(q.fingerprint)]
    return tuple(dict.fromkeys(name for q in changing for name in q.tables or ("?",)))


def _counted_rows(
    app: Application, workload: Workload, statements: Sequence[Statement]
) -> tuple[Workload, frozenset[str], Mapping[str, int]]:
    """Rows examined of reading queries of which the server keeps no statistics (MariaDB: of prepared
    statements), by sending some of each again as the reader; the fingerprints where not all were sent;
    and the work of each."""
    by_shape: dict[str, dict[str, None]] = {}
    for statement in statements:
        by_shape.setdefault(fingerprint(statement.sql, app.engine.dialect), {})[statement.sql] = None
    found: list[WorkloadQuery] = []
    sampled: set[str] = set()
    works: dict[str, int] = {}
    deadline = time.monotonic() + SAMPLING_SECONDS
    for query in workload:
        rows = None
        if query.rows_examined is None and query.fingerprint.startswith(("select", "(", "with")):
            distinct = list(by_shape.get(query.fingerprint, ()))[:SAMPLES]
            counted = _counted_of(app, distinct, deadline)
            if counted is not None and counted.rows_examined is not None:
                times = query.calls / len(distinct)
                rows = round(counted.rows_examined * times)
                each = replace(counted, statements=len(distinct))
                works[query.fingerprint] = round(work(each) * times)
                if query.calls > 1:
                    sampled.add(query.fingerprint)
        found.append(query if rows is None else replace(query, rows_examined=rows))
    return tuple(found), frozenset(sampled), works


def _counted_of(app: Application, sqls: Sequence[str], deadline: float) -> Counters | None:
    """What the server counts for these statements together, None where they could not all be sent."""
    session = app.reader()
    try:
        before = app.counters()
        for sql in sqls:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            session.query(sql, timeout=left)
        return app.counters().minus(before)
    except DatabaseError:
        return None
    finally:
        session.close()
