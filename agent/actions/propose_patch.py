"""`propose_patch`: hand the workspace's changes to the gate, and hear what it measured."""

from __future__ import annotations

from bedev.agent.desk import Desk, Proposal
from bedev.agent.report.feedback import feedback
from bedev.sandboxes.errors import DatabaseError
from bedev.tools.scenarios.rehearsal import rehearse
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from pydantic import Field


class Input(ToolInput):
    title: str = Field(description="The commit's subject: what improves.", min_length=5, max_length=120)
    cause: str = Field(description="What was slow and why, in one or two sentences.", min_length=10)
    change: list[str] = Field(description="What was changed, a line each.", min_length=1, max_length=6)
    risk: str = Field(description="What it costs and what could go wrong.", min_length=3)
    rollout: str = Field(description="How to deploy it, in which order.", min_length=3)
    rollback: str = Field(description="How to undo it.", min_length=3)
    neighbours: list[str] = Field(
        default_factory=list, description="Other problems that you saw and left.", max_length=5
    )


def run(desk: Desk, given: Input) -> ToolResult:
    tree = desk.tree()
    refused = sorted(p for p in desk.bench.edits if desk.bench.refuse(p))
    if refused:
        raise ToolFailed(
            f"The workspace changes {', '.join(refused[:5])}, which no patch may: "
            f"{desk.bench.refuse(refused[0])}. Put it back (edit_file with restore: true), then propose "
            "again. This did not count."
        )
    faults = () if desk.was_judged(tree) else _rehearsed(desk)
    if faults:
        raise ToolFailed(
            "Not handed to the gate, and not counted: the scenario was asked in the workspace first, and the "
            f"gate would reject this.\n- {chr(10).join(faults)}\nMend it, then propose again.",
            f"not handed to the gate: {faults[0]}",
        )
    before = len(desk.proposals)
    proof = desk.propose(
        Proposal(
            tree,
            given.title,
            given.cause,
            tuple(given.change),
            given.risk,
            given.rollout,
            given.rollback,
            tuple(given.neighbours),
        )
    )
    again = len(desk.proposals) == before
    text = feedback(proof)
    if again:
        text = f"This very tree was judged before, and the verdict stands (it did not count again).\n{text}"
    return ToolResult(text, proof.headline, error=proof.verdict == "rejected")


def _rehearsed(desk: Desk) -> tuple[str, ...]:
    """What is sure to fail, found in seconds; nothing where the workspace cannot be asked."""
    try:
        return rehearse(desk.bench).faults
    except DatabaseError as error:
        return (f"the workspace does not answer: {error.what}",)


TOOL = Tool(
    name="propose_patch",
    description=(
        "Hand all changes of the workspace to the gate, which judges them in fresh sandboxes (a minute): "
        "verified ends the run, else you hear what failed and by how much. Sure failures are refused free."
    ),
    input=Input,
    example={
        "title": "Load the countries of all users in one query",
        "cause": "UserController@index:31 asks for the country of each user (101 queries).",
        "change": ["eager-load country in UserController@index"],
        "risk": "one more join key in memory; nothing else reads this path",
        "rollout": "deploy the code",
        "rollback": "revert the commit",
    },
    run=run,
)
