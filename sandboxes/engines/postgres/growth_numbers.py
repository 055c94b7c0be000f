"""Where counting goes on in a column whose values must not repeat."""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import Ask
from bedev.sandboxes.engines.postgres.growth_sql import MOMENTS, literal
from bedev.sandboxes.engines.postgres.sessions import quoted


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


def last_numbers(name: str, width: int) -> tuple[str, ...]:
    """The numbers of at most `width` digits that a text column ends with, or has before its @; else 0."""
    return tuple(_number_before(end, f"{name}::text", width) for end in ("(?=@)", "$"))


def _number_before(end: str, value: str, width: int) -> str:
    """SQL for the number of at most `width` digits before `end` in a text, 0 where there is none."""
    return f"COALESCE(substring({value} FROM '(?<![0-9])([0-9]{{1,{width}}}){end}')::bigint, 0)"
