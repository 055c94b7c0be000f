"""The tools as a model gets them: few, small, documented, and forgiving of how models write."""

from __future__ import annotations

import json
from typing import Any

import bedev.tools as package
import pytest
from bedev.tools.tool import Tool, ToolFailed, discover

TOOLS = discover(package)
ACTIONS = 2
"""ask_user and propose_patch, which belong to the run itself."""


def test_there_are_at_most_fifteen_with_the_actions() -> None:
    assert {t.name for t in TOOLS} == {
        "advise_indexes",
        "database_schema",
        "edit_file",
        "explain_query",
        "list_files",
        "read_file",
        "read_output",
        "run_command",
        "run_query",
        "run_tests",
        "search_code",
        "trace_command",
    }
    assert len(TOOLS) + ACTIONS <= 15


def test_their_schemas_leave_room_for_the_actions() -> None:
    tokens = sum(len(json.dumps(tool.schema())) / 3.5 for tool in TOOLS)
    assert tokens <= 2400


def test_they_come_in_one_order_and_the_same_bytes() -> None:
    assert [t.name for t in TOOLS] == sorted(t.name for t in TOOLS)
    assert json.dumps([t.schema() for t in TOOLS]) == json.dumps([t.schema() for t in discover(package)])


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.name)
def test_each_has_a_valid_example_and_a_short_description(tool: Tool[Any]) -> None:
    tool.parse(tool.example)
    assert 20 < len(tool.description) < 200
    assert "title" not in json.dumps(tool.schema())


def tool(name: str) -> Tool[Any]:
    return next(t for t in TOOLS if t.name == name)


def test_a_wrong_input_is_answered_with_every_fault_and_a_valid_one() -> None:
    with pytest.raises(ToolFailed) as raised:
        tool("read_file").parse({"file": "a.php", "first_line": 0})
    text = raised.value.text
    assert "path: Field required" in text
    assert "first_line" in text
    assert "file: Extra inputs" in text
    assert '{"path": "app/Models/User.php"}' in text


@pytest.mark.parametrize("given", ["app/a.php", ["a"], 7, None])
def test_what_is_no_object_is_no_input(given: Any) -> None:
    with pytest.raises(ToolFailed, match="A valid input"):
        tool("read_file").parse(given)


def test_null_is_a_field_left_out_and_a_number_may_be_text() -> None:
    given = tool("read_file").parse({"path": "a.php", "first_line": "3", "last_line": None})
    assert (given.first_line, given.last_line) == (3, 0)  # type: ignore[attr-defined]
