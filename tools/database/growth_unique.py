"""Columns and combinations of columns of which no value may occur twice."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth, Table
from bedev.sandboxes.errors import UsageError
from bedev.tools.database import growth_hints as hints
from bedev.tools.database.growth_columns import Filling, bounded, invented, window
from bedev.tools.database.growth_sample import LONG_TEXT


def too_many(filling: Filling, columns: Sequence[str], most: int) -> UsageError:
    """The error for more rows than a unique index leaves room for; `most` rows in total can exist."""
    wanted = filling.sample.rows + filling.new
    return UsageError(
        f"{filling.table.name} cannot have {wanted:,} rows: {' + '.join(columns)} is unique,"
        f" so at most {most:,} can exist.",
        where=f"{filling.table.name}.{columns[0]}",
        next_step=f"Ask for at most --rows {filling.table.name}={most}, or grow the tables it refers to.",
    )


def single_uniques(table: Table) -> frozenset[str]:
    """Columns that are unique by themselves (generated ones and auto increments are the server's)."""
    free = {c.name for c in table.columns if not c.generated and not c.auto_increment}
    return frozenset(i.columns[0] for i in table.indexes if i.unique and len(i.columns) == 1) & free


def unique_column(filling: Filling, column: Column) -> ColumnGrowth:
    """How a column that is unique by itself and holds no foreign key is filled.

    Raises UsageError where its type cannot hold that many different values.
    """
    grown = _unique(filling, column)
    share = filling.of(column).null_share if filling.sample.rows else 0.0
    if grown.kind == "copy_unique" and share and not grown.values:
        return replace(grown, unique=True)  # copied rows bring their NULLs
    if column.nullable and filling.both_sides and not share:
        share = 0.03
    return replace(grown, null_share=round(share, 6) if column.nullable else 0.0, unique=True)


def _unique(filling: Filling, column: Column) -> ColumnGrowth:
    base, name, sample = column.base_type, column.name, filling.of(column)
    limit = filling.limit(column)
    if base == "enum" or filling.allowed(column).values:
        values = column.enum_values or filling.allowed(column).values
        _room(filling, column, len(values))
        return ColumnGrowth(name, "pool", values=tuple(str(v) for v in values))
    if base == "boolean":
        _room(filling, column, 2)
        return ColumnGrowth(name, "pool", values=("0", "1"))
    if base in hints.INTEGERS | hints.DECIMALS or base in ("bit", "year"):
        return _unique_number(filling, column)
    if base in hints.DATES:
        return _unique_date(filling, column)
    if base == "uuid" or hints.is_uuid(sample.shown) or (base == "binary" and column.length == 16):
        return ColumnGrowth(name, "uuid", length=36)
    if hints.is_ulid(sample.shown):
        return ColumnGrowth(name, "hex", length=26, values=("01",))
    if base == "inet4":
        return ColumnGrowth(name, "sequence", low=10 << 24)
    if base == "inet6":
        return ColumnGrowth(name, "sequence", low=1)
    if base in hints.BINARIES:
        length = column.length or 16
        return (
            ColumnGrowth(name, "hex", length=2 * length)
            if length >= 8
            else ColumnGrowth(name, "sequence", low=1)
        )
    if base in hints.TEXTS:
        return _unique_text(filling, column, limit)
    raise UsageError(
        f"Rows for {filling.table.name} cannot be made: {name} is unique and of the type {column.type!r}.",
        where=f"{filling.table.name}.{name}",
        next_step="Leave this table out of --rows.",
    )


def counter_column(filling: Filling, column: Column) -> None:
    """Raises UsageError where an auto increment column is too small for the new rows."""
    highest = int(filling.of(column).high or 0)
    most = hints.whole_numbers(column)[1]
    if highest + filling.new > most:
        raise too_many(filling, [column.name], filling.sample.rows + most - highest)


def _room(filling: Filling, column: Column, most: int) -> None:
    if filling.sample.rows + filling.new > most and not column.nullable:
        raise too_many(filling, [column.name], most)


def _unique_number(filling: Filling, column: Column) -> ColumnGrowth:
    sample = filling.of(column)
    limits = bounded(column, filling.allowed(column), *hints.whole_numbers(column))
    low, high = (int(Decimal(str(n))) for n in limits)
    newest = int(Decimal(str(sample.high)).to_integral_value()) if sample.filled else max(0, low - 1)
    _room(filling, column, high - low + 1)
    if newest + filling.new <= high:
        return ColumnGrowth(column.name, "sequence", low=newest + 1)
    return ColumnGrowth(column.name, "pool", low=low, high=high)


def _unique_date(filling: Filling, column: Column) -> ColumnGrowth:
    sample = filling.of(column)
    unit = datetime.timedelta(days=1) if column.base_type == "date" else datetime.timedelta(seconds=1)
    if sample.filled:
        start = datetime.datetime.fromisoformat(str(sample.high)) + unit
    else:
        start = datetime.datetime.fromisoformat(window(column, filling.moment)[0])
    last_year = 2037 if column.base_type == "timestamp" else 9999
    most = (datetime.datetime(last_year, 12, 31) - start) // unit
    if filling.new > most:
        raise too_many(filling, [column.name], filling.sample.rows + most)
    text = start.date().isoformat() if column.base_type == "date" else start.isoformat(" ", "seconds")
    return ColumnGrowth(column.name, "sequence", low=text)


def _unique_text(filling: Filling, column: Column, limit: int) -> ColumnGrowth:
    sample, name = filling.of(column), column.name
    digits = len(str(filling.sample.rows + filling.new))
    if limit and limit < digits + 3:
        # No room for a value and a number: codes of 36 letters and digits, those that are taken left out.
        _room(filling, column, 36**limit)
        return ColumnGrowth(name, "pool", length=limit)
    if not sample.shown:
        lower = name.lower()
        if re.search(r"uuid|guid", lower) and (not limit or limit >= 36):
            return ColumnGrowth(name, "uuid", length=36)
        if re.search(r"token|hash|ulid", lower) and (not limit or limit >= 16):
            return ColumnGrowth(name, "hex", length=min(limit or 40, 64))
        return ColumnGrowth(name, "copy_unique", values=hints.text_values(column), length=limit)
    length = hints.token_length(sample.shown)
    if length:
        return ColumnGrowth(name, "hex", length=length)
    shape = hints.numbered(sample.shown)
    if shape and (not limit or len(shape[0]) + max(shape[1], digits + 1) <= limit):
        return ColumnGrowth(name, "sequence", low=1, values=(shape[0],), length=shape[1])
    return ColumnGrowth(name, "copy_unique", length=limit)


def combinations(
    filling: Filling, decided: dict[str, ColumnGrowth], linked: Mapping[str, str]
) -> tuple[dict[str, ColumnGrowth], tuple[str, ...]]:
    """Changes to `decided` (column -> growth) after which no unique index over several columns is
    violated, and the columns of which the engine has to number the combinations.

    `linked` says for each column with a foreign key which group it belongs to. Raises UsageError where
    more rows are wanted than combinations exist.
    """
    table = filling.table
    distinct: tuple[str, ...] = ()
    for index in sorted((i for i in table.indexes if i.unique), key=lambda i: (len(i.columns), i.name)):
        columns = [c for c in (table.column(n) for n in index.columns) if c and not c.generated]
        if len(index.columns) < 2 or not columns:
            continue
        if any(c.auto_increment or decided[c.name].unique for c in columns):
            continue
        if distinct and set(distinct) <= {c.name for c in columns}:
            continue
        maker = _maker(filling, columns, linked)
        if maker:
            decided = {**decided, maker.name: replace(unique_column(filling, maker), null_share=0.0)}
            continue
        if distinct:
            raise UsageError(
                f"{table.name} has two unique indexes over keys of other tables; bedev fills only one.",
                where=f"{table.name}.{index.name}",
                next_step="Leave this table out of --rows, or seed it with a script (--data).",
            )
        decided, distinct = _number(filling, columns, decided, linked)
    return decided, distinct


def _maker(filling: Filling, columns: Sequence[Column], linked: Mapping[str, str]) -> Column | None:
    """The column that can make the whole combination unique without losing what it means."""

    def worth(column: Column) -> int:
        sample, name = filling.of(column), column.name.lower()
        if column.name in linked or name.endswith("_id") or hints.is_boolean(column) or column.enum_values:
            return 0
        if filling.allowed(column).opaque or filling.allowed(column).values or hints.STATUS_LIKE.search(name):
            return 0
        few = sample.few and sample.distinct_share < 0.3
        limit = filling.limit(column)
        if column.base_type in hints.TEXTS and column.base_type not in LONG_TEXT:
            return 3 if not few and (not limit or limit >= 12) else 0
        if column.base_type in ("uuid", "inet6"):
            return 3
        if column.base_type in ("bigint", "int", "integer", "double"):
            return 2 if not few else 1
        return 0

    best = max(columns, key=worth)
    # A few-valued number (a position from 1 to 5) is better numbered within its parent.
    return best if worth(best) >= 2 else None


def _number(
    filling: Filling, columns: Sequence[Column], decided: dict[str, ColumnGrowth], linked: Mapping[str, str]
) -> tuple[dict[str, ColumnGrowth], tuple[str, ...]]:
    """Give every column of a combination a domain that can be counted through."""
    total = filling.sample.rows + filling.new
    sizes: dict[str, int] = {}
    open_ended: list[Column] = []
    decided = dict(decided)
    names: list[str] = []
    for column in columns:
        group = linked.get(column.name)
        if group is not None:
            representative = next(c for c in decided if linked.get(c) == group)
            if representative not in names:
                names.append(representative)
                sizes[representative] = filling.parents[decided[representative].table]
            for member, growth in decided.items():
                if linked.get(member) == group:
                    decided[member] = replace(growth, null_share=0.0)
            continue
        names.append(column.name)
        values = _domain(filling, column)
        if values:
            decided[column.name] = ColumnGrowth(column.name, "choice", values=values)
            sizes[column.name] = len(values)
        elif column.base_type in hints.INTEGERS | hints.DATES | {"year"}:
            open_ended.append(column)
        else:
            raise UsageError(
                f"{filling.table.name} cannot be grown: {column.name} ({column.type}) is part of a unique"
                " index, and its values cannot be counted through.",
                where=f"{filling.table.name}.{column.name}",
                next_step="Leave this table out of --rows, or seed it with a script (--data).",
            )
    known = math.prod(sizes.values())
    for column in open_ended:
        need = max(2, -(-total * 5 // (4 * max(1, known))))
        decided[column.name], size = _span(filling, column, need)
        sizes[column.name] = size
        known *= size
    if known < total:
        raise too_many(filling, [c.name for c in columns], known)
    return decided, tuple(names)


def _domain(filling: Filling, column: Column) -> tuple[Any, ...]:
    sample = filling.of(column)
    if column.base_type == "enum":
        return column.enum_values
    if hints.is_boolean(column):
        return (0, 1)
    if filling.allowed(column).values:
        return tuple(str(v) for v in filling.allowed(column).values)
    if sample.shown and column.base_type not in hints.INTEGERS | hints.DATES | {"year"}:
        return tuple(value for value, _ in sample.top)
    if sample.shown and column.name.lower().endswith("_id"):
        return tuple(value for value, _ in sample.top)
    if not sample.rows and column.base_type in hints.TEXTS:
        return invented(filling, column).values
    return ()


def _span(filling: Filling, column: Column, need: int) -> tuple[ColumnGrowth, int]:
    """A range of at least `need` values around those that exist, as far as the type allows."""
    sample = filling.of(column)
    if column.base_type in hints.DATES:
        low, high = (str(sample.low), str(sample.high)) if sample.filled else window(column, filling.moment)
        end = datetime.date.fromisoformat(high[:10])
        start = min(datetime.date.fromisoformat(low[:10]), end - datetime.timedelta(days=need - 1))
        suffix = "" if column.base_type == "date" else " 00:00:00"
        grown = ColumnGrowth(
            column.name, "between", low=f"{start}{suffix}", high=f"{end}{suffix}", length=86_400
        )
        return grown, (end - start).days + 1
    smallest, largest = bounded(column, filling.allowed(column), *hints.whole_numbers(column))
    low_number = int(sample.low) if sample.filled else max(1, int(smallest))
    high_number = max(int(sample.high) if sample.filled else 0, low_number + need - 1)
    high_number = min(high_number, int(largest))
    if high_number - low_number + 1 < need:
        low_number = max(int(smallest), high_number - need + 1)
    return (
        ColumnGrowth(column.name, "between", low=low_number, high=high_number),
        high_number - low_number + 1,
    )
