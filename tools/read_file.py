"""read_file: a file of the workspace with line numbers."""

from __future__ import annotations

from bedev.sandboxes.sandbox import WORKSPACE
from bedev.tools.near_names import near_paths, or_none
from bedev.tools.outputs import SHOWN_CHARACTERS
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

MOST_LINES = 400
LONGEST_LINE = 500


class Input(ToolInput):
    path: str
    first_line: int = Field(1, ge=1)
    last_line: int = Field(0, ge=0, description="0: as far as it fits (400 lines)")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    path = bench.path(given.path)
    content = bench.read(path) if path else None
    if content is None:
        raise missing(bench, path)
    bench.remember(path, content)
    if b"\0" in content[:8192]:
        raise ToolFailed(f"{path} is a binary file of {len(content):,} bytes: it cannot be shown as text.")
    lines = content.decode("utf-8", "replace").splitlines()
    if not lines:
        return ToolResult(f"{path} is empty", f"{path}: empty")
    if given.first_line > len(lines):
        raise ToolFailed(f"{path} has {len(lines)} lines only; ask for a first_line up to that.")
    shown, last = _numbered(lines, given.first_line, given.last_line or len(lines))
    text = "\n".join(shown)
    if last < min(given.last_line or len(lines), len(lines)):
        text += f"\n[lines {given.first_line} to {last} of {len(lines)}; go on with first_line {last + 1}]"
    elif last < len(lines):
        text += f"\n[{len(lines)} lines in all]"
    return ToolResult(text, f"{path}: lines {given.first_line} to {last} of {len(lines)}")


def _numbered(lines: list[str], first: int, wanted: int) -> tuple[list[str], int]:
    """Lines with their numbers as far as they fit, and the number of the last one."""
    shown: list[str] = []
    room, last = SHOWN_CHARACTERS, first
    for number in range(first, min(wanted, len(lines), first + MOST_LINES - 1) + 1):
        line = lines[number - 1]
        if len(line) > LONGEST_LINE:
            line = f"{line[:LONGEST_LINE]}… [{len(line):,} characters]"
        room -= len(line) + 7
        if room < 0 and shown:
            break
        shown.append(f"{number:>5}  {line}")
        last = number
    return shown, last


def missing(bench: Workbench, path: str) -> ToolFailed:
    """Why there is no such file, with the names that may have been meant."""
    if bench.app.pod.app.run(f"[ -d {_quoted(path)} ]").ok:
        return ToolFailed(f"{path or 'The path'} is a folder. See what lies in it with list_files.")
    near = or_none(near_paths(path, bench.tree.paths()))
    return ToolFailed(f"{path} does not exist; similar: {near}.", f"{path} does not exist")


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(f"{WORKSPACE}/{path}")


TOOL: Tool[Workbench] = Tool(
    name="read_file",
    description="A file of the workspace, lines numbered. Read before you edit.",
    input=Input,
    example={"path": "app/Models/User.php"},
    run=run,
)
