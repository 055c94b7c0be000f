"""The scenario asked in the workspace before the gate asks it: what would surely fail there is known here.

It decides nothing in a patch's favour: it saves a proposal that base's own answers already contradict.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bedev.sandboxes.application import Application
from bedev.tools.scenarios import compare
from bedev.tools.scenarios.ask import ask, float_columns, writes
from bedev.tools.scenarios.compare import Answer
from bedev.tools.scenarios.measured import measure_question
from bedev.tools.scenarios.scenario import Question
from bedev.tools.scenarios.trace_words import difference_words
from bedev.tools.workbench import Known, Workbench

RATIO = 1.2
"""The gate's own bar for less work."""
SMALLEST_WORK = 500


@dataclass(frozen=True)
class Rehearsal:
    """`faults` are what the gate would reject; empty where nothing is sure. `base_work` and `work` of all
    questions that could be asked."""

    faults: tuple[str, ...]
    base_work: int = 0
    work: int = 0


def rehearse(bench: Workbench) -> Rehearsal:
    """Ask the scenario's questions once more on the workspace as it is now. Raises ToolFailed where it does
    not build or migrate, BedevError where it gives no answer at all."""
    bench.ready()
    faults: list[str] = []
    before = after = 0
    for known in bench.known:
        question = known.question
        if writes(question):
            return Rehearsal(())
        app = bench.serving(bench.scenario.as_user) if question.kind == "http" else bench.app
        now = measure_question(app, question, bench.scenario, repeat=question.kind != "command")
        before, after = before + known.work, after + now.work
        fault = _difference(bench, known, now.answer)
        if fault:
            faults.append(f"{question.label}: the answer differs from base's: {fault}")
    if before >= SMALLEST_WORK and before < RATIO * after:
        faults.append(
            f"the scenario's work is {before:,} on base and {after:,} in the workspace: it must be {RATIO} "
            "times less"
        )
    return Rehearsal(tuple(faults), before, after)


def _difference(bench: Workbench, known: Known, now: Answer) -> str:
    """How the answer differs from base's in a part that is stable on base; '' where it is not sure to."""
    question = known.question
    ordered = question.kind != "sql" or "order by" in question.text.lower()
    if compare.compare(known.answer, now, ordered=ordered) is None:
        return ""
    answers = [known.answer, *_again(bench, question)]
    mask = compare.volatile(answers)
    if mask.whole_body:
        return ""
    difference = compare.compare(known.answer, now, mask, ordered=ordered, floats=float_columns(bench.app))
    return "" if difference is None else difference_words(difference, now.kind, bench.mask)


def _again(bench: Workbench, question: Question) -> list[Answer]:
    """Two more answers of base, in different seconds: a clock in them must not look constant."""
    app: Application = (
        bench.base_serving(bench.scenario.as_user) if question.kind == "http" else bench.base_app
    )
    first = ask(app, question, bench.scenario)[0]
    time.sleep(1.02)
    return [first, ask(app, question, bench.scenario)[0]]
