"""What a question did, in words for a model: dense, exact, bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from bedev.sandboxes.sandbox import WORKSPACE
from bedev.tools.database.workload import Workload, WorkloadQuery, n_plus_one
from bedev.tools.masking import Mask
from bedev.tools.scenarios.compare import Answer, Difference
from bedev.tools.scenarios.measured import Measured
from bedev.tools.text_table import aligned, cut

BODY = 300
SHAPE = 100
MOST_SITES = 12
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
        return cut(json.dumps(mask.json(json.loads(text)), ensure_ascii=False), BODY)
    except (ValueError, RecursionError):
        return f"({len(text.splitlines())} lines of text)"


def call_sites(now: Measured, name: Callable[[WorkloadQuery], str], most: int = MOST_SITES) -> list[str]:
    """Queries by call site, those that examine most rows first; `~` where rows were counted for some calls
    and multiplied. `name` gives each query its short name."""
    rows: list[tuple[str, ...]] = []
    for query in dearest(now.workload):
        about = "~" if query.fingerprint in now.sampled else ""
        for number, site in enumerate(query.sites or (None,)):
            first = number == 0
            rows.append(
                (
                    name(query) if len(rows) < most else "",
                    f"{site.calls if site else query.calls:,}",
                    f"{site.distinct_bindings if site else query.distinct_bindings:,}",
                    about + _number(query.rows_examined, 0) if first else '"',
                    _number(query.milliseconds, 1) if first else '"',
                    (site.place if site.file else site.function) if site else "(call site unknown)",
                    query.fingerprint,
                )
            )
    headers = ("", "calls", "distinct", "rows examined", "ms", "call site", "query")
    lines = aligned(headers, rows[:most], {1, 2, 3, 4}, SHAPE)
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


def beside(base_queries: int, base_work: int, base_seconds: float, now: Measured) -> str:
    """`base -> workspace: queries 52 -> 3, work 12,345 -> 800 (15.4 times less), 80 -> 31 ms`."""
    return (
        f"base -> workspace: queries {base_queries} -> {now.queries}, work {base_work:,} -> {now.work:,} "
        f"({ratio(base_work, now.work)}), {base_seconds * 1000:.0f} -> {now.seconds * 1000:.0f} ms"
    )


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
