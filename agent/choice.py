"""Which scenario: the user's, the branch's, the repository's own, or one that is found by measuring."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bedev.agent.gate.proof import Proof
from bedev.agent.repository import Repository
from bedev.agent.requests import FixRequest, VerifyRequest
from bedev.agent.screen import Screen
from bedev.agent.subject import Subject
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataWish, make_data
from bedev.sandboxes.engines.engine import Statement
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.set_up import Brought
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.database.grow import grow_database
from bedev.tools.scenarios.scenario import Scenario


def choose(
    request: FixRequest, subject: Subject, app: Application, screen: Screen
) -> tuple[Scenario | None, str, Any]:
    """The user's, bedev.toml's, or the candidate that fits the task and does most work."""
    if request.scenario is not None:
        return request.scenario, "given", ()
    own = own_scenario(subject)
    if own is not None:
        return own, "bedev.toml", ()
    from bedev.sandboxes.patterns import matches
    from bedev.tools.scenarios.search import search, sources

    with screen.step("finding the scenario"):
        texts = sources(subject.tree, lambda path: matches(path, subject.recipe.generated))
        found = search(app, request.task, texts, request.as_user, request.headers, screen.detail)
    screen.table(
        "tried on grown data",
        [
            (
                cut(t.question.text, 48),
                cut(t.refused.split(":")[0], 20) if t.refused else f"{t.seconds * 1000:.0f} ms",
                f"{t.work:,}",
                f"{t.statements}",
                cut(t.why.split(";")[-1].strip(), 36),
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


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def own_scenario(subject: Subject) -> Scenario | None:
    """The scenario that base's bedev.toml names."""
    own = subject.repository_settings.scenario
    return replace(own, brought_by="repository") if own is not None else None


def _noted(repository: Repository, commit: str | None, most: int = 20) -> Proof | None:
    """The proof in the note of the commit, or of the nearest commit before it (more may have been added)."""
    for _ in range(most):
        if commit is None:
            return None
        note = repository.read_note(commit)
        proof = Proof.from_json(note) if note else None
        if proof is not None:
            return proof
        commit = next(iter(repository.parents(commit)), None)
    return None


def recorded(
    request: VerifyRequest, repository: Repository, commit: str | None, screen: Screen
) -> Scenario | None:
    """The one in the branch's own proof; flags that only add (--as, --header, --with, --data) still count."""
    proof = _noted(repository, commit)
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


def _filters_by(sql: str, names: set[str]) -> bool:
    """Whether a statement reads one of `names` as a table and has another in WHERE, ORDER BY or GROUP BY."""
    word = r"[A-Za-z_]\w*"
    read = set(re.findall(rf"\b(?:from|join|update|into)\s+[`\"]?({word})", sql, re.IGNORECASE))
    tail = re.split(r"\b(?:where|order\s+by|group\s+by)\b", sql, maxsplit=1, flags=re.IGNORECASE)
    return bool(read & names) and len(tail) > 1 and bool((set(re.findall(word, tail[1])) - read) & names)


def _reaches(
    subject: Subject, tree: str, changed: Sequence[str]
) -> Callable[[Sequence[Statement], Sequence[TracedQuery]], bool]:
    """Whether what a request sent has to do with the changed files."""
    from bedev.sandboxes.patterns import matches

    patch = subject.patch_tree(tree)
    names: set[str] = set()
    for path in changed:
        if matches(path, subject.recipe.migration_paths):
            text = (patch.read(path) or b"").decode("utf-8", "replace")
            names |= set(re.findall(r"['\"`]([A-Za-z_][A-Za-z0-9_]*)['\"`]", text))
    files = {p for p in changed if not matches(p, subject.recipe.migration_paths)}

    def reaches(statements: Sequence[Statement], traced: Sequence[TracedQuery]) -> bool:
        if any(t.file in files or any(s.rsplit(":", 1)[0] in files for s in t.stack) for t in traced):
            return True
        return any(_filters_by(s.sql, names) for s in statements)

    return reaches


def reaching(
    request: VerifyRequest, subject: Subject, brought: Brought, wish: DataWish, tree: str, screen: Screen
) -> Scenario | None:
    """The most costly request among those that send queries from a changed file, or whose queries name the
    table and a column of a changed migration; None where no request does."""
    from bedev.sandboxes.patterns import matches
    from bedev.tools.scenarios.search import search, sources

    changed = [c.path for c in subject.changes(tree)]
    words = " ".join(p.rsplit("/", 1)[-1].rsplit(".", 1)[0] for p in changed)
    with screen.step("looking for requests that reach the change"):
        facts = make_data(brought, wish, grow_database, screen.detail)
        app = Application.open(brought, facts.key, screen.detail)
        try:
            texts = sources(subject.tree, lambda path: matches(path, subject.recipe.generated))
            found = search(
                app,
                words.replace("_", " "),
                texts,
                request.as_user,
                request.headers,
                screen.detail,
                reaches=_reaches(subject, tree, changed),
            )
        finally:
            app.close()
    if found.chosen is not None:
        screen.say(f"scenario: {found.chosen.questions[0].text} ({found.why})")
    return found.chosen
