"""search_code: grep in the box, grouped by file. A pattern is never run on the host (ReDoS)."""

from __future__ import annotations

import re
import shlex

from bedev.sandboxes.patterns import matches
from bedev.tools.near_names import near_paths, or_none
from bedev.tools.outputs import SHOWN_CHARACTERS
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

MOST_LINES = 120
MOST_READ = 4000
LONGEST_LINE = 240


class Input(ToolInput):
    pattern: str = Field(min_length=1, description="POSIX extended regular expression")
    path: str = Field("", description="file or folder")
    glob: str = Field("", description="only such files: *.php")
    context: int = Field(0, ge=0, le=5, description="lines around each match")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    path = bench.path(given.path)
    generated = (
        () if path and matches(f"{path}/x", bench.app.recipe.generated) else bench.app.recipe.generated
    )
    lines = _grep(bench, given, path, tuple(generated))
    kept = [
        line
        for line in lines
        if not matches(line[0], generated) and (not given.glob or _fits(line[0], given.glob))
    ]
    kept.sort(key=lambda line: line[:2])
    hits = [line for line in kept if line[2]]
    if not hits:
        hint = r" POSIX has no \d: write [0-9]." if r"\d" in given.pattern else ""
        return ToolResult(f"no match for {given.pattern}{hint}", "no match")
    files = len({line[0] for line in hits})
    more = "more than " if len(lines) >= MOST_READ else ""
    summary = f"{more}{len(hits)} matches in {files} files"
    shown, left = _grouped(kept, given.context)
    if left:
        shown.append(f"[{left} lines left out: narrow it with path or glob]")
    return ToolResult("\n".join([summary, *shown]), summary)


def _grep(
    bench: Workbench, given: Input, path: str, generated: tuple[str, ...]
) -> list[tuple[str, int, bool, str]]:
    """(path, line number, whether it matches, text) of what grep found, at most some thousand lines."""
    folders = {p.split("/")[0] for p in generated if p.endswith("/**") and p.count("/") == 1}
    words = ["grep", "-rnEIZ", *(f"--exclude-dir={f}" for f in sorted({*folders, ".git", "node_modules"}))]
    if given.glob and "/" not in given.glob:
        words += [f"--include={g}" for g in _braces(given.glob)]
    if given.context:
        words.append(f"-C{given.context}")
    words += ["-e", given.pattern, "--", f"./{path}" if path else "."]
    command = (
        f"export LC_ALL=C.UTF-8; {shlex.join(words)} | cut -c1-1000 | head -n {MOST_READ}; "
        "exit ${PIPESTATUS[0]}"
    )
    result = bench.app.pod.app.run(command, timeout=60)
    if result.timed_out:
        raise ToolFailed(
            "The search took more than 60 s. Narrow it with path or glob, or simplify the pattern."
        )
    out = bench.whole(result.stdout)
    if result.exit_code == 2 and not out:
        raise _refused(bench, given, path, result.stderr.text.strip())
    return [parsed for line in out.split("\n") if (parsed := _parse(line))]


def _refused(bench: Workbench, given: Input, path: str, said: str) -> ToolFailed:
    if "No such file" in said:
        near = or_none(near_paths(path, bench.tree.paths()))
        return ToolFailed(f"{path} does not exist; similar: {near}.")
    reason = said.splitlines()[0].removeprefix("grep: ") if said else "grep refused it"
    return ToolFailed(
        f"{given.pattern!r} is no valid expression: {reason}. For this very text, search for: "
        f"{escaped(given.pattern)}",
        f"invalid expression: {reason}",
    )


def escaped(text: str) -> str:
    """A POSIX extended expression that fits `text` alone."""
    return re.sub(r"([.\[\]{}()*+?^$|\\])", r"\\\1", text)


def _parse(line: str) -> tuple[str, int, bool, str] | None:
    path, nul, rest = line.partition("\0")
    digits = re.match(r"(\d{1,9})([:-])", rest) if nul else None
    if digits is None:
        return None
    return path.removeprefix("./"), int(digits[1]), digits[2] == ":", rest[digits.end() :]


def _braces(glob: str) -> list[str]:
    """`*.{php,js}` as two globs."""
    found = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", glob)
    return [found[1] + part + found[3] for part in found[2].split(",")] if found else [glob]


def _fits(path: str, glob: str) -> bool:
    return any(matches(path, (g, f"**/{g}")) for g in _braces(glob))


def _grouped(lines: list[tuple[str, int, bool, str]], context: int) -> tuple[list[str], int]:
    shown: list[str] = []
    room, taken, last = SHOWN_CHARACTERS - 200, 0, ("", 0)
    for path, number, hit, text in lines:
        line = text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"
        entry = f"{number:>6}{':' if hit else ' '} {line}"
        room -= len(entry) + 1
        if taken >= MOST_LINES or room < 0:
            break
        if path != last[0]:
            shown.append(path)
        elif context and number > last[1] + 1:
            shown.append("     --")
        shown.append(entry)
        taken, last = taken + 1, (path, number)
    return shown, len(lines) - taken


TOOL: Tool[Workbench] = Tool(
    name="search_code",
    description="Searches the workspace's files with grep -E; file:line of each match.",
    input=Input,
    example={"pattern": r"->orders\(\)", "glob": "*.php"},
    run=run,
)
