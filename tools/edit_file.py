"""edit_file: an exact replacement, a new file, or a deletion; shown as a small diff."""

from __future__ import annotations

import difflib
import json
import posixpath
import re
import shlex

from bedev.sandboxes.errors import BedevError
from bedev.sandboxes.sandbox import WORKSPACE
from bedev.tools.read_file import missing
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import MOST_FILE_BYTES, Workbench, reported
from pydantic import Field

MOST_DIFF_LINES = 60
MOST_COMPARED = 4000

CHECKS = {
    ".php": ("php", "php -d display_errors=1 -d log_errors=0 -l {path}"),
    ".py": (
        "python3",
        "python3 -I -c 'import ast,sys; ast.parse(open(sys.argv[1],\"rb\").read(), sys.argv[1])' {path}",
    ),
    ".js": ("node", "node --check {path}"),
    ".mjs": ("node", "node --check {path}"),
    ".cjs": ("node", "node --check {path}"),
}
"""What checks a file's syntax, where the interpreter is in the box."""


class Input(ToolInput):
    path: str
    old_text: str = Field("", description="exact text to replace, occurring once; empty: a new file")
    new_text: str = ""
    replace_all: bool = False
    delete: bool = Field(False, description="delete the file")
    restore: bool = Field(False, description="put base's file back")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    if given.restore:
        return _restore(bench, bench.path(given.path))
    path = _editable(bench, given.path)
    content = bench.read(path)
    if given.delete:
        return _delete(bench, path, content)
    if content is None or (not content and not given.old_text):
        return _create(bench, path, given, content)
    if not given.old_text:
        raise ToolFailed(
            f"{path} is there already ({len(content):,} bytes). Give the exact old_text that new_text is to "
            "replace; to write the file anew, delete it first."
        )
    if bench.is_stale(path, content):
        raise ToolFailed(
            f"{path} has changed since you read it. Read it again, then edit.", f"{path} is stale"
        )
    if b"\0" in content:
        raise ToolFailed(f"{path} is a binary file; it cannot be edited as text.")
    return _replace(bench, path, given, content)


def _restore(bench: Workbench, path: str) -> ToolResult:
    content = bench.base.read(path)
    if content is None:
        raise ToolFailed(f"{path} is not on base: delete it instead.")
    bench.write(path, content)
    bench.remember(path, content)
    return ToolResult(f"{path} is as on base again", f"{path} as on base")


def _editable(bench: Workbench, given: str) -> str:
    path = bench.path(given)
    if not path:
        raise ToolFailed("Give the path of a file, for instance app/Models/User.php.")
    reason = bench.refuse(path)
    if reason:
        raise ToolFailed(f"{path} must not be edited: {reason}", f"{path}: refused")
    if bench.is_product(path):
        raise ToolFailed(
            f"{path} is generated or ignored by git, so it never becomes part of a patch. Edit its source.",
            f"{path}: refused",
        )
    return path


def _delete(bench: Workbench, path: str, content: bytes | None) -> ToolResult:
    if content is None:
        raise missing(bench, path)
    bench.write(path, None)
    bench.seen.pop(path, None)
    return ToolResult(f"deleted {path} ({len(content):,} bytes)", f"deleted {path}")


def _create(bench: Workbench, path: str, given: Input, content: bytes | None) -> ToolResult:
    if given.old_text:
        raise missing(bench, path)
    if not given.new_text:
        raise ToolFailed(f"{path} does not exist. Give new_text to create it.")
    _write(bench, path, given.new_text)
    lines = len(given.new_text.splitlines())
    verb = "created" if content is None else "wrote"
    return ToolResult(f"{verb} {path}: {lines} lines{_syntax(bench, path)}", f"{verb} {path}")


def _replace(bench: Workbench, path: str, given: Input, content: bytes) -> ToolResult:
    text = content.decode("utf-8", "surrogateescape")
    old, new = given.old_text, given.new_text
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        old, new = (re.sub(r"\r?\n", "\r\n", part) for part in (old, new))
    if old == new:
        raise ToolFailed("old_text and new_text are equal: nothing was changed.")
    count = text.count(old)
    if count == 0:
        raise ToolFailed(_not_found(path, text, old), f"{path}: old_text not found")
    if count > 1 and not given.replace_all:
        lines = [text.count("\n", 0, at) + 1 for at in _places(text, old)]
        raise ToolFailed(
            f"old_text occurs {count} times in {path}, at lines {', '.join(map(str, lines[:12]))}. Give more "
            "of the lines around the one that you mean, or set replace_all.",
            f"{path}: old_text occurs {count} times",
        )
    changed = text.replace(old, new)
    _write(bench, path, changed)
    diff = small_diff(text, changed)
    times = f" ({count} times)" if count > 1 else ""
    return ToolResult(f"edited {path}{times}\n{diff}{_syntax(bench, path)}", f"edited {path}{times}")


def _write(bench: Workbench, path: str, text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    if len(content) > MOST_FILE_BYTES:
        raise ToolFailed(
            f"{path} would have {len(content):,} bytes; at most {MOST_FILE_BYTES:,} are allowed."
        )
    try:
        bench.write(path, content)
    except BedevError as error:
        raise ToolFailed(f"{path} cannot be written: {error.what} {error.next_step}") from error
    bench.remember(path, content)


def _places(text: str, part: str) -> list[int]:
    found, at = [], text.find(part)
    while at >= 0:
        found.append(at)
        at = text.find(part, at + len(part))
    return found


def _not_found(path: str, text: str, old: str) -> str:
    """What stands where old_text was expected: the same lines but for white space, else the nearest ones."""
    lines = text.splitlines()[:MOST_COMPARED]
    wanted = old.strip("\r\n").splitlines() or [old]
    bare = [" ".join(line.split()) for line in lines]
    asked = [" ".join(line.split()) for line in wanted]
    for at in range(len(bare) - len(asked) + 1):
        if bare[at : at + len(asked)] == asked:
            shown = "\n".join(lines[at : at + min(len(asked), 20)])
            return (
                f"old_text does not occur in {path}, but with other white space it stands at line {at + 1}. "
                f"Copy it exactly:\n{shown}"
            )
    first = max(asked, key=len)
    near = difflib.get_close_matches(first[:300], [b[:300] for b in bare if b], n=2, cutoff=0.5)
    if not near:
        return (
            f"old_text does not occur in {path}, nor anything like it. Read the file, or search_code for it."
        )
    shown = "\n".join(
        f"{number + 1:>5}  {lines[number]}"
        for hit in near
        for number in range(max(0, _index(bare, hit) - 1), min(len(lines), _index(bare, hit) + 2))
    )
    return (
        f"old_text does not occur in {path}. The nearest lines are:\n{shown[:2000]}\nCopy the text exactly."
    )


def _index(bare: list[str], hit: str) -> int:
    return next(i for i, line in enumerate(bare) if line[:300] == hit)


def small_diff(before: str, after: str) -> str:
    """What changed, with the new file's line numbers (a removed line has none), at most 60 lines."""
    old, new = before.splitlines(), after.splitlines()
    start = _equal_lines(old, new)
    end = _equal_lines(old[start:][::-1], new[start:][::-1])
    # only what lies between is compared: that takes time squared
    first = max(0, start - 1)
    old, new = old[: len(old) - end + 1], new[: len(new) - end + 1]
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(None, old[first:], new[first:], autojunk=False)
    for group in matcher.get_grouped_opcodes(1):
        if lines:
            lines.append("   ...")
        for tag, a, b, c, d in group:
            if tag == "equal":
                lines += [f"{n + 1:>5}   {new[n]}" for n in range(c + first, d + first)]
            else:
                lines += [f"{'':>5} - {old[n]}" for n in range(a + first, b + first)]
                lines += [f"{n + 1:>5} + {new[n]}" for n in range(c + first, d + first)]
    if len(lines) > MOST_DIFF_LINES:
        lines = [*lines[:MOST_DIFF_LINES], f"[{len(lines) - MOST_DIFF_LINES} more lines of the diff]"]
    return "\n".join(line[:300] for line in lines)


def _equal_lines(one: list[str], other: list[str]) -> int:
    """How many lines at the beginning are equal."""
    shorter = min(len(one), len(other))
    return next((i for i in range(shorter) if one[i] != other[i]), shorter)


def _syntax(bench: Workbench, path: str) -> str:
    """What the interpreter says of the file's syntax; empty where it is fine or nobody can tell."""
    extension = posixpath.splitext(path)[1].lower()
    if extension == ".json":
        try:
            json.loads(bench.read(path) or b"")
        except (ValueError, RecursionError) as error:
            return f"\n[syntax: not valid JSON: {error}]"
        return ""
    if extension not in CHECKS:
        return ""
    program, command = CHECKS[extension]
    checked = command.replace("{path}", shlex.quote(f"{WORKSPACE}/{path}"))
    result = bench.app.pod.app.run(f"command -v {program} >/dev/null || exit 0; {checked}", timeout=30)
    if result.ok:
        return ""
    said = f"{result.stdout.text}\n{result.stderr.text}".replace(f"{WORKSPACE}/", "").split("\n")
    lines = dict.fromkeys(line.strip() for line in said if line.strip())
    return f"\n[syntax error, mend it: {' '.join(lines)[:600]}]"


TOOL: Tool[Workbench] = Tool(
    name="edit_file",
    description="Replaces exact text in a file, creates a file (old_text left out) or deletes one.",
    input=Input,
    example={"path": "app/Models/User.php", "old_text": "'active'", "new_text": "'enabled'"},
    run=run,
    edits=True,
)
