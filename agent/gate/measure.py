"""Asking questions on both sides: answers, counters, wall time. All figures come from probe and server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bedev.agent.gate.case import Asked, Beside, Case, DataSetResult, Timing, Watcher
from bedev.agent.gate.checks.faster import pairs_for
from bedev.agent.gate.server_log import error_line, since
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataFacts
from bedev.sandboxes.engines.engine import Column, Counters, Statement, work
from bedev.sandboxes.errors import BedevError, DatabaseError, SandboxBroken, UsageError
from bedev.sandboxes.patterns import matches
from bedev.tools.scenarios import compare
from bedev.tools.scenarios.ask import ask, captured, counted, counted_once, float_columns, refusal, writes
from bedev.tools.scenarios.compare import Answer
from bedev.tools.scenarios.neighbours import Neighbour, neighbours
from bedev.tools.scenarios.parameters import (
    Parameter,
    absent_value,
    count_query,
    find_parameters,
    substitute,
    value_queries,
)
from bedev.tools.scenarios.scenario import Question, Scenario
from bedev.tools.scenarios.search import sources

__all__ = ["ask", "captured", "counted", "refusal"]

BASE_RUNS = 3
"""Base is asked this often, in different seconds, to find what is volatile in its own answer."""
VALUES = 4
TIME_BOX_SECONDS = 240.0


def first_answer(app: Application, question: Question, scenario: Scenario) -> Answer:
    """Ask the scenario's own question. Raises UsageError where the server refuses the SQL itself."""
    try:
        return ask(app, question, scenario)[0]
    except DatabaseError as error:
        raise UsageError(
            f"The database refuses the scenario's SQL: {error.what}",
            where=question.label,
            next_step="--sql takes one reading statement for the schema of base.",
        ) from error


def prepare(app: Application, scenario: Scenario, trace: bool = False) -> None:
    if any(q.kind == "http" for q in scenario.questions):
        app.serve(scenario.as_user, trace)


def variants(
    app: Application, scenario: Scenario, seed: int
) -> tuple[tuple[Question, ...], tuple[Parameter, ...], list[str]]:
    """The scenario's questions with values that this data set's own rows give, and one absent value.

    A value that base binds to a column is a parameter of that column. Returns questions, parameters, and
    words about each for people.
    """
    schema = app.engine.schema(app.admin, app.database.database)
    questions: list[Question] = []
    found: list[Parameter] = []
    words: list[str] = []
    for question in scenario.questions:
        questions.append(question)
        _, statements, _ = captured(app, question, scenario)
        for parameter in find_parameters(question, statements, schema, app.engine.dialect):
            found.append(parameter)
            values = _values(app, parameter, seed)
            table = schema.table(parameter.table)
            column = table.column(parameter.column) if table else None
            absent = _absent(app, parameter, column, seed) if column is not None else None
            words.append(
                f"{parameter.name} is {parameter.table}.{parameter.column}: {len(values)} values"
                f"{' and one absent' if absent is not None else ''}"
            )
            if absent is not None:
                values.append(absent)
            questions.extend(substitute(question, parameter, v, app.engine.dialect) for v in values)
    unique = {(q.kind, q.text, q.body): q for q in questions}
    return tuple(unique.values()), tuple(found), words


def _values(app: Application, parameter: Parameter, seed: int) -> list[str]:
    values: list[str] = []
    for sql in value_queries(parameter, seed, app.engine.dialect):
        rows = app.admin.query(sql, max_rows=VALUES)
        values.extend(str(row[0]) for row in rows.rows if row[0] is not None)
    return list(dict.fromkeys(values))[: VALUES + 1]


def _absent(app: Application, parameter: Parameter, column: Column, seed: int) -> str | None:
    for attempt in range(5):
        value = absent_value(parameter, column, seed, attempt)
        if value is None:
            return None
        if not app.admin.query(count_query(parameter, value, app.engine.dialect)).scalar:
            return value
    return None


def both(
    base: Application,
    patch: Application,
    case: Case,
    facts: DataFacts,
    name: str,
    seed: int,
    watcher: Watcher,
) -> DataSetResult | None:
    """Ask every question on both sides of one data set. Notes in `case.missing` what could not be asked."""
    scenario = case.scenario
    assert scenario is not None
    with ThreadPoolExecutor(2) as pool:
        for ready in [pool.submit(prepare, side, scenario) for side in (base, patch)]:
            ready.result()
    if any(writes(q) for q in scenario.questions):
        case.missing.append("the scenario writes; this version measures reading requests only")
        return None
    _open_tables(patch)
    for question in scenario.questions:
        answer = first_answer(base, question, scenario)
        refused = refusal(answer)
        if refused:
            if told := answer.header("X-Bedev-Error"):
                raise UsageError(
                    f"--as {scenario.as_user}: {told}.", next_step="Name a row that the seeded data has."
                )
            case.missing.append(f"base answers {question.label} with {refused}")
    if case.missing:
        return None
    questions, _, words = variants(base, scenario, seed)
    answers = _base_answers(base, questions, scenario, case, name, watcher)
    floats = float_columns(base)
    asked = []
    for question, runs in answers.items():
        watcher.say(f"{name} data: {question.label}")
        asked.append(_ask_patch(base, patch, question, runs, scenario, floats))
    return DataSetResult(name, facts, tuple(asked), tuple(words))


def _base_answers(
    base: Application,
    questions: Sequence[Question],
    scenario: Scenario,
    case: Case,
    name: str,
    watcher: Watcher,
) -> dict[Question, list[Answer]]:
    """Base's answers to each question, several times in rounds that begin in different seconds: a clock in
    an answer must not look constant. Values beyond the time box are left out, and that is noted."""
    answers: dict[Question, list[Answer]] = {}
    deadline = time.monotonic() + TIME_BOX_SECONDS
    for number in range(BASE_RUNS):
        began = time.time()
        watcher.say(f"{name} data: {len(questions)} questions on base, round {number + 1} of {BASE_RUNS}")
        for question in questions if number == 0 else list(answers):
            if number == 0 and answers and time.monotonic() > deadline:
                case.notes.append(f"{len(questions) - len(answers)} further values on {name} data: no time")
                break
            answers.setdefault(question, []).append(ask(base, question, scenario)[0])
        if number < BASE_RUNS - 1:
            time.sleep(max(0.0, 1.02 - (time.time() - began)))
    return answers


def _ask_patch(
    base: Application,
    patch: Application,
    question: Question,
    answers: Sequence[Answer],
    scenario: Scenario,
    floats: frozenset[str],
) -> Asked:
    # the patch's very first ask counts: an answer that it keeps for ever would cost nothing the second time
    cold = Counters()
    log = patch.server_log()
    try:
        patched, cold = counted_once(patch, question, scenario)
    except (DatabaseError, SandboxBroken) as error:
        patched = compare.failed_answer(str(error))
    mask = compare.volatile(answers)
    ordered = question.kind != "sql" or "order by" in question.text.lower()
    difference = compare.compare(answers[0], patched, mask, ordered=ordered, floats=floats)
    return Asked(
        question,
        tuple(answers),
        patched,
        difference,
        mask.words,
        not mask.whole_body,
        counted(base, question, scenario),
        cold,
        compare.is_empty(answers[0]),
        said=error_line(since(log, patch.server_log())) if (patched.status or 0) >= 500 else "",
    )


def _open_tables(app: Application) -> None:
    """Let the server open every table once: what it reads of its own dictionary is not the patch's work."""
    from sqlglot import exp

    for table in app.engine.schema(app.admin, app.database.database).tables:
        name = exp.to_identifier(table.name, quoted=True).sql(dialect=app.engine.dialect)
        app.admin.query(f"SELECT 1 FROM {name} LIMIT 1")


def timed(base: Application, patch: Application, scenario: Scenario, asked: Sequence[Asked]) -> Timing | None:
    """Interleaved pairs of the question that costs base most; their number is fixed beforehand. Nothing is
    timed where base shows nothing: an empty answer's time is the framework's own."""
    if all(a.empty for a in asked):
        return None
    question = max(asked, key=lambda a: a.base_work).question
    times: dict[str, list[float]] = {"base": [], "patch": []}
    try:
        _, first = ask(base, question, scenario)
        ask(patch, question, scenario)
        for number in range(pairs_for(first)):
            order = ("base", "patch") if number % 2 == 0 else ("patch", "base")
            for side in order:
                _, seconds = ask(base if side == "base" else patch, question, scenario)
                times[side].append(max(seconds, 1e-6))
    except BedevError:
        return None
    return Timing(question, tuple(times["base"]), tuple(times["patch"]))


def beside(base: Application, patch: Application, case: Case, watcher: Watcher) -> tuple[Beside, ...]:
    """Other requests of the application on both sides: their answers, and what the server counted."""
    scenario = case.scenario
    assert scenario is not None
    recipe = case.brought.recipe
    texts = sources(case.base_tree, lambda path: matches(path, recipe.generated))
    found = neighbours(base, texts, scenario, watcher.say)
    results: list[Beside] = []
    for as_user in dict.fromkeys(n.as_user for n in found):
        asked = [n for n in found if n.as_user == as_user]
        with ThreadPoolExecutor(2) as pool:
            for ready in [pool.submit(side.serve, as_user) for side in (base, patch)]:
                ready.result()
        first = {n: ask(base, n.question, scenario)[0] for n in asked}
        time.sleep(1.02)
        for neighbour in asked:
            watcher.say(f"beside the scenario: {neighbour.label}")
            results.append(_beside(base, patch, neighbour, first[neighbour], scenario))
    return tuple(results)


def _beside(
    base: Application, patch: Application, neighbour: Neighbour, first: Answer, scenario: Scenario
) -> Beside:
    question = neighbour.question
    again, base_counters = counted_once(base, question, scenario)
    try:
        answer, patch_counters = counted_once(patch, question, scenario)
        if work(patch_counters) > work(base_counters):
            patch_counters = min(patch_counters, counted_once(patch, question, scenario)[1], key=work)
    except BedevError as error:
        return Beside(neighbour.label, work(base_counters), 0, f"it fails: {error.what}")
    mask = compare.volatile([first, again])
    difference = None
    if not mask.whole_body:
        difference = compare.compare(first, answer, mask, floats=float_columns(base))
    return Beside(
        neighbour.label,
        work(base_counters, patch_counters),
        work(patch_counters, base_counters),
        difference.words if difference else "",
    )


def explained(app: Application, statements: Sequence[Statement], limit: int = 3) -> tuple:  # type: ignore[type-arg]
    """Plans of the distinct SELECTs among `statements`, most frequent first."""
    from bedev.tools.database.workload import fingerprint

    by_shape: dict[str, list[str]] = {}
    for statement in statements:
        if statement.sql.lstrip("( ").lower().startswith(("select", "with")):
            by_shape.setdefault(fingerprint(statement.sql, app.engine.dialect), []).append(statement.sql)
    plans = []
    for sqls in sorted(by_shape.values(), key=len, reverse=True)[: limit * 3]:
        try:
            plans.append(app.engine.explain(app.admin, sqls[0]))
        except DatabaseError:
            continue
    plans.sort(key=lambda p: -sum(f.rows for f in p.findings))
    return tuple(plans[:limit])
