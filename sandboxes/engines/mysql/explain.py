"""MySQL's plans in bedev's normal form.

`EXPLAIN ANALYZE FORMAT=JSON` writes version 2 of the plan: the steps as they are executed (`query_plan`,
https://dev.mysql.com/doc/refman/9.0/en/explain.html). It runs the statement, so only a SELECT is analyzed,
in a read-only transaction. Updates and deletes have no such plan ("not executable by iterator executor"),
nor has MySQL 8.0: they are read from version 1 (`query_block`), which looks like MariaDB's.
Rows are means per loop: they are multiplied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bedev.sandboxes.engines.engine import Plan, PlanNode
from bedev.sandboxes.engines.mariadb.explain import ACCESS, ANALYZE_SECONDS, is_reading
from bedev.sandboxes.engines.plan_findings import findings, has_limit
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

# `index_access_type` of a step.
INDEX_ACCESS: Mapping[str, str] = {
    "index_scan": "index-scan",
    "index_range_scan": "index-range",
    "index_skip_scan": "index-range",
    "group_index_skip_scan": "index-range",
    "multi_range_read": "index-range",
    "index_lookup": "index-lookup",
    "full_text_search": "index-lookup",
    "pushed_join_ref": "index-lookup",
    "pushed_join_unlookup": "unique-lookup",
    "follow_tail": "full-scan",
}

# `access_type` of a step that is no table.
STEPS: Mapping[str, str] = {
    "sort": "sort",
    "materialize": "temporary",
    "temp_table_aggregate": "temporary",
    "aggregate": "group",
    "window": "group",
    "append": "union",
}


def explain(session: SqlSession, sql: str, analyze: bool) -> Plan:
    """Raises DatabaseError with the server's words."""
    statement = sql.strip().rstrip(";")
    reading = is_reading(statement)
    answer = _analyzed(session, statement) if analyze and reading else None
    # For version 2 an UPDATE is opaque; a SELECT that is not run has its estimates in both.
    unread = answer is None
    raw = _estimates(session, statement, 2 if reading else 1) if unread else _read(answer, statement)
    if raw.get("query_plan", {}).get("access_type") == BEFORE_EXECUTION:
        raw = _estimates(session, statement, 1)
    return plan(statement, raw, not unread)


BEFORE_EXECUTION = "rows_fetched_before_execution"
"""Rows found by a whole key while the plan was made: version 2 then names no table."""


def _estimates(session: SqlSession, statement: str, version: int) -> Mapping[str, Any]:
    _version(session, version)
    answer = session.query("EXPLAIN FORMAT=JSON " + statement, timeout=ANALYZE_SECONDS).scalar
    return _read(answer, statement)


def _read(answer: Any, statement: str) -> Mapping[str, Any]:
    try:
        raw = json.loads(str(answer))
    except ValueError as error:
        raise DatabaseError(
            "The server's plan is not JSON.", where=statement[:200], detail=str(answer)[:2000]
        ) from error
    return raw if isinstance(raw, Mapping) else {}


UNKNOWN_VARIABLE = "1193"
READ_ONLY = "1792"


def _version(session: SqlSession, version: int) -> bool:
    """Whether the server can write this version of JSON plans (8.0 knows the first alone)."""
    try:
        session.query(f"SET SESSION explain_json_format_version = {version}")
    except DatabaseError as error:
        if error.code != UNKNOWN_VARIABLE:
            raise
        return version == 1
    return True


def _analyzed(session: SqlSession, statement: str) -> Any:
    """None where the SELECT cannot be run in a read-only transaction: it calls a function that writes. Then,
    and on MySQL 8.0, its plan has estimates alone."""
    if not _version(session, 2):
        return None
    session.query("START TRANSACTION READ ONLY")
    try:
        return session.query("EXPLAIN ANALYZE FORMAT=JSON " + statement, timeout=ANALYZE_SECONDS).scalar
    except DatabaseError as error:
        if error.code != READ_ONLY:
            raise
        return None
    finally:
        session.query("ROLLBACK")


def plan(sql: str, raw: Mapping[str, Any], analyzed: bool) -> Plan:
    """The normal form of a plan as the server wrote it, in either version."""
    if "query_plan" in raw:
        steps = tuple(_step(raw["query_plan"], "", None))
    else:
        steps = tuple(_blocks(raw.get("query_block", {}), 1.0))
    root = PlanNode("result", children=steps or (PlanNode("result"),))
    return Plan("mysql", sql, root, findings(root, has_limit(sql)), analyzed, raw)


# -- version 2: the steps as they are executed


def _step(step: Any, condition: str, kept: float | None) -> Iterator[PlanNode]:
    """The steps of one JSON object. A filter is no step of its own: its `condition`, and the rows that it
    `kept`, belong to the table below it."""
    if not isinstance(step, Mapping):
        return
    access = str(step.get("access_type", ""))
    if access == "filter":
        rows = _total(step, "actual_rows")
        for child in _inputs(step):
            yield from _step(child, str(step.get("condition", "")), rows)
        yield from _subqueries(step)
        return
    children = tuple(_children(step))
    if step.get("table_name") and access in ("table", "index", "count_rows"):
        yield _table(step, access, condition, kept, children)
        return
    kind = STEPS.get(access, "")
    if access == "join" and step.get("join_algorithm") == "hash":
        kind = "join"
    if not kind:  # it limits, streams, loops: the steps below say all
        yield from children
        return
    yield PlanNode(
        kind,
        table=_probed(step) if kind == "join" else "",
        actual_rows=_total(step, "actual_rows"),
        estimated_rows=_number(step.get("estimated_rows")),
        loops=_number(step.get("actual_loops")),
        milliseconds=_milliseconds(step),
        condition=", ".join(map(str, step.get("sort_fields") or step.get("hash_condition") or ())),
        children=children,
    )


def _inputs(step: Mapping[str, Any]) -> list[Any]:
    return list(step.get("inputs") or ())


def _children(step: Mapping[str, Any]) -> Iterator[PlanNode]:
    for child in _inputs(step):
        yield from _step(child, "", None)
    yield from _subqueries(step)


def _subqueries(step: Mapping[str, Any]) -> Iterator[PlanNode]:
    """`inputs_from_select_list`, `inputs_from_condition` ...: what is computed for each row."""
    for key, value in step.items():
        if key.startswith("inputs_from_") and isinstance(value, list):
            for child in value:
                yield PlanNode("subquery", children=tuple(_step(child, "", None)))


def _table(
    step: Mapping[str, Any],
    access: str,
    condition: str,
    kept: float | None,
    children: tuple[PlanNode, ...],
) -> PlanNode:
    loops, estimated = _number(step.get("actual_loops")), _number(step.get("estimated_rows"))
    actual = _total(step, "actual_rows")
    name = str(step.get("alias") or step["table_name"])
    how = "full-scan"
    if access == "count_rows":
        actual = estimated = None  # what it reports is the one row of its answer
    elif access == "index":
        said = str(step.get("index_access_type", ""))
        how = INDEX_ACCESS.get(said, said)
        if str(step.get("operation", "")).startswith(("Single-row index lookup", "Constant row")):
            how = "unique-lookup"
    return PlanNode(
        "table",
        table=name,
        access=how,
        index=str(step.get("index_name", "")),
        key_columns=tuple(map(str, step.get("key_columns") or ())),
        estimated_rows=None if estimated is None else estimated * (loops or 1.0),
        actual_rows=actual,
        loops=loops,
        filtered_percent=100.0 * kept / actual if kept is not None and actual else None,
        milliseconds=_milliseconds(step),
        condition=" AND ".join(
            text for text in (str(step.get("pushed_index_condition") or ""), condition) if text
        ),
        children=children,
    )


def _probed(step: Mapping[str, Any]) -> str:
    """The first table of the side whose rows are looked up in the hash table (the other has a heading)."""
    sides = [side for side in _inputs(step) if isinstance(side, Mapping)]
    side = next((s for s in sides if s.get("heading") != "Hash"), {})
    while side and not side.get("table_name"):
        side = next((s for s in _inputs(side) if isinstance(s, Mapping)), {})
    return str(side.get("alias") or side.get("table_name") or "")


def _total(step: Mapping[str, Any], key: str) -> float | None:
    rows, loops = _number(step.get(key)), _number(step.get("actual_loops"))
    return None if rows is None or loops is None else rows * loops


def _milliseconds(step: Mapping[str, Any]) -> float | None:
    last, loops = _number(step.get("actual_last_row_ms")), _number(step.get("actual_loops"))
    return None if last is None or loops is None else last * loops


# -- version 1: tables within operations


def _blocks(block: Any, loops: float) -> Iterator[PlanNode]:
    """The steps within a JSON object or list. `loops`: how often the block is run."""
    if isinstance(block, list):
        for item in block:
            yield from _blocks(item, loops)
        return
    if not isinstance(block, Mapping):
        return
    for key, value in block.items():
        if key == "nested_loop":
            yield from _nested_loop(value, loops)
        elif key == "table":
            yield from _estimated(value, loops)
        elif key.endswith("_operation") or key == "duplicates_removal":
            inner = tuple(_blocks(value, loops))
            if value.get("using_filesort"):
                inner = (PlanNode("sort", children=inner),)
            if value.get("using_temporary_table"):
                inner = (PlanNode("temporary", children=inner),)
            yield from inner
        elif key in ("query_specifications",) or key.endswith("subqueries"):
            for item in value:
                yield PlanNode("subquery", children=tuple(_blocks(item, 1.0)))
        elif isinstance(value, (Mapping, list)):
            yield from _blocks(value, loops)


def _nested_loop(tables: Any, loops: float) -> Iterator[PlanNode]:
    for item in tables:
        yield from _blocks(item, loops)
        produced = _number(item.get("table", {}).get("rows_produced_per_join"))
        loops = loops if produced is None else max(1.0, produced)


def _estimated(value: Mapping[str, Any], loops: float) -> Iterator[PlanNode]:
    access = str(value.get("access_type", ""))
    if value.get("insert") or not access:
        yield PlanNode("result", condition=str(value.get("message", "")))
        return
    buffered = bool(value.get("using_join_buffer"))
    rows = _number(value.get("rows_examined_per_scan"))
    found = PlanNode(
        "table",
        table=str(value.get("table_name", "")),
        access=ACCESS.get(access, access),
        index=str(value.get("key", "")),
        key_columns=tuple(map(str, value.get("used_key_parts") or ())),
        estimated_rows=None if rows is None else rows * (1.0 if buffered else loops),
        filtered_percent=_number(value.get("filtered")),
        condition=str(value.get("index_condition") or value.get("attached_condition") or ""),
        children=tuple(_blocks({k: v for k, v in value.items() if k != "cost_info"}, 1.0)),
    )
    if buffered:
        yield PlanNode("join", table=found.table, condition=found.condition, children=(found,))
    else:
        yield found


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None
