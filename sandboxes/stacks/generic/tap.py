"""Test reports in the Test Anything Protocol (https://testanything.org, versions 12 to 14).

A line is read by tap.py; which test a line belongs to is decided here: tap.py has no subtests, and those of
node:test, Mocha and Perl are the ones that have names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.stacks.stack import TestCase

SEPARATOR = " > "
MOST_LEVELS = 40
_MESSAGE = 4000
_HASH, _BACKSLASH = "\ue000", "\ue001"


@dataclass(frozen=True)
class _Result:
    """A test line: its name, its status, what stands below it (YAML), and the tests within it."""

    name: str
    status: str
    detail: str
    inner: tuple[_Result, ...]


def parse_tests(report: bytes) -> tuple[TestCase, ...]:
    """The innermost tests in the order of the file, `outer > inner`; a test that failed by itself while all
    within it passed (its hook did) is one too. Names that come again are numbered.

    Raises SetUpFailed for a report that is none, or that ends before its plan says.
    """
    text = report.decode("utf-8-sig", errors="replace")
    lines = text.splitlines()
    results, problem = _level(lines, 0)
    if problem or not (results or any(re.match(r"1\.\.0\b", line) for line in lines)):
        raise SetUpFailed(
            "The tests left no readable report.",
            where="TAP of the test command",
            next_step="Look at the output of the test command: it probably ended before its last test.",
            detail=problem or "there is no line `ok 1 - ...` in it",
        )
    seen: Counter[str] = Counter()
    found = []
    for name, result in _innermost(results, ""):
        seen[name] += 1
        identity = name if seen[name] == 1 else f"{name} ({seen[name]})"
        found.append(TestCase(identity, result.status, _seconds(result.detail), _message(result)))
    return tuple(found)


def _innermost(results: Sequence[_Result], before: str) -> Iterator[tuple[str, _Result]]:
    for result in results:
        name = f"{before}{SEPARATOR}{result.name}" if before else result.name
        if not result.inner:
            yield name, result
            continue
        yield from _innermost(result.inner, name)
        if result.status == "failed" and not any(_failed(inner) for inner in result.inner):
            yield name, result


def _failed(result: _Result) -> bool:
    return result.status == "failed" or any(_failed(inner) for inner in result.inner)


def _level(lines: Sequence[str], depth: int) -> tuple[tuple[_Result, ...], str]:
    """The tests whose lines begin at the start of `lines`, and what is wrong with the report, or nothing."""
    from tap.parser import Parser  # type: ignore[import-untyped]

    parser = Parser()
    found: list[_Result] = []
    inner: list[str] = []
    planned, problem, position = -1, "", 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith("    "):
            inner.append(line[4:])
            continue
        if line.startswith("TAP version"):
            continue
        escaped = line.rstrip().replace("\\\\", _BACKSLASH).replace("\\#", _HASH)
        said = parser.parse_line(escaped)
        if said.category == "bail":
            return tuple(found), f"the suite gave up: {said.reason}"
        if said.category == "plan":
            planned = said.expected_tests
        if said.category != "test":
            continue
        detail: list[str] = []
        if position < len(lines) and re.match(r"\s{1,3}---\s*$", lines[position]):
            position += 1
            while position < len(lines) and not re.match(r"\s{1,3}\.\.\.\s*$", lines[position]):
                detail.append(lines[position])
                position += 1
            position += 1
        within: tuple[_Result, ...] = ()
        if inner and depth < MOST_LEVELS:
            within, wrong = _level(inner, depth + 1)
            problem = problem or wrong
        inner = []
        found.append(_Result(_name(said), _status(said), "\n".join(detail), within))
    if planned >= 0 and planned != len(found):
        problem = problem or f"{planned} tests were planned and {len(found)} reported"
    return tuple(found), problem


def _name(said: object) -> str:
    description = str(getattr(said, "description", "") or "")
    plain = re.sub(r"^-\s*", "", description).replace(_HASH, "#").replace(_BACKSLASH, "\\").strip()
    return plain or f"test {getattr(said, 'number', None) or ''}".strip()


def _status(said: object) -> str:
    """A test that is `todo` is expected to fail: whatever it did, it counts as left out."""
    if getattr(said, "skip", False) or getattr(said, "todo", False):
        return "skipped"
    return "passed" if getattr(said, "ok", False) else "failed"


def _seconds(detail: str) -> float:
    found = re.search(r"^\s*duration_ms:\s*['\"]?(\d+(?:\.\d+)?)", detail, re.MULTILINE)
    return float(found[1]) / 1000 if found else 0.0


def _message(result: _Result) -> str:
    return "" if result.status == "passed" else result.detail.strip()[:_MESSAGE]
