"""Everything that goes wrong between a model and a run: what heals is asked again, the rest is said."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import ssl
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, a_request, ask, client, user
from bedev.agent.models.claude import Claude
from bedev.agent.models.model import ModelRefusesRequest
from bedev.agent.models.retry import MOST_BROKEN
from bedev.sandboxes.errors import BedevError, Paused
from scripted import (
    Answer,
    Event,
    Failure,
    Server,
    Step,
    cut,
    drop,
    err,
    hang,
    reply,
    say,
    text,
    tool,
    tool_use,
)

OK = say("well again")


def truncated(raw: str, stop: str = "tool_use") -> Answer:
    return reply(tool_use("run", {}, raw=raw), stop=stop)


def strange(events: list[Event]) -> list[Event]:
    return [
        *events[:3],
        {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta"}},
        *events,
    ]


HEALS: dict[str, tuple[Step, str]] = {
    "429": (err(429), "the server asks to slow down (429 rate_limit_error)"),
    "529": (err(529), "the server is overloaded (529 overloaded_error)"),
    "500": (err(500), "the server failed (500 api_error)"),
    "503 with HTML": (err(503, raw=b"<html>bad gateway</html>"), "the server is not available (503)"),
    "504": (err(504), "the server took too long (504 timeout_error)"),
    "408": (err(408), "the server took too long (408 timeout_error)"),
    "409": (err(409), "the server reports a conflict (409 conflict_error)"),
    "400 that asks to be retried": (
        err(400, headers={"x-should-retry": "true"}),
        "the server refuses for now (400 invalid_request_error)",
    ),
    "closed before the answer": (drop(), "the connection broke before the answer"),
    "reset before the answer": (drop(reset=True), "the connection broke before the answer"),
    "no answer": (hang(5), "nothing came from"),
    "closed in the middle": (cut(say("hello " * 9), 5, "close"), "the connection broke in the middle"),
    "stalled in the middle": (cut(say("hello " * 9), 5, "stall"), "nothing came from"),
    "clean end in the text": (cut(say("hello " * 9), 5), "the answer ended in the middle"),
    "clean end in a tool's JSON": (
        cut(tool("run", {"cmd": "ls -l /var"}), 5),
        "the answer ended in the middle",
    ),
    "clean end before message_stop": (cut(say("hello"), 6), "the answer ended in the middle"),
    "clean end before anything": (cut(say("hello"), 0), "the server ended its answer before it began"),
    "error event in the middle": (cut(say("hello " * 9), 5, "error"), "the server is overloaded (529"),
    "error event first": (cut(say("hello"), 0, "error"), "the server is overloaded (529"),
    "error event of an unknown kind": (
        cut(say("hello"), 2, "error", error={"type": "gremlins", "message": "?"}),
        "the server failed (500)",
    ),
    "no stop reason": (say("hello", stop=None), "the answer ended in the middle"),
    "truncated tool JSON": (truncated('{"cmd": "ls'), "the input of a tool call is not whole"),
    "malformed tool JSON": (truncated('{"cmd": truish}'), "the input of a tool call is not whole"),
    "NaN in tool JSON": (truncated('{"cmd": NaN}'), "the input of a tool call is not whole"),
    "tool input that is a list": (truncated('["ls"]'), "the input of a tool call is not an object"),
    "tool input that is a string": (truncated('"ls"'), "the input of a tool call is not an object"),
    "deep tool JSON": (truncated('{"a":' + "[" * 30_000), "the input of a tool call is not whole"),
    "half a surrogate pair": (truncated('{"cmd": "\\ud83d"}'), "the answer holds characters"),
    "tool_use without a call": (say("hello", stop="tool_use"), "the answer stopped to call a tool and calls"),
    "a call without tool_use": (
        reply(tool_use("run", {"cmd": "ls"})),
        "the answer calls a tool and does not stop for it",
    ),
    "the same id twice": (
        reply(tool_use("run", {}, id="a"), tool_use("run", {}, id="a"), stop="tool_use"),
        "two tool calls of the answer have the same id",
    ),
    "malformed event": (say("hello", edit=strange), "an event of the answer is malformed (KeyError)"),
}


@pytest.mark.parametrize("fault", HEALS)
def test_what_heals_is_asked_again_with_the_same_request(fault: str) -> None:
    step, words = HEALS[fault]
    answer, asked = ask([step, OK])
    assert (answer.text, answer.attempts) == ("well again", 2)
    first, second = (request.raw for request in asked.server.requests)
    assert first == second
    (told,) = [line for line in asked.said if "asking again" in line]
    assert told.startswith(words)
    assert re.search(r"; asking again in 0\.[345] s \(attempt 2\)$", told)


def test_a_reset_in_the_middle_is_asked_again() -> None:
    # What was sent before a reset may be lost on the way, so only the beginning of the words is sure.
    answer, asked = ask([cut(say("hello " * 9), 5, "reset"), OK])
    assert answer.attempts == 2
    assert "the connection broke" in "".join(asked.said)


def test_a_refused_connection_is_asked_again_until_patience_ends() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        waits: list[float] = []
        model = Claude("opus", {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY}, sleep=waits.append)
        with pytest.raises(Paused) as caught:
            model.reply(a_request(), lambda words: None, 20)
    assert "no connection to 127.0.0.1" in caught.value.what
    assert sum(waits) == pytest.approx(20, abs=1)


def test_the_server_says_how_long_to_wait() -> None:
    answer, asked = ask([err(429, retry_after=7), err(529, headers={"retry-after-ms": "1500"}), OK])
    assert (answer.attempts, asked.waits) == (3, [7.0, 1.5])
    assert "asking again in 7.0 s (attempt 2)" in asked.said[0]


def test_but_never_longer_than_a_minute_nor_than_patience() -> None:
    with Server([err(429, retry_after=3600)] * 9) as server:
        asked = client(server)
        with pytest.raises(Paused) as caught:
            asked.reply(patience=150)
    assert asked.waits == [60, 60, pytest.approx(30, abs=1)]
    assert len(server.requests) == 4
    assert "asked 4 times within 150 s" in caught.value.what
    assert caught.value.exit_code == 4
    assert "resume" in caught.value.next_step


def test_without_retry_after_the_waits_grow() -> None:
    _, asked = ask([err(429)] * 5 + [OK])
    assert len(asked.waits) == 5
    for number, wait in enumerate(asked.waits):
        assert 0.75 * 0.5 * 2**number <= wait <= 0.5 * 2**number


@pytest.mark.parametrize("wish", ["0", "-5", "soon", "nan"])
def test_a_useless_retry_after_is_not_believed(wish: str) -> None:
    _, asked = ask([err(429, retry_after=wish), OK])
    assert 0.3 < asked.waits[0] <= 0.5


def test_answers_that_break_off_again_and_again_cost_tokens_so_it_ends() -> None:
    with Server([truncated('{"cmd": "ls')] * 9) as server, pytest.raises(Paused) as caught:
        client(server).reply()
    assert len(server.requests) == MOST_BROKEN
    assert "the input of a tool call is not whole" in caught.value.what


def test_without_patience_a_failure_ends_it() -> None:
    with Server([err(529), OK]) as server, pytest.raises(Paused):
        client(server).reply(patience=0)
    assert len(server.requests) == 1


def test_a_server_that_asks_not_to_be_asked_again_is_not() -> None:
    with Server([err(429, headers={"x-should-retry": "false"}), OK]) as server, pytest.raises(Paused):
        client(server).reply()
    assert len(server.requests) == 1


PAUSES: dict[str, tuple[Step, str, str]] = {
    "a key that is refused": (err(401), "is refused (401)", "ANTHROPIC_API_KEY"),
    "a key that may not": (err(403), "may not use claude-opus-5-5 (403)", "ANTHROPIC_API_KEY"),
    "no money": (err(402), "may not spend more (billing_error)", "add credit"),
    "a spend limit": (
        err(429, code="enforced_spend_limit_reached", retry_after=1),
        "may not spend more (enforced_spend_limit_reached)",
        "Raise the limit",
    ),
    "no credit, in the older way": (
        err(400, "Your credit balance is too low to access the Anthropic API."),
        "may not spend more",
        "add credit",
    ),
    "a key revoked within the stream": (
        cut(say("hello"), 3, "error", error={"type": "authentication_error", "message": "revoked"}),
        "is refused (401)",
        "ANTHROPIC_API_KEY",
    ),
}


@pytest.mark.parametrize("fault", PAUSES)
def test_what_a_person_has_to_mend_pauses_the_run_at_once(fault: str) -> None:
    step, what, next_step = PAUSES[fault]
    with Server([step, OK]) as server, pytest.raises(Paused) as caught:
        client(server).reply()
    assert len(server.requests) == 1
    assert what in caught.value.what
    assert next_step in caught.value.next_step
    assert "then resume the run" in caught.value.next_step
    assert caught.value.exit_code == 4


def test_a_key_that_is_revoked_in_the_middle_of_a_run_pauses_it() -> None:
    with Server([tool("run", {"cmd": "ls"}), err(401, "invalid key")]) as server:
        asked = client(server)
        first = asked.reply()
        history = (user("go"), {"role": "assistant", "content": list(first.content)}, user("go on"))
        with pytest.raises(Paused) as caught:
            asked.reply(a_request(*history))
    assert caught.value.detail == "invalid key"


REFUSES: dict[str, tuple[Step, str, str]] = {
    "an unknown model": (err(404, "model: claude-opus-5-5"), "unknown_model", "--model"),
    "an unknown model, in other words": (
        err(400, 'model "claude-opus-5-5" not found, try pulling it first'),
        "unknown_model",
        "--model",
    ),
    "a prompt that is too long": (
        err(400, "prompt is too long: 1000001 tokens > 1000000 maximum"),
        "too_long",
        "narrower task",
    ),
    "a prompt that is too long for vLLM": (
        err(400, "This model's maximum context length is 8192 tokens"),
        "too_long",
        "narrower task",
    ),
    "a body that is too long": (err(413), "too_long", "narrower task"),
    "an address without the API": (err(404, raw=b"404 page not found"), "bad_request", "ANTHROPIC_BASE_URL"),
    "a bad request": (err(400, "tools.0: extra field"), "bad_request", "BEDEV_MODEL_PROFILE=compat"),
    "a bad request within the stream": (
        cut(say("hello"), 0, "error", error={"type": "invalid_request_error", "message": "no"}),
        "bad_request",
        "BEDEV_MODEL_PROFILE=compat",
    ),
}


@pytest.mark.parametrize("fault", REFUSES)
def test_what_will_never_be_answered_is_refused_at_once(fault: str) -> None:
    step, kind, next_step = REFUSES[fault]
    with Server([step, OK]) as server, pytest.raises(ModelRefusesRequest) as caught:
        client(server).reply()
    assert len(server.requests) == 1
    assert caught.value.kind == kind
    assert next_step in caught.value.next_step
    assert caught.value.exit_code == 1


def test_a_conversation_that_cannot_be_sent_is_not_asked_again() -> None:
    with Server([OK]) as server, pytest.raises(ModelRefusesRequest):
        client(server).reply(a_request(user("\ud83d")))
    assert server.requests == []


def test_a_page_instead_of_an_answer_is_asked_again() -> None:
    answer, _ = ask([err(200, raw=b"<html>log in</html>"), OK])
    assert answer.attempts == 2


def test_an_answer_in_one_piece_that_is_none_is_asked_again() -> None:
    answer, _ = ask([Failure(200, ["hello"]), OK])
    assert answer.attempts == 2


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for_pauses_the_run_at_once(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", cert, "-days", "1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Server([OK]) as server:
        server.encrypt(context)
        with pytest.raises(Paused) as caught:
            client(server).reply()
    assert "certificate of 127.0.0.1" in caught.value.what
    assert "SSL_CERT_FILE" in caught.value.next_step
    assert server.requests == []


def test_an_error_in_one_piece_with_status_200_means_what_it_says() -> None:
    step = Failure(200, {"type": "error", "error": {"type": "authentication_error", "message": "revoked"}})
    with Server([step]) as server, pytest.raises(Paused, match="is refused"):
        client(server).reply()


# Secrets

ECHO = f"the key {KEY} and Authorization: Bearer {KEY} are wrong"
LEAKY: dict[str, Step] = {
    "400": err(400, ECHO),
    "401": err(401, ECHO),
    "403": err(403, ECHO),
    "404": err(404, ECHO),
    "429": err(429, ECHO),
    "500": err(500, ECHO),
    "502 with HTML": err(502, raw=f"<html>{ECHO}</html>".encode()),
    "spend limit": err(429, ECHO, code="enforced_spend_limit_reached"),
    "error event": cut(say("a"), 2, "error", error={"type": "overloaded_error", "message": ECHO}),
    "refused event": cut(say("a"), 2, "error", error={"type": "invalid_request_error", "message": ECHO}),
    "drop": drop(),
    "reset": cut(say("hello " * 9), 5, "reset"),
    "stall": hang(3),
    "malformed": truncated('{"cmd": truish}'),
}


def everything(error: BaseException) -> str:
    """All text that an error and those that it came from would ever show."""
    shown = ["".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        shown += [str(link), repr(link), repr(vars(link)), repr(link.args)]
        link = link.__cause__ or link.__context__
    return "\n".join(shown)


@pytest.mark.parametrize("fault", LEAKY)
def test_the_key_is_in_no_error_and_no_log(
    fault: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ANTHROPIC_LOG", "debug")
    with Server([LEAKY[fault]] * 3) as server:
        asked = client(server)
        with pytest.raises(BedevError) as caught:
            asked.reply(patience=1)
    assert server.requests[0].headers["authorization"].endswith(KEY)
    for shown in (everything(caught.value), caplog.text, "".join(capfd.readouterr()), "".join(asked.said)):
        assert KEY not in shown
        assert KEY[-20:] not in shown
    assert KEY not in repr(asked.model) + repr(asked.model.endpoint) + str(asked.model.endpoint)


def test_no_error_of_the_sdk_stays_attached_to_ours() -> None:
    for step in (err(401), err(400), err(500), drop()):
        with Server([step]) as server, pytest.raises(BedevError) as caught:
            client(server).reply(patience=0)
        link: Any = caught.value
        assert link.__cause__ is None
        assert link.__context__ is None or type(link.__context__).__module__.startswith("bedev.")


def test_a_block_of_text_before_a_broken_call_is_not_used() -> None:
    broken = reply(text("I will edit."), tool_use("run", {}, raw='{"cmd'), stop="tool_use")
    answer, _ = ask([broken, OK])
    assert answer.content == (text("well again"),)
