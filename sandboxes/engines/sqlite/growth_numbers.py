"""Where counting goes on in a column whose values must not repeat."""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import Ask
from bedev.sandboxes.engines.sqlite.growth_sql import BINARY, MOMENTS, literal, quote


def next_number(ask: Ask, table_name: str, growth: ColumnGrowth, column: Column) -> int | str:
    """Where a unique sequence goes on: a whole number, or for dates and moments the next one as text."""
    name, table = quote(column.name), quote(table_name)
    if column.base_type in MOMENTS:
        step = "date(MAX({}), '+1 day')" if column.base_type == "date" else "datetime(MAX({}), '+1 second')"
        highest = ask(f"SELECT {step.format(name)} FROM {table}")
        return max(str(growth.low), str(highest)) if highest else str(growth.low)
    where = ""
    if column.base_type in BINARY:
        # Written with leading zeros, so that the greatest blob is the greatest number.
        highest = ask(f"SELECT hex(MAX({name})) FROM {table}")
        return max(int(growth.low or 0), int(str(highest)[-15:], 16) + 1) if highest else int(growth.low or 0)
    number = f"CAST({name} AS INTEGER)"
    if growth.values:
        prefix = str(growth.values[0])
        rest = f"substr({name}, {len(prefix) + 1})"
        number = f"CAST({rest} AS INTEGER)"
        where = f" WHERE substr({name}, 1, {len(prefix)}) = {literal(prefix)}"
        where += f" AND {rest} <> '' AND {rest} NOT GLOB '*[^0-9]*' AND length({rest}) <= 18"
    highest = ask(f"SELECT MAX({number}) FROM {table}{where}")
    low = int(growth.low or 0)
    return max(low, int(highest) + 1) if highest is not None else low


def last_numbers(name: str, width: int) -> tuple[str, ...]:
    """The numbers of at most `width` digits that a text column ends with, or has before its @; else 0."""
    return (f"bedev_number({name}, {width})",)
