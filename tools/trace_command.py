"""trace_command: what a request, a command or a statement does to the database, beside base."""

from __future__ import annotations

import time
from dataclasses import replace

from bedev.sandboxes.errors import DatabaseError, UsageError
from bedev.tools.database.statement import one_statement
from bedev.tools.scenarios import compare, trace_words
from bedev.tools.scenarios.answers import MATTERING_HEADERS
from bedev.tools.scenarios.ask import ask, float_columns, writes
from bedev.tools.scenarios.compare import Answer
from bedev.tools.scenarios.measured import Measured, measure_question
from bedev.tools.scenarios.scenario import Question, Scenario, as_user_value, http_question, plain_question
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Known, Workbench, reported
from pydantic import Field

MOST_QUESTIONS = 8
SITES_OF_MANY = 5
SHOWN = 6_000
MOST_PLANS = 3
WORTH_A_PLAN = 500
"""Rows examined from which on a query's plan is looked at."""
NOBODY = "nobody"


class Input(ToolInput):
    http: str = Field("", description="GET /api/users?page=2")
    body: str = Field("", description="of the request")
    command: str = ""
    sql: str = ""
    as_user: str = Field("", description="users:1; 'nobody'; the scenario's when left out")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    questions = asked_for(bench, given.http, given.body, given.command, given.sql)
    scenario = as_somebody(bench.scenario, given.as_user)
    notes = bench.ready()
    blocks, briefs = [], []
    for question in questions[:MOST_QUESTIONS]:
        text, brief = _trace(bench, question, scenario, many=len(questions) > 1)
        blocks.append(text)
        briefs.append(brief)
    if len(questions) > MOST_QUESTIONS:
        blocks.append(f"[{len(questions) - MOST_QUESTIONS} more questions: trace them one by one]")
    return ToolResult(notes + bench.bounded("\n\n".join(blocks), limit=SHOWN), "; ".join(briefs)[:300])


def asked_for(bench: Workbench, http: str, body: str, command: str, sql: str) -> tuple[Question, ...]:
    """The question that an input names, or the scenario's. Raises ToolFailed."""
    given = [name for name, value in (("http", http), ("command", command), ("sql", sql)) if value.strip()]
    if len(given) > 1:
        raise ToolFailed(f"Give one of http, command and sql, not {' and '.join(given)}.")
    if http.strip():
        try:
            question = http_question(http, body)
        except UsageError:
            raise ToolFailed(
                f"{http!r} is no request. Write a method and a path that begins with a slash, without host "
                "and without spaces: GET /api/users?email=a%40b.c"
            ) from None
        return (question,)
    if command.strip():
        return (plain_question("command", command),)
    if sql.strip():
        return (plain_question("sql", one_statement(sql, bench.app.engine.dialect)),)
    if not bench.scenario.questions:
        raise ToolFailed("This run has no scenario: give http, command or sql.")
    return bench.scenario.questions


def as_somebody(scenario: Scenario, as_user: str) -> Scenario:
    """The scenario asked by this user. Raises ToolFailed for what names none."""
    if not as_user:
        return scenario
    try:
        user = "" if as_user == NOBODY else as_user_value(as_user)
    except UsageError:
        raise ToolFailed(f"{as_user!r} names no user: write the table and the id, users:1.") from None
    return replace(scenario, as_user=user)


def _trace(bench: Workbench, question: Question, scenario: Scenario, many: bool) -> tuple[str, str]:
    app = bench.serving(scenario.as_user) if question.kind == "http" else bench.app
    known = _known(bench, question, scenario)
    repeat = known is not None or question.kind != "command"
    now = measure_question(app, question, scenario, repeat=repeat, rows=True)
    if now.wrote:
        bench.touched = "what was traced had written to the database"
    lines = [f"{question.label} -> {trace_words.answer_words(now.answer)}"]
    lines += _answer_lines(bench, now, many)
    compared, brief = _beside_base(bench, question, scenario, now, known)
    lines += compared
    lines.append(now.work_words)
    if now.workload:
        most = SITES_OF_MANY if many else trace_words.MOST_SITES
        lines += trace_words.call_sites(now, lambda q: bench.name_query(q.fingerprint, q.example_sql), most)
        lines += _plan_findings(bench, now)
        lines += trace_words.repeated(now.workload)
    else:
        lines.append("it sent no query")
    return "\n".join(lines), f"{question.label}: {brief}"


def _plan_findings(bench: Workbench, now: Measured) -> list[str]:
    """What the plans of the dearest queries show, by estimates: they are not run again for it."""
    app, lines = bench.app, []
    session = app.reader()
    try:
        for query in trace_words.dearest(now.workload)[:MOST_PLANS]:
            if (query.rows_examined or 0) < WORTH_A_PLAN or query.writes:
                continue
            name = bench.name_query(query.fingerprint, query.example_sql)
            try:
                findings = app.engine.explain(session, query.example_sql, analyze=False).findings
            except DatabaseError:
                continue
            # what follows the semicolon is an estimate of how many rows are kept
            words = ((f.id, f.words.partition(";")[0]) for f in findings if f.id != "bad-estimate")
            lines += [f"{name} {finding}: {said}" for finding, said in words]
    finally:
        session.close()
    return lines


def _answer_lines(bench: Workbench, now: Measured, many: bool) -> list[str]:
    told = now.answer.header("X-Bedev-Error")
    if told:
        return [f"[{told}: give as_user another row]"]
    lines = []
    head = "" if many and now.answer.status < 400 else trace_words.body_head(now.answer, bench.mask)
    if head:
        lines.append(head)
    if now.answer.status >= 500:
        lines.append(trace_words.log_words(bench.app.server_log()))
    return lines


def _known(bench: Workbench, question: Question, scenario: Scenario) -> Known | None:
    if scenario.as_user != bench.scenario.as_user:
        return None
    return next((k for k in bench.known if k.question == question), None)


def _beside_base(
    bench: Workbench, question: Question, scenario: Scenario, now: Measured, known: Known | None
) -> tuple[list[str], str]:
    """The comparison with base, and one line of it. Base's copy is opened only where it has to be asked."""
    if not bench.edits:
        figures = f"queries {now.queries}, work {now.work:,}, {now.seconds * 1000:.0f} ms"
        return [f"{figures} (nothing is edited yet: this is base)"], figures
    if known is None:
        app = bench.base_serving(scenario.as_user) if question.kind == "http" else bench.base_app
        measured = measure_question(app, question, scenario, repeat=question.kind != "command")
        if measured.wrote:
            app.fresh_database()
        known = Known.of(measured)
    figures = trace_words.beside(known.queries, known.work, known.seconds, now)
    return [figures, f"answer: {_compared(bench, question, scenario, known.answer, now.answer)}"], figures


def _compared(bench: Workbench, question: Question, scenario: Scenario, base: Answer, now: Answer) -> str:
    ordered = question.kind != "sql" or "order by" in question.text.lower()
    if compare.compare(base, now, ordered=ordered) is None:
        return "same as base"
    floats = float_columns(bench.app)
    answers = [base]
    if not writes(question) and question.kind != "command":
        answers += _again(bench, question, scenario)
    mask = compare.volatile(answers)
    difference = compare.compare(base, now, mask, ordered=ordered, floats=floats)
    volatile = [w for w in mask.words if not w.startswith("header ") or w[7:] in MATTERING_HEADERS]
    but = f", but for what differs between runs of base: {', '.join(volatile)[:200]}" if volatile else ""
    if mask.whole_body:
        return "cannot be compared: no two runs of base agree"
    if difference is None:
        return f"same as base{but}"
    words = trace_words.difference_words(difference, now.kind, bench.mask)
    once = "" if len(answers) > 1 else " (base was asked once: ids and times may differ by nature)"
    return f"DIFFERS from base{but}: {words}{once}"


def _again(bench: Workbench, question: Question, scenario: Scenario) -> list[Answer]:
    """Two more answers of base, in different seconds: a clock in them must not look constant."""
    app = bench.base_serving(scenario.as_user) if question.kind == "http" else bench.base_app
    answers = [ask(app, question, scenario)[0]]
    time.sleep(1.02)
    return [*answers, ask(app, question, scenario)[0]]


TOOL: Tool[Workbench] = Tool(
    name="trace_command",
    description="What a request, command or SELECT does: its queries by call site with rows examined, N+1, "
    "work and answer compared with base. Without input: the scenario.",
    input=Input,
    example={"http": "GET /api/users?page=2", "as_user": "users:1"},
    run=run,
)
