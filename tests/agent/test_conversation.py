"""The conversation: append-only, journaled first, the same bytes when it is replayed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from bedev.agent import conversation
from bedev.agent.conversation import Acted, Conversation
from bedev.agent.journal import Journal
from bedev.agent.models.model import Reply, Usage

TOOLS = [{"name": "list_files", "description": "d", "input_schema": {"type": "object"}}]


def tool(identity: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": "list_files", "input": given}


def reply(*blocks: dict[str, Any], stop: str = "tool_use") -> Reply:
    return Reply(blocks, stop, Usage(100, 10, 50), model="m", request_id="r")  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.create(tmp_path / "0101-abc", "0101-abc")


def reopened(journal: Journal) -> Journal:
    journal.close()
    return Journal.open(journal.directory)


def test_replayed_it_is_the_same_to_the_byte(journal: Journal) -> None:
    talk = Conversation.begin(journal, "system ü", TOOLS, "do it\n\u2028", model="m")
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig=="}
    talk.asking(1000)
    talk.replied(reply(thinking, {"type": "text", "text": "look"}, tool("a", path="x"), tool("b")), 0.5)
    talk.did(Acted("a", "one", False, "brief"))
    talk.did(Acted("b", "two", True, "brief"), {"app/X.php": b"\xff<?php", "gone.php": None})
    talk.answer("two turns are left")
    talk.replied(reply({"type": "text", "text": "done"}, stop="end_turn"), None)
    talk.say("go on")
    again = Conversation.replay(reopened(journal))
    assert again is not None
    assert json.dumps(again.messages) == json.dumps(talk.messages)
    assert (again.system, list(again.tools)) == (talk.system, TOOLS)
    assert again.edits == {"app/X.php": b"\xff<?php", "gone.php": None}
    assert again.open is None
    results = talk.messages[2]["content"]
    assert [r["tool_use_id"] for r in results] == ["a", "b"]
    assert results[1]["is_error"] is True
    assert results[1]["content"].endswith("[bedev: two turns are left]")


def test_a_turn_that_was_cut_off_goes_on_with_what_had_not_acted(journal: Journal) -> None:
    talk = Conversation.begin(journal, "s", TOOLS, "t", model="m")
    talk.replied(reply(tool("a"), tool("b")), None)
    talk.acting(tool("a"))
    talk.did(Acted("a", "one", False, ""))
    talk.acting(tool("b"))
    again = Conversation.replay(reopened(journal))
    assert again is not None
    assert again.open is not None
    assert set(again.acted) == {"a"}
    assert "b" in again.begun
    again.did(Acted("b", "two", False, ""))
    again.answer()
    assert [r["content"] for r in again.messages[-1]["content"]] == ["one", "two"]


def test_earlier_messages_never_change(journal: Journal) -> None:
    talk = Conversation.begin(journal, "s", TOOLS, "t", model="m")
    prefixes = []
    for number in range(5):
        talk.replied(reply(tool(f"t{number}")), None)
        talk.did(Acted(f"t{number}", "x" * number, False, ""))
        talk.answer()
        prefixes.append(json.dumps(talk.messages)[:-1])
    for earlier, later in itertools.pairwise(prefixes):
        assert later.startswith(earlier)


def test_what_was_spent_is_read_from_the_journal(journal: Journal) -> None:
    talk = Conversation.begin(journal, "s", TOOLS, "t", model="m")
    talk.replied(reply(tool("a")), 0.25)
    journal.append("proof", digest="d", proof={})
    talk.replied(reply(tool("b")), 0.25)
    spent = conversation.spent(journal)
    assert (spent.turns, spent.tokens, spent.usd, spent.proposals) == (2, 320, 0.5, 1)
    assert spent.cache_read_tokens == 100


def test_without_one_there_is_nothing_to_replay(journal: Journal) -> None:
    journal.append("started", task="x")
    assert Conversation.replay(journal) is None
