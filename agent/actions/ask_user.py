"""`ask_user`: one question to the person at the terminal; without one, the model's assumption stands."""

from __future__ import annotations

from bedev.agent.desk import Desk
from bedev.tools.tool import Tool, ToolInput, ToolResult
from pydantic import Field


class Input(ToolInput):
    question: str = Field(description="One precise question that would change the patch.", min_length=5)
    assumption: str = Field(
        description="What you go on with if nobody answers; it heads the report.", min_length=3
    )


def run(desk: Desk, given: Input) -> ToolResult:
    earlier = next((a for q, a in desk.questions if q == given.question), None)
    answer = earlier if earlier is not None else desk.screen.ask(given.question, given.assumption)
    if answer:
        if earlier is None:
            desk.journal.append("question", question=given.question, answer=answer, assumed=False)
            desk.take_answer(given.question, answer, False)
        return ToolResult(f"The user answers: {answer}", f"answered: {answer[:120]}")
    if given.assumption not in desk.assumptions:
        desk.journal.append("question", question=given.question, answer=given.assumption, assumed=True)
        desk.take_answer(given.question, given.assumption, True)
    return ToolResult(
        "Nobody can answer now. Go on with your assumption; it stands at the head of the report: "
        f"{given.assumption}",
        f"nobody answers; assumed: {given.assumption[:120]}",
    )


TOOL = Tool(
    name="ask_user",
    description="Ask the user something only they can know (requirements, scale, constraints). Use rarely.",
    input=Input,
    example={
        "question": "May the report leave out cancelled orders?",
        "assumption": "cancelled orders stay in the report, as today",
    },
    run=run,
)
