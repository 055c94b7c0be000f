"""Asking one question of a running copy: its answer, what the server counted, which queries it sent.

All figures come from the probe and the database server. The gate asks two copies so, the tools the workspace.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bedev.sandboxes.application import TRACE_FILE, Application
from bedev.sandboxes.engines.engine import Counters, Statement, work
from bedev.sandboxes.sandbox import HttpRequest
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.scenarios import compare
from bedev.tools.scenarios.compare import Answer
from bedev.tools.scenarios.scenario import Question, Scenario


def ask(
    app: Application, question: Question, scenario: Scenario, *, trace_file: str = ""
) -> tuple[Answer, float]:
    """One answer and the wall seconds it took (probe's clock; the host's for a command). With `trace_file` a
    command writes the call sites of its queries there; a request's server was started with a trace or not."""
    if question.kind == "http":
        headers = list(scenario.headers)
        if not any(name.lower() == "accept" for name, _ in headers):
            headers.append(("Accept", "application/json"))
        body = question.body.encode()
        if body and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
        response = app.request(HttpRequest(question.method, question.path, tuple(headers), body))
        return compare.http_answer(response.status, response.headers, response.body), response.seconds
    if question.kind == "command":
        answers = "/tmp/bedev-answers"
        app.pod.app.remove_file(answers)
        environment = {**app.stack.command_environment(trace_file), "BEDEV_ANSWERS": answers}
        result = app.run(question.text, env=environment)
        written = app.pod.app.read_file(answers)
        output = written if written is not None else result.stdout.text.encode()
        if not output.strip() and not result.ok:
            output = result.stderr.text.encode()
        return compare.command_answer(
            -1 if result.exit_code is None else result.exit_code, output
        ), result.seconds
    session = app.reader()
    try:
        rows = session.query(question.text, max_rows=100_000, timeout=300)
    finally:
        session.close()
    return compare.sql_answer(rows.columns, rows.rows), rows.seconds


def counted(app: Application, question: Question, scenario: Scenario) -> Counters:
    """What the server counted for one question: the smaller of two runs (the first may warm something)."""
    _, first = counted_once(app, question, scenario)
    # What wrote nothing leaves no background work behind, and waiting for none can take seconds.
    _, second = counted_once(app, question, scenario, settle=first.rows_written != 0)
    return min(first, second, key=work)


def counted_once(
    app: Application, question: Question, scenario: Scenario, *, settle: bool = True
) -> tuple[Answer, Counters]:
    """One answer, and what the server counted meanwhile. `settle` waits for background work first."""
    if settle:
        app.engine.settle(app.admin)
    before = app.counters()
    answer, _ = ask(app, question, scenario)
    return answer, of_question(app.counters().minus(before), question)


def of_question(counters: Counters, question: Question) -> Counters:
    """An SQL question is one statement, which the server's counters leave out: the reader sent it, not the
    application."""
    return replace(counters, statements=1) if question.kind == "sql" else counters


def captured(
    app: Application, question: Question, scenario: Scenario
) -> tuple[float, tuple[Statement, ...], tuple[TracedQuery, ...]]:
    """Ask once under capture: seconds, what the server received, and the application's call sites."""
    _, seconds, statements, traced = observed(app, question, scenario)
    return seconds, statements, traced


def observed(
    app: Application, question: Question, scenario: Scenario
) -> tuple[Answer, float, tuple[Statement, ...], tuple[TracedQuery, ...]]:
    """The same with the answer. An SQL question is its own statement: the probe sends it as the reader, not
    as the application."""
    if question.kind == "sql":
        answer, seconds = ask(app, question, scenario)
        return answer, seconds, (Statement(question.text, 0),), ()
    (answer, seconds), statements, traced = app.capture(
        partial(ask, app, question, scenario, trace_file=TRACE_FILE)
    )
    return answer, seconds, statements, traced


def refusal(answer: Answer) -> str:
    """Why base's answer to the scenario's own question cannot be compared; empty where it can."""
    if answer.kind == "command" and answer.exit != 0:
        said = " ".join(answer.output.decode("utf-8", "replace").split())[:200]
        return f"exit status {answer.exit}" + (f": {said}" if said else "")
    if answer.kind == "http" and answer.status == 404:
        return "404 (not found): see its path (php artisan route:list) and the values in it"
    return compare.refusal(answer) or ""


def writes(question: Question) -> bool:
    """Whether asking it twice could change the second answer."""
    return question.kind == "http" and question.method not in ("GET", "HEAD", "OPTIONS")


def float_columns(app: Application) -> frozenset[str]:
    """Columns whose last digit is the machine's business: there a sum may differ in it."""
    schema = app.engine.schema(app.admin, app.database.database)
    return frozenset(
        c.name for t in schema.tables for c in t.columns if c.base_type in ("float", "double", "real")
    )
