"""What a model is offered: few tools, small schemas, an order that never changes."""

from __future__ import annotations

import json

import pytest
from bedev.agent import driven
from bedev.tools.tool import ToolFailed

CHARACTERS_PER_TOKEN = 3.5


def test_at_most_fifteen_tools_of_at_most_three_thousand_tokens() -> None:
    toolbox = driven.all_tools()
    assert {"propose_patch", "ask_user", "trace_command", "read_output"} <= {t.name for t in toolbox}
    assert len(toolbox) <= 15
    text = json.dumps([t.schema() for t in toolbox])
    assert len(text) / CHARACTERS_PER_TOKEN <= 3000


def test_the_list_is_the_same_to_the_byte_each_time() -> None:
    first = json.dumps([t.schema() for t in driven.all_tools()])
    assert first == json.dumps([t.schema() for t in driven.all_tools()])


@pytest.mark.parametrize("tool", driven.all_tools(), ids=lambda t: t.name)
def test_each_has_a_valid_example_and_refuses_what_it_does_not_know(tool: driven.tools.Tool[object]) -> None:
    tool.parse(dict(tool.example))
    with pytest.raises(ToolFailed, match="A valid input"):
        tool.parse({**tool.example, "no_such_field": 1})
    for given in (None, "text", 3, []):
        with pytest.raises(ToolFailed):
            tool.parse(given)
    assert len(tool.description) < 400
