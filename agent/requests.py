"""What the commands ask of a run, and what it answers. Values only: nothing here knows the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bedev.agent.gate.proof import Proof
from bedev.agent.settings import Settings
from bedev.tools.scenarios.scenario import Scenario

RUN_SCHEMA = "bedev.run/1"

Outcome = Literal[
    "verified", "rejected", "unproven", "unverified", "nothing_slow", "paused", "failed", "interrupted"
]


@dataclass(frozen=True)
class FixRequest:
    """`bedev fix TASK`.

    `path` is the application's sub-folder, '' for the top; `base` a revision, None for HEAD. `scenario`
    is None where the run has to find one: then `as_user` and `headers` say as whom it asks, and
    `scenario_files` (`--with`) and `data` (`--data`) what it may use.
    `rows` is table -> wanted rows (empty: bedev.toml, else a default); `dump` a file to restore instead
    of seeding. `max_minutes` bounds the whole run. `engine` is '' where detection decides. `out` is
    kind -> file; the run itself writes them, because it knows the task, the plans and the call sites.
    `model` is an alias, an id, `advisor`, or '' for the one that the environment suggests; `agent` an agent
    file that replaces the persona; `show_values` lets the model see the database's texts unmasked. What the
    run may spend is in `settings`.
    """

    task: str
    repo: Path
    path: str = ""
    base: str | None = None
    scenario: Scenario | None = None
    model: str = ""
    agent: Path | None = None
    engine: str = ""
    sandbox: str = "docker"
    rows: Mapping[str, int] = field(default_factory=dict)
    dump: Path | None = None
    max_minutes: float | None = None
    claim: str = "faster"
    allow_images: tuple[str, ...] = ()
    as_user: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    scenario_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    data: str = ""
    seed: int | None = None
    show_values: bool = False
    out: Mapping[str, Path] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class VerifyRequest:
    """`bedev verify REF` or `--patch FILE`: exactly one of `ref` and `patch` is given.

    `base` None means the merge base with HEAD, or the commit's parent where HEAD contains it. Without a
    scenario the one recorded with the branch is used. The other fields are as in FixRequest; files of
    `out` are written by the command, from the proof alone.
    """

    repo: Path
    ref: str | None = None
    patch: Path | None = None
    path: str = ""
    base: str | None = None
    scenario: Scenario | None = None
    engine: str = ""
    sandbox: str = "docker"
    rows: Mapping[str, int] = field(default_factory=dict)
    dump: Path | None = None
    max_minutes: float | None = None
    claim: str = "faster"
    allow_images: tuple[str, ...] = ()
    as_user: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    scenario_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    data: str = ""
    seed: int | None = None
    out: Mapping[str, Path] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class RunResult:
    """How a run ended. `report` is the path of the Markdown report; `message` one sentence for a person,
    for instance what was measured where nothing was slow. `usage` holds seconds, turns, tokens, money."""

    run: str
    outcome: Outcome
    branch: str | None
    commit: str | None
    base: str
    scenario: Mapping[str, Any]
    proof: Proof | None
    usage: Mapping[str, Any] = field(default_factory=dict)
    report: str | None = None
    message: str = ""
    exit_code: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints (a contract)."""
        return {
            "schema": RUN_SCHEMA,
            "run": self.run,
            "outcome": self.outcome,
            "branch": self.branch,
            "commit": self.commit,
            "base": self.base,
            "scenario": dict(self.scenario),
            "proof": self.proof.to_dict() if self.proof else None,
            "usage": dict(self.usage),
            "report": self.report,
            "message": self.message,
        }


@dataclass(frozen=True)
class VerifyResult:
    """A proof of somebody's patch. `commit` is None for `--patch FILE`."""

    proof: Proof
    exit_code: int
    base: str
    commit: str | None
    run: str
    usage: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self, branch: str | None, report: str | None) -> dict[str, Any]:
        """The object that `--json` prints: the same keys as a run's."""
        return {
            "schema": RUN_SCHEMA,
            "run": self.run,
            "outcome": self.proof.verdict,
            "branch": branch,
            "commit": self.commit,
            "base": self.base,
            "scenario": dict(self.proof.scenario),
            "proof": self.proof.to_dict(),
            "usage": dict(self.usage),
            "report": report,
            "message": self.proof.headline,
        }
