"""The loop: ask the model, let its tools act, answer, until a proposal is verified or something ends it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bedev.agent.budget import Budget, BudgetEnds
from bedev.agent.conversation import Acted, Conversation
from bedev.agent.desk import Desk
from bedev.agent.models.model import Block, Model, Reply, Request
from bedev.agent.screen import Screen, seconds
from bedev.sandboxes.errors import BedevError
from bedev.tools.tool import Tool, ToolFailed, ToolResult
from bedev.tools.workbench import explain_failure

Why = Literal["verified", "gave_up", "budget", "refused", "full"]
NUDGE = (
    "You ended your turn, and nothing has been verified yet. Go on with the tools and call propose_patch "
    "when your measurements say that it will pass. If the task cannot be achieved, answer once more in plain "
    "text: what you measured and what stands in the way. The run then ends."
)
CUT = (
    "Your answer was cut off at its limit of tokens before it was complete, and nothing of it was done. Go "
    "on in smaller steps: one tool call, a shorter text, an edit of fewer lines."
)


@dataclass(frozen=True)
class Ending:
    """Why the loop ended; `words` are for people (the model's own where it gave up)."""

    why: Why
    words: str


def converse(
    talk: Conversation, model: Model, tools: Sequence[Tool[Any]], desk: Desk, budget: Budget, screen: Screen
) -> Ending:
    """Work until there is an ending. Raises Paused where the run can be resumed later, ModelRefusesRequest
    where the server will not take the conversation."""
    by_name = {tool.name: tool for tool in tools}
    nudged = talk.messages[-1]["content"][-1].get("text") == NUDGE
    while True:
        if talk.open is None:
            try:
                room = budget.reserve(talk.new_characters)
            except BudgetEnds as end:
                return Ending("budget", end.words)
            talk.asking(room)
            with screen.working(f"turn {budget.spent.turns}: {model.title}"):
                answer = model.reply(Request(talk.system, talk.tools, talk.messages, room), screen.detail)
            talk.replied(answer, budget.settle(answer.usage))
            _show(answer, budget, screen)
        reply = talk.open
        assert reply is not None
        if reply.stop_reason == "refusal":
            return Ending("refused", f"{model.title} refused: {reply.stop_detail or 'no reason given'}")
        if reply.stop_reason == "context_full":
            return Ending("full", "the model's context is full")
        if reply.stop_reason == "max_tokens":
            talk.say(CUT)
        elif reply.tool_uses:
            for block in reply.tool_uses:
                if str(block["id"]) not in talk.acted:
                    _act(block, by_name, talk, desk, screen)
                if desk.verified is not None:
                    return Ending("verified", desk.verified.headline)
            if budget.proposals_left is not None and budget.proposals_left <= 0:
                return Ending("budget", f"{budget.limits.proposals} proposals are used up (--max-proposals)")
            talk.answer(budget.warning())
            nudged = False
        elif nudged:
            return Ending("gave_up", reply.text or "the model ended without a word")
        else:
            talk.say(NUDGE)
            nudged = True


def _act(
    block: Block, tools: Mapping[str, Tool[Any]], talk: Conversation, desk: Desk, screen: Screen
) -> None:
    """Run one tool and keep what it gave. Only what ends the whole run is raised."""
    again = str(block["id"]) in talk.begun
    talk.acting(block)
    name = str(block.get("name"))
    tool = tools.get(name)
    edits = None
    began = time.monotonic()
    with screen.working(f"{name} {_told(block)}".strip()):
        try:
            if tool is None:
                raise ToolFailed(f"There is no tool {name!r}. The tools are: {', '.join(tools)}.")
            result = tool.run(desk.context_of(tool), tool.parse(block.get("input")))
            if tool.edits:
                result, edits = desk.after_edit(result)
        except ToolFailed as failed:
            result = ToolResult(failed.text, failed.brief, error=True)
        except BedevError as error:
            if error.exit_code in (3, 4):
                raise
            told = explain_failure(error)
            result = ToolResult(told.text, told.brief, error=True)
    if again:
        note = "[the run was interrupted in this call: it was done again, in a fresh sandbox]"
        result = ToolResult(f"{note}\n{result.text}", f"{result.brief} (done again)", result.error)
    took = time.monotonic() - began
    slow = f" ({seconds(took)})" if took >= 1 else ""
    screen.say(f"  {'✗' if result.error else '→'} {name}: {result.brief}{slow}")
    talk.did(Acted(str(block["id"]), result.text, result.error, result.brief), edits)


def _told(block: Block) -> str:
    """A tool's input in a few words for the screen: its longest-lived parts, not its texts."""
    given = block.get("input")
    if not isinstance(given, Mapping):
        return ""
    shown = [
        str(v) for k, v in given.items() if k not in ("new_text", "old_text") and isinstance(v, str | int)
    ]
    text = " ".join(" ".join(shown).split())
    return text if len(text) <= 90 else f"{text[:89]}…"


def _show(reply: Reply, budget: Budget, screen: Screen) -> None:
    spent = budget.spent
    money = f", ${spent.usd:.3f}" if spent.usd is not None else ""
    usage = reply.usage
    cached = f", {usage.cache_read_tokens:,} of them cached" if usage.cache_read_tokens else ""
    screen.say(
        f"turn {spent.turns}: {reply.seconds:.1f} s, {usage.total:,} tokens{cached} "
        f"(so far {spent.tokens:,}{money})"
    )
    if reply.text:
        lines = [line for line in reply.text.splitlines() if line.strip()]
        more = [f"  | ... {len(lines) - 8} more lines"] if len(lines) > 8 else []
        screen.say("\n".join([*(f"  | {line}" for line in lines[:8]), *more]))
