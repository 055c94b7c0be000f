"""The advisor: drives a run without a model, for what can be decided by measuring.

It tries indexes on a grown copy of the database, one by one, and keeps what the server's counters say is
best. An N+1 it names with its line, and leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bedev.agent.gate import measure
from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import IndexSpec, Statement, work
from bedev.tools.database import index_trials
from bedev.tools.database.index_trials import BETTER, IndexTrial
from bedev.tools.scenarios.scenario import Question, Scenario

__all__ = ["Advice", "IndexTrial", "advise"]

SAMPLED = 4
"""Questions that each trial asks: the given ones and some with other values."""


@dataclass(frozen=True)
class Advice:
    """`chosen` is empty where no index helps."""

    chosen: tuple[IndexSpec, ...]
    trials: tuple[IndexTrial, ...]
    notes: tuple[str, ...]


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
    candidates = index_trials.advise(app, [s.sql for s in statements]).candidates
    asked = _sample(questions)
    done = index_trials.try_indexes(
        app,
        candidates,
        lambda: sum(work(measure.counted(app, question, scenario)) for question in asked),
        say,
        on_trial,
    )
    notes: list[str] = []
    if not candidates:
        notes.append("no index could serve these queries: see their call sites")
    elif not done.chosen:
        notes.append(
            f"none of {len(done.trials)} indexes tried makes the scenario do {BETTER} times less work"
        )
    return Advice(done.chosen, done.trials, tuple(notes))


def _sample(questions: Sequence[Question]) -> tuple[Question, ...]:
    if len(questions) <= SAMPLED:
        return tuple(questions)
    step = len(questions) / SAMPLED
    return tuple(questions[int(i * step)] for i in range(SAMPLED))
