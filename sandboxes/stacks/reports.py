"""What came out of an application: test reports (JUnit XML) and traces (a tracer's JSON lines)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.stacks.stack import TestCase, TracedQuery


def parse_tests(junit: bytes, separator: str = ".") -> tuple[TestCase, ...]:
    """The cases of a report, `Class::name`; `separator` is what the language puts between the parts of a
    class's name. An id that comes again (a data provider with equal names) is numbered in the order of the
    file. Raises SetUpFailed for a report that is none."""
    import junitparser

    text = junit.decode("utf-8", errors="replace")
    try:
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("it declares a document type")
        # XML 1.0 forbids control characters, and failure messages of real suites contain them.
        report = junitparser.JUnitXml.fromstring(
            re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", text).encode()
        )
    except Exception as error:
        raise SetUpFailed(
            "The tests left no readable report.",
            where="JUnit XML of the test command",
            next_step="Look at the output of the test command: it probably ended before its last test.",
            detail=str(error),
        ) from error
    seen: Counter[str] = Counter()
    found = []
    for case in _cases(report):
        name = f"{_class_of(case, separator)}::{case.name or ''}"
        seen[name] += 1
        status, message = _status(case)
        identity = name if seen[name] == 1 else f"{name} ({seen[name]})"
        found.append(TestCase(identity, status, float(case.time or 0.0), message))
    return tuple(found)


def _cases(report: Any) -> Iterator[Any]:
    """Of all suites, in the order of the file (a suite yields the cases of its inner suites too)."""
    import junitparser

    for item in report:
        if isinstance(item, junitparser.TestCase):
            yield item
        else:
            yield from item


def _class_of(case: Any, separator: str) -> str:
    return str(case._elem.get("class") or (case.classname or "").replace(".", separator))


def _status(case: Any) -> tuple[str, str]:
    import junitparser

    worst, message = "passed", ""
    order = {"passed": 0, "skipped": 1, "failed": 2, "error": 3}
    for result in case.result:
        kind = {junitparser.Error: "error", junitparser.Failure: "failed"}.get(type(result), "skipped")
        if order[kind] > order[worst]:
            worst, message = kind, (result.text or result.message or "").strip()
    if worst == "passed" and case._elem.find("warning") is not None:
        return "error", str(
            case._elem.findtext("warning") or ""
        ).strip()  # PHPUnit up to 9: no test in a class
    return worst, message


def parse_trace(text: bytes) -> tuple[TracedQuery, ...]:
    """The queries in order. A last line that is not whole (the process was killed) is left out."""
    requests: dict[str, str] = {}
    found = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict):
            continue
        if entry.get("kind") == "begin":
            requests[str(entry.get("id"))] = str(entry.get("what", ""))
        elif entry.get("kind") in ("query", "more"):
            found.append(_query(entry, requests.get(str(entry.get("id")), "")))
    return tuple(found)


def _query(entry: dict[str, Any], request: str) -> TracedQuery:
    return TracedQuery(
        sql=str(entry.get("sql", "")),
        bindings=tuple(entry.get("bindings") or ()),
        milliseconds=float(entry.get("ms") or 0.0),
        file=str(entry.get("file", "")),
        line=int(entry.get("line") or 0),
        function=str(entry.get("function", "")),
        stack=tuple(str(frame) for frame in entry.get("stack") or ()),
        calls=int(entry.get("calls") or 1),
        request=request,
    )
