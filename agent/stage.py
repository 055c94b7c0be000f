"""Everything that stands ready for one run: what was asked, the repository, the pod's parts, the data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedev.agent.gate import gate
from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check, Proof
from bedev.agent.journal import Journal
from bedev.agent.repository import Repository
from bedev.agent.requests import FixRequest
from bedev.agent.screen import Screen
from bedev.agent.subject import Subject
from bedev.sandboxes import choose as sandboxes
from bedev.sandboxes.data import DataFacts, DataWish
from bedev.sandboxes.set_up import Brought
from bedev.tools.database.grow import grow_database
from bedev.tools.scenarios.scenario import Scenario


@dataclass(frozen=True)
class Stage:
    """`began` is on the monotonic clock; `base` a commit."""

    request: FixRequest
    run: str
    repository: Repository
    subject: Subject
    journal: Journal
    screen: Screen
    brought: Brought
    wish: DataWish
    facts: DataFacts
    began: float

    @property
    def base(self) -> str:
        return self.subject.base

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self.began, 1)

    def scenario_record(self) -> Mapping[str, Any]:
        """The run's scenario as its journal has it, empty where none was chosen."""
        found = (r.fields["scenario"] for r in reversed(self.journal.records()) if r.kind == "scenario")
        return next(found, None) or {}

    @property
    def branch_id(self) -> str:
        """What the run's branch is called after: its id, with a number where it left one before."""
        left = sum(1 for r in self.journal.records() if r.kind == "finished" and r.fields.get("branch"))
        return f"{self.run}-{left + 1}" if left else self.run

    def judge(self, tree: str, scenario: Scenario) -> Proof:
        """The gate's proof of a tree of this run."""
        return judge(self.subject, self.brought, self.wish, tree, scenario, self.request.claim, self.screen)


def judge(
    subject: Subject,
    brought: Brought,
    wish: DataWish,
    tree: str,
    scenario: Scenario | None,
    claim: str,
    screen: Screen,
) -> Proof:
    """The gate's proof of any tree against the subject's base."""
    from bedev.agent.leave import environment

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
    sandbox = sandboxes.load(brought.sandbox.name)
    if sandbox.risk:
        case.notes.append(f"Sandbox: {sandbox.title}.")
    return gate.judge(case, grow_database, _Watcher(screen), {**environment(), "sandbox": sandbox.title})


class _Watcher:
    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def say(self, text: str) -> None:
        self.screen.detail(text)

    def check(self, check: Check) -> None:
        self.screen.check(check)
