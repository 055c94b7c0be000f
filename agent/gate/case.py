"""What the checks look at: the two trees, the two sides, and what was measured on each data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bedev.agent.git.trees import Change
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataFacts, DataWish
from bedev.sandboxes.engines.engine import Counters, IndexSize, Plan, work
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.sandbox import CommandResult
from bedev.sandboxes.set_up import Brought
from bedev.tools.scenarios.compare import Answer, Difference
from bedev.tools.scenarios.scenario import Question, Scenario

if TYPE_CHECKING:
    from bedev.agent.gate.proof import Check


class Watcher(Protocol):
    """Who is told what the gate does; the screen, or nobody."""

    def say(self, text: str) -> None: ...

    def check(self, check: Check) -> None: ...


@dataclass(frozen=True)
class Asked:
    """One question on one data set: base's answers (several runs), the patch's, and the work of each.
    `said` is what the patch's server wrote where it answered with an error: text of the repository."""

    question: Question
    base: tuple[Answer, ...]
    patch: Answer
    difference: Difference | None
    volatile: tuple[str, ...]
    comparable: bool
    base_counters: Counters
    patch_counters: Counters
    empty: bool
    refusal: str = ""
    said: str = ""

    @property
    def base_work(self) -> int:
        return work(self.base_counters, self.patch_counters)

    @property
    def patch_work(self) -> int:
        return work(self.patch_counters, self.base_counters)


@dataclass(frozen=True)
class DataSetResult:
    """`name`: `seen` (the seed that a run works with) or `held-out` (made for one judgement)."""

    name: str
    facts: DataFacts
    asked: tuple[Asked, ...]
    parameters: tuple[str, ...]

    @property
    def measured(self) -> bool:
        """False where base answers empty for every question: nothing could differ."""
        return any(not a.empty for a in self.asked)


@dataclass(frozen=True)
class MigrationRun:
    """One way through the patch's migrations on grown data; `schema_equal`: after down it is base's."""

    files: tuple[str, ...]
    up: CommandResult
    down: CommandResult | None
    again: CommandResult | None
    schema_equal: bool
    schema_difference: str
    new_indexes: tuple[IndexSize, ...]


@dataclass(frozen=True)
class Beside:
    """A request beside the scenario: its work on both sides, and how its answer differs ('' where not)."""

    label: str
    base_work: int
    patch_work: int
    difference: str = ""


@dataclass(frozen=True)
class Timing:
    """Wall seconds of interleaved pairs, as the probe saw them."""

    question: Question
    base: tuple[float, ...]
    patch: tuple[float, ...]


@dataclass
class Case:
    """A patch on its way through the gate. Filled from top to bottom by gate.py."""

    base: str
    tree: str
    claim: str
    scenario: Scenario | None
    changes: tuple[Change, ...]
    base_tree: TreeReader
    patch_tree: TreeReader
    brought: Brought
    wish: DataWish
    seed: int
    data_sets: list[DataSetResult] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    migration: MigrationRun | None = None
    timing: Timing | None = None
    beside: tuple[Beside, ...] = ()
    plans: dict[str, tuple[Plan, ...]] = field(default_factory=dict)
    sides: Mapping[str, Application] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def edits(self) -> dict[str, bytes | None]:
        """What turns base's files into the patch's: path -> content, None where the patch deletes."""
        return {c.path: None if c.kind == "deleted" else self.patch_tree.read(c.path) for c in self.changes}

    def matches(self, path: str, patterns: tuple[str, ...]) -> bool:
        from bedev.sandboxes.patterns import matches

        return matches(path, patterns)

    @property
    def migrations(self) -> tuple[str, ...]:
        """Migration files that the patch adds, changes or deletes."""
        patterns = self.brought.recipe.migration_paths
        return tuple(c.path for c in self.changes if self.matches(c.path, patterns))


CheckFunction = Callable[[Case], "Check"]


def evidence_counters(counters: Counters) -> dict[str, Any]:
    return {
        k: getattr(counters, k) for k in counters.__dataclass_fields__ if getattr(counters, k) is not None
    }
