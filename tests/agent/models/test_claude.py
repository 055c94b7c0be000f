"""What is sent to a model, and what becomes of a whole answer."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scripted
from asking import KEY, TOOL, a_request, ask, client, user
from bedev.agent.models.claude import Claude
from bedev.agent.models.model import Model, Usage
from bedev.sandboxes.errors import EnvironmentUnusable, UsageError
from scripted import Event, Server, reply, say, text, thinking, tool, tool_use, tools


def lying(function: Any) -> Any:
    """An edit of the events of an answer."""

    def edit(events: list[Event]) -> list[Event]:
        copied = json.loads(json.dumps(events))
        return function(copied) or copied

    return edit


def test_it_is_a_model() -> None:
    model: Model = Claude("opus", {"ANTHROPIC_API_KEY": KEY})
    assert model.name == "claude-opus-5-5"


# What is sent


def test_the_request_holds_exactly_what_the_profile_allows() -> None:
    with Server([say("hello")]) as server:
        client(server).reply()
    assert server.requests[0].path == "/v1/messages"
    assert server.bodies[0] == {
        "model": "claude-opus-5-5",
        "max_tokens": 1000,
        "stream": True,
        "system": [
            {
                "type": "text",
                "text": "You mend what is slow.",
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
            }
        ],
        "tools": [TOOL],
        "messages": [user("go")],
        "cache_control": {"type": "ephemeral"},
        "thinking": {"type": "adaptive", "display": "summarized"},
    }


def test_the_headers_are_the_sdks_and_name_no_beta() -> None:
    with Server([say("hello")]) as server:
        client(server).reply()
    headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["anthropic-version"] == "2026-10-21"
    assert "anthropic-beta" not in headers
    assert "x-api-key" not in headers


def test_a_model_that_does_not_know_adaptive_thinking_is_not_asked_for_it() -> None:
    with Server([say("hello")]) as server:
        client(server, name="claude-haiku-4-5-20251001").reply()
    assert "thinking" not in server.bodies[0]
    assert server.bodies[0]["model"] == "claude-haiku-4-5-20251001"


def test_no_more_is_asked_for_than_the_model_can_answer() -> None:
    with Server([say("hello")]) as server:
        client(server, name="claude-haiku-4-5").reply(a_request(max_tokens=500_000))
    assert server.bodies[0]["max_tokens"] == 64_000


def test_other_servers_get_no_field_that_they_may_not_know() -> None:
    rich = {**TOOL, "input_examples": [{"cmd": "ls"}], "strict": True}
    with Server([say("hello")]) as server:
        client(server, "compat", "qwen3").reply(a_request(tools=(rich,)))
    assert server.bodies[0] == {
        "model": "qwen3",
        "max_tokens": 1000,
        "stream": True,
        "system": "You mend what is slow.",
        "tools": [TOOL],
        "messages": [user("go")],
    }
    headers = server.requests[0].headers
    assert (headers["x-api-key"], headers["authorization"]) == (KEY, f"Bearer {KEY}")
    assert headers["anthropic-version"] == "2023-06-01"


def test_a_server_of_ones_own_needs_no_key() -> None:
    with Server([say("hello")]) as server:
        answer = client(server, "compat", "qwen3", ANTHROPIC_API_KEY="").reply()
    assert answer.text == "hello"
    assert server.requests[0].headers["authorization"] == "Bearer none"


def test_an_auth_token_is_sent_alone() -> None:
    with Server([say("hello")]) as server:
        client(server, "compat", ANTHROPIC_API_KEY="", ANTHROPIC_AUTH_TOKEN="token-of-a-proxy").reply()
    assert server.requests[0].headers["authorization"] == "Bearer token-of-a-proxy"
    assert "x-api-key" not in server.requests[0].headers


def test_the_users_own_headers_win(monkeypatch: pytest.MonkeyPatch) -> None:
    own = "anthropic-version: 2024-01-01\nx-team: backend"
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", own)
    with Server([say("hello")]) as server:
        client(server, "compat", ANTHROPIC_CUSTOM_HEADERS=own).reply()
    headers = server.requests[0].headers
    assert (headers["anthropic-version"], headers["x-team"]) == ("2024-01-01", "backend")


def test_v1_at_the_end_of_the_address_is_not_doubled() -> None:
    with Server([say("hello")]) as server:
        client(server, ANTHROPIC_BASE_URL=f"{server.url}/v1/").reply()
    assert server.requests[0].path == "/v1/messages"


def test_without_a_key_nothing_is_tried() -> None:
    with pytest.raises(UsageError) as caught:
        Claude("opus", {})
    words = f"{caught.value.where} {caught.value.next_step}"
    assert all(w in words for w in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "--model advisor"))


def test_what_was_sent_stays_as_it_was_byte_for_byte() -> None:
    odd = reply(
        thinking("first\nthen", "c2ln"),
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        text("Grüße 🎉"),
        tool_use("run", {"z": None, "a": [1.0, 2], "cmd": "ls \u2028"}),
        stop="tool_use",
    )
    messages: list[dict[str, Any]] = [user("go")]
    with Server([odd, odd, odd, say("done")]) as server:
        asked = client(server)
        for _ in range(4):
            answer = asked.reply(a_request(*messages))
            messages.append({"role": "assistant", "content": list(answer.content)})
            results = [
                {"type": "tool_result", "tool_use_id": use["id"], "content": "ok"} for use in answer.tool_uses
            ]
            messages.append({"role": "user", "content": results or [{"type": "text", "text": "go on"}]})
    raws = [request.raw for request in server.requests]
    for earlier, later in itertools.pairwise(raws):
        # The body is: fields, the messages, fields; only the messages have grown, at their end.
        end = earlier.index(b'],"model"')
        assert later.startswith(earlier[:end] + b",{")
        assert later.endswith(earlier[end:])


def test_the_cache_is_read_from_the_second_turn_on() -> None:
    messages: list[dict[str, Any]] = [user("go " * 400)]
    usages = []
    with Server(reply=lambda body: tool("run", {"cmd": "ls"})) as server:
        asked = client(server)
        for _ in range(3):
            answer = asked.reply(a_request(*messages))
            usages.append(answer.usage)
            result = {"type": "tool_result", "tool_use_id": answer.tool_uses[0]["id"], "content": "a b c"}
            messages += [
                {"role": "assistant", "content": list(answer.content)},
                {"role": "user", "content": [result]},
            ]
    assert usages[0].cache_read_tokens == 0
    assert usages[0].cache_write_tokens > 300
    for before, now in itertools.pairwise(usages):
        assert now.cache_read_tokens >= before.prompt_tokens - 1
        assert now.cache_write_tokens < 100


# What comes back


def test_blocks_come_back_as_the_server_wrote_them() -> None:
    blocks = (
        thinking("because"),
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "hologram", "foo": 1, "deep": {"none": None}},
        text("Looking."),
        tool_use("run", {"cmd": "ls", "none": None}),
    )
    answer, _ = ask([reply(*blocks, stop="tool_use")])
    assert [json.dumps(block) for block in answer.content] == [json.dumps(block) for block in blocks]
    assert answer.stop_reason == "tool_use"
    assert answer.tool_uses == (blocks[4],)
    assert answer.text == "Looking."


def test_an_answer_says_who_gave_it_and_what_it_took() -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 42,
        "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 20},
    }
    answer, asked = ask([say("hello", usage=usage)])
    assert answer.usage == Usage(10, 42, 300, 70, 20)
    assert answer.model == "claude-opus-5-5"
    assert answer.request_id.startswith("req_")
    assert (answer.attempts, asked.waits) == (1, [])
    assert answer.seconds > 0


def test_the_first_words_are_said_once() -> None:
    _, asked = ask([reply(thinking("I look at the plan.\nThen more."), text("Now."), text("And then."))])
    assert asked.said == ["I look at the plan."]


def test_an_error_of_the_listener_is_its_own() -> None:
    def listen(words: str) -> None:
        raise ValueError("of the screen")

    with Server([say("hello"), say("hello")]) as server, pytest.raises(ValueError, match="of the screen"):
        client(server).model.reply(a_request(), listen)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("said", "ours", "detail"),
    [
        ("end_turn", "end_turn", ""),
        ("stop_sequence", "end_turn", ""),
        ("max_tokens", "max_tokens", ""),
        ("model_context_window_exceeded", "context_full", ""),
        ("pause_turn", "other", "pause_turn"),
        ("something_new", "other", "something_new"),
    ],
)
def test_stop_reasons_become_ours(said: str, ours: str, detail: str) -> None:
    answer, _ = ask([say("hello", stop=said)])
    assert (answer.stop_reason, answer.stop_detail) == (ours, detail)


def test_a_refusal_says_why_and_keeps_what_was_said() -> None:
    answer, _ = ask([scripted.refusal("I began", "cyber", "declined")])
    assert (answer.stop_reason, answer.stop_detail, answer.text) == (
        "refusal",
        "cyber: declined",
        "I began",
    )
    answer, _ = ask([scripted.refusal()])
    assert (answer.stop_reason, answer.content) == ("refusal", ())


def test_a_call_that_was_cut_by_max_tokens_is_not_in_the_answer() -> None:
    cut = tool_use("run", {}, raw='{"path": "a.py", "content": "half')
    blocks = (thinking("hm"), text("Editing."))
    answer, _ = ask([reply(*blocks, cut, stop="max_tokens")])
    assert (answer.stop_reason, answer.content) == ("max_tokens", blocks)


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", "model_context_window_exceeded", "something_new"])
def test_calls_are_only_in_answers_that_stop_for_them(stop: str) -> None:
    answer, _ = ask([reply(text("a"), tool_use("run", {"cmd": "ls"}), stop=stop)])
    assert answer.content == (text("a"),)


def test_an_empty_text_which_the_api_does_not_take_back_is_left_out() -> None:
    call = tool_use("run", {"cmd": "ls"})
    answer, _ = ask([reply(text(""), text(" \n"), call, stop="tool_use")])
    assert answer.content == (call,)


def test_a_call_without_input_has_an_empty_one() -> None:
    answer, _ = ask([reply(tool_use("run", {}, raw=""), stop="tool_use")])
    assert answer.tool_uses[0]["input"] == {}


def test_thinking_that_was_cut_before_its_signature_is_left_out() -> None:
    # The API would refuse it in the next request: "Invalid `signature` in `thinking` block".
    answer, _ = ask([reply(thinking("first"), thinking("half a thou", ""), stop="max_tokens")])
    assert answer.content == (thinking("first"),)


def test_pings_and_unknown_events_are_passed_over() -> None:
    def more(events: list[Event]) -> list[Event]:
        noise: list[Event] = [{"type": "ping"}, {"type": "weather", "sky": "blue"}]
        return [e for event in events for e in (*noise, event)]

    answer, _ = ask([say("hello", edit=more)])
    assert (answer.text, answer.attempts) == ("hello", 1)


def test_an_unknown_delta_is_passed_over() -> None:
    def more(events: list[Event]) -> list[Event]:
        strange = {"type": "content_block_delta", "index": 0, "delta": {"type": "scent_delta", "scent": "x"}}
        return [*events[:4], strange, *events[4:]]

    answer, _ = ask([say("hello there you", edit=more)])
    assert (answer.text, answer.attempts) == ("hello there you", 1)


def test_an_answer_is_complete_with_message_stop_though_the_connection_stays_open() -> None:
    answer, _ = ask([scripted.cut(say("hello"), 99, "stall")])
    assert (answer.text, answer.attempts) == ("hello", 1)


def test_a_connection_that_breaks_after_message_stop_breaks_nothing() -> None:
    answer, _ = ask([scripted.cut(say("hello"), 99, "close")])
    assert (answer.text, answer.attempts) == ("hello", 1)


def test_one_connection_serves_all_turns() -> None:
    with Server([say("hello")] * 3) as server:
        asked = client(server)
        for _ in range(3):
            asked.reply()
    assert server.connections == 1


# Servers other than Anthropic's


def test_a_server_that_tells_no_usage_gets_it_estimated() -> None:
    answer, asked = ask([tools(("run", {"cmd": "ls"}), usage=None)], "compat")
    characters = len(json.dumps(asked.server.bodies[0], ensure_ascii=False))
    assert answer.usage.estimated
    assert answer.usage.input_tokens == pytest.approx(characters / 3.5, rel=0.2)
    assert answer.usage.output_tokens > 10
    assert answer.request_id == ""


def test_a_server_that_tells_zeros_gets_them_estimated() -> None:
    answer, _ = ask([say("hello", usage={"input_tokens": 0, "output_tokens": 0})], "compat")
    assert answer.usage.estimated
    assert answer.usage.input_tokens > 10


def test_a_server_that_says_end_turn_and_calls_a_tool_means_the_call() -> None:
    answer, _ = ask([reply(tool_use("run", {"cmd": "ls"}), stop="end_turn")], "compat")
    assert answer.stop_reason == "tool_use"
    assert answer.tool_uses[0]["input"] == {"cmd": "ls"}


def test_an_input_that_comes_with_the_block_is_taken() -> None:
    def at_once(events: list[Event]) -> None:
        events[2]["content_block"]["input"] = {"cmd": "ls"}
        del events[3:-3]

    def as_text(events: list[Event]) -> None:
        events[2]["content_block"]["input"] = '{"cmd": "ls"}'
        del events[3:-3]

    for edit in (at_once, as_text):
        answer, _ = ask([tool("run", {}, edit=lying(edit))], "compat")
        assert answer.tool_uses[0]["input"] == {"cmd": "ls"}


def test_events_whose_kind_is_only_in_their_name_are_understood() -> None:
    answer, _ = ask(
        [tool("run", {"cmd": "ls"}, edit=lambda e: [{**x, "_untyped": True} for x in e])], "compat"
    )
    assert answer.tool_uses[0]["input"] == {"cmd": "ls"}


def test_thinking_without_a_signature_is_kept() -> None:
    answer, _ = ask([reply(thinking("hm", ""), text("hello"))], "compat")
    assert answer.content[0] == {"type": "thinking", "thinking": "hm", "signature": ""}


def test_ids_of_calls_that_are_missing_or_double_become_unique() -> None:
    calls = [tool_use("run", {"cmd": c}, id="call_0") for c in ("a", "b")]
    answer, _ = ask([reply(*calls, {**calls[0], "id": None}, stop="tool_use")], "compat")
    ids = [use["id"] for use in answer.tool_uses]
    assert len(set(ids)) == 3
    assert ids[0] == "call_0"


def test_a_server_that_does_not_stream_is_understood() -> None:
    with Server([replace(tool("run", {"cmd": "ls"}), whole=True)]) as server:
        asked = client(server, "compat")
        answer = asked.reply()
    assert (answer.stop_reason, answer.tool_uses[0]["input"]) == ("tool_use", {"cmd": "ls"})
    assert answer.usage.output_tokens == 42
    assert answer.request_id.startswith("req_")
    assert asked.model.streamed is False


# Starting


def test_nothing_of_the_sdk_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import bedev.agent.models.claude, bedev.agent.models.select, bedev.agent.commands.models\n"
        "bedev.agent.models.claude.Claude('opus', {'ANTHROPIC_API_KEY': 'sk-test-0000000000'})\n"
        "print(sorted({'anthropic', 'httpx2', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_proxy_that_is_none_is_said_and_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://proxy:1")
    with Server([say("hello")]) as server, pytest.raises(EnvironmentUnusable) as caught:
        client(server).reply()
    assert "ALL_PROXY" in caught.value.next_step
    assert "gopher" in caught.value.detail
    assert "".join(capfd.readouterr()) == ""


def test_warming_up_returns_at_once_and_the_first_call_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([say("hello")]) as server:
        asked = client(server)
        load, begin = asked.model._load, threading.Event()

        def slowly() -> None:
            begin.wait(10)
            load()

        monkeypatch.setattr(asked.model, "_load", slowly)
        before = time.monotonic()
        asked.model.warm_up()
        asked.model.warm_up()
        assert time.monotonic() - before < 0.2
        threading.Timer(0.05, begin.set).start()
        assert asked.reply().text == "hello"
