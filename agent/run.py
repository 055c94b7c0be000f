"""A run, from task to branch (docs/architecture.md); going on with one; and `verify`, the gate alone."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bedev.agent import conversation, leave, recorded
from bedev.agent import persona as personas
from bedev.agent.advised import advise
from bedev.agent.baseline import measure_baseline, show_baseline
from bedev.agent.budget import Limits
from bedev.agent.choice import choose, own_scenario, reaching
from bedev.agent.choice import recorded as recorded_scenario
from bedev.agent.driven import Mind, drive
from bedev.agent.gate.claims import NEEDS
from bedev.agent.journal import Journal
from bedev.agent.limits import time_limit
from bedev.agent.models.model import Model
from bedev.agent.persona import Persona
from bedev.agent.repository import Repository
from bedev.agent.requests import FixRequest, RunResult, VerifyRequest, VerifyResult
from bedev.agent.runlock import RunLock
from bedev.agent.screen import Screen
from bedev.agent.settings import Settings
from bedev.agent.stage import Stage, judge
from bedev.agent.subject import Subject, open_subject, repository_of
from bedev.agent.trust import agree
from bedev.sandboxes import choose as sandboxes
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataFacts, DataWish, make_data
from bedev.sandboxes.errors import BedevError, DiskFull, Paused, UsageError
from bedev.sandboxes.sandbox import Sandbox
from bedev.sandboxes.set_up import Brought, bring_up
from bedev.tools.database.grow import grow_database
from bedev.tools.scenarios.scenario import Scenario

EXIT: Mapping[str, int] = {"verified": 0, "rejected": 1, "unproven": 5}
SEED = 1


def fix(request: FixRequest, screen: Screen) -> RunResult:
    """A whole run. Raises BedevError where it cannot begin or base does not come up."""
    run = _run_id()
    repository = repository_of(request.repo)
    persona = personas.from_file(request.agent) if request.agent else None
    model = _model(request.model or (persona.model if persona else ""), screen)
    if persona is not None and model is None:
        screen.say("--agent is not used: the advisor drives, and asks no model.")
    with RunLock(repository.state, run), Journal.create(repository.state / run, run) as journal:
        base = repository.resolve(request.base or "HEAD")
        journal.append(
            "started",
            task=request.task,
            base=base,
            repo=str(repository.top),
            path=request.path,
            request=recorded.to_record(request, journal),
        )
        if repository.is_dirty():
            screen.say(
                "The checkout has uncommitted changes: bedev works on the commit, and leaves them alone."
            )
        return _run(_Begun(request, repository, base, run, journal, model, persona), screen)


def resume(repo: Path, run: str, settings: Settings, screen: Screen) -> RunResult:
    """Go on with a run that was interrupted, killed, paused or ended by its budget. `run` is its whole id;
    limits are those of `settings`. Raises UsageError where there is nothing to go on with."""
    repository = repository_of(repo)
    with RunLock(repository.state, run), Journal.open(repository.state / run) as journal:
        started = next((r.fields for r in journal.records() if r.kind == "started"), None)
        if started is None or "request" not in started:
            raise UsageError(
                f"The run {run} ended before it had begun.", next_step="Start a new one: bedev fix TASK"
            )
        _check_resumable(journal, run)
        record = started["request"]
        limits = recorded.limits_in_force(journal, settings)
        _check_room(journal, limits, run)
        request = recorded.from_record(record, journal, repo, replace(settings, **limits))
        request = replace(request, max_minutes=limits["max_minutes"])
        content = journal.get_blob(record["agent"]) if record["agent"] else None
        persona = personas.parse(content, "--agent") if content else None
        talked = [str(r.fields["model"]) for r in journal.records() if r.kind == "conversation"]
        name = talked[-1] if talked else request.model or (persona.model if persona else "")
        model = _model(name, screen)
        journal.append("resumed", bedev=leave.environment()["bedev"], limits=limits)
        begun = _Begun(request, repository, str(started["base"]), run, journal, model, persona)
        return _run(begun, screen)


@dataclass(frozen=True)
class _Begun:
    """A run whose journal is open. `model` None means the advisor; `persona` None: the usual one."""

    request: FixRequest
    repository: Repository
    base: str
    run: str
    journal: Journal
    model: Model | None
    persona: Persona | None


def _run(begun: _Begun, screen: Screen) -> RunResult:
    """The steps, under the clock; however they end, the journal says so."""
    began, journal = time.monotonic(), begun.journal
    minutes = begun.request.max_minutes
    if minutes is not None:
        minutes = max(0.01, minutes - conversation.spent(journal).seconds / 60)
    try:
        with time_limit(minutes, begun.request.max_minutes):
            result = _steps(begun, screen, began)
    except KeyboardInterrupt:
        result = _stopped(begun, "interrupted", 130, "interrupted", began)
    except Paused as error:
        said = " ".join(filter(None, (error.what, error.next_step)))
        result = _stopped(begun, "paused", 4, said, began)
    except BedevError as error:
        if isinstance(error, DiskFull):
            error.next_step = f"{error.next_step} Then: bedev resume {begun.run}"
        with contextlib.suppress(Paused):  # a full disk is what may have ended it: `error` says so
            journal.append("finished", outcome="failed", branch=None, commit=None, message=error.what)
        raise
    with contextlib.suppress(Paused):
        journal.append(
            "finished",
            outcome=result.outcome,
            branch=result.branch,
            commit=result.commit,
            message=result.message,
        )
    return result


def _steps(begun: _Begun, screen: Screen, began: float) -> RunResult:
    request, repository, journal = begun.request, begun.repository, begun.journal
    if begun.model is not None:
        begun.model.warm_up()
    subject = _subject(request, repository, begun.base, screen)
    persona = begun.persona or _usual_persona(subject, journal, screen)
    with _sandbox(request, begun.run, repository, screen) as sandbox:
        scenario, why = _fixed_scenario(begun)
        brought, wish, facts = _bring(
            request, subject, sandbox, screen, scenario or request.scenario or own_scenario(subject)
        )
        stage = Stage(request, begun.run, repository, subject, journal, screen, brought, wish, facts, began)
        with screen.step("a working copy of the application"):
            app = Application.open(brought, facts.key, screen.detail, scenario_files=request.scenario_files)
        try:
            if scenario is None:
                scenario, why, tried = choose(request, subject, app, screen)
                journal.append("scenario", scenario=scenario.to_dict() if scenario else None, why=why)
                if scenario is None:
                    return leave.nothing(stage, "nothing_slow", _nothing_slow(why, tried), {})
            with screen.step("baseline"):
                baseline = measure_baseline(app, scenario, wish.seed, screen)
            show_baseline(baseline, screen)
            if begun.model is None:
                return advise(stage, app, scenario, baseline)
            limits = Limits(
                turns=request.settings.max_turns,
                tokens=request.settings.max_tokens,
                usd=request.settings.max_usd,
                minutes=request.max_minutes,
                proposals=request.settings.max_proposals,
            )
            return drive(stage, Mind(begun.model, persona, limits), app, scenario, why, baseline)
        finally:
            app.close()


def _fixed_scenario(begun: _Begun) -> tuple[Scenario | None, str]:
    """The scenario that an earlier process of this run had chosen: it is never chosen anew."""
    for record in reversed(begun.journal.records()):
        if record.kind == "scenario" and record.fields.get("scenario"):
            data = record.fields["scenario"]
            found = Scenario.from_dict(data, str(data.get("brought_by", "bedev")))
            return replace(found, files=begun.request.scenario_files), str(record.fields.get("why", ""))
    return None, ""


def _model(name: str, screen: Screen) -> Model | None:
    """Who drives; None is the advisor. Raises UsageError where the model needs a key that is not there."""
    import os

    from bedev.agent.models.select import select

    model = select(name, os.environ)
    if model is None:
        if name != "advisor":
            screen.say("No model key is set: the advisor drives (what can be decided by measuring).")
        return None
    screen.say(f"model: {model.title}")
    return model


def _usual_persona(subject: Subject, journal: Journal, screen: Screen) -> Persona:
    """bedev's own, or the repository's where the user agrees to exactly this content."""
    own = personas.of_repository(subject.tree)
    if own is None:
        return personas.built_in()
    agreed = any(r.kind == "agreed" and r.fields.get("sha256") == own.sha256 for r in journal.records())
    agreed = agreed or personas.is_agreed(journal.directory.parent, own)
    if not agreed:
        answer = screen.ask(
            f"The repository brings its own agent file {own.source} (sha256 {own.sha256[:16]}). It would "
            "replace bedev's persona; it can change no permission. Use it? Read it first: "
            f"git show {subject.base[:12]}:{own.source}   [y/N]",
            "no",
        )
        agreed = answer.strip().lower() in ("y", "yes")
        if agreed:
            personas.agree(journal.directory.parent, own)
    if not agreed:
        screen.say(f"{own.source} is not used (--agent {own.source} would).")
        return personas.built_in()
    journal.append("agreed", sha256=own.sha256)
    screen.say(f"persona: {own.source}")
    return own


def _nothing_slow(why: str, tried: Any) -> str:
    measured = "; ".join(f"{t.question.label} {t.refused or t.figures}" for t in tried[:6])
    return (
        f"{why}. Measured: {measured or 'nothing'}. "
        "Give the request yourself with --http, --scenario or --sql."
    )


def _stopped(begun: _Begun, outcome: str, code: int, said: str, began: float) -> RunResult:
    """The result of a run that stopped on the way and can go on."""
    spent = conversation.spent(begun.journal)
    scenario = next(
        (r.fields["scenario"] for r in reversed(begun.journal.records()) if r.kind == "scenario"), None
    )
    return RunResult(
        run=begun.run,
        outcome=outcome,  # type: ignore[arg-type]
        branch=None,
        commit=None,
        base=begun.base,
        scenario=scenario or {},
        proof=None,
        usage={
            "seconds": round(time.monotonic() - began, 1),
            "turns": spent.turns,
            "tokens": spent.tokens,
            "usd": spent.usd,
        },
        message=f"{said}\nGo on with it: bedev resume {begun.run}",
        exit_code=code,
    )


def _check_room(journal: Journal, limits: Mapping[str, Any], run: str) -> None:
    """Raises UsageError where a limit of the run is used up already: going on would end at once."""
    spent = conversation.spent(journal)
    used = {
        "max_turns": spent.turns,
        "max_tokens": spent.tokens,
        "max_usd": spent.usd,
        "max_proposals": spent.proposals,
        "max_minutes": spent.seconds / 60,
    }
    for name, value in used.items():
        limit = limits.get(name)
        if limit is not None and value is not None and value >= limit:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"The run has used up its limit: {value:,.4g} of {limit:,g} ({flag}).",
                next_step=f"Give it more: bedev resume {run} {flag} {limit * 2:g}",
            )


def _check_resumable(journal: Journal, run: str) -> None:
    ended = next((r for r in reversed(journal.records()) if r.kind in ("finished", "resumed")), None)
    outcome = str(ended.fields.get("outcome")) if ended is not None and ended.kind == "finished" else ""
    if outcome in ("verified", "rejected", "unproven", "nothing_slow"):
        raise UsageError(
            f"The run {run} is finished: {outcome}.",
            next_step=f"bedev show {run} says what it did; bedev fix TASK starts another.",
        )


def verify(request: VerifyRequest, screen: Screen) -> VerifyResult:
    """Judge anybody's branch, commit or patch file. No model is asked, nothing is written but the state."""
    began, run = time.monotonic(), _run_id()
    if request.claim not in NEEDS:
        raise UsageError(
            f"There is no claim named {request.claim!r} in this version.",
            next_step=f"Use --claim {' or '.join(NEEDS)}.",
        )
    repository = repository_of(request.repo)
    commit, base = _sides(request, repository)
    repository.import_commits(*(c for c in (base, commit) if c))
    if request.patch is not None:
        tree = repository.apply_patch(base, _read(request.patch))
    else:
        assert commit is not None
        tree = repository.tree_of(commit)
    subject = _subject(request, repository, base, screen)
    scenario = (
        request.scenario or recorded_scenario(request, repository, commit, screen) or own_scenario(subject)
    )
    with time_limit(request.max_minutes), _sandbox(request, run, repository, screen) as sandbox:
        brought = _brought(subject, sandbox, screen)
        wish = _wish(request, subject, scenario)
        if scenario is None:
            scenario = reaching(request, subject, brought, wish, tree, screen)
        with screen.step("gate"):
            proof = judge(subject, brought, wish, tree, scenario, request.claim, screen)
    usage = {"seconds": round(time.monotonic() - began, 1)}
    return VerifyResult(proof, EXIT[proof.verdict], base, commit, run, usage)


def _run_id() -> str:
    return f"{datetime.now(UTC):%m%d}-{secrets.token_hex(3)}"


@contextlib.contextmanager
def _sandbox(
    request: FixRequest | VerifyRequest, run: str, repository: Repository, screen: Screen
) -> Iterator[Sandbox]:
    kind = sandboxes.load(request.sandbox)
    agree(kind, repository, request.settings.trust, screen)
    sandbox = kind.open(run, repository.state.parent)
    try:
        yield sandbox
    finally:
        sandbox.close()


def _subject(
    request: FixRequest | VerifyRequest, repository: Repository, base: str, screen: Screen
) -> Subject:
    with screen.step("reading the repository"):
        repository.import_commits(base)
        subject = open_subject(
            repository,
            base,
            path=request.path,
            engine=request.engine,
            sandbox=request.sandbox,
            settings=request.settings,
            allow_images=request.allow_images,
        )
    screen.say(f"{subject.stack.title} on {subject.engine.title}, base {base[:12]}")
    return subject


def _brought(subject: Subject, sandbox: Sandbox, screen: Screen) -> Brought:
    with screen.step("set-up: images, dependencies"):
        return bring_up(
            sandbox,
            subject.stack,
            subject.engine,
            subject.recipe,
            subject.tree.id,
            subject.tree.files,
            subject.access,
            screen.detail,
        )


def _bring(
    request: FixRequest, subject: Subject, sandbox: Sandbox, screen: Screen, scenario: Scenario | None
) -> tuple[Brought, DataWish, DataFacts]:
    brought = _brought(subject, sandbox, screen)
    wish = _wish(request, subject, scenario)
    with screen.step("data: migrate, seed, grow"):
        facts = make_data(brought, wish, grow_database, screen.detail)
    biggest = sorted(facts.rows.items(), key=lambda item: -item[1])[:4]
    screen.say(
        f"{facts.server}, {', '.join(f'{name} {rows:,} rows' for name, rows in biggest)} ({facts.realism})"
    )
    return brought, wish, facts


def _wish(request: FixRequest | VerifyRequest, subject: Subject, scenario: Scenario | None) -> DataWish:
    rows = dict(request.rows) or dict(subject.settings.rows)
    dump = _read(request.dump) if request.dump is not None else None
    if dump is not None and not dump.strip():
        raise UsageError(
            f"{request.dump} is empty.", where="--dump", next_step="Give it an SQL dump, gzipped or not."
        )
    data = request.data or (scenario.data if scenario else "")
    files = request.scenario_files or (scenario.files if scenario else {})
    seed = SEED if request.seed is None else request.seed
    return DataWish(rows, seed, dump, data, files if data else {})


def _read(path: Any) -> bytes:
    try:
        content: bytes = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", next_step="Give the path of a file."
        ) from error
    return content


def _sides(request: VerifyRequest, repository: Repository) -> tuple[str | None, str]:
    """The commit to judge (None for a patch file) and its base."""
    if request.ref is None:
        return None, repository.resolve(request.base or "HEAD")
    commit = repository.resolve(request.ref)
    if request.base:
        return commit, repository.resolve(request.base)
    base = repository.merge_base(commit, repository.head)
    if base is None:
        raise UsageError(
            f"{request.ref} has no common history with HEAD.",
            next_step="Say what it is to be compared with: --base REF.",
        )
    if base == commit:
        parents = repository.parents(commit)
        if not parents:
            raise UsageError(
                f"{request.ref} is the first commit: there is nothing before it.", next_step="Use --base REF."
            )
        base = parents[0]
    return commit, base
