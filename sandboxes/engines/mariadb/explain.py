"""MariaDB's plans in bedev's normal form.

`ANALYZE FORMAT=JSON` runs the statement, so only a SELECT is analyzed, in a read-only transaction; of a
write the plan is shown alone.
Rows there are means per loop (https://mariadb.com/kb/en/analyze-format-json/): they are multiplied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bedev.sandboxes.engines.engine import Plan, PlanNode
from bedev.sandboxes.engines.plan_findings import findings, has_limit
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

ANALYZE_SECONDS = 120.0

ACCESS: Mapping[str, str] = {
    "ALL": "full-scan",
    "index": "index-scan",
    "range": "index-range",
    "index_merge": "index-range",
    "ref": "index-lookup",
    "ref_or_null": "index-lookup",
    "index_subquery": "index-lookup",
    "fulltext": "index-lookup",
    "eq_ref": "unique-lookup",
    "unique_subquery": "unique-lookup",
    "const": "const",
    "system": "const",
}

# Keys that wrap other steps without being one, and what kind of step the others are.
STEPS: Mapping[str, str] = {
    "filesort": "sort",
    "temporary_table": "temporary",
    "subquery_cache": "subquery",
    "materialized": "subquery",
    "union_result": "union",
    "recursive_union": "union",
    "window_functions_computation": "group",
    "duplicates_removal": "group",
    "range-checked-for-each-record": "join",
}
JOIN_BUFFERS = ("block-nl-join", "block-nlj", "bka-join", "bnlh-join")

_READING = re.compile(r"(?:\s|/\*.*?\*/|--[^\n]*\n|#[^\n]*\n|\()*(select|with|values|table)\b", re.I | re.S)
_WRITING = re.compile(r"\b(insert|update|delete|replace)\b", re.I)


def is_reading(statement: str) -> bool:
    """Whether the statement can be run to be explained: a SELECT that puts its rows nowhere."""
    reading = _READING.match(statement) is not None
    if reading and re.search(r"\binto\s+(outfile|dumpfile|@)", statement, re.I):
        reading = False
    # WITH may begin a write in some versions; only words outside of literals would tell, so any word counts.
    if reading and statement[:400].lower().lstrip("( \n\t").startswith("with") and _WRITING.search(statement):
        reading = False
    return reading


def explain(session: SqlSession, sql: str, analyze: bool) -> Plan:
    """Raises DatabaseError with the server's words."""
    statement = sql.strip().rstrip(";")
    answer = _analyzed(session, statement) if analyze and is_reading(statement) else None
    analyzed = answer is not None
    if answer is None:
        answer = session.query("EXPLAIN FORMAT=JSON " + statement, timeout=ANALYZE_SECONDS).scalar
    try:
        raw = json.loads(str(answer))
    except ValueError as error:
        raise DatabaseError(
            "The server's plan is not JSON.", where=statement[:200], detail=str(answer)[:2000]
        ) from error
    return plan(statement, raw, analyzed)


READ_ONLY = "1792"


def _analyzed(session: SqlSession, statement: str) -> Any:
    """None where the SELECT cannot be run in a read-only transaction: it locks rows (FOR UPDATE), or calls
    a function that writes."""
    try:
        return session.query(
            "SET STATEMENT tx_read_only = 1 FOR ANALYZE FORMAT=JSON " + statement, timeout=ANALYZE_SECONDS
        ).scalar
    except DatabaseError as error:
        if error.code != READ_ONLY:
            raise
        return None


def plan(sql: str, raw: Mapping[str, Any], analyzed: bool) -> Plan:
    """The normal form of a plan as the server wrote it."""
    root = PlanNode("result", children=tuple(_steps(raw.get("query_block", {}), 1.0)))
    return Plan("mariadb", sql, root, findings(root, has_limit(sql)), analyzed, raw)


# -- the tree


def _steps(block: Any, loops: float) -> Iterator[PlanNode]:
    """The steps within a JSON object or list, in the server's order; what only wraps is left out."""
    if isinstance(block, list):
        for item in block:
            yield from _steps(item, loops)
        return
    if not isinstance(block, Mapping):
        return
    for key, value in block.items():
        if key == "table":
            yield _table(value)
        elif key in JOIN_BUFFERS:
            yield PlanNode(
                "join",
                condition=str(value.get("attached_condition", "")),
                loops=_number(value.get("r_loops")),
                filtered_percent=_number(value.get("r_filtered")),
                children=tuple(_steps(value, loops)),
            )
        elif key in STEPS and isinstance(value, Mapping):
            yield _step(STEPS[key], value, loops)
        elif key == "query_specifications" or key == "subqueries":
            for item in value:
                yield PlanNode("subquery", children=tuple(_steps(item, loops)))
        elif isinstance(value, (Mapping, list)) and key != "query_optimization":
            yield from _steps(value, loops)


def _step(kind: str, value: Mapping[str, Any], loops: float) -> PlanNode:
    times = _number(value.get("r_loops"))
    rows = _number(value.get("r_output_rows", value.get("r_rows")))
    return PlanNode(
        kind,
        table=str(value.get("table_name", "")),
        actual_rows=None if rows is None else rows * (times or 1.0),
        loops=times,
        milliseconds=_number(value.get("r_total_time_ms")),
        condition=str(value.get("sort_key", "")),
        children=tuple(_steps(value, loops)),
    )


def _table(value: Mapping[str, Any]) -> PlanNode:
    estimated, loops = _number(value.get("rows")), _number(value.get("loops"))
    actual, times = _number(value.get("r_rows")), _number(value.get("r_loops"))
    conditions = (str(value[k]) for k in ("index_condition", "attached_condition") if value.get(k))
    access_type = str(value.get("access_type", ""))
    if not access_type and value.get("message"):
        return PlanNode("result", condition=str(value["message"]))
    return PlanNode(
        "table",
        table=str(value.get("table_name", "")),
        access=ACCESS.get(access_type, access_type),
        index=str(value.get("key", "")) or _merged(value.get("index_merge")),
        key_columns=tuple(value.get("used_key_parts", ())),
        estimated_rows=None if estimated is None else estimated * (loops or 1.0),
        actual_rows=None if actual is None or times is None else actual * times,
        loops=times if times is not None else loops,
        estimated_loops=loops,
        filtered_percent=_number(value.get("r_filtered", value.get("filtered"))),
        milliseconds=_sum(value.get("r_table_time_ms"), value.get("r_other_time_ms")),
        condition=" AND ".join(conditions),
        children=tuple(_steps({k: v for k, v in value.items() if isinstance(v, (Mapping, list))}, 1.0)),
    )


def _merged(value: Any) -> str:
    """The indexes of an index_merge, `a+b`."""
    found: list[str] = []

    def walk(item: Any) -> None:
        if isinstance(item, Mapping):
            for key, inner in item.items():
                if key == "key":
                    found.append(str(inner))
                walk(inner)
        elif isinstance(item, list):
            for inner in item:
                walk(inner)

    walk(value)
    return "+".join(found)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _sum(*values: Any) -> float | None:
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    return sum(numbers) if numbers else None
