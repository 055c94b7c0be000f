"""Where counting goes on in a column whose values must not repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.sqlite.growth_sql import BINARY, MOMENTS, literal, quote
from bedev.sandboxes.errors import DatabaseError

Ask = Callable[[str], Any]
"""Runs a query and gives the first value of its first row."""


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


def free_numbers(ask: Ask, table_name: str, column: Column, new: int) -> int:
    """The start of a range of numbers that no value of the column ends with (before its @, if any).

    A new value ends with a mark that is no digit and its number, so it differs from every value that
    ends with another number."""
    name, table = quote(column.name), quote(table_name)
    for width in (6, 9, 12, 15):
        start = int(ask(f"SELECT MAX(bedev_number({name}, {width})) FROM {table}") or 0)
        inside = f"bedev_number({name}, 18) BETWEEN {start + 1} AND {start + new}"
        if not ask(f"SELECT COUNT(*) FROM {table} WHERE {inside}"):
            return start
    raise DatabaseError(
        f"No free numbers were found to make new values of {table_name}.{column.name} unique.",
        where=f"{table_name}.{column.name}",
        next_step=f"Leave {table_name} out of --rows.",
    )
