"""From the events of a stream to a complete answer, or to the reason why it is none.

The SDK's own accumulation is not used: it takes a stream that ends early for a complete one, fills the gaps
of truncated tool JSON in silence, fails on servers that send no usage, and gives blocks other keys than they
came with. Here a block stays exactly the JSON that the server wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedev.agent.models.model import StopReason, Usage

MOST_CHARACTERS = 32 << 20
"""An answer longer than any model's: the server is not one."""
CHARACTERS_A_TOKEN = 3.5

_STOP: Mapping[str, StopReason] = {
    "end_turn": "end_turn",
    "stop_sequence": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_full",
}
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking"}


class Incomplete(Exception):
    """This is not an answer that may be used. The text says why, in words of ours."""


@dataclass(frozen=True)
class Complete:
    """A whole answer. `usage` is as the server told, empty where it did not."""

    content: tuple[Mapping[str, Any], ...]
    stop_reason: StopReason
    stop_detail: str
    model: str
    usage: Mapping[str, Any]


class Answer:
    """Takes the events of one stream in order (`feed`), then gives the answer (`complete`).

    `tolerant` puts right what servers other than Anthropic's are known to get wrong.
    """

    def __init__(self, tolerant: bool) -> None:
        self._tolerant = tolerant
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._json: dict[int, list[str]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._usage: dict[str, Any] = {}
        self._delta: dict[str, Any] = {}
        self._stopped = False
        self._size = 0

    @property
    def begun(self) -> bool:
        return bool(self._message or self._blocks)

    @property
    def stopped(self) -> bool:
        return self._stopped

    @property
    def first_words(self) -> str:
        """The first line that was said or thought, as far as it has come."""
        for index, pieces in self._pieces.items():
            kind = self._blocks[index].get("type")
            if kind in ("text", "thinking") and (line := "".join(pieces).strip()):
                return line.split("\n", 1)[0]
        return ""

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take one event; unknown kinds are passed over, as the API asks for. Raises Incomplete."""
        try:
            self._take(event)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise Incomplete(f"an event of the answer is malformed ({type(error).__name__})") from None

    def _take(self, event: Mapping[str, Any]) -> None:
        match event["type"]:
            case "message_start":
                self._message = dict(event["message"])
                self._merge_usage(self._message.get("usage"))
            case "content_block_start":
                index = int(event["index"])
                self._blocks[index] = dict(event["content_block"])
                self._pieces[index] = []
            case "content_block_delta":
                self._add(int(event["index"]), event["delta"])
            case "message_delta":
                self._delta.update(event["delta"])
                self._merge_usage(event.get("usage"))
            case "message_stop":
                self._stopped = True
            case "message":
                self._take_message(event)

    def _add(self, index: int, delta: Mapping[str, Any]) -> None:
        block = self._blocks[index]
        kind = delta["type"]
        if kind in _TEXTS:
            self._grow(self._pieces[index], delta[_TEXTS[kind]])
        elif kind == "input_json_delta":
            self._grow(self._json.setdefault(index, []), delta["partial_json"])
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]

    def _grow(self, pieces: list[str], piece: object) -> None:
        if not isinstance(piece, str):
            raise TypeError("a piece of text that is none")
        self._size += len(piece)
        if self._size > MOST_CHARACTERS:
            raise Incomplete("the answer does not end")
        pieces.append(piece)

    def _merge_usage(self, usage: Mapping[str, Any] | None) -> None:
        # The counts of message_delta are totals; what it leaves out stays as message_start said.
        self._usage.update({k: v for k, v in (usage or {}).items() if v is not None})

    def _take_message(self, message: Mapping[str, Any]) -> None:
        """A whole message instead of a stream: some servers do not stream though asked to."""
        self._message = dict(message)
        self._merge_usage(message.get("usage"))
        self._pieces, self._json = {}, {}
        self._blocks = {i: dict(block) for i, block in enumerate(message["content"])}
        self._delta = {k: message.get(k) for k in ("stop_reason", "stop_details")}
        self._stopped = True

    def complete(self) -> Complete:
        """The answer. Raises Incomplete where it ended early or calls a tool in a way that cannot be run."""
        said = self._delta.get("stop_reason")
        if not self.begun:
            raise Incomplete("the server ended its answer before it began")
        if not self._stopped or not isinstance(said, str):
            raise Incomplete("the answer ended in the middle")
        stop = _STOP.get(said, "other")
        calls = [i for i, block in self._blocks.items() if block.get("type") == "tool_use"]
        if self._tolerant and stop == "end_turn" and calls:
            stop = "tool_use"
        if stop == "tool_use" and not calls:
            raise Incomplete("the answer stopped to call a tool and calls none")
        if stop == "end_turn" and calls:
            raise Incomplete("the answer calls a tool and does not stop for it")
        content = [
            block
            for index in sorted(self._blocks)
            # A call that will not be answered must not go into the conversation.
            if (stop == "tool_use" or index not in calls) and (block := self._block(index)) is not None
        ]
        if stop == "tool_use":
            self._check_ids(content)
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise Incomplete("the answer holds characters that cannot be sent back") from None
        details = self._delta.get("stop_details")
        return Complete(
            tuple(content),
            stop,
            _detail(said, details) if stop in ("refusal", "other") else "",
            str(self._message.get("model") or ""),
            self._usage,
        )

    def _block(self, index: int) -> dict[str, Any] | None:
        """One block as it goes back; None for what the API would not take back: a text of nothing, and
        thinking that was cut before its signature."""
        block = self._blocks[index]
        kind = block.get("type")
        text = "".join(self._pieces.get(index, ()))
        if kind in ("text", "thinking") and text:
            block = {**block, kind: f"{block.get(kind) or ''}{text}"}
        if kind == "text" and not str(block.get("text") or "").strip():
            return None
        if kind == "thinking" and not block.get("signature") and not self._tolerant:
            return None
        written = "".join(self._json.get(index, ()))
        if kind == "tool_use" or written:
            block = {**block, "input": self._input(written, block.get("input"))}
        if kind == "tool_use" and not isinstance(block.get("name"), str):
            raise Incomplete("the answer calls a tool without a name")
        return block

    def _input(self, written: str, given: object) -> dict[str, Any]:
        if self._tolerant and not written and isinstance(given, str):
            written = given
        try:
            value = json.loads(written, parse_constant=_no_constant) if written.strip() else given or {}
        except (ValueError, RecursionError):
            raise Incomplete("the input of a tool call is not whole") from None
        if not isinstance(value, dict):
            raise Incomplete("the input of a tool call is not an object")
        return value

    def _check_ids(self, content: list[dict[str, Any]]) -> None:
        seen: set[str] = set()
        for position, block in enumerate(content):
            if block.get("type") != "tool_use":
                continue
            name = block.get("id")
            if not isinstance(name, str) or not name or name in seen:
                if not self._tolerant:
                    raise Incomplete("two tool calls of the answer have the same id, or one has none")
                name = f"{name or 'call'}_{position}"
                content[position] = {**block, "id": name}
            seen.add(name)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _detail(said: str, details: object) -> str:
    if not isinstance(details, Mapping):
        return said
    parts = (details.get("category"), details.get("explanation"))
    return ": ".join(str(part) for part in parts if part) or said


def usage_of(told: Mapping[str, Any], prompt: object, content: object) -> Usage:
    """Tokens as the server told; what it left out is reckoned from characters (`estimated`)."""

    def count(source: Mapping[str, Any], name: str) -> int:
        value = source.get(name)
        return value if isinstance(value, int) and value > 0 else 0

    created = told.get("cache_creation")
    usage = Usage(
        count(told, "input_tokens"),
        count(told, "output_tokens"),
        count(told, "cache_read_input_tokens"),
        count(told, "cache_creation_input_tokens"),
        count(created, "ephemeral_1h_input_tokens") if isinstance(created, Mapping) else 0,
    )
    if usage.prompt_tokens and usage.output_tokens:
        return usage
    return Usage(
        usage.input_tokens if usage.prompt_tokens else _tokens(prompt),
        usage.output_tokens or _tokens(content),
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        estimated=True,
    )


def _tokens(document: object) -> int:
    return max(1, round(len(json.dumps(document, ensure_ascii=False)) / CHARACTERS_A_TOKEN))
