"""How the tests of this folder ask: a client of the scripted server that waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bedev.agent.models.claude import Claude
from bedev.agent.models.model import Reply, Request
from scripted import Server, Step

KEY = "sk-ant-api03-THE-SECRET-THAT-NOBODY-MAY-SEE-4711"

TOOL = {
    "name": "run",
    "description": "Run a command.",
    "input_schema": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]},
}


def user(words: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": words}]}


def a_request(*messages: dict[str, Any], **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "system": "You mend what is slow.",
        "tools": (TOOL,),
        "messages": messages or (user("go"),),
        "max_tokens": 1000,
    }
    return Request(**{**fields, **changes})


@dataclass
class Asked:
    """A client, what it was told to say, and how long it would have waited."""

    server: Server
    model: Claude
    said: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def reply(self, request: Request | None = None, patience: float = 300.0) -> Reply:
        return self.model.reply(request or a_request(), self.said.append, patience)


def client(server: Server, profile: str = "anthropic", name: str = "opus", **environ: str) -> Asked:
    waits: list[float] = []
    settings = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url, "BEDEV_MODEL_PROFILE": profile}
    model = Claude(name, {**settings, **environ}, read_timeout=0.25, sleep=waits.append)
    return Asked(server, model, waits=waits)


def ask(script: Sequence[Step], profile: str = "anthropic", patience: float = 300.0) -> tuple[Reply, Asked]:
    """The answer to one request that the script is played for."""
    with Server(script) as server:
        asked = client(server, profile)
        return asked.reply(patience=patience), asked
