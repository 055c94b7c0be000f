"""What a run leaves behind: a branch with its trailers, the proof as a note, a report for people."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bedev.agent.gate.proof import Proof
from bedev.agent.git.messages import commit_message, slug
from bedev.agent.report.markdown import pull_request
from bedev.agent.repository import Repository
from bedev.agent.requests import RunResult
from bedev.agent.subject import Subject
from bedev.sandboxes.errors import EnvironmentUnusable

EXIT: Mapping[str, int] = {"verified": 0, "rejected": 1, "unproven": 5}


@dataclass(frozen=True)
class Words:
    """What the report says beside the measured figures."""

    task: str
    change: tuple[str, ...]
    call_sites: tuple[str, ...]
    notes: tuple[str, ...]


def environment() -> dict[str, Any]:
    return {"bedev": metadata.version("bedev"), "platform": f"{platform.system()} {platform.machine()}"}


def result(
    repository: Repository,
    subject: Subject,
    proof: Proof,
    run: str,
    words: Words,
    out: Mapping[str, Path],
    began: float,
) -> RunResult:
    """A verified tree becomes one commit on a branch of its own; anything else leaves none."""
    branch = commit = report = None
    message = "\n".join((proof.headline, *words.notes))
    if proof.verdict == "verified":
        first = words.change[0].split(":")[0] if words.change else words.task
        title = first[:1].upper() + first[1:]
        body = "\n".join((f"Task: {words.task}", "", *words.change, "", proof.headline))
        trailers = (("Bedev-Run", run), ("Bedev-Proof", proof.digest), ("Bedev-Base", proof.base))
        made = repository.create_branch(
            proof.tree, proof.base, slug(words.task), run, commit_message(title, body, trailers)
        )
        branch, commit = made.name, made.commit
        repository.write_note(commit, proof.to_json())
    text = pull_request(
        proof,
        branch=branch or "BRANCH",
        task=words.task,
        change=words.change,
        plans=_plans(proof),
        call_sites=words.call_sites,
        reasoning="; ".join(words.notes)
        or "each candidate was tried on a grown copy; the table says what this one did",
        risk="an index costs space and a little time on each write; other queries are as before",
        rollout="run the migration when writes are few: the server builds the index online",
        rollback="roll the migration back: it drops the index and changes nothing else",
        author="advisor",
    )
    place = repository.state / run / "report.md"
    _write(place, text)
    report = str(place)
    if "markdown" in out:
        _write(out["markdown"], text)
        report = str(out["markdown"])
    usage = {"seconds": round(time.monotonic() - began, 1), "turns": 0, "tokens": 0}
    return RunResult(
        run,
        proof.verdict,
        branch,
        commit,
        proof.base,
        proof.scenario,
        proof,
        usage,
        report,
        message,
        EXIT[proof.verdict],
    )


def _plans(proof: Proof) -> dict[str, str]:
    """One line a side: the steps of the plan that costs most."""
    lines = {}
    for side, plans in dict(proof.environment.get("plans", {})).items():
        if plans:
            steps = [s for s in plans[0]["steps"] if s.get("table")]
            lines[side] = ", ".join(
                f"{s.get('table')} {s.get('access', '')} {s.get('index', '')}".strip() for s in steps[:4]
            )
    return lines


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentUnusable(
            f"{path} cannot be written: {error.strerror}.", next_step="Choose another place with --out."
        ) from error
