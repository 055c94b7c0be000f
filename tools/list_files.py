"""list_files: what lies where in the workspace."""

from __future__ import annotations

import difflib
import posixpath
import shlex
from collections import Counter

from bedev.sandboxes.patterns import matches
from bedev.tools.near_names import near_paths, or_none
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

MOST_LINES = 150
_NEVER = (".git", "node_modules")


class Input(ToolInput):
    path: str = Field("", description="folder; the repository's top when left out")
    glob: str = Field("", description="only files that fit, at any depth: *.php, app/**/*Test.php")
    depth: int = Field(2, ge=1, le=8)
    changed: bool = Field(False, description="the workspace's diff against base instead")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    folder = bench.path(given.path)
    if given.changed:
        return _changes(bench, folder)
    files, links, pruned = _files(bench, folder, _may_prune(bench, folder))
    left_out = 0
    if not _inside_generated(bench, folder):
        kept = {path: size for path, size in files.items() if not bench.is_product(path)}
        left_out, files = len(files) - len(kept), kept
    if given.glob:
        lines, shown, total = _matching(folder, files, given.glob)
    else:
        lines, shown, total = _tree(folder, files, given.depth)
    if links:
        lines.append(f"links: {', '.join(links[:5])}")
    if left_out or pruned:
        where = f"{' and' if left_out else ''} in {', '.join(f'{p}/' for p in pruned)}" if pruned else ""
        counted = f"{left_out} more files" if left_out else "files"
        lines.append(f"[generated or ignored, left out: {counted}{where}; name a folder to see it]")
    if shown < total:
        lines.append(f"[{shown} of {total} entries; name a sub-folder or a glob to see the rest]")
    if not lines:
        lines = ["no file fits" if given.glob else "empty"]
    return ToolResult("\n".join(lines), f"{given.path or '.'}: {len(files)} files")


def _changes(bench: Workbench, folder: str) -> ToolResult:
    """What a proposal would hold, as a unified diff; a file that is new or gone is counted among them."""
    bench.scan()
    paths = [p for p in sorted(bench.edits) if not folder or p == folder or p.startswith(f"{folder}/")]
    lines: list[str] = []
    for path in paths:
        before, after = bench.base.read(path), bench.edits[path]
        if b"\0" in (before or b"") + (after or b""):
            lines.append(f"{path}: a binary file")
            continue
        old, new = ((c or b"").decode("utf-8", "replace").splitlines() for c in (before, after))
        lines += difflib.unified_diff(
            old,
            new,
            path if before is not None else "/dev/null",
            path if after is not None else "/dev/null",
            lineterm="",
        )
    summary = f"{len(paths)} files changed" if paths else "the workspace equals base"
    return ToolResult(bench.bounded("\n".join([summary, *lines])), summary)


def _files(
    bench: Workbench, folder: str, may_prune: list[str]
) -> tuple[dict[str, int], list[str], list[str]]:
    """Files below `folder` with their sizes, links, and the folders that were there and not entered."""
    place = f"./{folder}" if folder else "."
    prunes = " -o ".join(f"-path {shlex.quote('./' + p)}" for p in (".git", *may_prune))
    result = bench.app.pod.app.run(
        f"[ -d {shlex.quote(place)} ] || exit 9; find {shlex.quote(place)} -mindepth 1 "
        rf"\( {prunes} \) -type d -prune -printf 'd 0 %p\0' -o "
        r"\( -type f -o -type l \) -printf '%y %s %p\0'",
        timeout=60,
    )
    if result.exit_code == 9:
        if bench.read(folder) is not None:
            raise ToolFailed(f"{folder} is a file. Read it with read_file.")
        folders = {posixpath.dirname(p) for p in bench.tree.paths()} - {""}
        raise ToolFailed(
            f"The folder {folder} does not exist; similar: {or_none(near_paths(folder, sorted(folders)))}."
        )
    files: dict[str, int] = {}
    links: list[str] = []
    pruned: list[str] = []
    for entry in bench.whole(result.stdout).split("\0"):
        kind, _, rest = entry.partition(" ")
        size, _, path = rest.partition(" ")
        path = path.removeprefix("./")
        if kind == "l":
            links.append(path)
        elif kind == "d" and path != ".git":
            pruned.append(path)
        elif kind == "f" and path:
            files[path] = int(size)
    return files, links, sorted(pruned)


def _may_prune(bench: Workbench, folder: str) -> list[str]:
    """Folders that set-up makes and that are not asked for: `vendor/**` of the recipe."""
    own = {posixpath.dirname(p) for p in bench.base.paths()}
    below = f"{folder}/" if folder else ""
    return [
        p
        for p in sorted({*bench.generated_folders, *_NEVER} - {".git"})
        if p.startswith(below) and p != folder and not any(o == p or o.startswith(f"{p}/") for o in own)
    ]


def _inside_generated(bench: Workbench, folder: str) -> bool:
    return bool(folder) and matches(f"{folder}/x", bench.app.recipe.generated)


def _matching(folder: str, files: dict[str, int], glob: str) -> tuple[list[str], int, int]:
    patterns = (glob, f"**/{glob}") if "/" not in glob else (glob, f"{folder}/{glob}" if folder else glob)
    found = sorted(path for path in files if matches(path, patterns))
    return (
        [f"{path}  {_size(files[path])}" for path in found[:MOST_LINES]],
        min(len(found), MOST_LINES),
        len(found),
    )


def _tree(folder: str, files: dict[str, int], depth: int) -> tuple[list[str], int, int]:
    """Folders first, each with the number of files below it; what lies deeper than `depth` is counted."""
    below = Counter[str]()
    cut = len(folder) + 1 if folder else 0
    children: dict[str, set[str]] = {}
    for path in files:
        parts = path[cut:].split("/")
        for i in range(1, len(parts)):
            parent, name = "/".join(parts[: i - 1]), "/".join(parts[:i])
            children.setdefault(parent, set()).add(name)
            below[name] += 1
    lines: list[str] = []
    total = 0

    def walk(at: str, level: int) -> None:
        nonlocal total
        indent = "  " * level
        for name in sorted(children.get(at, ())):
            total += 1
            if len(lines) < MOST_LINES:
                lines.append(f"{indent}{posixpath.basename(name)}/  {below[name]} files")
            if level + 1 < depth:
                walk(name, level + 1)
        own = [p for p in files if posixpath.dirname(p[cut:]) == at]
        for path in sorted(own):
            total += 1
            if len(lines) < MOST_LINES:
                lines.append(f"{indent}{posixpath.basename(path)}  {_size(files[path])}")

    walk("", 0)
    return lines, len(lines), total


def _size(size: int) -> str:
    return (
        f"{size} B"
        if size < 1024
        else f"{size / 1024:.1f} KiB"
        if size < 1 << 20
        else f"{size / (1 << 20):.1f} MiB"
    )


TOOL: Tool[Workbench] = Tool(
    name="list_files",
    description="Files and folders of the workspace with sizes, without dependencies; or your diff.",
    input=Input,
    example={"path": "app/Http", "depth": 2},
    run=run,
)
