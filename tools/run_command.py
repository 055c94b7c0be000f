"""run_command: any command in the workspace's box, bounded in time and output."""

from __future__ import annotations

import re

from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field


class Input(ToolInput):
    command: str = Field(min_length=1, description="for bash; no network")
    timeout_seconds: int = Field(120, ge=1, le=900)


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    if "\0" in given.command:
        raise ToolFailed("A command cannot hold a NUL character.")
    notes = [bench.ready_to_look().strip()]
    before = bench.database_state()
    result = bench.app.run(given.command, timeout=given.timeout_seconds)
    changed = bench.look_at_changes(before)
    if changed:
        notes.append(f"[{changed}]")
    if "git" not in bench.told and re.search(r"\bgit: (command )?not found", result.stderr.text):
        bench.told.add("git")
        notes.append("[there is no git here; your diff: list_files with changed: true]")
    if result.timed_out:
        ended = f"ended after {given.timeout_seconds} s: give timeout_seconds, or do less"
    elif result.output_exceeded:
        ended = "ended: it wrote too much; send the output to a file and look at parts of it"
    else:
        ended = f"exit {result.exit_code}, {result.seconds:.1f} s"
    text = "\n".join([*(n for n in notes if n), bench.shown(result), f"[{ended}]"])
    return ToolResult(text, ended, error=not result.ok)


TOOL: Tool[Workbench] = Tool(
    name="run_command",
    description="Runs a shell command in the workspace: the application's own tools, scripts.",
    input=Input,
    example={"command": "php artisan route:list"},
    run=run,
    edits=True,
)
