"""A plan in its normal form, drawn as an indented tree, with its findings in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bedev.sandboxes.engines.engine import Plan, PlanNode
from bedev.tools.database.fingerprint import fingerprint
from bedev.tools.text_table import cut

MOST_LINES = 60
CONDITION = 140


def draw(plan: Plan, hide: str = "") -> str:
    """One line a step: access, index with its key columns, rows estimated and actual, what of them is kept,
    milliseconds; then the findings. `hide`: the dialect in which values of conditions are replaced by `?`."""
    lines = list(_lines(_without_values(plan.root, hide) if hide else plan.root, 0))
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"[{len(lines) - MOST_LINES} more steps]"]
    lines += [f"! {finding.id}: {finding.words}" for finding in plan.findings]
    if not plan.findings:
        lines.append("no finding: nothing in this plan is known to cost more than it has to")
    return "\n".join(lines)


def missing(plan: Plan, other: Plan, hide: str = "") -> list[str]:
    """The lines of a plan, its findings among them, that `other` does not have; figures that every run has
    anew (rows read, milliseconds) do not count."""
    have = {_step(n) for n in nodes(other.root)} | {(f.id, f.table) for f in other.findings}
    lines = []
    for node, depth in _walk(plan.root, 0):
        if _step(node) not in have:
            lines.append(f"{'  ' * depth}{_words(_without_values(node, hide) if hide else node)}")
    found = [f"! {f.id}: {f.words}" for f in plan.findings if (f.id, f.table) not in have]
    return [*lines[:MOST_LINES], *found]


def _step(node: PlanNode) -> tuple[object, ...]:
    if _is_frame(node):
        return ()
    return (node.kind, node.table, node.access, node.index, node.key_columns, node.condition)


def _is_frame(node: PlanNode) -> bool:
    """A result that only holds its steps together."""
    return node.kind == "result" and not node.condition


def examined(plan: Plan) -> int | None:
    """Rows that the plan's steps read from tables, None where the plan was not run."""
    rows = [n.actual_rows for n in nodes(plan.root) if n.kind == "table" and not n.table.startswith("<")]
    return round(sum(r for r in rows if r is not None)) if plan.analyzed else None


def nodes(node: PlanNode) -> Iterator[PlanNode]:
    """A step and all below it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def _without_values(node: PlanNode, dialect: str) -> PlanNode:
    condition = fingerprint(node.condition, dialect)
    return replace(
        node, condition=condition, children=tuple(_without_values(c, dialect) for c in node.children)
    )


def _lines(node: PlanNode, depth: int) -> Iterator[str]:
    for step, level in _walk(node, depth):
        yield f"{'  ' * level}{_words(step)}"


def _walk(node: PlanNode, depth: int) -> Iterator[tuple[PlanNode, int]]:
    """Each step with its depth."""
    if not _is_frame(node):
        yield node, depth
        depth += 1
    for child in node.children:
        yield from _walk(child, depth)


def _words(node: PlanNode) -> str:
    if node.kind == "table":
        parts = [f"{node.table}: {node.access or 'read'}"]
        if node.index:
            parts.append(f"by {node.index}({', '.join(node.key_columns)})")
    else:
        parts = [f"{node.kind}{f' {node.table}' if node.table else ''}"]
    rows = _rows(node)
    if rows:
        parts.append(rows)
    if node.filtered_percent is not None and node.condition and node.kind == "table":
        parts.append(f"keeps {node.filtered_percent:.3g} %")
    if node.milliseconds is not None:
        parts.append(f"{node.milliseconds:.1f} ms")
    text = ", ".join(parts)
    if not node.condition:
        return text
    word = "by" if node.kind == "sort" else "where"
    return f"{text}, {word} {cut(node.condition, CONDITION)}"


def _rows(node: PlanNode) -> str:
    estimated = None if node.estimated_rows is None else f"{node.estimated_rows:,.0f}"
    if node.actual_rows is None:
        return f"about {estimated} rows" if estimated else ""
    told = f" (expected {estimated})" if estimated else ""
    loops = f" in {node.loops:,.0f} loops" if node.loops is not None and node.loops > 1 else ""
    return f"{node.actual_rows:,.0f} rows{told}{loops}"
