"""Where counting goes on in a column whose values must not repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.postgres.growth_sql import MOMENTS, literal
from bedev.sandboxes.engines.postgres.sessions import quoted
from bedev.sandboxes.errors import DatabaseError

Ask = Callable[[str], Any]
"""Runs a query and gives the first value of its first row."""


def next_number(ask: Ask, table_name: str, growth: ColumnGrowth, column: Column) -> int | str:
    """Where a unique sequence goes on: a whole number, or for dates and moments the next one as text."""
    name, table = quoted(column.name), quoted(table_name)
    if column.base_type in MOMENTS:
        unit, form = (
            ("day", "YYYY-MM-DD") if column.base_type == "date" else ("second", "YYYY-MM-DD HH24:MI:SS")
        )
        highest = ask(f"SELECT to_char(MAX({name}) + interval '1 {unit}', '{form}') FROM {table}")
        return max(str(growth.low), str(highest)) if highest else str(growth.low)
    number, where = f"ceil({name}::numeric)", ""
    if column.base_type == "inet6":
        # Only what this sequence itself has made before can meet it.
        number, where = f"{name} - 'fd00::'::inet", f" WHERE {name} << 'fd00::/96'::inet"
    elif column.base_type == "bytea":
        number = f"('x' || lpad(right(encode({name}, 'hex'), 15), 16, '0'))::bit(64)::bigint"
    elif growth.values:
        prefix = str(growth.values[0])
        rest = f"substr({name}::text, {len(prefix) + 1})"
        number = f"CASE WHEN {rest} ~ '^[0-9]{{1,18}}$' THEN {rest} END::numeric"
        where = f" WHERE left({name}::text, {len(prefix)}) = {literal(prefix)}"
    highest = ask(f"SELECT MAX({number})::text FROM {table}{where}")
    low = int(growth.low or 0)
    return max(low, int(highest) + 1) if highest is not None else low


def free_numbers(ask: Ask, table_name: str, column: Column, new: int) -> int:
    """The start of a range of numbers that no value of the column ends with (before its @, if any).

    A new value ends with a mark that is no digit and its number, so it differs from every value that
    ends with another number, whatever the collation compares."""
    name, table = f"{quoted(column.name)}::text", quoted(table_name)
    for width in (6, 9, 12, 15):
        ends = [_number_before(e, name, width) for e in ("(?=@)", "$")]
        start = int(ask(f"SELECT MAX(GREATEST({ends[0]}, {ends[1]})) FROM {table}") or 0)
        wide = [_number_before(e, name, 18) for e in ("(?=@)", "$")]
        inside = " OR ".join(f"{w} BETWEEN {start + 1} AND {start + new}" for w in wide)
        if not ask(f"SELECT COUNT(*) FROM {table} WHERE {inside}"):
            return start
    raise DatabaseError(
        f"No free numbers were found to make new values of {table_name}.{column.name} unique.",
        where=f"{table_name}.{column.name}",
        next_step=f"Leave {table_name} out of --rows.",
    )


def _number_before(end: str, value: str, width: int) -> str:
    """SQL for the number of at most `width` digits before `end` in a text, 0 where there is none."""
    return f"COALESCE(substring({value} FROM '(?<![0-9])([0-9]{{1,{width}}}){end}')::bigint, 0)"
