"""No stream that ends early, and no nonsense, ever becomes an answer."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from bedev.agent.models.stream import Answer, Incomplete, usage_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Event, events, reply, text, thinking, tool_use

RICH = reply(
    thinking("because of the index"),
    text("I add an index."),
    tool_use("edit_file", {"path": "a.php", "new_text": "return $x;\n" * 3}, id="toolu_1"),
    tool_use("run_tests", {}, id="toolu_2"),
    stop="tool_use",
    usage={"input_tokens": 10},
)
WHOLE = events(RICH, "claude-opus-5-5", {"input_tokens": 10})


def answer_of(given_events: list[Event], tolerant: bool = False) -> Answer:
    answer = Answer(tolerant)
    for event in given_events:
        answer.feed(event)
    return answer


@pytest.mark.parametrize("tolerant", [True, False])
def test_the_whole_stream_is_an_answer(tolerant: bool) -> None:
    complete = answer_of(WHOLE, tolerant).complete()
    assert complete.content == RICH.blocks
    assert complete.stop_reason == "tool_use"


@pytest.mark.parametrize("tolerant", [True, False])
@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_stream_that_ends_anywhere_before_its_end_is_none(length: int, tolerant: bool) -> None:
    with pytest.raises(Incomplete):
        answer_of(WHOLE[:length], tolerant).complete()


@pytest.mark.parametrize("missing", range(len(WHOLE)))
def test_an_event_that_was_lost_never_gives_a_call_with_another_input(missing: int) -> None:
    with contextlib.suppress(Incomplete):
        calls = [
            block
            for block in answer_of(WHOLE[:missing] + WHOLE[missing + 1 :]).complete().content
            if block["type"] == "tool_use"
        ]
        lost = WHOLE[missing]
        if lost["type"] == "content_block_delta" and lost["delta"].get("partial_json"):
            # Within a text of JSON a piece may be lost so that it is still JSON: TCP does not lose any.
            assert all(isinstance(call["input"], dict) for call in calls)
        else:
            assert [call["input"] for call in calls] == [b["input"] for b in RICH.blocks[2:]]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_TYPES = (
    "message",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "x",
)
_EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(_TYPES)},
    optional={
        "index": st.integers(0, 1) | _JSON,
        "message": _JSON,
        "usage": _JSON,
        "content": st.lists(st.just({"type": "tool_use", "name": "x", "input": {}}) | _JSON, max_size=2),
        "stop_reason": st.just("tool_use") | _JSON,
        "content_block": st.fixed_dictionaries({"type": st.sampled_from(("text", "tool_use", "thinking"))})
        | _JSON,
        "delta": st.fixed_dictionaries(
            {"type": st.sampled_from(("text_delta", "input_json_delta", "signature_delta"))},
            optional={"text": _JSON, "partial_json": _JSON, "stop_reason": st.just("tool_use") | _JSON},
        )
        | _JSON,
    },
)


@settings(max_examples=500, deadline=None)
@given(nonsense=st.lists(_EVENT, max_size=6), at=st.integers(0, len(WHOLE)), tolerant=st.booleans())
def test_any_nonsense_is_incomplete_or_an_answer_and_no_other_error(
    nonsense: list[Any], at: int, tolerant: bool
) -> None:
    with contextlib.suppress(Incomplete):
        answer = answer_of([*WHOLE[:at], *nonsense, *WHOLE[at:]], tolerant)
        assert isinstance(answer.first_words, str)
        complete = answer.complete()
        usage_of(complete.usage, [], complete.content)
        json.dumps(complete.content, ensure_ascii=False).encode()
        for block in complete.content:
            assert block.get("type") != "tool_use" or isinstance(block["input"], dict)


def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bedev.agent.models.stream.MOST_CHARACTERS", 10)
    with pytest.raises(Incomplete, match="does not end"):
        answer_of(WHOLE)
