"""A run, from task to branch (docs/architecture.md), and `verify`, which is the gate alone."""

from __future__ import annotations

import contextlib
import re
import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bedev.agent import leave
from bedev.agent.gate import gate, measure
from bedev.agent.gate.case import Case
from bedev.agent.gate.claims import NEEDS
from bedev.agent.gate.proof import Check, Proof
from bedev.agent.journal import Journal
from bedev.agent.models import advisor
from bedev.agent.repository import Repository
from bedev.agent.requests import FixRequest, RunResult, VerifyRequest, VerifyResult
from bedev.agent.runlock import RunLock
from bedev.agent.screen import Screen
from bedev.agent.subject import Subject, open_subject, repository_of
from bedev.sandboxes.application import Application, Brought, DataFacts, DataWish, bring_up, make_data
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines.engine import Statement
from bedev.sandboxes.errors import BedevError, UsageError
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.database.grow import grow_database
from bedev.tools.database.workload import Workload, build, n_plus_one
from bedev.tools.scenarios.scenario import Scenario

EXIT: Mapping[str, int] = {"verified": 0, "rejected": 1, "unproven": 5}
SEED = 1


@dataclass(frozen=True)
class Baseline:
    """What base does for the scenario, before anything is edited."""

    workload: Workload
    repeated: tuple[Any, ...]
    statements: tuple[Any, ...]
    questions: tuple[Any, ...]
    seconds: float
    work: int


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
        brought, wish, facts = _bring(request, subject, sandbox, screen, request.scenario or _own(subject))
        with screen.step("a working copy of the application"):
            app = Application.open(brought, facts.key, screen.detail, scenario_files=request.scenario_files)
        try:
            scenario, why, tried = _scenario(request, subject, app, screen)
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
                baseline = _baseline(app, scenario, wish.seed, screen)
            _show_baseline(baseline, screen)
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
            call_sites=_call_sites(baseline, advice),
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
    scenario = request.scenario or _recorded(request, repository, commit, screen) or _own(subject)
    with time_limit(request.max_minutes), _sandbox(run) as sandbox:
        brought = _brought(subject, sandbox, screen)
        wish = _wish(request, subject, scenario)
        if scenario is None:
            scenario = _reaching(request, subject, brought, wish, tree, screen)
        with screen.step("gate"):
            proof = _judge(subject, brought, wish, tree, scenario, request.claim, screen)
    usage = {"seconds": round(time.monotonic() - began, 1)}
    return VerifyResult(proof, EXIT[proof.verdict], base, commit, run, usage)


def _run_id() -> str:
    return f"{datetime.now(UTC):%m%d}-{secrets.token_hex(3)}"


class TimeUp(BedevError):
    """The minutes of --max-minutes are over (exit 1); whatever the run held is removed on the way out."""


@contextlib.contextmanager
def time_limit(minutes: float | None) -> Iterator[None]:
    """Raise TimeUp in the main thread after so many minutes; None for no limit."""
    if minutes is None:
        yield
        return

    def over(_signal: int, _frame: object) -> None:
        raise TimeUp(
            f"{minutes:g} minutes are over.",
            where="--max-minutes",
            next_step="Give it more, or ask for fewer rows (--rows).",
        )

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, minutes * 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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


def _scenario(
    request: FixRequest, subject: Subject, app: Application, screen: Screen
) -> tuple[Scenario | None, str, Any]:
    """The user's, bedev.toml's, or the candidate that fits the task and does most work."""
    if request.scenario is not None:
        return request.scenario, "given", ()
    own = _own(subject)
    if own is not None:
        return own, "bedev.toml", ()
    from bedev.agent.gate.patterns import matches
    from bedev.tools.scenarios.search import search, sources

    with screen.step("finding the scenario"):
        texts = sources(subject.tree, lambda path: matches(path, subject.recipe.generated))
        found = search(app, request.task, texts, request.as_user, request.headers, screen.detail)
    screen.table(
        "tried on grown data",
        [
            (
                _cut(t.question.text, 48),
                _cut(t.refused.split(":")[0], 20) if t.refused else f"{t.seconds * 1000:.0f} ms",
                f"{t.work:,}",
                f"{t.statements}",
                _cut(t.why.split(";")[-1].strip(), 36),
            )
            for t in found.tried[:10]
        ],
        ("request", "time", "work", "queries", "why it fits"),
    )
    if found.chosen is not None:
        chosen = replace(found.chosen, files=request.scenario_files, data=request.data)
        screen.say(f"scenario: {chosen.questions[0].text} ({found.why})")
        screen.say("--http, --scenario or --sql choose another")
        return chosen, found.why, found.tried
    return None, found.why, found.tried


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _baseline(app: Application, scenario: Scenario, seed: int, screen: Screen) -> Baseline:
    from bedev.sandboxes.engines.engine import work
    from bedev.tools.scenarios.compare import refusal

    http = any(q.kind == "http" for q in scenario.questions)
    if http:
        app.serve(scenario.as_user, trace=True)
    for question in scenario.questions:
        answer, _ = measure.ask(app, question, scenario)
        refused = refusal(answer)
        if refused:
            refused = answer.header("X-Bedev-Error") or refused
            raise UsageError(
                f"Base answers {question.label} with {refused}.",
                where="the scenario",
                detail=_first_error(app.server_log()),
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
    questions, _, _ = measure.variants(app, scenario, seed)
    total = sum(work(measure.counted(app, q, scenario)) for q in scenario.questions)
    return Baseline(workload, n_plus_one(workload), tuple(statements), questions, seconds, total)


def _first_error(log: str) -> str:
    """The line of a server's log that says what went wrong (stack traces follow it), and a few after it."""
    lines = log.splitlines()
    at = next((i for i, line in enumerate(lines) if re.search(r"error|exception", line, re.IGNORECASE)), None)
    shown = lines[-8:] if at is None else lines[at : at + 4]
    return "\n".join(line[:400] for line in shown)


def _show_baseline(baseline: Baseline, screen: Screen) -> None:
    screen.say(
        f"base: {len(baseline.statements)} queries, work {baseline.work:,}, {baseline.seconds * 1000:.0f} ms"
    )
    rows = [
        (f"{q.sites[0].file}:{q.sites[0].line}" if q.sites else "", f"{q.calls}", _cut(q.fingerprint, 50))
        for q in sorted(baseline.workload, key=lambda q: -q.calls)[:6]
    ]
    screen.table("queries by call site", rows, ("call site", "calls", "query"))
    for repeated in baseline.repeated[:3]:
        screen.say(repeated.words)


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


def _call_sites(baseline: Baseline, advice: advisor.Advice) -> tuple[str, ...]:
    tables = {i.table.lower() for i in advice.chosen}
    return tuple(
        f"{site.file}:{site.line}"
        for query in baseline.workload
        if tables & {t.lower() for t in query.tables}
        for site in query.sites[:1]
    )[:3]


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


def _own(subject: Subject) -> Scenario | None:
    """The scenario that base's bedev.toml names."""
    own = subject.repository_settings.scenario
    return replace(own, brought_by="repository") if own is not None else None


def _recorded(
    request: VerifyRequest, repository: Repository, commit: str | None, screen: Screen
) -> Scenario | None:
    """The one in the branch's own proof; flags that only add (--as, --header, --with, --data) still count."""
    note = repository.read_note(commit) if commit else None
    proof = Proof.from_json(note) if note else None
    if proof is None or not proof.scenario:
        return None
    scenario = Scenario.from_dict(proof.scenario, "branch")
    if scenario_files := sorted(set(map(str, proof.scenario.get("files", ()))) - set(request.scenario_files)):
        raise UsageError(
            f"The branch's scenario uses files that the proof does not hold: {', '.join(scenario_files)}.",
            next_step="Bring them: --with FILE.",
        )
    scenario = replace(
        scenario,
        as_user=request.as_user or scenario.as_user,
        headers=request.headers or scenario.headers,
        files=request.scenario_files,
        data=request.data or scenario.data,
    )
    screen.say(f"The branch brought the scenario: {'; '.join(q.text for q in scenario.questions)}")
    return scenario


def _reaching(
    request: VerifyRequest, subject: Subject, brought: Brought, wish: DataWish, tree: str, screen: Screen
) -> Scenario | None:
    """The most costly request among those that reach the changed files or the tables of a new migration."""
    from bedev.agent.gate.patterns import matches
    from bedev.tools.scenarios.search import search, sources

    changed = [c.path for c in subject.changes(tree)]
    words = " ".join(p.rsplit("/", 1)[-1].rsplit(".", 1)[0] for p in changed)
    with screen.step("looking for requests that reach the change"):
        facts = make_data(brought, wish, grow_database, screen.detail)
        app = Application.open(brought, facts.key, screen.detail)
        try:
            texts = sources(subject.tree, lambda path: matches(path, subject.recipe.generated))
            found = search(
                app, words.replace("_", " "), texts, request.as_user, request.headers, screen.detail
            )
        finally:
            app.close()
    if found.chosen is not None:
        screen.say(f"scenario: {found.chosen.questions[0].text} ({found.why})")
    return found.chosen
