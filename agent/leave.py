"""What a run leaves behind: a branch with its trailers, the proof as a note, a report for people."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bedev.agent.gate.proof import Proof
from bedev.agent.git.messages import commit_message, slug
from bedev.agent.report import markdown
from bedev.agent.report.encode import one_line
from bedev.agent.requests import RunResult
from bedev.agent.stage import Stage

EXIT: Mapping[str, int] = {"verified": 0, "rejected": 1, "unproven": 5}


@dataclass(frozen=True)
class Words:
    """What the report says beside the measured figures: `author`'s words, and what was assumed because
    nobody could be asked (`assumptions` head the report), and what the user answered (`answers`)."""

    task: str
    change: tuple[str, ...] = ()
    call_sites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    title: str = ""
    cause: str = ""
    risk: str = ""
    rollout: str = ""
    rollback: str = ""
    author: str = "advisor"
    assumptions: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        first = self.title or (self.change[0].split(":")[0] if self.change else self.task)
        return first[:1].upper() + first[1:]


def environment() -> dict[str, Any]:
    return {"bedev": metadata.version("bedev"), "platform": f"{platform.system()} {platform.machine()}"}


def result(stage: Stage, proof: Proof, words: Words, usage: Mapping[str, Any]) -> RunResult:
    """A verified tree becomes one commit on a branch of its own, with its proof; so does an unproven one of
    a model, and says so. Anything else leaves no branch."""
    branch = commit = None
    message = "\n".join((proof.headline, *(one_line(note, 400) for note in words.notes)))
    if proof.verdict == "verified" or (proof.verdict == "unproven" and words.title):
        mark = () if proof.verdict == "verified" else (("Bedev-Verdict", proof.verdict),)
        subject = words.subject if proof.verdict == "verified" else f"Unproven: {words.subject}"
        body = "\n".join((f"Task: {words.task}", "", *words.change, "", proof.headline))
        trailers = (
            ("Bedev-Run", stage.run),
            ("Bedev-Proof", proof.digest),
            ("Bedev-Base", proof.base),
            *mark,
        )
        made = stage.repository.create_branch(
            proof.tree, proof.base, slug(words.task), stage.branch_id, commit_message(subject, body, trailers)
        )
        branch, commit = made.name, made.commit
        stage.repository.write_note(commit, proof.to_json())
    text = markdown.pull_request(
        proof,
        branch=branch or "BRANCH",
        task=words.task,
        change=words.change,
        plans=_plans(proof),
        call_sites=words.call_sites,
        reasoning="; ".join(filter(None, (words.cause, *words.notes)))
        or "each candidate was tried on a grown copy; the table says what this one did",
        risk=words.risk,
        rollout=words.rollout,
        rollback=words.rollback,
        author=words.author,
        assumptions=words.assumptions,
        answers=words.answers,
    )
    return _result(
        stage, proof.verdict, EXIT[proof.verdict], branch, commit, proof, usage, _report(stage, text), message
    )


def unverified(
    stage: Stage,
    edits: Mapping[str, bytes | None],
    last: Proof | None,
    words: Words,
    why: str,
    usage: Mapping[str, Any],
) -> RunResult:
    """The run ended without a proof: what the workspace holds becomes a branch that says so (exit 1); an
    unchanged workspace leaves none. `last` is the proof of the last proposal, where there was one."""
    message = f"Not verified: {one_line(why, 1000).rstrip('.')}."
    if last is not None:
        message += f" The last proposal was {one_line(last.headline, 400)}."
    if not edits:
        message += " The workspace equals base, so there is no branch."
        return _result(stage, "failed", 1, None, None, last, usage, None, message)
    tree = stage.repository.write_tree(stage.subject.base, stage.subject.edits(edits))
    body = "\n".join(
        (f"Task: {words.task}", "", *words.change, "", "UNVERIFIED: nothing is proven.", message)
    )
    trailers = (("Bedev-Run", stage.run), ("Bedev-Base", stage.base), ("Bedev-Verdict", "unverified"))
    made = stage.repository.create_branch(
        tree,
        stage.base,
        slug(words.task),
        stage.branch_id,
        commit_message(f"Unverified: {words.subject}", body, trailers),
    )
    proof = last if last is not None and last.tree == tree else None
    text = markdown.unverified(
        branch=made.name,
        task=words.task,
        why=message,
        paths=sorted(edits),
        last=last,
        cause=words.cause,
        author=words.author,
        assumptions=words.assumptions,
        answers=words.answers,
    )
    return _result(
        stage, "unverified", 1, made.name, made.commit, proof, usage, _report(stage, text), message
    )


def nothing(stage: Stage, outcome: str, message: str, usage: Mapping[str, Any]) -> RunResult:
    """A run that ends without a patch (`failed`, `nothing_slow`)."""
    return _result(stage, outcome, 1, None, None, None, usage, None, message)


def _result(
    stage: Stage,
    outcome: str,
    code: int,
    branch: str | None,
    commit: str | None,
    proof: Proof | None,
    usage: Mapping[str, Any],
    report: str | None,
    message: str,
) -> RunResult:
    scenario = proof.scenario if proof else stage.scenario_record()
    return RunResult(
        run=stage.run,
        outcome=outcome,  # type: ignore[arg-type]
        branch=branch,
        commit=commit,
        base=stage.base,
        scenario=scenario,
        proof=proof,
        usage={"seconds": stage.seconds, "turns": 0, "tokens": 0, **usage},
        report=report,
        message=message,
        exit_code=code,
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


def _report(stage: Stage, text: str) -> str | None:
    """The report's path: in the run's folder, and where --out wants it. A place that refuses it is said, and
    no more: the branch and its proof are there already."""
    written = None
    for place in (stage.repository.state / stage.run / "report.md", stage.request.out.get("markdown")):
        if place is not None and _write(place, text, stage):
            written = str(place)
    return written


def _write(path: Path, text: str, stage: Stage) -> bool:
    try:
        path.write_text(text, encoding="utf-8")
        return True
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # half of it
        stage.screen.say(f"The report could not be written to {path}: {error.strerror}.")
        return False


__all__: Sequence[str] = ("Words", "environment", "nothing", "result", "unverified")
