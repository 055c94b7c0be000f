"""Other requests of the application: a patch for one must not break or slow them.

They are what the finder of scenarios knows without a task: reading routes with values that exist in the
rows, those behind a login asked as a first and as a last user.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import Schema
from bedev.sandboxes.errors import BedevError, DatabaseError
from bedev.tools.scenarios import compare
from bedev.tools.scenarios.ask import ask
from bedev.tools.scenarios.find import candidates
from bedev.tools.scenarios.scenario import Question, Scenario
from bedev.tools.scenarios.search import filled

MOST = 16
TIME_BOX_SECONDS = 20.0
USER_TABLES = ("users", "user", "auth_user", "accounts", "members", "customers")


@dataclass(frozen=True)
class Neighbour:
    """A request beside the scenario, and as whom it is asked (`TABLE:ID`, '' for nobody)."""

    question: Question
    as_user: str

    @property
    def label(self) -> str:
        return f"{self.question.label} as {self.as_user}" if self.as_user else self.question.label


def neighbours(
    app: Application, texts: Mapping[str, str], scenario: Scenario, say: Callable[[str], None]
) -> tuple[Neighbour, ...]:
    """Requests that `app` (base) answers with success, besides the scenario's; at most MOST, inside a time
    box. Leaves the server running as somebody: serve again before anything is measured."""
    asked = {q.text for q in scenario.questions}
    routes = app.stack.routes(app.pod.app)
    behind = {r.path.strip("/") for r in routes if r.needs_login}
    schema = app.engine.schema(app.admin, app.database.database)
    found = candidates("", routes, (), texts, schema, app.stack.console)
    questions: list[tuple[Question, bool]] = []
    for candidate in found:
        question = filled(app, candidate)
        if question is None or question.kind != "http" or question.method != "GET" or question.text in asked:
            continue
        questions.append((question, question.path.split("?")[0].strip("/") in behind))
    users = (scenario.as_user,) if scenario.as_user else _users(app, schema)
    plans = [("", [q for q, login in questions if not login])]
    plans += [(user, [q for q, login in questions if login]) for user in users]
    deadline = time.monotonic() + TIME_BOX_SECONDS
    kept: list[Neighbour] = []
    for as_user, wanted in plans:
        if wanted and len(kept) < MOST:
            kept += _answered(app, wanted, as_user, scenario, deadline, MOST - len(kept), say)
    return tuple(kept)


def _answered(
    app: Application,
    questions: Sequence[Question],
    as_user: str,
    scenario: Scenario,
    deadline: float,
    most: int,
    say: Callable[[str], None],
) -> list[Neighbour]:
    app.serve(as_user)
    kept: list[Neighbour] = []
    for question in questions:
        if len(kept) >= most or time.monotonic() > deadline:
            break
        say(f"beside the scenario: {question.label}")
        try:
            answer, _ = ask(app, question, scenario)
        except BedevError:
            continue
        if not compare.refusal(answer) and answer.status < 400:
            kept.append(Neighbour(question, as_user))
    return kept


def _users(app: Application, schema: Schema) -> tuple[str, ...]:
    """The first and the last user, where a table is one of users by its name and has a key of one number."""
    from sqlglot import exp

    for name in USER_TABLES:
        table = schema.table(name)
        if table is None or len(table.primary_key) != 1:
            continue
        key = exp.to_identifier(table.primary_key[0], quoted=True).sql(dialect=app.engine.dialect)
        of = exp.to_identifier(table.name, quoted=True).sql(dialect=app.engine.dialect)
        try:
            low, high = app.admin.query(f"SELECT MIN({key}), MAX({key}) FROM {of}").rows[0]
        except (DatabaseError, IndexError):
            continue
        return tuple(dict.fromkeys(f"{table.name}:{value}" for value in (low, high) if value is not None))
    return ()
