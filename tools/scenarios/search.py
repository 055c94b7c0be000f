"""Finding the scenario where the task names none: candidates are run under capture on grown data.

Read-only requests first, inside a time box. What was tried and why one was chosen is part of the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import Statement, work
from bedev.sandboxes.errors import BedevError, DatabaseError, UsageError
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.sandbox import HttpRequest
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.scenarios import compare
from bedev.tools.scenarios.find import CandidateScenario, candidates, fill
from bedev.tools.scenarios.scenario import Question, Scenario

Reaches = Callable[[Sequence[Statement], Sequence[TracedQuery]], bool]
"""Whether the statements that a request sent, and their call sites, have to do with a change."""

SLOW_SECONDS = 0.2
SLOW_WORK = 20_000
TIME_BOX_SECONDS = 60.0
COMMAND_SECONDS = 30.0
FITS = 0.75
"""A candidate fits the task when its score is at least this share of the best one's."""


@dataclass(frozen=True)
class Tried:
    """One candidate as it was measured; `refused` says why it cannot be the scenario."""

    question: Question
    score: float
    why: str
    seconds: float
    work: int
    statements: int
    refused: str = ""
    reaches: bool = False

    @property
    def figures(self) -> str:
        return f"{self.seconds * 1000:.0f} ms, work {self.work:,}"

    @property
    def slow(self) -> bool:
        return not self.refused and (self.seconds >= SLOW_SECONDS or self.work >= SLOW_WORK)


@dataclass(frozen=True)
class Search:
    """`chosen` is None where nothing slow was found."""

    tried: tuple[Tried, ...]
    chosen: Scenario | None
    why: str


SOURCE_SUFFIXES = (".php", ".py", ".js", ".ts", ".java", ".kt", ".rb", ".go")
MOST_SOURCE_BYTES = 8 << 20


def sources(tree: TreeReader, generated: Callable[[str], bool]) -> Mapping[str, str]:
    """The repository's own source files as text, up to 8 MiB in all."""
    texts: dict[str, str] = {}
    left = MOST_SOURCE_BYTES
    for path in tree.paths():
        if path.endswith(SOURCE_SUFFIXES) and not generated(path):
            content = tree.read(path) or b""
            left -= len(content)
            if left < 0:
                break
            texts[path] = content.decode("utf-8", "replace")
    return texts


def search(
    app: Application,
    task: str,
    texts: Mapping[str, str],
    as_user: str,
    headers: tuple[tuple[str, str], ...],
    say: Callable[[str], None],
    time_box: float = TIME_BOX_SECONDS,
    reaches: Reaches | None = None,
) -> Search:
    """Run the candidates for `task` on the grown data of `app`; of those that fit, the most work wins.

    With `reaches`, those fit whose captured queries it accepts, whatever the words. Raises UsageError where
    the stack knows nothing to ask.
    """
    routes = app.stack.routes(app.pod.app)
    commands = app.stack.commands(app.pod.app)
    if not routes and not commands:
        raise UsageError(
            "bedev knows no request and no command of this application, so it cannot look for a slow one.",
            where=f"stack: {app.stack.title}",
            next_step="Say what shows the problem: --http 'GET /path', --scenario CMD or --sql QUERY; or in "
            'the base commit\'s bedev.toml: [scenario] http = ["GET /path"]',
        )
    schema = app.engine.schema(app.admin, app.database.database)
    found = candidates(task, routes, commands, texts, schema, app.stack.console)
    # reading requests first; a command may write, so it comes after them and only where the task means it
    requests = [c for c in found if c.question.kind == "http" and c.question.method in ("GET", "HEAD")]
    meant = [c for c in found if c.question.kind == "command" and c.matches and reaches is None]
    app.serve(as_user, trace=reaches is not None)
    deadline = time.monotonic() + time_box
    tried: list[Tried] = []
    for candidate in (*requests, *meant):
        if time.monotonic() > deadline:
            break
        question = filled(app, candidate)
        if question is None:
            continue
        say(question.label)
        if question.kind == "command":
            tried.append(_try_command(app, candidate, question))
        else:
            tried.append(_try(app, candidate, question, headers, reaches))
    if reaches is not None:
        return _reaching(tried, as_user, headers)
    best = max((t.score for t in tried), default=0.0)
    fitting = [t for t in tried if t.slow and t.score >= FITS * best]
    if not fitting:
        why = "nothing slow fits the task" if tried else "no request of this application fits the task"
        if tried and all(t.refused for t in tried):
            why = f"every request that fits is refused: {tried[0].refused}"
        return Search(tuple(tried), None, why)
    # by what the server counted: the clock depends on what else the machine does
    chosen = max(fitting, key=lambda t: (t.work, t.seconds))
    if not any(c.matches for c in found):
        why = f"{chosen.figures}: no word of the task fits a request, so the one with the most work was taken"
        scenario = Scenario((chosen.question,), as_user, headers, brought_by="bedev")
        return Search(tuple(tried), scenario, why)
    why = f"{chosen.figures}: the most work of {len(tried)} tried that fit the task; {chosen.why}"
    return Search(tuple(tried), Scenario((chosen.question,), as_user, headers, brought_by="bedev"), why)


def _reaching(tried: Sequence[Tried], as_user: str, headers: tuple[tuple[str, str], ...]) -> Search:
    fitting = [t for t in tried if t.reaches and not t.refused]
    if not fitting:
        return Search(tuple(tried), None, f"none of {len(tried)} requests reaches the change")
    chosen = max(fitting, key=lambda t: (t.work, t.seconds))
    scenario = Scenario((chosen.question,), as_user, headers, brought_by="change")
    return Search(tuple(tried), scenario, f"{chosen.figures}; it reaches the change")


def filled(app: Application, candidate: CandidateScenario) -> Question | None:
    """The candidate with values that exist in the grown rows; None where there is none."""
    values: dict[str, str] = {}
    for name, table, column in candidate.parameters:
        value = _value(app, table, column)
        if value is None:
            return None
        values[name] = value
    return fill(candidate, values)


def _value(app: Application, table: str, column: str) -> str | None:
    """An existing value: of a column with few values the most frequent, else one from the middle."""
    from sqlglot import exp

    def quote(name: str) -> str:
        return str(exp.to_identifier(name, quoted=True).sql(dialect=app.engine.dialect))

    t, c = quote(table), quote(column)
    try:
        rows = app.admin.query(
            f"SELECT {c} FROM (SELECT {c} FROM {t} WHERE {c} IS NOT NULL LIMIT 20000) s"
            f" GROUP BY {c} ORDER BY COUNT(*) DESC, {c} LIMIT 50"
        ).rows
    except DatabaseError:
        return None
    if not rows:
        return None
    row = rows[0] if len(rows) < 50 else rows[25]
    return str(row[0])


def _try_command(app: Application, candidate: CandidateScenario, question: Question) -> Tried:
    """Run it once. A command that fails, or that writes rows, cannot be the scenario."""
    try:
        app.engine.settle(app.admin)
        before = app.counters()
        environment = app.stack.command_environment("")
        result = app.run(question.text, env=environment, timeout=COMMAND_SECONDS)
        used = app.counters().minus(before)
    except BedevError as error:
        return Tried(question, candidate.score, candidate.why, 0.0, 0, 0, error.what)
    refused = ""
    if not result.ok:
        refused = "it took too long" if result.timed_out else f"exit status {result.exit_code}"
    elif used.rows_written:
        refused = f"it writes {used.rows_written} rows"
    return Tried(
        question, candidate.score, candidate.why, result.seconds, work(used), used.statements or 0, refused
    )


def _try(
    app: Application,
    candidate: CandidateScenario,
    question: Question,
    headers: tuple[tuple[str, str], ...],
    reaches: Reaches | None,
) -> Tried:
    sent = (
        headers
        if any(n.lower() == "accept" for n, _ in headers)
        else (*headers, ("Accept", "application/json"))
    )
    request = HttpRequest(question.method, question.path, sent)
    try:
        app.request(request)
        app.engine.settle(app.admin)
        before = app.counters()
        response = app.request(request)
        used = app.counters().minus(before)
        reached = False
        if reaches is not None:
            _, statements, traced = app.capture(lambda: app.request(request))
            reached = reaches(statements, traced)
    except BedevError as error:
        return Tried(question, candidate.score, candidate.why, 0.0, 0, 0, error.what)
    answer = compare.http_answer(response.status, response.headers, response.body)
    refused = compare.refusal(answer) or ""
    if not refused and response.status >= 400:
        refused = f"it answers {response.status}"
    return Tried(
        question,
        candidate.score,
        candidate.why,
        response.seconds,
        work(used),
        used.statements or 0,
        refused,
        reached,
    )
