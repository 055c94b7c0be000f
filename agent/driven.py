"""A run that a model drives: its workbench is laid out, the loop works, and what came of it is left."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bedev.agent import actions as actions_package
from bedev.agent import briefing, conversation, leave
from bedev.agent.baseline import Baseline
from bedev.agent.budget import Budget, Limits
from bedev.agent.conversation import Conversation
from bedev.agent.desk import Desk
from bedev.agent.gate import measure
from bedev.agent.limits import TimeUp
from bedev.agent.loop import Ending, converse
from bedev.agent.models.model import Model, ModelRefusesRequest, Usage
from bedev.agent.persona import Persona, method
from bedev.agent.requests import RunResult
from bedev.agent.stage import Stage
from bedev.sandboxes.application import Application, TestRun
from bedev.sandboxes.errors import BedevError
from bedev.sandboxes.patterns import matches
from bedev.sandboxes.stacks.stack import framework
from bedev.tools import tool as tools
from bedev.tools.scenarios.ask import writes
from bedev.tools.scenarios.measured import measure_question
from bedev.tools.scenarios.scenario import Scenario
from bedev.tools.workbench import Known, Workbench

MOST_CONVERSATIONS = 4
TEST_SECONDS = 900.0


@dataclass(frozen=True)
class Mind:
    """Who drives: the model, who it is asked to be, and what it may spend."""

    model: Model
    persona: Persona
    limits: Limits


def drive(
    stage: Stage, mind: Mind, app: Application, scenario: Scenario, why: str, baseline: Baseline
) -> RunResult:
    """Work until a proposal is verified or something ends it; what was achieved is left in any case.

    `app` is base under the grown data, already open; it is closed here. Raises Paused, after everything is
    journaled, where `bedev resume` can go on.
    """
    toolbox = all_tools()
    talk = Conversation.replay(stage.journal)
    with stage.screen.step("what base does, query by query"):
        known = _known(app, scenario)
    bench = _bench(stage, scenario, known, talk.edits if talk else {})
    if mind.model.price(Usage(input_tokens=1000)) is None:
        stage.screen.say("The price of this model is not known: --max-usd does not bind, --max-tokens does.")
    desk = _desk(stage, bench, scenario)
    budget = Budget(mind.limits, mind.model.price, conversation.spent(stage.journal))
    desk.proposed = lambda: _count(budget)
    try:
        if talk is None:
            talk = _begin(stage, mind, toolbox, _opening(stage, app, bench, why, baseline))
        else:
            desk.remember()
            bench.base_tests = _base_tests(stage)
            stage.screen.say(f"going on after turn {budget.spent.turns} (the database is a fresh clone)")
        app.close()
        verified = desk.verified
        ending = (
            Ending("verified", verified.headline)
            if verified
            else _talk(stage, mind, toolbox, talk, desk, budget)
        )
    except TimeUp as over:
        ending = Ending("budget", over.what)
    finally:
        app.close()
        bench.close()
    return _leave(stage, mind, desk, ending, budget)


def all_tools() -> tuple[tools.Tool[Any], ...]:
    """Every tool of tools/ and every action of agent/actions/, in an order that never changes in a run."""
    import bedev.tools as tools_package

    found = (*tools.discover(tools_package), *tools.discover(actions_package))
    return tuple(sorted(found, key=lambda t: t.name))


def _talk(
    stage: Stage,
    mind: Mind,
    toolbox: Sequence[tools.Tool[Any]],
    talk: Conversation,
    desk: Desk,
    budget: Budget,
) -> Ending:
    """The loop; where a conversation is full, another one begins from notes."""
    for _ in range(MOST_CONVERSATIONS):
        try:
            ending = converse(talk, mind.model, toolbox, desk, budget, stage.screen)
        except ModelRefusesRequest as refused:
            if refused.kind != "too_long":
                raise
            ending = Ending("full", refused.what)
        if ending.why != "full":
            return ending
        stage.screen.say("The conversation is full: another one begins, from notes.")
        first = str(talk.messages[0]["content"][0]["text"])
        words = talk.open.text if talk.open else ""
        opening = briefing.notes(first, desk, _diff(stage, desk), words)
        talk = _begin(stage, mind, toolbox, opening, talk.edits)
    return Ending("full", f"{MOST_CONVERSATIONS} conversations were full")


def _begin(
    stage: Stage,
    mind: Mind,
    toolbox: Sequence[tools.Tool[Any]],
    opening: str,
    edits: Mapping[str, bytes | None] | None = None,
) -> Conversation:
    return Conversation.begin(
        stage.journal,
        f"{mind.persona.prompt}\n\n{method()}",
        [t.schema() for t in toolbox],
        opening,
        edits,
        model=mind.model.name,
        persona={"name": mind.persona.name, "source": mind.persona.source, "sha256": mind.persona.sha256},
    )


def _mask_key(stage: Stage) -> bytes:
    """Secret to the model and the same in every process of this run."""
    for record in stage.journal.records():
        if record.kind == "mask":
            return bytes.fromhex(str(record.fields["key"]))
    key = secrets.token_bytes(16)
    stage.journal.append("mask", key=key.hex())
    return key


def _known(app: Application, scenario: Scenario) -> tuple[Known, ...]:
    """What base does for each question of the scenario, measured as the tools measure the workspace."""
    if any(q.kind == "http" for q in scenario.questions):
        app.serve(scenario.as_user, trace=True)
    return tuple(
        Known.of(measure_question(app, question, scenario, rows=True))
        for question in scenario.questions
        if not writes(question)
    )


def _bench(
    stage: Stage, scenario: Scenario, known: Sequence[Known], edits: Mapping[str, bytes | None]
) -> Workbench:
    def open_application(edits: Mapping[str, bytes | None]) -> Application:
        return Application.open(
            stage.brought, stage.facts.key, stage.screen.detail, edits=edits, scenario_files=scenario.files
        )

    return Workbench(
        open_application=open_application,
        base=stage.subject.tree,
        scenario=scenario,
        known=known,
        mask_key=_mask_key(stage),
        seed=stage.wish.seed,
        show_values=stage.request.show_values,
        refuse=lambda path: _refusal(stage, path),
        progress=stage.screen.detail,
        edits=dict(edits),
    )


def _desk(stage: Stage, bench: Workbench, scenario: Scenario) -> Desk:
    def judge(tree: str) -> Any:
        with stage.screen.step("gate"):
            return stage.judge(tree, scenario)

    return Desk(
        bench=bench,
        repository=stage.repository,
        subject=stage.subject,
        journal=stage.journal,
        screen=stage.screen,
        judge=judge,
        proposed=lambda: None,
    )


def _count(budget: Budget) -> None:
    budget.spent.proposals += 1


def _refusal(stage: Stage, path: str) -> str:
    """Why the gate would refuse an edit of this path at once, or nothing."""
    from bedev.agent.gate.checks.scope import REFUSED

    recipe = stage.subject.recipe
    if matches(path, (*REFUSED, *recipe.generated)):
        return "files that decide what is installed, built, run or delivered are not a patch's to change"
    protected = (*recipe.test_paths, *recipe.test_config)
    if matches(path, protected) and stage.subject.tree.read(path) is not None:
        return "base's tests and their configuration stay as they are (new tests go into new files)"
    return ""


def _opening(stage: Stage, app: Application, bench: Workbench, why: str, baseline: Baseline) -> str:
    """The first message. It holds what a model would ask for first, so that it need not."""
    scenario = bench.scenario
    plans = measure.explained(app, baseline.statements, limit=2)
    app.stop_serving()
    tests: TestRun | None = None
    if stage.subject.recipe.test:
        with stage.screen.step("tests on base"), contextlib.suppress(BedevError):
            tests = app.run_tests({}, timeout=TEST_SECONDS)
    if tests is not None:
        bench.base_tests = tests.passed
        passed = json.dumps(sorted(tests.passed)).encode()
        stage.journal.append("tests_on_base", passed=stage.journal.put_blob(passed))
        red = sum(c.status in ("failed", "error") for c in tests.cases)
        stage.screen.say(
            f"tests on base: {len(tests.passed)} pass" + (f", {red} are red and set aside" if red else "")
        )
    app.close()
    told = framework(stage.subject.stack, bench.app.pod.app)
    looked = [("Framework", told)] if told else []
    with stage.screen.step("indexes tried on a grown copy"):
        looked += _looked(bench, "database_schema", *({"table": t} for t in briefing.dear_tables(baseline)))
        looked += _looked(bench, "advise_indexes", {})
    return briefing.opening(
        stage.request.task, stage.subject, stage.facts, scenario, why, baseline, plans, tests, looked
    )


def _base_tests(stage: Stage) -> frozenset[str] | None:
    """The tests that pass on base, as an earlier process of this run found them."""
    for record in stage.journal.records():
        if record.kind == "tests_on_base":
            return frozenset(json.loads(stage.journal.get_blob(record.fields["passed"])))
    return None


def _looked(bench: Workbench, name: str, *inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a tool says to these inputs, with the call as the title; nothing where it fails."""
    tool = next(t for t in all_tools() if t.name == name)
    found = []
    for given in inputs:
        with contextlib.suppress(tools.ToolFailed, BedevError):
            title = f"{name} {' '.join(map(str, given.values()))}".strip()
            found.append((title, tool.run(bench, tool.parse(given)).text))
    return found


def _diff(stage: Stage, desk: Desk) -> str:
    edits = desk.bench.edits
    if not edits:
        return ""
    tree = stage.repository.write_tree(stage.subject.base, stage.subject.edits(edits))
    return stage.repository.diff(stage.subject.base, tree)


def _leave(stage: Stage, mind: Mind, desk: Desk, ending: Ending, budget: Budget) -> RunResult:
    """The branch: the verified proposal's, else what the workspace holds, marked so."""
    spent = budget.spent
    usage = {
        "turns": spent.turns,
        "tokens": spent.tokens,
        "output_tokens": spent.output_tokens,
        "cache_read_tokens": spent.cache_read_tokens,
        "usd": None if spent.usd is None else round(spent.usd, 4),
        "proposals": spent.proposals,
        "model": mind.model.name,
        "seconds": round(budget.seconds, 1),
    }
    chosen = next(((w, p) for w, p in desk.proposals if p.verdict == "verified"), None)
    if chosen is None:
        chosen = next(((w, p) for w, p in reversed(desk.proposals) if p.verdict == "unproven"), None)
    words = leave.Words(
        task=stage.request.task,
        author=mind.model.title,
        assumptions=tuple(desk.assumptions),
        answers=tuple(f"{q} {a}" for q, a in desk.questions),
    )
    if chosen is not None:
        said, proof = chosen
        words = replace(
            words,
            title=said.title,
            cause=said.cause,
            change=said.change,
            risk=said.risk,
            rollout=said.rollout,
            rollback=said.rollback,
            notes=(*words.notes, *(f"also seen: {n}" for n in said.neighbours)),
        )
        return leave.result(stage, proof, words, usage)
    last = desk.proposals[-1] if desk.proposals else None
    if last is not None:
        words = replace(words, title=last[0].title, cause=last[0].cause, change=last[0].change)
    return leave.unverified(stage, desk.bench.edits, last[1] if last else None, words, ending.words, usage)
