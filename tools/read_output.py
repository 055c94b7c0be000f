"""read_output: pages through an output that was cut, or searches in it."""

from __future__ import annotations

from bedev.tools.outputs import SHOWN_CHARACTERS
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

MOST_LINES = 80
LONGEST_LINE = 300


class Input(ToolInput):
    handle: str
    offset: int = Field(0, ge=0, description="in characters")
    pattern: str = Field("", description="only lines with this text")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    text = bench.kept(given.handle)
    if given.pattern:
        return _lines_with(text, given.pattern)
    if given.offset >= len(text):
        raise ToolFailed(f"{given.handle} has {len(text):,} characters; ask for an offset below that.")
    end = min(len(text), given.offset + SHOWN_CHARACTERS)
    rest = f"go on with offset {end}" if end < len(text) else "this is its end"
    note = f"[characters {given.offset:,} to {end:,} of {len(text):,}; {rest}]"
    return ToolResult(f"{text[given.offset : end]}\n{note}", note.strip("[]"))


def _lines_with(text: str, pattern: str) -> ToolResult:
    found = [(n, line) for n, line in enumerate(text.splitlines(), 1) if pattern in line]
    shown = [f"{n:>6}: {line[:LONGEST_LINE]}" for n, line in found[:MOST_LINES]]
    summary = f"{len(found)} lines with {pattern!r}"
    if len(found) > MOST_LINES:
        shown.append(f"[the first {MOST_LINES} of them: give a longer pattern]")
    return ToolResult("\n".join([summary, *shown]), summary)


TOOL: Tool[Workbench] = Tool(
    name="read_output",
    description="The rest of an output that was cut, by its handle.",
    input=Input,
    example={"handle": "out-3", "offset": 12000},
    run=run,
)
