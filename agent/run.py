"""A run, from task to branch (docs/architecture.md), and `verify`, which is the gate alone."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bedev.agent import leave
from bedev.agent.baseline import call_sites, measure_baseline, show_baseline
from bedev.agent.choice import choose, own_scenario, reaching, recorded
from bedev.agent.gate import gate
from bedev.agent.gate.case import Case
from bedev.agent.gate.claims import NEEDS
from bedev.agent.gate.proof import Check, Proof
from bedev.agent.journal import Journal
from bedev.agent.limits import time_limit
from bedev.agent.models import advisor
from bedev.agent.repository import Repository
from bedev.agent.requests import FixRequest, RunResult, VerifyRequest, VerifyResult
from bedev.agent.runlock import RunLock
from bedev.agent.screen import Screen
from bedev.agent.subject import Subject, open_subject, repository_of
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataFacts, DataWish, make_data
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.errors import BedevError, UsageError
from bedev.sandboxes.set_up import Brought, bring_up
from bedev.tools.database.grow import grow_database
from bedev.tools.scenarios.scenario import Scenario

EXIT: Mapping[str, int] = {"verified": 0, "rejected": 1, "unproven": 5}
SEED = 1


def fix(request: FixRequest, screen: Screen) -> RunResult:
    """A whole run. Raises BedevError where it cannot begin or base does not come up."""
    began, run = time.monotonic(), _run_id()
    repository = repository_of(request.repo)
    if request.model != "advisor":
        raise UsageError(
            f"There is no model named {request.model!r} in this version.",
            next_step="Leave --model out: the advisor needs no key.",
        )
    with (
        time_limit(request.max_minutes),
        RunLock(repository.state, run),
        Journal.create(repository.state / run, run) as journal,
    ):
        base = repository.resolve(request.base or "HEAD")
        journal.append("started", task=request.task, base=base, repo=str(repository.top), path=request.path)
        if repository.is_dirty():
            screen.say(
                "The checkout has uncommitted changes: bedev works on the commit, and leaves them alone."
            )
        try:
            result = _fix(request, screen, repository, base, run, journal, began)
        except KeyboardInterrupt:
            journal.append("finished", outcome="interrupted", branch=None, commit=None)
            raise
        except BedevError as error:
            journal.append("finished", outcome="failed", branch=None, commit=None, message=error.what)
            raise
        journal.append(
            "finished",
            outcome=result.outcome,
            branch=result.branch,
            commit=result.commit,
            message=result.message,
        )
        return result


def _fix(
    request: FixRequest,
    screen: Screen,
    repository: Repository,
    base: str,
    run: str,
    journal: Journal,
    began: float,
) -> RunResult:
    subject = _subject(request, repository, base, screen)
    with _sandbox(run) as sandbox:
        brought, wish, facts = _bring(
            request, subject, sandbox, screen, request.scenario or own_scenario(subject)
        )
        with screen.step("a working copy of the application"):
            app = Application.open(brought, facts.key, screen.detail, scenario_files=request.scenario_files)
        try:
            scenario, why, tried = choose(request, subject, app, screen)
            journal.append("scenario", scenario=scenario.to_dict() if scenario else None, why=why)
            usage = {"seconds": round(time.monotonic() - began, 1), "turns": 0, "tokens": 0}
            if scenario is None:
                measured = "; ".join(f"{t.question.label} {t.refused or t.figures}" for t in tried[:6])
                message = (
                    f"{why}. Measured: {measured or 'nothing'}. "
                    "Give the request yourself with --http, --scenario or --sql."
                )
                return RunResult(run, "nothing_slow", None, None, base, {}, None, usage, None, message, 1)
            schema = app.engine.schema(app.admin, app.database.database)
            with screen.step("baseline"):
                baseline = measure_baseline(app, scenario, wish.seed, screen)
            show_baseline(baseline, screen)
            with screen.step("advisor: trying indexes on a grown copy"):
                advice = advisor.advise(
                    app,
                    scenario,
                    baseline.questions,
                    baseline.statements,
                    screen.detail,
                    lambda t: _trial(t, screen, journal),
                )
        finally:
            app.close()
        notes = [*advice.notes, *(r.words for r in baseline.repeated)]
        if not advice.chosen:
            message = "The advisor found nothing that an index would settle: " + "; ".join(notes)
            usage["seconds"] = round(time.monotonic() - began, 1)
            return RunResult(
                run, "failed", None, None, base, scenario.to_dict(), None, usage, None, message, 1
            )
        migration = subject.stack.write_migration(
            subject.tree, advice.chosen, datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"), schema
        )
        tree = repository.write_tree(base, subject.edits({migration.path: migration.content}))
        journal.append("proposal", tree=tree, files=[migration.path])
        screen.say(f"proposal: {migration.path}")
        with screen.step("gate"):
            proof = _judge(subject, brought, wish, tree, scenario, request.claim, screen)
        journal.append("proof", digest=proof.digest, proof=proof.to_dict())
        words = leave.Words(
            task=request.task,
            change=tuple(_change_words(advice)),
            call_sites=call_sites(baseline, advice),
            notes=tuple(notes),
        )
        return leave.result(repository, subject, proof, run, words, request.out, began)


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
    scenario = request.scenario or recorded(request, repository, commit, screen) or own_scenario(subject)
    with time_limit(request.max_minutes), _sandbox(run) as sandbox:
        brought = _brought(subject, sandbox, screen)
        wish = _wish(request, subject, scenario)
        if scenario is None:
            scenario = reaching(request, subject, brought, wish, tree, screen)
        with screen.step("gate"):
            proof = _judge(subject, brought, wish, tree, scenario, request.claim, screen)
    usage = {"seconds": round(time.monotonic() - began, 1)}
    return VerifyResult(proof, EXIT[proof.verdict], base, commit, run, usage)


def _run_id() -> str:
    return f"{datetime.now(UTC):%m%d}-{secrets.token_hex(3)}"


@contextlib.contextmanager
def _sandbox(run: str) -> Iterator[DockerSandbox]:
    sandbox = DockerSandbox(run)
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


def _brought(subject: Subject, sandbox: DockerSandbox, screen: Screen) -> Brought:
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
    request: FixRequest, subject: Subject, sandbox: DockerSandbox, screen: Screen, scenario: Scenario | None
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


def _judge(
    subject: Subject,
    brought: Brought,
    wish: DataWish,
    tree: str,
    scenario: Scenario | None,
    claim: str,
    screen: Screen,
) -> Proof:
    case = Case(
        base=subject.base,
        tree=tree,
        claim=claim,
        scenario=scenario,
        changes=subject.changes(tree),
        base_tree=subject.tree,
        patch_tree=subject.patch_tree(tree),
        brought=brought,
        wish=wish,
        seed=wish.seed,
    )
    if scenario is None:
        case.missing.append("no scenario: nothing says what to ask")
    return gate.judge(case, grow_database, _Watcher(screen), leave.environment())


class _Watcher:
    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def say(self, text: str) -> None:
        self.screen.detail(text)

    def check(self, check: Check) -> None:
        self.screen.check(check)


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
