"""A real HTTP server on loopback that speaks the Messages API, JSON and SSE, from a script.

    with Server([say("hello"), tool("read_file", {"path": "a"}), err(429, retry_after=1)]) as server:
        ...  # ANTHROPIC_BASE_URL=server.url
    server.requests[0].body

Each call takes the next step of the script. `Server(reply=function)` asks `function(body)` for each step
instead: whole runs are scripted so, by what the conversation holds. A step is an `Answer`, whole or cut
short, or a `Failure`. A script that has ended answers 400, which nobody retries.
"""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Block = dict[str, Any]
Event = dict[str, Any]

_numbers = itertools.count(1)

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Answer:
    """What the model says. `usage` is added to what the server reckons; None sends no usage at all.

    `cut` ends the stream after that many events: `end` in an orderly way, `close` and `reset` without one,
    `stall` sends nothing more, `error` sends an error event of the kind `error`. `edit` changes the list
    of events before they are sent. `whole`: as one JSON document, though a stream was asked for.
    """

    blocks: tuple[Block, ...]
    stop: str | None = "end_turn"
    details: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] | None = field(default_factory=dict)
    cut: int | None = None
    how: Literal["end", "close", "reset", "stall", "error"] = "end"
    error: Mapping[str, Any] = field(
        default_factory=lambda: {"type": "overloaded_error", "message": "Overloaded"}
    )
    edit: Callable[[list[Event]], list[Event]] | None = None
    whole: bool = False


@dataclass(frozen=True)
class Failure:
    """An answer with an error's status; with status 0 the connection is cut, after `hang` seconds."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: float = 0.0
    reset: bool = False


Step = Answer | Failure


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def thinking(words: str, signature: str = "EqQBCgIYAhIM") -> Block:
    return {"type": "thinking", "thinking": words, "signature": signature}


def tool_use(name: str, input: Any, *, id: str = "", raw: str | None = None) -> Block:
    """A call of a tool; `raw` is sent as its input's JSON, whatever it is."""
    block = {"type": "tool_use", "id": id or f"toolu_{next(_numbers):024d}", "name": name, "input": input}
    return block if raw is None else {**block, "_raw": raw}


def reply(*blocks: Block, stop: str | None = "end_turn", **fields: Any) -> Answer:
    return Answer(blocks, stop, **fields)


def say(words: str, **fields: Any) -> Answer:
    return reply(text(words), **fields)


def tool(name: str, input: Any, **fields: Any) -> Answer:
    """One call of a tool."""
    return reply(tool_use(name, input), stop="tool_use", **fields)


def tools(*calls: tuple[str, Any], before: str = "", **fields: Any) -> Answer:
    """Several calls at once, after some words."""
    words = [text(before)] if before else []
    return reply(*words, *(tool_use(name, value) for name, value in calls), stop="tool_use", **fields)


def refusal(partial: str = "", category: str = "cyber", explanation: str = "declined") -> Answer:
    details = {"type": "refusal", "category": category, "explanation": explanation}
    return reply(*([text(partial)] if partial else []), stop="refusal", details=details)


def err(
    status: int,
    message: str = "scripted",
    *,
    kind: str = "",
    code: str = "",
    retry_after: float | str | None = None,
    headers: Mapping[str, str] | None = None,
    raw: bytes | None = None,
) -> Failure:
    """An error as the API writes it; `raw` is sent as the body instead, as a proxy would."""
    error: dict[str, Any] = {"type": kind or KINDS.get(status, "api_error"), "message": message}
    if code:
        error["details"] = {"error_code": code}
    more = dict(headers or {})
    if retry_after is not None:
        more["retry-after"] = str(retry_after)
    return Failure(status, raw if raw is not None else {"type": "error", "error": error}, more)


def drop(reset: bool = False) -> Failure:
    """The connection ends before anything was answered."""
    return Failure(0, reset=reset)


def hang(seconds: float) -> Failure:
    """Nothing comes for so long, then the connection ends."""
    return Failure(0, hang=seconds)


def cut(
    answer: Answer, after: int, how: Literal["end", "close", "reset", "stall", "error"] = "end", **fields: Any
) -> Answer:
    """`answer`, broken off after so many events."""
    return replace(answer, cut=after, how=how, **fields)


@dataclass(frozen=True)
class Received:
    """One request. `raw` is its body as it came; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    raw: bytes
    at: float

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw or b"{}")
        return found


class Server:
    """Serves while it is entered. `requests` are those for an answer, in order; `connections` how many
    were made for them."""

    def __init__(
        self, script: Iterable[Step] = (), *, reply: Callable[[dict[str, Any]], Step] | None = None
    ) -> None:
        self._script = list(script)
        self._reply = reply
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self.requests: list[Received] = []
        self.connections = 0
        self.url = ""

    def __enter__(self) -> Server:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = _Quiet(("127.0.0.1", 0), handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        return self

    def __exit__(self, *ignored: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on; `url` says so."""
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.body for request in self.requests]

    def take(self, request: Received) -> tuple[Step, dict[str, Any]]:
        """The step for a request, and the usage of its prompt."""
        with self._lock:
            usage = self._prompt_usage(request.body)
            self.requests.append(request)
            if self._reply is not None:
                return self._reply(request.body), usage
            return (self._script.pop(0) if self._script else err(400, "the script has ended")), usage

    def _prompt_usage(self, body: Mapping[str, Any]) -> dict[str, int]:
        """Four characters a token. Where caching is asked for, what an earlier request held from its first
        byte on is read from the cache, and the rest written."""
        mine = _prompt(body)
        total = max(1, len(mine) // 4)
        if "cache_control" not in body:
            return {"input_tokens": total}
        earlier = (_prompt(r.body) for r in self.requests)
        read = max((len(e) // 4 for e in earlier if mine.startswith(e)), default=0)
        return {
            "input_tokens": 1,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": max(0, total - read - 1),
        }


def _prompt(body: Mapping[str, Any]) -> str:
    """Everything that a cache's key is made of, in the order in which the API reads it."""
    parts = (body.get("model"), body.get("tools"), body.get("system"), *body.get("messages", ()))
    return "\n".join(json.dumps(part) for part in parts)


def events(answer: Answer, model: str, prompt: Mapping[str, int], pieces: int = 12) -> list[Event]:
    """The events of a stream in the order that the API documents."""
    head: Event = {
        "id": f"msg_{next(_numbers):024d}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }
    end: Event = {
        "type": "message_delta",
        "delta": {"stop_reason": answer.stop, "stop_sequence": None, "stop_details": answer.details},
    }
    if answer.usage is not None:
        head["usage"] = {**prompt, "output_tokens": 1, **answer.usage}
        end["usage"] = {"output_tokens": 42, **answer.usage}
    made: list[Event] = [{"type": "message_start", "message": head}, {"type": "ping"}]
    for index, block in enumerate(answer.blocks):
        made.append({"type": "content_block_start", "index": index, "content_block": _start(block)})
        made += [
            {"type": "content_block_delta", "index": index, "delta": delta}
            for delta in _deltas(block, pieces)
        ]
        made.append({"type": "content_block_stop", "index": index})
    return [*made, end, {"type": "message_stop"}]


def _public(block: Block) -> Block:
    return {key: value for key, value in block.items() if key != "_raw"}


def _start(block: Block) -> Block:
    empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
    return {**_public(block), **empty.get(block["type"], {})}


def _deltas(block: Block, size: int) -> Iterator[Event]:
    kind = block["type"]
    if kind in ("text", "thinking"):
        for piece in _pieces(block[kind], size):
            yield {"type": f"{kind}_delta", kind: piece}
    if kind == "thinking" and block.get("signature"):
        yield {"type": "signature_delta", "signature": block["signature"]}
    if kind == "tool_use":
        yield {"type": "input_json_delta", "partial_json": ""}
        for piece in _pieces(block.get("_raw", json.dumps(block["input"])), size):
            yield {"type": "input_json_delta", "partial_json": piece}


def _pieces(words: str, size: int) -> list[str]:
    return [words[start : start + size] for start in range(0, len(words), size)]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, address: object) -> None:
        """A client that leaves is nothing to report."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Server

    def setup(self) -> None:
        super().setup()
        self.owner.connections += 1

    def log_message(self, *ignored: object) -> None:
        pass

    def do_GET(self) -> None:
        self._document(404, err(404).body)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.path.partition("?")[0] != "/v1/messages":
            return self._document(404, err(404, self.path).body)
        step, usage = self.owner.take(Received(self.path, headers, raw, time.monotonic()))
        body = json.loads(raw)
        if isinstance(step, Failure):
            return self._fail(step)
        if step.whole or not body.get("stream"):
            return self._document(200, _whole(step, str(body.get("model")), usage))
        return self._stream(step, str(body.get("model")), usage)

    def _fail(self, step: Failure) -> None:
        if step.hang:
            self.owner.closing.wait(step.hang)
        if not step.status:
            return self._close(step.reset)
        return self._document(step.status, step.body, step.headers)

    def _document(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/html" if isinstance(body, bytes) else "application/json"
        self.send_response(status)
        every = {"content-type": kind, "content-length": str(len(data)), "request-id": _request_id()}
        for name, value in {**every, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, step: Answer, model: str, usage: Mapping[str, int]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        if step.usage is not None:
            self.send_header("request-id", _request_id())
        self.end_headers()
        made = events(step, model, usage)
        for event in (step.edit(made) if step.edit else made)[: step.cut]:
            self._event(event)
        if step.cut is not None:
            if step.how == "stall":
                self.owner.closing.wait(60)
            if step.how == "error":
                self._event({"type": "error", "error": dict(step.error)})
            elif step.how != "end":
                return self._close(step.how == "reset")
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _event(self, event: Event) -> None:
        name = event["type"]
        shown = {k: v for k, v in event.items() if k != "type"} if event.get("_untyped") else event
        data = f"event: {name}\ndata: {json.dumps(shown)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _close(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def _request_id() -> str:
    return f"req_{next(_numbers):024d}"


def _whole(step: Answer, model: str, usage: Mapping[str, int]) -> Event:
    head: Event = dict(events(step, model, usage)[0]["message"])
    return {
        **head,
        "content": [_public(block) for block in step.blocks],
        "stop_reason": step.stop,
        "stop_details": step.details,
        **({"usage": {**usage, "output_tokens": 42, **step.usage}} if step.usage is not None else {}),
    }
