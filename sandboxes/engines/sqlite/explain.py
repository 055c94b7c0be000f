"""SQLite's plans in bedev's normal form.

EXPLAIN QUERY PLAN tells steps and nothing of their rows. Expected rows come from sqlite_stat1, as the planner
itself has them; actual rows are counted for simple joins by asking how many rows each step meets
(`step_rows`), and are unknown for everything else.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bedev.sandboxes.engines import plan_findings
from bedev.sandboxes.engines.engine import Plan, PlanFinding, PlanNode
from bedev.sandboxes.engines.sqlite import ddl, step_rows
from bedev.sandboxes.sandbox import SqlSession

ANALYZE_SECONDS = 120.0
AUTOMATIC = "(automatic)"
_NUMBERS = itertools.count(1)

_READING = re.compile(r"(?:\s|/\*.*?\*/|--[^\n]*\n|\()*(select|with|values)\b", re.I | re.S)
_WRITING = re.compile(r"\b(insert|update|delete|replace)\b", re.I)
_STEP = re.compile(
    r"(?P<verb>SCAN|SEARCH) (?P<table>.+?)"
    r"(?: USING (?P<automatic>AUTOMATIC )?(?:PARTIAL )?(?P<covering>COVERING )?"
    r"(?:INDEX(?: (?!\()(?P<index>.*?))?|(?P<rowid>INTEGER PRIMARY KEY|PRIMARY KEY)))?"
    r"(?: VIRTUAL TABLE INDEX (?P<virtual>.*?))?"
    r"(?: \((?P<terms>[^()]*(?:\([^()]*\))?[^()]*)\))?(?: LEFT-JOIN| RIGHT-JOIN)?\Z"
)
_TERM = re.compile(r"(\w[\w$]*)\s*(=|>=|<=|>|<|IS|IN)?")
_SORT = re.compile(r"USE TEMP B-TREE FOR (?:(?:LAST|RIGHT)[\w ]*OF )?ORDER BY")


@dataclass(frozen=True)
class Line:
    """A line of EXPLAIN QUERY PLAN with what is below it."""

    text: str
    below: tuple[Line, ...]


def is_reading(statement: str) -> bool:
    reading = _READING.match(statement) is not None
    return reading and not (re.match(r"[\s(]*with\b", statement, re.I) and _WRITING.search(statement))


def explain(session: SqlSession, sql: str, analyze: bool) -> Plan:
    """Raises DatabaseError with SQLite's words."""
    statement = sql.strip().rstrip("; \n\t")
    bare = _without_placeholders(statement)
    # A plan does not look whether the schema is still the same, neither while it is made nor when it is shown
    # again: so the schema is looked at first, and no text is the same twice.
    session.query("SELECT COUNT(*) FROM sqlite_master")
    rows = session.query(f"EXPLAIN QUERY PLAN /* {next(_NUMBERS)} */ {bare}", timeout=ANALYZE_SECONDS).rows
    lines = _tree([(int(number), int(parent), str(text)) for number, parent, _, text in rows])
    counted = analyze and bare == statement and is_reading(statement)
    named = step_rows.Named.of(session, bare)
    gathers = any(text.startswith("USE TEMP B-TREE") for _, _, _, text in rows)
    root = _Maker(session, named, counted, gathers).root(lines)
    found = (*plan_findings.findings(root), *_automatic(root))
    return Plan("sqlite", sql, root, found, counted, [text for _, _, _, text in rows])


def _without_placeholders(statement: str) -> str:
    return re.sub(
        r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\?",
        lambda found: "NULL" if found[0] == "?" else found[0],
        statement,
    )


def _tree(rows: Sequence[tuple[int, int, str]]) -> tuple[Line, ...]:
    def below(parent: int) -> tuple[Line, ...]:
        return tuple(Line(text, below(number)) for number, above, text in rows if above == parent)

    return below(0)


def _automatic(root: PlanNode) -> list[PlanFinding]:
    """An index that SQLite makes for one statement hides that one is missing."""
    found = []
    if root.index == AUTOMATIC:
        columns = ", ".join(root.key_columns)
        words = f"makes an index on {root.table} ({columns}) for this statement alone, for want of one"
        found.append(PlanFinding("automatic-index", root.table, words, round(root.estimated_rows or 0)))
    for child in root.children:
        found += _automatic(child)
    return found


class _Maker:
    """Makes nodes of lines, with the rows that statistics and counting give."""

    def __init__(self, session: SqlSession, named: step_rows.Named, counted: bool, gathers: bool) -> None:
        self._named = named
        self._statistics = ddl.statistics(session)
        self._counter = step_rows.Counter(session, named, ANALYZE_SECONDS, gathers) if counted else None

    def root(self, lines: Sequence[Line]) -> PlanNode:
        children = self._nodes(lines, top=True)
        return PlanNode("result", children=tuple(children))

    def _nodes(self, lines: Sequence[Line], top: bool = False) -> list[PlanNode]:
        """Steps of one level in order; what sorts or gathers them stands above them."""
        nodes: list[PlanNode] = []
        for line in lines:
            text = line.text
            if text.startswith("USE TEMP B-TREE"):
                rows = next((n.actual_rows for n in reversed(nodes) if n.kind == "table"), None)
                condition = self._named.order if _SORT.match(text) else text.partition(" FOR ")[2].lower()
                kind = "sort" if _SORT.match(text) else "temporary"
                nodes = [PlanNode(kind, actual_rows=rows, condition=condition, children=tuple(nodes))]
                continue
            step = _STEP.match(text)
            if step is not None and not text.startswith("SCAN CONSTANT"):
                nodes.append(self._table(step, line, top))
            elif text.startswith("MULTI-INDEX OR"):
                nodes += self._nodes(line.below)
            elif text.startswith("BLOOM FILTER"):
                continue
            else:
                union = "UNION" in text or "COMPOUND" in text or "EXCEPT" in text or "INTERSECT" in text
                kind = "union" if union else "result" if text.startswith("SCAN CONSTANT") else "subquery"
                nodes.append(PlanNode(kind, condition=text, children=tuple(self._nodes(line.below))))
        return nodes

    def _table(self, step: re.Match[str], line: Line, top: bool) -> PlanNode:
        alias = step["table"].split(" AS ")[-1].strip()
        terms = [(m[1], m[2] or "") for t in (step["terms"] or "").split(" AND ") if (m := _TERM.match(t))]
        columns = tuple(name for name, _ in terms)
        index = AUTOMATIC if step["automatic"] else (step["index"] or "").strip()
        index = index or (step["rowid"] and "PRIMARY") or ""
        table = self._named.table(alias)
        access = self._access(step, table, index, terms)
        node = PlanNode(
            "table",
            table=alias,
            access=access,
            index=index,
            key_columns=columns,
            estimated_rows=self._expected(table, index, access, len(terms)),
            children=tuple(self._nodes(line.below)),
        )
        if not top or self._counter is None:
            return node
        loops, rows = self._counter.step(alias, step["verb"] == "SCAN", columns)
        expected = None if self._counter.ended_early() else node.estimated_rows
        return replace(
            node,
            loops=loops,
            actual_rows=rows,
            estimated_rows=None if expected is None else expected * (loops or 1),
        )

    def _access(self, step: re.Match[str], table: str, index: str, terms: Sequence[tuple[str, str]]) -> str:
        if step["verb"] == "SCAN":
            return "index-scan" if index else "full-scan"
        if any(sign not in ("=", "IS", "IN") for _, sign in terms):
            return "index-range"
        if step["rowid"]:
            return "unique-lookup"
        numbers = self._statistics.get((table, index), ())
        unique = len(numbers) > len(terms) > 0 and numbers[len(terms)] == 1 and len(numbers) == len(terms) + 1
        return "unique-lookup" if unique and index.startswith("sqlite_autoindex") else "index-lookup"

    def _expected(self, table: str, index: str, access: str, terms: int) -> float | None:
        """For one loop."""
        numbers = self._statistics.get((table, index), ())
        total = max(
            (found[0] for (name, _), found in self._statistics.items() if name == table and found), default=0
        )
        if access in ("full-scan", "index-scan"):
            return float(total) if total else None
        if access == "unique-lookup":
            return 1.0
        if access == "index-lookup" and 0 < terms < len(numbers):
            return float(numbers[terms])
        return None
