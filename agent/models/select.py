"""Which model a run takes, and whether it would work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bedev.agent.models.model import ModelCheck, Reply, Request
from bedev.agent.models.prices import AS_OF

if TYPE_CHECKING:
    from bedev.agent.models.claude import Claude

ADVISOR = "advisor"
NO_MODEL = "nothing leads to a model: no ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN or ANTHROPIC_BASE_URL is set"

_LEADS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")

_TOOL = {
    "name": "answer",
    "description": "Give the answer. Call it exactly once; it is the only way to be heard.",
    "input_schema": {
        "type": "object",
        "properties": {"number": {"type": "integer", "description": "The answer."}},
        "required": ["number"],
        "additionalProperties": False,
    },
}
_TEST = Request(
    system="You are being tried out. Answer by calling the tool `answer`, and write nothing else.",
    tools=(_TOOL,),
    messages=({"role": "user", "content": [{"type": "text", "text": "What is 17 + 25?"}]},),
    max_tokens=2_000,
)
_RIGHT = 42


@dataclass(frozen=True)
class Choice:
    """What a name and the environment lead to. `model` is an alias or an id, `advisor` for none; `why`
    says it to a person."""

    model: str
    why: str


def choose(name: str, environ: Mapping[str, str]) -> Choice:
    """`advisor` is the advisor; any other name is a model; no name is Opus where something leads to a
    model, else the advisor."""
    if name.strip().lower() == ADVISOR:
        return Choice(ADVISOR, "it was asked for; it needs no model and no key")
    if name.strip():
        return Choice(name.strip(), "it was asked for")
    lead = next((variable for variable in _LEADS if environ.get(variable, "").strip()), None)
    if lead is None:
        return Choice(ADVISOR, NO_MODEL)
    return Choice("opus", f"no model was named, and {lead} is set")


def select(name: str, environ: Mapping[str, str] | None = None) -> Claude | None:
    """The model to ask, or None: the advisor drives the run. Raises UsageError where a model was named
    and there is no key for it."""
    environ = os.environ if environ is None else environ
    chosen = choose(name, environ).model
    if chosen == ADVISOR:
        return None
    from bedev.agent.models.claude import Claude

    return Claude(chosen, environ)


def check(
    model: Claude, say: Callable[[str], None] = lambda text: None, patience: float = 20.0
) -> ModelCheck:
    """Make one small call with one tool and say what it showed. Raises what `reply` raises."""
    reply = model.reply(_TEST, say, patience)
    usage = reply.usage
    money = model.price(usage)
    called = [dict(use.get("input", {})) for use in reply.tool_uses if use.get("name") == "answer"]
    right = called == [{"number": _RIGHT}]
    lines = (
        f"answered   {reply.model} at {model.endpoint.host}"
        + (f", request {reply.request_id}" if reply.request_id else "")
        + (f", at attempt {reply.attempts}" if reply.attempts > 1 else ""),
        f"tools      {_tools(reply, called, right)}",
        f"streaming  {'works' if model.streamed else 'no: the answer came in one piece, which works too'}",
        f"caching    {_caching(model, reply)}",
        f"thinking   {_thinking(model, reply)}",
        f"tokens     {usage.prompt_tokens:,} in, {usage.output_tokens:,} out"
        + (" (estimated: the server tells nothing)" if usage.estimated else ""),
        f"price      {'not known' if money is None else f'${money:.4f} (prices of {AS_OF})'}",
        f"seconds    {reply.seconds:.1f}",
    )
    return ModelCheck(right, lines)


def _tools(reply: Reply, called: list[dict[str, object]], right: bool) -> str:
    if right:
        return "work"
    if called:
        return f"are called, but not as asked: {str(called)[:200]}"
    why = reply.stop_reason + (f": {reply.stop_detail}" if reply.stop_detail else "")
    return f"do not work: it stopped ({why}) without a call; bedev needs a model that calls tools"


def _caching(model: Claude, reply: Reply) -> str:
    if not model.endpoint.profile.caching:
        return "not asked for (profile compat)"
    written, read = reply.usage.cache_write_tokens, reply.usage.cache_read_tokens
    if written or read:
        return f"works: {written:,} tokens written, {read:,} read"
    return "accepted; this call is too short for the server to keep"


def _thinking(model: Claude, reply: Reply) -> str:
    if not (model.endpoint.profile.thinking and model.facts.adaptive):
        return "not asked for" + ("" if model.endpoint.profile.thinking else " (profile compat)")
    if any(block.get("type") in ("thinking", "redacted_thinking") for block in reply.content):
        return "works"
    return "accepted; this question needed none"
