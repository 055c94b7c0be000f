"""PostgreSQL's plans in bedev's normal form.

`EXPLAIN ANALYZE` runs the statement, so only a SELECT is analyzed, in a read-only transaction; of a write
the plan is shown alone. Rows there are means per loop (PostgreSQL manual, "Using EXPLAIN"): they are
multiplied. `actual_rows` of a table's step are the rows read, those that a filter removed included; the
server's estimate is of the rows that are left, so bad estimates are found here, on like and like.

Ordinary joins (hash, merge, nested loop over an index) are no steps of their own, as in MariaDB's plans;
a nested loop that reads a whole table for each row is.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bedev.sandboxes.engines.engine import Plan, PlanFinding, PlanNode
from bedev.sandboxes.engines.plan_findings import BAD_ESTIMATE, SMALL, findings
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

ANALYZE_SECONDS = 120.0
READ_ONLY = "25006"

_READING = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n|\()*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL
)
_WRITING = re.compile(r"\b(insert|update|delete|merge|into)\b", re.IGNORECASE)
_LITERAL = re.compile(r"'(?:[^']|'')*'")


@dataclass(frozen=True)
class Facts:
    """What a plan does not say: the rows of tables by name (estimates), and of indexes whether they are
    unique and which columns they have."""

    rows: Mapping[str, float] = field(default_factory=dict)
    indexes: Mapping[str, tuple[bool, tuple[str, ...]]] = field(default_factory=dict)


def explain(session: SqlSession, sql: str, analyze: bool) -> Plan:
    """Raises DatabaseError with the server's words."""
    statement = sql.strip().rstrip(";")
    answer = _analyzed(session, statement) if analyze and is_reading(statement) else None
    analyzed = answer is not None
    if answer is None:
        answer = session.query("EXPLAIN (FORMAT JSON) " + statement, timeout=ANALYZE_SECONDS).scalar
    raw = json.loads(answer) if isinstance(answer, str) else answer
    return plan(statement, raw[0], analyzed, _facts(session, raw[0]))


def is_reading(statement: str) -> bool:
    """Whether the statement can be run to be explained. Any word of a write in it counts as one: WITH may
    begin a write, and SELECT ... INTO makes a table."""
    return _READING.match(statement) is not None and not _WRITING.search(_LITERAL.sub("''", statement))


def _analyzed(session: SqlSession, statement: str) -> Any:
    """None where the SELECT cannot be run in a read-only transaction: it locks rows (FOR UPDATE), or calls
    a function that writes."""
    session.query("BEGIN READ ONLY")
    try:
        return session.query(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, timeout=ANALYZE_SECONDS
        ).scalar
    except DatabaseError as error:
        if error.code != READ_ONLY:
            raise
        return None
    finally:
        with contextlib.suppress(DatabaseError):  # the connection is gone
            session.query("ROLLBACK")


def _facts(session: SqlSession, raw: Mapping[str, Any]) -> Facts:
    names = {
        str(n[key]) for n in _raw_nodes(raw["Plan"]) for key in ("Relation Name", "Index Name") if key in n
    }
    if not names:
        return Facts()
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(names))
    found = session.query(
        "SELECT c.relname, c.reltuples::float8, i.indisunique, (SELECT json_agg(pg_get_indexdef(c.oid, k, "
        "false) "
        "ORDER BY k) FROM generate_series(1, i.indnkeyatts) k) FROM pg_class c LEFT JOIN pg_index i "
        f"ON i.indexrelid = c.oid WHERE pg_table_is_visible(c.oid) AND c.relname IN ({listed})"
    ).rows
    rows = {str(name): float(count) for name, count, unique, _ in found if unique is None and count >= 0}
    indexes = {
        str(name): (bool(unique), tuple(str(c).strip('"') for c in columns or ()))
        for name, _, unique, columns in found
        if unique is not None
    }
    return Facts(rows, indexes)


def plan(sql: str, raw: Mapping[str, Any], analyzed: bool, facts: Facts | None = None) -> Plan:
    """The normal form of a plan as the server wrote it (the one object of its list)."""
    reader = _Reader(facts or Facts(), analyzed)
    root = PlanNode("result", children=tuple(reader.steps(raw["Plan"])))
    found = [f for f in findings(root) if f.id != "bad-estimate"]
    return Plan("postgres", sql, root, (*found, *_bad_estimates(raw["Plan"])), analyzed, raw)


def _raw_nodes(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield raw
    for child in raw.get("Plans", ()):
        yield from _raw_nodes(child)


def _bad_estimates(raw: Mapping[str, Any]) -> Iterator[PlanFinding]:
    seen = set()
    for node in _raw_nodes(raw):
        table = str(node.get("Alias", node.get("Relation Name", "")))
        loops = float(node.get("Actual Loops", 0))
        if not loops or "Relation Name" not in node or node["Node Type"] == "ModifyTable" or table in seen:
            continue
        fewer, more = float(node["Plan Rows"]) * loops, float(node["Actual Rows"]) * loops
        whole = node["Node Type"] == "Seq Scan" or ("Index Cond" not in node and "Index Name" in node)
        # A LIMIT ends a scan early; the estimate is of the whole scan, so too few rows there tell nothing.
        if fewer > more and whole:
            continue
        high, low = max(more, fewer), max(1.0, min(more, fewer))
        if high >= SMALL and high / low >= BAD_ESTIMATE:
            seen.add(table)
            words = f"expected {fewer:,.0f} rows of {table}, got {more:,.0f}"
            yield PlanFinding("bad-estimate", table, words, round(more))


# -- the tree

_SCANS = (
    "Seq Scan",
    "Sample Scan",
    "Tid Scan",
    "Tid Range Scan",
    "Index Scan",
    "Index Only Scan",
    "Foreign Scan",
)
_GROUPS = ("Aggregate", "Group", "Unique", "WindowAgg", "SetOp")
_UNIONS = ("Append", "Merge Append", "Recursive Union")
_MADE = (
    "CTE Scan",
    "Function Scan",
    "Values Scan",
    "WorkTable Scan",
    "Table Function Scan",
    "Named Tuplestore Scan",
)
_SPILLS = ("Materialize", "Hash", "Aggregate", "CTE Scan", "WindowAgg", "SetOp")


class _Reader:
    def __init__(self, facts: Facts, analyzed: bool) -> None:
        self._facts = facts
        self._analyzed = analyzed

    def steps(self, raw: Mapping[str, Any]) -> Iterator[PlanNode]:
        """The steps of a node of the server's plan, in its order; what only passes rows on is left out."""
        kind = str(raw["Node Type"])
        if raw.get("Parent Relationship") in ("InitPlan", "SubPlan") or kind == "Subquery Scan":
            plain = {k: v for k, v in raw.items() if k != "Parent Relationship"}
            inner = self._children(plain) if kind == "Subquery Scan" else tuple(self.steps(plain))
            yield PlanNode("subquery", children=inner)
            return
        node = self._step(kind, raw)
        found = (node,) if node else self._children(raw)
        if kind in _SPILLS and _temp_pages(raw) > 0:
            found = (PlanNode("temporary", actual_rows=self._rows(raw), children=tuple(found)),)
        yield from found

    def _step(self, kind: str, raw: Mapping[str, Any]) -> PlanNode | None:
        if kind in _SCANS or kind == "Bitmap Heap Scan":
            return self._scan(kind, raw)
        if kind in ("Sort", "Incremental Sort"):
            return self._sort(raw)
        if kind in _MADE:
            name = raw.get("CTE Name", raw.get("Alias", kind))
            return PlanNode(
                "table", f"<{name}>", "", actual_rows=self._rows(raw), children=self._children(raw)
            )
        if kind in _GROUPS or kind in _UNIONS:
            named = "group" if kind in _GROUPS else "union"
            words = ", ".join(str(key) for key in raw.get("Group Key", ()))
            return self._plain(named, raw, words)
        if kind == "ModifyTable":
            return self._plain("result", raw, table=str(raw.get("Alias", raw.get("Relation Name", ""))))
        if kind == "Nested Loop":
            return self._nested_loop(raw)
        if kind == "Result":
            return self._plain("result", raw, str(raw.get("One-Time Filter", "")))
        return None

    def _plain(self, kind: str, raw: Mapping[str, Any], condition: str = "", table: str = "") -> PlanNode:
        return PlanNode(
            kind,
            table=table,
            estimated_rows=float(raw["Plan Rows"]) * (self._loops(raw) or 1.0),
            actual_rows=self._rows(raw),
            loops=self._loops(raw),
            milliseconds=self._milliseconds(raw),
            condition=condition,
            children=self._children(raw),
        )

    def _children(self, raw: Mapping[str, Any]) -> tuple[PlanNode, ...]:
        return tuple(step for child in raw.get("Plans", ()) for step in self.steps(child))

    def _nested_loop(self, raw: Mapping[str, Any]) -> PlanNode | None:
        inner = _through(raw["Plans"][1])
        loops = float(raw["Plans"][1].get("Actual Loops", 2))
        rows = float(inner.get("Actual Rows", inner["Plan Rows"])) + float(
            inner.get("Rows Removed by Filter", 0)
        )
        if inner["Node Type"] != "Seq Scan" or loops <= 1 or rows < SMALL:
            return None
        outer, *rest = raw["Plans"]
        joined = PlanNode(
            "join",
            table=str(inner.get("Alias", "")),
            loops=loops,
            condition=str(raw.get("Join Filter", inner.get("Filter", ""))),
            children=tuple(step for child in rest for step in self.steps(child)),
        )
        return PlanNode("result", children=(*self.steps(outer), joined))

    def _sort(self, raw: Mapping[str, Any]) -> PlanNode:
        condition = ", ".join(str(key) for key in raw.get("Sort Key", ()))
        if raw.get("Sort Space Type") == "Disk":
            condition += (
                f" ({raw.get('Sort Method', 'on disk')}, {raw.get('Sort Space Used', 0):,} kB on disk)"
            )
        return self._plain("sort", raw, condition)

    def _scan(self, kind: str, raw: Mapping[str, Any]) -> PlanNode:
        conditions = [str(raw["Index Cond"])] if "Index Cond" in raw else []
        names = [str(raw["Index Name"])] if "Index Name" in raw else []
        if kind == "Bitmap Heap Scan":
            bitmaps = [n for n in _raw_nodes(raw) if n["Node Type"] == "Bitmap Index Scan"]
            conditions = [str(n.get("Index Cond", "")) for n in bitmaps]
            names = [str(n["Index Name"]) for n in bitmaps]
        columns = tuple(
            column
            for name, condition in zip(names, conditions, strict=False)
            for column in self._facts.indexes.get(name, (False, ()))[1]
            if re.search(rf"(?<!\w){re.escape(column)}(?!\w)", condition)
        )
        out, read = self._rows(raw), self._read(raw)
        relation = str(raw.get("Relation Name", ""))
        loops = self._loops(raw)
        whole = not names
        estimate = self._facts.rows.get(relation) if whole else None
        estimated = (float(raw["Plan Rows"]) if estimate is None else estimate) * (loops or 1.0)
        kept = out / read * 100 if read and out is not None else None
        if not self._analyzed and whole and estimated:
            kept = min(100.0, float(raw["Plan Rows"]) / estimated * 100)
        words = [*conditions, *(str(raw[k]) for k in ("Filter", "TID Cond") if k in raw)]
        return PlanNode(
            "table",
            table=str(raw.get("Alias", relation)),
            access=self._access(names, conditions),
            index="+".join(names),
            key_columns=columns,
            estimated_rows=estimated,
            actual_rows=read,
            loops=loops,
            filtered_percent=kept,
            milliseconds=self._milliseconds(raw),
            condition=" AND ".join(word for word in words if word),
            children=tuple(
                step
                for child in raw.get("Plans", ())
                if child.get("Parent Relationship") in ("InitPlan", "SubPlan")
                for step in self.steps(child)
            ),
        )

    def _access(self, names: list[str], conditions: list[str]) -> str:
        if not names:
            return "full-scan"
        if not any(conditions):
            return "index-scan"
        bare = [_LITERAL.sub("''", condition) for condition in conditions]
        if len(names) > 1 or any(re.search(r"[<>~@&]", condition) for condition in bare):
            return "index-range"
        unique, columns = self._facts.indexes.get(names[0], (False, ()))
        equal = len(re.findall(r"(?<![<>!])= (?!ANY)", bare[0]))
        return "unique-lookup" if unique and columns and equal >= len(columns) else "index-lookup"

    def _loops(self, raw: Mapping[str, Any]) -> float | None:
        return float(raw["Actual Loops"]) if self._analyzed and "Actual Loops" in raw else None

    def _rows(self, raw: Mapping[str, Any]) -> float | None:
        loops = self._loops(raw)
        return None if loops is None else float(raw.get("Actual Rows", 0)) * loops

    def _read(self, raw: Mapping[str, Any]) -> float | None:
        """Rows out and rows removed; both are means per loop, rounded by the server."""
        loops, out = self._loops(raw), self._rows(raw)
        if loops is None or out is None:
            return None
        removed = sum(float(raw.get(f"Rows Removed by {what}", 0)) for what in ("Filter", "Index Recheck"))
        return out + removed * loops

    def _milliseconds(self, raw: Mapping[str, Any]) -> float | None:
        loops = self._loops(raw)
        return None if loops is None else float(raw.get("Actual Total Time", 0.0)) * loops


def _through(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The step under those that only keep its rows."""
    while raw["Node Type"] in ("Materialize", "Memoize") and raw.get("Plans"):
        raw = raw["Plans"][0]
    return raw


def _temp_pages(raw: Mapping[str, Any]) -> int:
    """Temporary pages that the step itself wrote: its number includes those of the steps below."""
    below = sum(int(child.get("Temp Written Blocks", 0)) for child in raw.get("Plans", ()))
    return int(raw.get("Temp Written Blocks", 0)) - below
