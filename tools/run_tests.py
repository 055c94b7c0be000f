"""run_tests: the workspace's suite by test id, beside what passes on base."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bedev.sandboxes.sandbox import WORKSPACE
from bedev.sandboxes.stacks.stack import TestCase
from bedev.tools.text_table import cut
from bedev.tools.tool import Tool, ToolFailed, ToolInput, ToolResult
from bedev.tools.workbench import Workbench, reported
from pydantic import Field

MOST_SHOWN = 8
MOST_NAMED = 20
MESSAGE = 700
TEST_SECONDS = 1800.0


class Input(ToolInput):
    filter: str = Field("", description="only tests whose class::name fits")


@reported
def run(bench: Workbench, given: Input) -> ToolResult:
    app = bench.app
    notes = bench.built()
    command = app.recipe.test
    if not command:
        raise ToolFailed("This repository has no tests. Write some, or measure with trace_command.")
    if given.filter:
        command = app.stack.filtered_tests(command, given.filter)
    ran = app.run_tests({}, timeout=TEST_SECONDS, command=command)
    if not ran.cases:
        said = bench.shown(ran.result) if ran.result is not None else ""
        which = f"No test fits {given.filter!r}" if given.filter else "No test ran"
        raise ToolFailed(f"{which}: {ran.problem or 'the report is empty'}.\n{said}", which)
    summary = _summary(ran.cases, bench.base_tests, bool(given.filter))
    lines = [f"[{notes}]"] if notes else []
    lines += [summary, *_failures(ran.cases, bench.base_tests)]
    failed = any(c.status in ("failed", "error") for c in ran.cases)
    return ToolResult(bench.bounded("\n".join(lines)), summary, error=failed)


def _summary(cases: Sequence[TestCase], base: frozenset[str] | None, filtered: bool) -> str:
    counts = [
        f"{sum(1 for c in cases if c.status in statuses)} {word}"
        for word, statuses in (
            ("passed", ("passed",)),
            ("failed", ("failed", "error")),
            ("skipped", ("skipped",)),
        )
    ]
    text = ", ".join(c for c in counts if not c.startswith("0 ") or "skipped" not in c)
    if base is not None:
        text += f" ({len(base)} pass on base"
        gone = base - {c.id for c in cases}
        text += f"; {len(gone)} of them did not run" if gone and not filtered else ""
        text += ")"
    seconds = sum(c.seconds for c in cases)
    return f"{text}, {seconds:.1f} s"


def _failures(cases: Sequence[TestCase], base: frozenset[str] | None) -> list[str]:
    """Those that pass on base first: these are the workspace's own."""
    failed = [c for c in cases if c.status in ("failed", "error")]
    failed.sort(key=lambda c: base is not None and c.id not in base)
    lines = []
    for case in failed[:MOST_SHOWN]:
        lines.append(f"FAILED {case.id}{_beside(case, base)}")
        place = _place(case.message)
        if place:
            lines.append(f"  at {place}")
        lines += [f"  {line}" for line in _message(case).splitlines()]
    rest = failed[MOST_SHOWN:]
    if rest:
        lines.append(f"and {len(rest)} more failed: " + ", ".join(cut(c.id, 100) for c in rest[:MOST_NAMED]))
    return lines


def _beside(case: TestCase, base: frozenset[str] | None) -> str:
    if base is None:
        return ""
    return " (passes on base)" if case.id in base else " (new, or not passing on base either)"


def _place(message: str) -> str:
    """The application's or the test's own line: the last one that is no dependency's."""
    found = re.findall(
        rf"(?:{WORKSPACE}/)?((?!vendor/)[\w./-]{{1,200}}\.\w{{1,5}}:\d{{1,6}})", message[:20_000]
    )
    own = [place for place in found if not place.startswith(("vendor/", "/"))]
    return own[-1] if own else ""


def _message(case: TestCase) -> str:
    lines = case.message.replace(f"{WORKSPACE}/", "").removeprefix(case.id).splitlines()
    # lines that are a frame alone: the one that matters is named above
    kept = [line for line in lines if line.strip() and not re.match(r"\s*[\w./-]{1,300}:\d+\s*$", line)]
    text = "\n".join(kept)
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]}…"


TOOL: Tool[Workbench] = Tool(
    name="run_tests",
    description="Runs the workspace's tests: failures with message and line, compared with base.",
    input=Input,
    example={"filter": "UserListTest"},
    run=run,
)
