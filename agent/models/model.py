"""What a model is to a run: one class with one method. claude.py speaks the Messages API; the advisor
(advisor.py) needs no model and takes another way through the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bedev.sandboxes.errors import BedevError

Block = Mapping[str, Any]
"""One content block of a message, exactly as the Messages API writes it (JSON-like)."""
Message = Mapping[str, Any]
"""`{"role": "user"|"assistant", "content": [blocks]}`. A conversation is only ever appended to."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer. The whole input is `input_tokens + cache_read_tokens + cache_write_tokens`
    (`cache_write_1h_tokens` of the last for an hour). `estimated`: the server told nothing, so it was
    reckoned from characters."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    estimated: bool = False

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True)
class Request:
    """One call. `system` and `tools` are byte-stable within a run; `messages` only grow.

    `max_tokens` is the most that may be answered: what the budget has reserved.
    """

    system: str
    tools: Sequence[Mapping[str, Any]]
    messages: Sequence[Message]
    max_tokens: int


StopReason = Literal["end_turn", "tool_use", "max_tokens", "refusal", "context_full", "other"]


@dataclass(frozen=True)
class Reply:
    """A complete answer (a stream that ended without `message_stop` never becomes one).

    `content` goes back into the conversation verbatim. `stop_reason` is one of ours, `stop_detail` what the
    server said where it is `refusal` or `other`. `attempts` counts the calls that it took; `model` is who
    answered, `request_id` the server's name for the call.
    """

    content: tuple[Block, ...]
    stop_reason: StopReason
    usage: Usage
    model: str = ""
    request_id: str = ""
    seconds: float = 0.0
    attempts: int = 1
    stop_detail: str = ""

    @property
    def tool_uses(self) -> tuple[Block, ...]:
        return tuple(b for b in self.content if b.get("type") == "tool_use")

    @property
    def text(self) -> str:
        return "\n".join(str(b.get("text", "")) for b in self.content if b.get("type") == "text").strip()


class Model(Protocol):
    """Who is asked. `name` is the id that is sent; `title` is for people.

    `reply` waits for a complete answer and retries what heals by itself, for at most `patience` seconds
    in total. `say` hears one line for a person while it waits (a retry, the first words). Raises

    * Paused (exit 4): the key is refused or revoked, a spend limit, the server down or overloaded for
      longer than `patience`; the run can be resumed;
    * ModelRefusesRequest: the server will never take this request (400, 404, 413), with its words.
    """

    name: str
    title: str

    def reply(self, request: Request, say: Callable[[str], None], patience: float = 300.0) -> Reply: ...

    def price(self, usage: Usage) -> float | None:
        """US dollars for `usage`, None where the price of this model is not known (never 0 for that)."""
        ...

    def warm_up(self) -> None:
        """Begin in the background what takes time before the first call (imports); returns at once."""
        ...


class ModelRefusesRequest(BedevError):
    """The server understood the request and will not answer it, now or later. `kind`: `unknown_model`,
    `too_long`, `bad_request`."""

    def __init__(
        self, what: str, *, kind: str = "bad_request", next_step: str = "", detail: str = ""
    ) -> None:
        super().__init__(what, next_step=next_step, detail=detail)
        self.kind = kind


@dataclass(frozen=True)
class ModelCheck:
    """What one test call showed (`bedev models`): lines for people, and whether a run would work."""

    works: bool
    lines: tuple[str, ...] = field(default=())
