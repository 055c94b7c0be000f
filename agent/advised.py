"""A run that the advisor drives: no model, no key; what can be decided by measuring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from bedev.agent import leave
from bedev.agent.baseline import Baseline, call_sites
from bedev.agent.journal import Journal
from bedev.agent.models import advisor
from bedev.agent.requests import RunResult
from bedev.agent.screen import Screen
from bedev.agent.stage import Stage
from bedev.sandboxes.application import Application
from bedev.tools.scenarios.scenario import Scenario


def advise(stage: Stage, app: Application, scenario: Scenario, baseline: Baseline) -> RunResult:
    """Try indexes on a grown copy, write the migration for what helps, and let the gate judge it.

    `app` is base under the grown data; its indexes are as before when it is closed here.
    """
    subject, screen = stage.subject, stage.screen
    try:
        schema = app.engine.schema(app.admin, app.database.database)
        with screen.step("advisor: trying indexes on a grown copy"):
            advice = advisor.advise(
                app,
                scenario,
                baseline.questions,
                baseline.statements,
                screen.detail,
                lambda t: _trial(t, screen, stage.journal),
            )
    finally:
        app.close()
    notes = [*advice.notes, *(r.words for r in baseline.repeated)]
    if not advice.chosen:
        message = "The advisor found nothing that an index would settle: " + "; ".join(notes)
        return leave.nothing(stage, "failed", message, {})
    # the run's own moment: resumed, it writes the same file again
    moment = datetime.fromisoformat(stage.journal.records()[0].at).astimezone(UTC)
    migration = subject.stack.write_migration(
        subject.tree, advice.chosen, moment.strftime("%Y-%m-%d %H:%M:%S"), schema, subject.engine.name
    )
    tree = stage.repository.write_tree(stage.base, subject.edits(dict(migration.files)))
    stage.journal.append("proposal", tree=tree, files=list(migration.files))
    screen.say(f"proposal: {', '.join(migration.files)}")
    with screen.step("gate"):
        proof = stage.judge(tree, scenario)
    stage.journal.append("proof", digest=proof.digest, proof=proof.to_dict())
    words = leave.Words(
        task=stage.request.task,
        change=tuple(_change_words(advice)),
        call_sites=call_sites(baseline, advice),
        notes=tuple(notes),
        risk="an index costs space and a little time on each write; other queries are as before",
        rollout="run the migration when writes are few: the server builds the index online",
        rollback="roll the migration back: it drops the index and changes nothing else",
    )
    return leave.result(stage, proof, words, {})


def _trial(trial: advisor.IndexTrial, screen: Screen, journal: Journal) -> None:
    journal.append(
        "trial", **{k: v for k, v in asdict(trial).items() if k != "index"}, index=asdict(trial.index)
    )
    what = f"{trial.index.table}({', '.join(trial.index.columns)})"
    screen.say(f"  tried {what}: " + (trial.error or f"work {trial.base_work:,} -> {trial.work:,}"))


def _change_words(advice: advisor.Advice) -> Iterator[str]:
    by_index = {t.index: t for t in advice.trials}
    for index in advice.chosen:
        reason = by_index[index].reason if index in by_index else ""
        yield f"adds an index on {index.table} ({', '.join(index.columns)}): {reason}"
