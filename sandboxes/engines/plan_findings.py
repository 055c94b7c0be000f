"""What in a plan costs, read from its normal form, whichever server made it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bedev.sandboxes.engines.engine import PlanFinding, PlanNode

BAD_ESTIMATE = 10  # times too many or too few rows
SMALL = 100  # rows: below it a scan or a wrong estimate costs nothing worth a finding


def has_limit(sql: str) -> bool:
    """Whether a LIMIT stands anywhere in the statement."""
    return re.search(r"\blimit\s", sql, re.I) is not None


def findings(root: PlanNode, limited: bool = False) -> tuple[PlanFinding, ...]:
    """Each finding once for its table, in the order of the plan's steps. `limited`: the statement has a
    LIMIT, which ends a step before it has read what was expected."""
    seen: dict[tuple[str, str], PlanFinding] = {}
    for node in _walk(root):
        for found in _of(node):
            if found.id == "bad-estimate" and limited and found.rows < (node.estimated_rows or 0):
                continue
            seen.setdefault((found.id, found.table), found)
    return tuple(seen.values())


def _walk(node: PlanNode) -> Iterator[PlanNode]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _first_table(node: PlanNode) -> str:
    return next((n.table for n in _walk(node) if n.kind == "table" and not n.table.startswith("<")), "")


def _of(node: PlanNode) -> Iterator[PlanFinding]:
    table = node.table or _first_table(node)
    rows = round(node.actual_rows if node.actual_rows is not None else node.estimated_rows or 0)
    if node.kind == "sort":
        by = f" by {node.condition}" if node.condition else ""
        yield PlanFinding("filesort", table, f"sorts{by} without an index", rows)
    elif node.kind == "temporary":
        yield PlanFinding("temporary-table", table, "builds a temporary table", rows)
    elif node.kind == "join":
        yield PlanFinding(
            "join-buffer",
            table,
            f"joins {table or 'tables'} through a buffer, for want of an index on it",
            rows,
        )
    elif node.kind == "table" and not node.table.startswith("<"):
        yield from _of_table(node, rows)


def _of_table(node: PlanNode, rows: int) -> Iterator[PlanFinding]:
    if node.access == "full-scan" and max(rows, node.estimated_rows or 0) >= SMALL:
        kept = node.filtered_percent
        told = f"; {kept:.3g} % of them are kept" if node.condition and kept is not None else ""
        yield PlanFinding("full-scan", node.table, f"reads all of {node.table}: {rows:,} rows{told}", rows)
    if node.access == "index-scan" and max(rows, node.estimated_rows or 0) >= SMALL:
        yield PlanFinding(
            "full-index-scan", node.table, f"reads the whole index {node.index}: {rows:,} entries", rows
        )
    if node.actual_rows is None or node.estimated_rows is None or not node.loops:
        return
    more, fewer = node.actual_rows, node.estimated_rows
    if node.estimated_loops:
        # a filter on an outer table, misjudged there, is no fault of this step's estimate
        fewer = fewer / node.estimated_loops * node.loops
    # A LIMIT ends a scan early; the estimate is of the whole scan, so too few rows there tell nothing.
    if fewer > more and node.access in ("full-scan", "index-scan"):
        return
    high, low = max(more, fewer), max(1.0, min(more, fewer))
    if high >= SMALL and high / low >= BAD_ESTIMATE:
        yield PlanFinding(
            "bad-estimate",
            node.table,
            f"expected {fewer:,.0f} rows of {node.table}, read {more:,.0f}",
            round(more),
        )
