"""What a run and a model said to each other: journaled first, then acted on, and only ever appended to.

Four kinds of records make it: `conversation` (system, tools, opening), `reply` (an answer, whole),
`acted` (one tool's result, with the files that it changed) and `message` (what goes back). Replaying them
gives the same bytes again; a turn that was cut off in the middle goes on with the tools that had not acted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bedev.agent.budget import Spent
from bedev.agent.journal import Journal, Record
from bedev.agent.models.model import Block, Message, Reply, Usage

Edits = Mapping[str, bytes | None]


@dataclass(frozen=True)
class Acted:
    """What one tool call gave: the text that goes back, whether it is an error, the line on the screen."""

    id: str
    text: str
    error: bool
    brief: str


@dataclass
class Conversation:
    """`open` is the last reply while its tools are still to act (or to be answered); `acted` what they gave
    so far, by id; `edits` what the workspace changes of base; `begun` are calls that an earlier process began
    and of which it left no result."""

    journal: Journal
    system: str
    tools: Sequence[Mapping[str, Any]]
    messages: list[Message] = field(default_factory=list)
    open: Reply | None = None
    acted: dict[str, Acted] = field(default_factory=dict)
    edits: dict[str, bytes | None] = field(default_factory=dict)
    new_characters: int = 0
    begun: set[str] = field(default_factory=set)

    @classmethod
    def begin(
        cls,
        journal: Journal,
        system: str,
        tools: Sequence[Mapping[str, Any]],
        opening: str,
        edits: Edits | None = None,
        **facts: Any,
    ) -> Conversation:
        """A new one. `facts` (model, persona ...) are recorded with it; `edits` are an earlier one's."""
        journal.append(
            "conversation",
            system=_put(journal, system),
            tools=_put(journal, list(tools)),
            opening=_put(journal, opening),
            **facts,
        )
        talk = cls(journal, system, tools, edits=dict(edits or {}))
        talk._take(_user([{"type": "text", "text": opening}]))
        talk.new_characters += len(system) + len(json.dumps(list(tools)))
        return talk

    def asking(self, most_tokens: int) -> None:
        self.journal.append("asking", messages=len(self.messages), max_tokens=most_tokens)

    def replied(self, reply: Reply, usd: float | None) -> None:
        """An answer is complete. From here on it is paid for, and is never asked for again."""
        self.journal.append(
            "reply",
            content=_put(self.journal, list(reply.content)),
            stop_reason=reply.stop_reason,
            stop_detail=reply.stop_detail,
            usage=asdict(reply.usage),
            usd=usd,
            model=reply.model,
            request_id=reply.request_id,
            seconds=round(reply.seconds, 2),
            attempts=reply.attempts,
            tools=[str(b.get("name")) for b in reply.tool_uses],
        )
        self._hear(reply)

    def acting(self, block: Block) -> None:
        self.journal.append(
            "acting",
            id=str(block["id"]),
            tool=str(block.get("name")),
            input=_put(self.journal, block.get("input")),
        )

    def did(self, acted: Acted, edits: Edits | None = None) -> None:
        """One tool has acted. `edits` is given where the workspace is not as it was."""
        changed = edits is not None and dict(edits) != self.edits
        files = {}
        if edits is not None and changed:
            files = {p: None if c is None else self.journal.put_blob(c) for p, c in edits.items()}
            self.edits = dict(edits)
        self.journal.append(
            "acted",
            id=acted.id,
            text=_put(self.journal, acted.text),
            error=acted.error,
            brief=acted.brief[:400],
            **({"edits": files} if changed else {}),
        )
        self.acted[acted.id] = acted

    def answer(self, notice: str = "") -> None:
        """Send the results of the open turn back, all in one message, with a notice after them."""
        assert self.open is not None
        results: list[dict[str, Any]] = []
        for block in self.open.tool_uses:
            acted = self.acted[str(block["id"])]
            text = acted.text
            if notice and block is self.open.tool_uses[-1]:
                text = f"{text}\n\n[bedev: {notice}]"
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": acted.id, "content": text}
            if acted.error:
                result["is_error"] = True
            results.append(result)
        self._say(results)

    def say(self, text: str) -> None:
        """A message of ours that answers no tool."""
        self._say([{"type": "text", "text": text}])

    def _say(self, content: list[dict[str, Any]]) -> None:
        self.journal.append("message", content=_put(self.journal, content))
        self._take(_user(content))

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        self.new_characters += len(json.dumps(message, ensure_ascii=False))
        if message["role"] == "user":
            self.open, self.acted = None, {}

    def _hear(self, reply: Reply) -> None:
        if reply.content:
            self._take({"role": "assistant", "content": list(reply.content)})
        self.open, self.acted, self.new_characters = reply, {}, 0

    @classmethod
    def replay(cls, journal: Journal) -> Conversation | None:
        """The conversation that a journal holds, None where the run had not come so far. Raises UsageError
        where a payload is missing or damaged."""
        talk: Conversation | None = None
        for record in journal.records():
            fields = record.fields
            if record.kind == "conversation":
                edits = talk.edits if talk else {}
                talk = cls(
                    journal, _get(journal, fields["system"]), _get(journal, fields["tools"]), edits=edits
                )
                talk._take(_user([{"type": "text", "text": _get(journal, fields["opening"])}]))
                talk.new_characters += len(talk.system) + len(json.dumps(list(talk.tools)))
            elif talk is not None:
                talk._replay(record)
        return talk

    def _replay(self, record: Record) -> None:
        fields = record.fields
        if record.kind == "acting":
            self.begun.add(str(fields["id"]))
        elif record.kind == "reply":
            self._hear(reply_of(self.journal, record))
        elif record.kind == "acted":
            text = _get(self.journal, fields["text"])
            acted = Acted(str(fields["id"]), text, bool(fields["error"]), str(fields["brief"]))
            self.acted[acted.id] = acted
            if "edits" in fields:
                self.edits = {
                    p: None if blob is None else self.journal.get_blob(blob)
                    for p, blob in fields["edits"].items()
                }
        elif record.kind == "message":
            self._take(_user(_get(self.journal, fields["content"])))


def reply_of(journal: Journal, record: Record) -> Reply:
    """The answer that a `reply` record holds."""
    fields = record.fields
    return Reply(
        content=tuple(_get(journal, fields["content"])),
        stop_reason=fields["stop_reason"],
        usage=Usage(**fields["usage"]),
        model=fields["model"],
        request_id=fields["request_id"],
        seconds=fields["seconds"],
        attempts=fields["attempts"],
        stop_detail=fields["stop_detail"],
    )


def spent(journal: Journal) -> Spent:
    """What the journal says was spent, its pauses not counted."""
    from datetime import datetime

    total = Spent()
    began = last = None
    for record in journal.records():
        at = datetime.fromisoformat(record.at)
        if record.kind in ("created", "resumed"):
            if began is not None and last is not None:
                total.seconds += (last - began).total_seconds()
            began = at
        last = at
        if record.kind == "reply":
            total.turns += 1
            total.add(Usage(**record.fields["usage"]), record.fields["usd"])
        elif record.kind == "proof" and record.fields.get("counted", True):
            total.proposals += 1
    if began is not None and last is not None:
        total.seconds += (last - began).total_seconds()
    return total


def _user(content: Sequence[Mapping[str, Any]]) -> Message:
    return {"role": "user", "content": list(content)}


def _put(journal: Journal, value: Any) -> str:
    """Kept as JSON with its order, so that what is sent again is the same to the byte."""
    return journal.put_blob(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _get(journal: Journal, blob: Any) -> Any:
    return json.loads(journal.get_blob(str(blob)).decode("utf-8", "surrogatepass"))
