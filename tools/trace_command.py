"""trace_command: what a request, a command or a statement does to the database, beside base."""

from __future__ import annotations

import time
from dataclasses import replace

from bedev.sandboxes.application import Application
from bedev.sandboxes.errors import DatabaseError, UsageError
from bedev.tools.database.statement import one_statement
from bedev.tools.database.workload import Workload
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
    http: str | list[str] = Field(
        "", description="GET /api/users?page=2; or several, each compared in one line"
    )
    body: str = Field("", description="of the request")
    command: str = ""
    sql: str = ""
    as_user: str = Field("", description="users:1; 'nobody'; the scenario's when left out")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    if isinstance(given.http, list):
        return _neighbours(bench, given, given.http)
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


def _neighbours(bench: Workbench, given: Input, requests: list[str]) -> ToolResult:
    """Several requests, each in one line beside base: who looks after one may have harmed another."""
    left_out, requests = requests[MOST_QUESTIONS:], requests[:MOST_QUESTIONS]
    if given.command or given.sql:
        raise ToolFailed("Give one of http, command and sql.")
    questions = [q for http in requests for q in asked_for(bench, http, given.body, "", "")]
    scenario = as_somebody(bench.scenario, given.as_user)
    notes, lines = bench.ready(), []
    for question in questions:
        now = measure_question(bench.serving(scenario.as_user), question, scenario, rows=False)
        _note_writes(bench, now)
        known = _base_of(bench, question, scenario)
        if known is None:
            told = trace_words.figures(now)
        else:
            same = _compared(bench, question, scenario, known.answer, now.answer)
            told = f"{_figures_beside(known, now).removeprefix('base -> workspace: ')}; answer {same}"
        lines.append(f"{question.label} -> {now.answer.status}: {told}")
        if now.wrote:
            lines[-1] += f" [wrote {', '.join(now.wrote)}]"
            notes += bench.ready()
    if left_out:
        lines.append(f"[{MOST_QUESTIONS} at once: not asked: {', '.join(left_out)[:300]}]")
    head = ["base -> workspace:"] if bench.edits else ["nothing is edited yet: this is base"]
    return ToolResult(notes + bench.bounded("\n".join([*head, *lines]), limit=SHOWN), "; ".join(lines)[:300])


def _trace(bench: Workbench, question: Question, scenario: Scenario, many: bool) -> tuple[str, str]:
    app = bench.serving(scenario.as_user) if question.kind == "http" else bench.app
    known = _known(bench, question, scenario)
    repeat = known is not None or question.kind != "command"
    now = measure_question(app, question, scenario, repeat=repeat, rows=question.kind != "sql")
    known = _base_of(bench, question, scenario, rows=question.kind != "sql")
    lines = [f"{question.label} -> {trace_words.answer_words(now.answer)}"]
    if known is None:
        brief = trace_words.figures(now)
        compared = [brief if question.kind == "sql" else f"{brief} (nothing is edited yet: this is base)"]
        same = False
    else:
        brief = _figures_beside(known, now)
        said = _compared(bench, question, scenario, known.answer, now.answer)
        compared, same = [brief, f"answer: {said}"], said.startswith("same")
    lines += [*_answer_lines(bench, now, many or same), *compared]
    lines.append(now.work_words)
    if not now.workload:
        lines.append("it sent no query")
    elif question.kind == "sql":
        lines += _plan_findings(bench, now, known)
    else:
        most = SITES_OF_MANY if many else trace_words.MOST_SITES
        base = known.workload if known is not None else ()
        lines += trace_words.call_sites(
            now, lambda q: bench.name_query(q.fingerprint, q.example_sql), most, base
        )
        lines += _plan_findings(bench, now, known)
        lines += trace_words.repeated(now.workload)
    if now.wrote:
        lines.append(f"wrote {', '.join(now.wrote)}: the next tool that measures takes a fresh clone")
    _note_writes(bench, now)
    return "\n".join(lines), f"{question.label}: {brief}"


def _note_writes(bench: Workbench, now: Measured) -> None:
    if now.wrote:
        bench.touched = f"what was traced had written to {', '.join(now.wrote)}"


Found = dict[tuple[str, str, str], str]
"""Words about what a plan shows, by fingerprint, finding and table."""


def _plan_findings(bench: Workbench, now: Measured, known: Known | None) -> list[str]:
    """What the plans of the dearest queries show, by estimates: they are not run again for it. Beside base:
    what is new, what was there, what is gone."""
    workload = known.workload if known is not None else ()
    shapes = {*_dear(now.workload), *_dear(workload)}
    found = _found(bench.app, now.workload, shapes)
    base: Found = {}
    if workload:
        base = _found(bench.base_app if bench.migrations else bench.app, workload, shapes)
    stayed, gone = _matched(found, base)
    names = {q.fingerprint: bench.name_query(q.fingerprint, q.example_sql) for q in now.workload}
    lines = []
    for key, words in found.items():
        named = "" if now.question.kind == "sql" else f"{names[key[0]]} "
        told = "" if not workload else " (as on base)" if key in stayed else " (new)"
        lines.append(f"{named}{key[1]}: {words}{told}")
    return [*lines, *(f"gone: {key[1]}: {base[key]}" for key in gone)]


def _matched(found: Found, base: Found) -> tuple[set[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Which findings base has too, and those that base alone has. A query that was rewritten keeps a finding
    that is of the same kind on the same table."""
    stayed = {key for key in found if key in base}
    gone = [key for key in base if key not in found]
    for key in found:
        twin = next((g for g in gone if g[1:] == key[1:]), None)
        if key not in stayed and twin is not None:
            stayed.add(key)
            gone.remove(twin)
    return stayed, gone


def _dear(workload: Workload) -> list[str]:
    """Fingerprints of reading queries that examine many rows, or of which nobody counted them (a statement
    given as SQL, whose only query it is)."""
    counted = [q for q in trace_words.dearest(workload) if (q.rows_examined or 0) >= WORTH_A_PLAN]
    alone = [q for q in workload if len(workload) == 1 and q.rows_examined is None]
    return [q.fingerprint for q in (*counted[:MOST_PLANS], *alone) if not q.writes]


def _found(app: Application, workload: Workload, shapes: set[str]) -> Found:
    found: Found = {}
    session = app.reader()
    try:
        for query in trace_words.dearest(workload):
            if query.fingerprint not in shapes:
                continue
            try:
                findings = app.engine.explain(session, query.example_sql, analyze=False).findings
            except DatabaseError:
                continue
            for finding in findings:
                if finding.id != "bad-estimate":
                    # what follows the semicolon is an estimate of how many rows are kept
                    key = (query.fingerprint, finding.id, finding.table)
                    found.setdefault(key, finding.words.partition(";")[0])
    finally:
        session.close()
    return found


def _answer_lines(bench: Workbench, now: Measured, brief: bool) -> list[str]:
    told = now.answer.header("X-Bedev-Error")
    if told:
        return [f"[{told}: give as_user another row]"]
    lines = []
    head = "" if brief and now.answer.status < 400 else trace_words.body_head(now.answer, bench.mask)
    if head:
        lines.append(head)
    if now.answer.status >= 500:
        lines.append(trace_words.log_words(bench.app.server_log()))
    return lines


def _known(bench: Workbench, question: Question, scenario: Scenario) -> Known | None:
    if scenario.as_user != bench.scenario.as_user:
        return None
    return next((k for k in bench.known if k.question == question), None)


def _base_of(bench: Workbench, question: Question, scenario: Scenario, rows: bool = False) -> Known | None:
    """What base does, None where nothing is edited. Base's copy is opened only where it has to be asked."""
    if not bench.edits:
        return None
    known = _known(bench, question, scenario)
    if known is not None:
        return known
    app = bench.base_serving(scenario.as_user) if question.kind == "http" else bench.base_app
    measured = measure_question(app, question, scenario, repeat=question.kind != "command", rows=rows)
    if measured.wrote:
        app.fresh_database()
    return Known.of(measured)


def _figures_beside(known: Known, now: Measured) -> str:
    base = trace_words.BaseFigures(known.queries, known.work, known.seconds, known.statements)
    return trace_words.beside(base, now)


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
    description="What a request, command or SELECT does: queries by call site, rows examined, N+1, work and "
    "answer beside base. Without input: the scenario.",
    input=Input,
    example={"http": "GET /api/users?page=2", "as_user": "users:1"},
    run=run,
)
