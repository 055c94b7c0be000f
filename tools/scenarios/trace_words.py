"""What a question did, in words for a model: dense, exact, bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.sandbox import WORKSPACE
from bedev.tools.database.workload import Workload, WorkloadQuery, n_plus_one
from bedev.tools.masking import Mask
from bedev.tools.scenarios.compare import Answer, Difference
from bedev.tools.scenarios.measured import Measured
from bedev.tools.text_table import aligned, cut

BODY = 500
LONGEST_TEXT = 40
SHAPE = 100
MOST_SITES = 12
NOISE_SECONDS = 0.005
NOISE_SHARE = 0.25
"""Wall times that differ by less than these say nothing."""
_COUNTS = re.compile(r"(\d+ items|missing|nothing more|ends here|JSON|null|true|false|-?\d+(\.\d+)?)\Z")


def answer_words(answer: Answer) -> str:
    """`200 application/json, 1,234 bytes`, `exit 0, 80 bytes`, `12 rows`."""
    if answer.kind == "http":
        return f"{answer.status} {answer.media_type or 'no type'}, {len(answer.body):,} bytes"
    if answer.kind == "command":
        return f"exit {answer.exit}, {len(answer.output):,} bytes"
    if answer.kind == "sql":
        return f"{len(answer.rows):,} rows"
    return f"failed: {answer.failure}"


def body_head(answer: Answer, mask: Mask) -> str:
    """The beginning of the body with its values masked; what says why an answer failed stands as it is."""
    if answer.kind == "sql":
        return ""
    content = answer.output if answer.kind == "command" else answer.body
    text = content[: 1 << 20].decode("utf-8", "replace").strip()
    if not text:
        return ""
    if answer.exit or answer.status >= 400 or mask.show:
        return cut(text, BODY)
    try:
        shown = json.dumps(_brief(mask.json(json.loads(text))), ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"({len(text.splitlines())} lines of text)"
    # what follows the first items (links, numbers of pages) matters as much
    return shown if len(shown) <= BODY else f"{shown[: BODY - 160]} ... {shown[-150:]}"


def _brief(document: Any) -> Any:
    """A JSON document whose lists are their first item and how many follow."""
    if isinstance(document, dict):
        return {key: _brief(part) for key, part in document.items()}
    if isinstance(document, list) and len(document) > 1:
        return [_brief(document[0]), f"... {len(document) - 1} more"]
    if isinstance(document, list):
        return [_brief(part) for part in document]
    if isinstance(document, str) and len(document) > LONGEST_TEXT:
        return f"{document[: LONGEST_TEXT - 1]}…"
    return document


def call_sites(
    now: Measured,
    name: Callable[[WorkloadQuery], str],
    most: int = MOST_SITES,
    base: Workload = (),
) -> list[str]:
    """Queries by call site, those that examine most rows first; `~` where rows were counted for some calls
    and multiplied. `name` gives each query its short name. `base`: the queries of base, whose rows examined
    stand before the workspace's where they differ."""
    before = {query.fingerprint: query.rows_examined for query in base}
    rows: list[tuple[str, ...]] = []
    for query in dearest(now.workload):
        about = "~" if query.fingerprint in now.sampled else ""
        was = before.get(query.fingerprint)
        examined = about + _number(query.rows_examined, 0)
        if was is not None and query.rows_examined is not None and was != query.rows_examined:
            examined = f"{was:,} -> {examined}"
        for number, site in enumerate(query.sites or (None,)):
            first = number == 0
            rows.append(
                (
                    name(query) if len(rows) < most else "",
                    f"{site.calls if site else query.calls:,}",
                    f"{site.distinct_bindings if site else query.distinct_bindings:,}",
                    examined if first else '"',
                    (about + _number(now.works.get(query.fingerprint), 0)) if first else '"',
                    _number(query.milliseconds, 1) if first else '"',
                    (site.place if site.file else site.function) if site else "(call site unknown)",
                    query.fingerprint,
                )
            )
    headers: tuple[str, ...] = ("", "calls", "distinct", "rows examined", "work", "ms", "call site", "query")
    if not now.works:
        headers, rows = headers[:4] + headers[5:], [row[:4] + row[5:] for row in rows]
    lines = aligned(headers, rows[:most], {1, 2, 3, 4, 5} if now.works else {1, 2, 3, 4}, SHAPE)
    if len(rows) > most:
        lines.append(f"[{len(rows) - most} more, each examining fewer rows]")
    return lines


def dearest(workload: Workload) -> list[WorkloadQuery]:
    """Those that examine most rows first."""
    return sorted(workload, key=lambda q: (-(q.rows_examined or 0), -q.calls, q.fingerprint))


def repeated(workload: Workload, most: int = 4) -> list[str]:
    """N+1, asked again, row by row: each with its line."""
    return [found.words for found in n_plus_one(workload)[:most]]


def ratio(base: int, now: int) -> str:
    """`15.4 times less`, `2.0 times more`, `the same`."""
    if base == now:
        return "the same"
    if not base or not now:
        return "none now" if base else "none on base"
    more, less = max(base, now), max(1, min(base, now))
    return f"{more / less:.1f} times {'less' if now < base else 'more'}"


def figures(now: Measured) -> str:
    """`queries 52, statements 55 (of the session too), work 12,345, 80 ms`; queries are the application's
    own, statements what the server ran."""
    parts = [f"queries {now.queries}"]
    if now.question.kind != "sql" and now.counters.statements not in (None, now.queries):
        parts.append(f"statements {now.counters.statements} (prepare, session too)")
    once = "" if now.runs > 1 else " (one run)"
    return ", ".join([*parts, f"work {now.work:,}", f"{now.seconds * 1000:.0f} ms{once}"])


@dataclass(frozen=True)
class BaseFigures:
    """What base did for the same question; `statements` is None where nobody counted them."""

    queries: int
    work: int
    seconds: float
    statements: int | None = None


def beside(base: BaseFigures, now: Measured) -> str:
    """`base -> workspace: queries 52 -> 3, statements 55 -> 6, work 12,345 -> 800 (15.4 times less), 80 -> 31
    ms`; the time is left out where it does not differ by more than it wanders."""
    parts = [f"queries {base.queries} -> {now.queries}"]
    if base.statements is not None and now.question.kind != "sql":
        parts.append(f"statements {base.statements} -> {now.counters.statements}")
    parts.append(f"work {base.work:,} -> {now.work:,} ({ratio(base.work, now.work)})")
    high, low = max(base.seconds, now.seconds), min(base.seconds, now.seconds)
    if high - low > max(NOISE_SECONDS, NOISE_SHARE * high):
        once = "" if now.runs > 1 else " (one run)"
        parts.append(f"{base.seconds * 1000:.0f} -> {now.seconds * 1000:.0f} ms{once}")
    return f"base -> workspace: {', '.join(parts)}"


def difference_words(difference: Difference, kind: str, mask: Mask) -> str:
    """The shortest counterexample, values masked."""
    hidden = kind != "command" and difference.part in ("body", "rows", "output")
    sides = (difference.base, difference.patch)
    base, now = (_masked(side, mask) if hidden else side for side in sides)
    where = f" {difference.where}" if difference.where else ""
    equal = " (texts that differ)" if base == now else ""
    return f"{difference.part}{where}: base {base}, workspace {now}{equal}"


def _masked(text: str, mask: Mask) -> str:
    if mask.show or _COUNTS.match(text):
        return text
    try:
        return json.dumps(mask.json(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return str(mask.text(text))


def log_words(log: str) -> str:
    """The last line of a server's log that says what went wrong, and the application's own frames."""
    lines = log.splitlines()
    hits = [i for i, line in enumerate(lines) if re.search(r"error|exception", line, re.IGNORECASE)]
    at = next((i for i in reversed(hits) if re.match(r"\s*(#\d|\{main|at )", lines[i]) is None), None)
    if at is None:
        return "\n".join(cut(line, 400) for line in lines[-3:])
    own = [line for line in lines[at + 1 :] if f"{WORKSPACE}/" in line and f"{WORKSPACE}/vendor/" not in line]
    shown = [cut(lines[at], 400), *(cut(line, 200) for line in own[:2])]
    return "\n".join(line.replace(f"{WORKSPACE}/", "") for line in shown)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
