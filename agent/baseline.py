"""What base does for the scenario, measured before anything is edited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bedev.agent.choice import cut
from bedev.agent.gate import measure
from bedev.agent.gate.server_log import first_error
from bedev.agent.models import advisor
from bedev.agent.screen import Screen
from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import Statement
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.database.workload import Workload, build, n_plus_one
from bedev.tools.scenarios.scenario import Scenario


@dataclass(frozen=True)
class Baseline:
    """What base does for the scenario, before anything is edited."""

    workload: Workload
    repeated: tuple[Any, ...]
    statements: tuple[Any, ...]
    questions: tuple[Any, ...]
    seconds: float
    work: int
    varied: tuple[str, ...] = ()


def measure_baseline(app: Application, scenario: Scenario, seed: int, screen: Screen) -> Baseline:
    from bedev.sandboxes.engines.engine import work

    http = any(q.kind == "http" for q in scenario.questions)
    if http:
        app.serve(scenario.as_user, trace=True)
    for question in scenario.questions:
        answer = measure.first_answer(app, question, scenario)
        refused = measure.refusal(answer)
        if refused:
            refused = answer.header("X-Bedev-Error") or refused
            raise UsageError(
                f"Base answers {question.label} with {refused}.",
                where="the scenario",
                detail=first_error(app.server_log()),
            )
    statements: list[Statement] = []
    traced: list[TracedQuery] = []
    seconds = 0.0
    for question in scenario.questions:
        took, sent, traces = measure.captured(app, question, scenario)
        statements.extend(sent)
        traced.extend(traces)
        seconds += took
    workload = build(statements, traced, dialect=app.engine.dialect)
    measure.prepare(app, scenario)
    screen.detail("which values the scenario takes")
    questions, _, varied = measure.variants(app, scenario, seed)
    total = sum(work(measure.counted(app, q, scenario)) for q in scenario.questions)
    return Baseline(
        workload,
        n_plus_one(workload),
        tuple(statements),
        questions,
        seconds,
        total,
        tuple(varied),
    )


def show_baseline(baseline: Baseline, screen: Screen) -> None:
    screen.say(
        f"base: {len(baseline.statements)} queries, work {baseline.work:,}, {baseline.seconds * 1000:.0f} ms"
    )
    rows = [
        (f"{q.sites[0].file}:{q.sites[0].line}" if q.sites else "", f"{q.calls}", cut(q.fingerprint, 50))
        for q in sorted(baseline.workload, key=lambda q: -q.calls)[:6]
    ]
    screen.table("queries by call site", rows, ("call site", "calls", "query"))
    for repeated in baseline.repeated[:3]:
        screen.say(repeated.words)


def call_sites(baseline: Baseline, advice: advisor.Advice) -> tuple[str, ...]:
    tables = {i.table.lower() for i in advice.chosen}
    return tuple(
        f"{site.file}:{site.line}"
        for query in baseline.workload
        if tables & {t.lower() for t in query.tables}
        for site in query.sites[:1]
    )[:3]
