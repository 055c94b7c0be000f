"""What opens a conversation: the task and what base measures, in brief. And the notes that open another one
where the first is full."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bedev.agent.baseline import Baseline
from bedev.agent.desk import Desk
from bedev.agent.gate.proof import Proof
from bedev.agent.report.encode import one_line
from bedev.agent.subject import Subject
from bedev.sandboxes.application import TestRun
from bedev.sandboxes.data import DataFacts
from bedev.sandboxes.engines.engine import Plan
from bedev.sandboxes.patterns import matches
from bedev.tools.database.fingerprint import fingerprint
from bedev.tools.database.plan_tree import draw
from bedev.tools.database.workload import WorkloadQuery
from bedev.tools.scenarios.scenario import Scenario
from bedev.tools.scenarios.search import SOURCE_SUFFIXES

MOST_QUERIES = 8
MOST_PLAN_LINES = 14
MOST_TABLES = 3
MOST_SITES = 6
MOST_FILES = 3
MOST_RELATED_LINES = 120
AROUND = 14
AFTER = 6
WHOLE = 60
"""A file of at most so many lines is shown whole."""


def opening(
    task: str,
    subject: Subject,
    facts: DataFacts,
    scenario: Scenario,
    why: str,
    baseline: Baseline,
    plans: Sequence[Plan],
    tests: TestRun | None,
    looked: Sequence[tuple[str, str]] = (),
) -> str:
    """The first message: everything that was measured before the first edit. `looked` are titles and texts
    of what the tools said that a model would ask for first (tables, indexes tried)."""
    recipe = subject.recipe
    rows = sorted(facts.rows.items(), key=lambda item: -item[1])[:12]
    user = f" as {scenario.as_user}" if scenario.as_user else ""
    lines = [
        f"Task, in the user's words: {task}",
        "",
        f"Repository: {subject.stack.title} on {facts.server}, base {subject.base[:12]}"
        + (f", folder {subject.path}" if subject.path else ""),
        f"Migrations: {', '.join(recipe.migration_paths) or 'none known'}; migrate with `{recipe.migrate}`",
        f"Tests: `{recipe.test or 'no test command'}`{_tests(tests)}"
        + "".join(f"; they run on {f.value}" for f in recipe.findings if f.key == "test database"),
        f"Data ({facts.realism}): {', '.join(f'{name} {count:,}' for name, count in rows)}",
        "",
        f"Scenario{user} ({why}):",
        *(f"  {q.kind}: {q.text}" for q in scenario.questions),
        *(f"  the gate varies {words}" for words in baseline.varied[:6]),
        "",
        f"Base, for the scenario: {sum(q.calls for q in baseline.workload)} queries, work {baseline.work:,}, "
        f"{baseline.seconds * 1000:,.0f} ms. work = rows examined + sorted + sent + 10 x pages + 10 x "
        "temporary pages + 100 x statements.",
        "",
        "Queries by cost (calls, call site, statement):",
        *_queries(baseline),
        *(f"  ! {one_line(r.words, 300)}" for r in baseline.repeated[:4]),
        "",
    ]
    if plans:
        dialect = subject.engine.dialect
        lines.append("Plans of the heaviest statements:")
        for plan in plans[:2]:
            lines.append(f"  {one_line(fingerprint(plan.sql, dialect), 240)}")
            lines += [f"    {line}" for line in draw(plan, dialect).splitlines()[:MOST_PLAN_LINES]]
        lines.append("")
    for title, text in looked:
        lines += [f"{title}: {text}", ""] if "\n" not in text else [f"{title}:", text, ""]
    shown, code = excerpts(subject, baseline)
    lines += code
    lines += related(subject, shown, code, dear_tables(baseline))
    lines.append("Find the cause, remove it, measure, and propose.")
    return "\n".join(lines)


def excerpts(subject: Subject, baseline: Baseline) -> tuple[list[str], list[str]]:
    """The code around the call sites of the dearest and the most frequent queries: paths, lines."""
    by_cost = sorted(baseline.workload, key=lambda q: (q.milliseconds or 0.0, q.calls), reverse=True)
    sites = [site for query in by_cost for site in query.sites[:2] if site.file][:MOST_SITES]
    wanted: dict[str, list[int]] = {}
    for site in sites:
        wanted.setdefault(site.file, []).append(site.line)
    lines: list[str] = []
    for path, marks in list(wanted.items())[:MOST_FILES]:
        content = subject.tree.read(path)
        if content is None:
            continue
        text = content.decode("utf-8", "replace").splitlines()
        near = {n for mark in marks for n in range(mark - AROUND, mark + AFTER + 1) if 1 <= n <= len(text)}
        shown = range(1, len(text) + 1) if len(text) <= WHOLE else sorted(near)
        lines.append(f"{path}{'' if len(shown) == len(text) else ' (part of it)'}:")
        for before, number in zip([0, *shown], shown, strict=False):
            if before and number > before + 1:
                lines.append("      ...")
            lines.append(f"{number:>5} {'>' if number in marks else ' '} {text[number - 1][:200]}")
        lines.append("")
    return list(wanted), lines


def related(subject: Subject, shown: Sequence[str], code: Sequence[str], tables: Sequence[str]) -> list[str]:
    """Short files of the repository whose names the shown code mentions, or that are called as the dear
    tables are: a change of the code rarely gets by without them."""
    counts = Counter(re.findall(r"\b[A-Z]\w{2,}\b", "\n".join(code)))
    singular = {re.sub(r"ies$", "y", t.lower()).removesuffix("s").replace("_", "") for t in tables}
    skipped = (*subject.recipe.test_paths, *subject.recipe.generated, *subject.recipe.migration_paths)
    found: list[tuple[int, str]] = []
    for path in subject.tree.paths():
        stem = path.rsplit("/", 1)[-1].partition(".")[0]
        weight = counts.get(stem, 0) + (5 if stem.lower() in singular else 0)
        if weight and path.endswith(SOURCE_SUFFIXES) and path not in shown and not matches(path, skipped):
            found.append((weight, path))
    lines: list[str] = []
    for _, path in sorted(found, key=lambda item: (-item[0], item[1])):
        text = (subject.tree.read(path) or b"").decode("utf-8", "replace").splitlines()
        body = [line for line in text if line.strip() and not line.startswith(("use ", "<?php"))]
        if len(text) <= WHOLE and len(lines) + len(body) <= MOST_RELATED_LINES:
            lines += [
                f"{path} (without blank lines and imports):",
                *(f"  {line[:200]}" for line in body),
                "",
            ]
    return lines


def dear_tables(baseline: Baseline) -> list[str]:
    """The tables of the dearest queries, dearest first."""
    by_cost = sorted(baseline.workload, key=lambda q: (q.milliseconds or 0.0, q.calls), reverse=True)
    return list(dict.fromkeys(table for query in by_cost[:4] for table in query.tables))[:MOST_TABLES]


def notes(first: str, desk: Desk, diff: str, last_words: str) -> str:
    """The opening of another conversation of the same run: the same facts, and how far the first one came."""
    lines = [
        first,
        "",
        "You worked on this before; that conversation became too long, so here is what is left of it.",
    ]
    for proposal, proof in desk.proposals:
        lines.append(f"Proposed: {proposal.title}: {_hidden(proof)}")
    lines += [f"Assumed: {text}" for text in desk.assumptions]
    lines += [f"The user answered {question!r}: {answer}" for question, answer in desk.questions]
    if last_words:
        lines.append(f"Your last words: {last_words[:2000]}")
    lines += ["The workspace now differs from base by:", diff[:20_000] or "(nothing)"]
    return "\n".join(lines)


def _hidden(proof: Proof) -> str:
    from bedev.agent.report.feedback import feedback

    return feedback(proof).replace("\n", "; ")


def _tests(tests: TestRun | None) -> str:
    if tests is None or not tests.cases:
        return f" ({tests.problem})" if tests is not None and tests.problem else ""
    red = sorted(c.id for c in tests.cases if c.status in ("failed", "error"))
    said = f"; red on base, set aside: {', '.join(red[:5])}" if red else ""
    return f": {len(tests.passed)} of {len(tests.cases)} pass on base{said}"


def _queries(baseline: Baseline) -> list[str]:
    def cost(query: WorkloadQuery) -> tuple[float, int]:
        return (query.milliseconds or 0.0, query.calls)

    lines = []
    for query in sorted(baseline.workload, key=cost, reverse=True)[:MOST_QUERIES]:
        site = query.sites[0].place if query.sites else "(call site unknown)"
        took = f" {query.milliseconds:,.0f} ms" if query.milliseconds is not None else ""
        lines.append(f"  {query.calls} x{took}  {site}  {one_line(query.fingerprint, 260)}")
    more = len(baseline.workload) - MOST_QUERIES
    return [*lines, f"  and {more} more statements"] if more > 0 else lines
