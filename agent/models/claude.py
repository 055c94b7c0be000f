"""A model behind the Messages API, asked through Anthropic's SDK: Anthropic's own server or any other.

The SDK does connections, proxies, certificates and authentication. What is sent is in profiles.py, how an
answer is put together in stream.py, what failures mean and when to ask again in retry.py.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bedev.agent.models.model import ModelRefusesRequest, Reply, Request, Usage
from bedev.agent.models.prices import price_of
from bedev.agent.models.profiles import NO_KEY, Endpoint, facts_of, resolve
from bedev.agent.models.retry import TransientFailure, judge, persist
from bedev.agent.models.stream import Answer, Incomplete, usage_of
from bedev.agent.redaction import Redactor
from bedev.agent.report.encode import one_line
from bedev.sandboxes.errors import BedevError, EnvironmentUnusable, Paused, UsageError

if TYPE_CHECKING:
    import anthropic

CONNECT_TIMEOUT = 10.0
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
COMPAT_VERSION = "2023-06-01"
"""The API version that other servers were written for."""


class Claude:
    """A `Model` (see model.py). `name` is an alias or an id; address and key come from `environ`.

    `read_timeout` (seconds) and `sleep` are for tests. Raises UsageError where there is no key.
    """

    def __init__(
        self,
        name: str = "opus",
        environ: Mapping[str, str] | None = None,
        *,
        read_timeout: float | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.endpoint = Endpoint.from_environment(environ)
        self.name, self.name_from = resolve(name, environ)
        if not (self.endpoint.key or self.endpoint.token) and self.endpoint.official:
            raise no_key()
        self.title = self.name if self.endpoint.official else f"{self.name} at {self.endpoint.host}"
        self.facts = facts_of(self.name, self.endpoint.profile)
        self.streamed: bool | None = None
        """Whether the last answer came as a stream; None before there was one."""
        self._read_timeout = read_timeout or self.endpoint.profile.read_timeout
        self._connect_timeout = connect_timeout
        self._sleep = sleep
        self._own_headers = {
            line.partition(":")[0].strip().lower()
            for line in environ.get("ANTHROPIC_CUSTOM_HEADERS", "").split("\n")
        }
        secrets = (self.endpoint.key, self.endpoint.token, *_header_values(environ))
        self._hide = Redactor(secrets)
        self._client: anthropic.Anthropic | None = None
        self._load_error: Exception | None = None
        self._loading: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Claude({self.name!r} at {self.endpoint.host!r})"

    def price(self, usage: Usage) -> float | None:
        """US dollars for `usage` by the price list of prices.AS_OF; None for models that it lacks, and for
        every server but Anthropic's."""
        price = price_of(self.name) if self.endpoint.official else None
        return None if price is None else price.of(usage)

    def warm_up(self) -> None:
        """Begin to import the SDK (two seconds of CPU) in the background; returns at once."""
        if self._loading is None:
            self._loading = threading.Thread(target=self._load, name="import anthropic", daemon=True)
            self._loading.start()

    def reply(self, request: Request, say: Callable[[str], None], patience: float = 300.0) -> Reply:
        """See Model.reply."""
        began = time.monotonic()
        client = self._ready()
        body = self._body(request)
        spoken: list[str] = []

        def first_words(words: str) -> None:
            if not spoken:
                spoken.append(words)
                say(one_line(words, 120))

        reply, attempts = persist(
            lambda: self._attempt(client, body, first_words),
            host=self.endpoint.host,
            patience=patience,
            say=say,
            sleep=self._sleep,
        )
        return Reply(
            content=reply.content,
            stop_reason=reply.stop_reason,
            usage=reply.usage,
            model=reply.model or self.name,
            request_id=reply.request_id,
            seconds=time.monotonic() - began,
            attempts=attempts,
            stop_detail=self._hide(reply.stop_detail),
        )

    def _load(self) -> None:
        try:
            self._client = self._connect()
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits for this thread
            self._load_error = error

    def _connect(self) -> anthropic.Anthropic:
        import anthropic
        import httpx2

        _check_proxies()
        endpoint = self.endpoint
        headers: dict[str, str] = {}
        if endpoint.profile.tolerant:
            # Servers that were written for the API's first version look for the key here.
            headers = {"anthropic-version": COMPAT_VERSION}
            if endpoint.key:
                headers["x-api-key"] = endpoint.key
        token = endpoint.token or None
        return anthropic.Anthropic(
            api_key=None if token else endpoint.key or NO_KEY,
            auth_token=token,
            base_url=endpoint.url,
            max_retries=0,
            timeout=httpx2.Timeout(self._read_timeout, connect=self._connect_timeout),
            default_headers={k: v for k, v in headers.items() if k not in self._own_headers},
            open_telemetry=False,
        )

    def _ready(self) -> anthropic.Anthropic:
        self.warm_up()
        if self._loading is not None:
            self._loading.join()
        if self._client is None:
            broken = isinstance(self._load_error, ModuleNotFoundError)
            raise EnvironmentUnusable(
                f"The model client cannot {'be imported' if broken else 'start'}.",
                where=self.endpoint.host,
                next_step="pip install --force-reinstall bedev; or go on without a model: --model advisor."
                if broken
                else "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE; or use --model advisor.",
                detail=self._hide(str(self._load_error)),
            )
        return self._client

    def _body(self, request: Request) -> dict[str, Any]:
        """The request's fields. Key order never changes, and what was sent before stays as it was, byte
        for byte: caches and the signatures of thinking depend on both."""
        profile = self.endpoint.profile
        body: dict[str, Any] = {
            "model": self.name,
            "max_tokens": max(1, min(request.max_tokens, self.facts.max_output)),
            "messages": [dict(message) for message in request.messages],
        }
        if request.system and profile.caching:
            # An hour: a run of the gate between two turns may take longer than the usual five minutes.
            # It covers the tools too, which come before the system prompt.
            cached = {"type": "ephemeral", "ttl": "1h"}
            body["system"] = [{"type": "text", "text": request.system, "cache_control": cached}]
        elif request.system:
            body["system"] = request.system
        if request.tools:
            known = ("name", "description", "input_schema")
            body["tools"] = [
                dict(tool) if not profile.tolerant else {k: tool[k] for k in known if k in tool}
                for tool in request.tools
            ]
        if profile.caching:
            # The moving breakpoint: at the end of whatever has been said so far, without a mark in it.
            body["cache_control"] = {"type": "ephemeral"}
        if profile.thinking and self.facts.adaptive:
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        return body

    def _attempt(
        self, client: anthropic.Anthropic, body: Mapping[str, Any], first_words: Callable[[str], None]
    ) -> Reply:
        """Ask once. Raises TransientFailure, Paused or ModelRefusesRequest."""
        answer = Answer(self.endpoint.profile.tolerant)
        request_id = ""
        try:
            for request_id, event in self._events(client, body, answer):  # noqa: B007 - the last one is kept
                if event.get("type") == "content_block_stop" and (words := answer.first_words):
                    first_words(words)
            complete = answer.complete()
        except Incomplete as error:
            raise TransientFailure(str(error), broke_off=answer.begun) from None
        return Reply(
            content=complete.content,
            stop_reason=complete.stop_reason,
            usage=usage_of(complete.usage, body, complete.content),
            model=complete.model,
            request_id=request_id,
            stop_detail=complete.stop_detail,
        )

    def _events(
        self, client: anthropic.Anthropic, body: Mapping[str, Any], answer: Answer
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Feed `answer` with the events of one call, each given on with the request's id. Every error of
        the SDK and of the connection becomes one of ours, and none of theirs stays attached to it: they
        carry the request with its key."""
        import anthropic
        import httpx2

        fault: Exception
        with ExitStack() as stack:
            try:
                response = stack.enter_context(
                    client.messages.with_streaming_response.create(**body, stream=True)
                )
                request_id = response.headers.get("request-id", "")
                self.streamed = "json" not in response.headers.get("content-type", "")
                documents: Iterable[tuple[str | None, str]]
                if self.streamed:
                    raw = anthropic.Stream.raw_events(response.http_response)
                    documents = ((sse.event, sse.data) for sse in raw)
                else:
                    documents = ((None, response.read().decode()),)
                for name, data in documents:
                    event = _event(name, data)
                    if event.get("type") == "error":
                        fault = self._stream_error(event, response.headers, answer)
                        break
                    answer.feed(event)
                    yield request_id, event
                else:
                    return
            except anthropic.APIStatusError as error:
                fault = self._status_error(error)
            except anthropic.APIConnectionError as error:
                fault = self._connection_error(error.__cause__ or error, answer)
            except httpx2.RequestError as error:
                fault = self._connection_error(error, answer)
            except UnicodeEncodeError:
                fault = ModelRefusesRequest("The conversation holds characters that cannot be sent.")
            except (ValueError, AssertionError, RecursionError, anthropic.AnthropicError) as error:
                fault = Incomplete(f"the answer cannot be read ({type(error).__name__})")
        # Reading on to the end keeps the connection for the next turn; after message_stop nothing that
        # happens on the way there matters any more.
        if not answer.stopped:
            raise fault

    def _judge(
        self,
        status: int,
        error: Mapping[str, Any],
        message: str,
        headers: Mapping[str, str],
        broke_off: bool = False,
    ) -> BedevError | TransientFailure:
        details = error.get("details")
        code = details.get("error_code") if isinstance(details, Mapping) else None
        kind = error.get("type")
        return judge(
            status,
            kind=kind if isinstance(kind, str) else "",
            code=code if isinstance(code, str) else "",
            message=self._hide(str(error.get("message") or message))[:600],
            headers=headers,
            model=self.name,
            endpoint=self.endpoint,
            broke_off=broke_off,
        )

    def _status_error(self, error: anthropic.APIStatusError) -> BedevError | TransientFailure:
        return self._judge(error.status_code, _error_of(error.body), error.message, error.response.headers)

    def _stream_error(
        self, event: Mapping[str, Any], headers: Mapping[str, str], answer: Answer
    ) -> BedevError | TransientFailure:
        return self._judge(200, _error_of(event), "an error within the answer", headers, answer.begun)

    def _connection_error(self, error: BaseException, answer: Answer) -> BedevError | TransientFailure:
        name, text = type(error).__name__, self._hide(str(error))[:300]
        host = self.endpoint.host
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return Paused(
                f"The certificate of {host} cannot be verified.",
                where=host,
                next_step="Set SSL_CERT_FILE to your organisation's certificates; then resume the run.",
                detail=text,
            )
        if "ConnectTimeout" in name:
            what = f"no connection to {host} within {self._connect_timeout:g} s"
        elif "Timeout" in name:
            what = f"nothing came from {host} for {self._read_timeout:g} s"
        elif name == "ConnectError":
            what = f"no connection to {host}"
        else:
            what = f"the connection broke {'in the middle' if answer.begun else 'before the answer'}"
        return TransientFailure(what, detail=text, broke_off=answer.begun)


def no_key() -> UsageError:
    return UsageError(
        "There is no key for a model.",
        where="ANTHROPIC_API_KEY",
        next_step="Set ANTHROPIC_API_KEY (from platform.claude.com) or ANTHROPIC_AUTH_TOKEN, or "
        "ANTHROPIC_BASE_URL for a server of your own; or use --model advisor, which needs none.",
    )


def _event(name: str | None, data: str) -> Mapping[str, Any]:
    """An event's JSON, with its name as the type where it has none; a ping for what is no event (an empty
    one, `[DONE]`). Raises ValueError."""
    if not data.strip() or data.strip() == "[DONE]":
        return {"type": "ping"}
    event = json.loads(data)
    if not isinstance(event, Mapping):
        raise ValueError("an event that is no object")
    return {"type": name or "unknown", **event}


def _error_of(body: object) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {"message": error} if isinstance(error, str) else {}


def _check_proxies() -> None:
    """Raises ValueError for a proxy of an unknown kind. The SDK would too, and then complain once more on
    stderr about its own half-made client."""
    import urllib.request

    for name, proxy in urllib.request.getproxies().items():
        scheme, marked, _ = proxy.partition("://")
        if name in ("http", "https", "all") and marked and scheme not in PROXY_SCHEMES:
            raise ValueError(f"{name.upper()}_PROXY is of an unknown kind, {scheme}")


def _header_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of ANTHROPIC_CUSTOM_HEADERS: they may be keys of a proxy."""
    lines = environ.get("ANTHROPIC_CUSTOM_HEADERS", "").split("\n")
    return tuple(value.strip() for _, _, value in (line.partition(":") for line in lines))
