"""How each column of new rows is filled: one rule after the other, from the rows where there are any."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth, Table
from bedev.sandboxes.errors import UsageError
from bedev.tools.database import growth_hints as hints
from bedev.tools.database.growth_checks import Allowed, Checks
from bedev.tools.database.growth_sample import LONG_TEXT, ColumnSample, TableSample

OTHER_SIDE = 0.03  # of new rows are put on the side of a filter on which the rows that exist have none
UNSEEN = 0.02  # of new rows take each value that the schema allows and no row has
EMPTY_NULLS = 0.1  # share of NULL in a nullable column of a table without rows
TWO_YEARS = datetime.timedelta(days=730)


@dataclass(frozen=True)
class Filling:
    """What is known while one table is planned: `new` rows are to come; `moment` is the fixed end of
    invented dates (`YYYY-MM-DD HH:MM:SS`, never the clock); `parents` the rows that other tables will
    have when this one is filled. `both_sides` asks for NULLs and flags that the rows do not show."""

    table: Table
    sample: TableSample
    new: int
    parents: Mapping[str, int]
    checks: Checks
    moment: str
    both_sides: bool = True

    def of(self, column: Column) -> ColumnSample:
        return self.sample.columns[column.name]

    def allowed(self, column: Column) -> Allowed:
        """What the checks allow; with a check that nobody can read, every checked column is opaque."""
        own = self.checks.of(column.name)
        unread = self.checks.columns.get("*")
        together = column.name.lower() in self.checks.together
        return replace(own, opaque=True) if unread or together else own

    def limit(self, column: Column) -> int:
        """The most characters that the column takes; 0 where there is no limit worth naming."""
        limits = [n for n in (column.length, self.allowed(column).longest) if n]
        return min(limits) if limits else 0


def plain_column(filling: Filling, column: Column) -> ColumnGrowth:
    """How a column that need not be unique and holds no key of another table is filled."""
    if column.generated or column.auto_increment:
        return ColumnGrowth(column.name, "auto")
    sample = filling.of(column)
    if not filling.sample.rows:
        return _with_nulls(filling, column, invented(filling, column), EMPTY_NULLS)
    if filling.allowed(column).opaque:
        return ColumnGrowth(column.name, "copy")
    if not sample.filled:
        if not filling.both_sides:
            return ColumnGrowth(column.name, "copy")
        # deleted_at before anybody deleted anything: a few rows on the other side of the filter.
        try:
            other = invented(filling, column)
        except UsageError:
            return ColumnGrowth(column.name, "copy")
        return replace(other, null_share=1 - OTHER_SIDE)
    grown = _from_rows(filling, column, sample)
    if grown.kind in ("copy", "copy_varied"):
        missing = column.nullable and filling.both_sides and sample.filled == sample.rows
        return replace(grown, null_share=OTHER_SIDE if missing else 0.0)
    return _with_nulls(filling, column, grown, sample.null_share)


def _with_nulls(filling: Filling, column: Column, grown: ColumnGrowth, share: float) -> ColumnGrowth:
    if not column.nullable or grown.kind == "auto":
        return grown
    if not filling.sample.rows and _HOUSEKEEPING.match(column.name):
        share = 0.0
    elif not filling.sample.rows and re.search(
        r"deleted|disabled|hidden|banned|archived", column.name.lower()
    ):
        share = 0.9
    if not share and filling.both_sides and not _HOUSEKEEPING.match(column.name):
        share = OTHER_SIDE
    return replace(grown, null_share=round(share, 6))


def _from_rows(filling: Filling, column: Column, sample: ColumnSample) -> ColumnGrowth:
    name, base = column.name.lower(), column.base_type
    unseen = _unseen(filling, column, sample)
    if unseen and filling.both_sides:
        return ColumnGrowth(
            column.name, "copy", values=unseen, added_share=round(min(0.2, UNSEEN * len(unseen)), 6)
        )
    if base in hints.DATES:
        return _dates(filling, column, sample)
    varied = sample.distinct_share >= 0.5 and (sample.distinct or 0) >= 3
    if hints.is_boolean(column) or column.enum_values or hints.STATUS_LIKE.search(name) or not varied:
        return ColumnGrowth(column.name, "copy")
    if name.endswith("_id"):  # a key of something: half of a polymorphic pair, an id of another system
        return ColumnGrowth(column.name, "copy")
    if base in hints.INTEGERS | hints.DECIMALS:
        return ColumnGrowth(
            column.name, "between", low=_text_number(sample.low), high=_text_number(sample.high)
        )
    if base == "uuid":
        return ColumnGrowth(column.name, "uuid", length=36)
    if base in hints.TEXTS and base not in LONG_TEXT and not hints.SECRET.search(name):
        if hints.is_uuid(sample.shown):
            return ColumnGrowth(column.name, "uuid", length=36)
        length = hints.token_length(sample.shown)
        if length:
            return ColumnGrowth(column.name, "hex", length=length)
        limit = filling.limit(column)
        if limit >= 12:
            # The number of different values grows with the rows as it did in the rows that exist:
            # an index on a name is worth what it would be worth in production.
            numbers = max(1, round(sample.distinct_share * filling.new / max(1, sample.filled)))
            return ColumnGrowth(column.name, "copy_varied", high=numbers, length=limit)
    return ColumnGrowth(column.name, "copy")


def _unseen(filling: Filling, column: Column, sample: ColumnSample) -> tuple[Any, ...]:
    """Values that the schema allows and no sampled row has: enum members, the other boolean, IN lists."""
    if column.base_type == "enum":
        allowed: tuple[Any, ...] = column.enum_values
    elif hints.is_boolean(column):
        if sample.distinct != 1 or sample.low not in (0, 1, False, True):
            return ()
        return (1 - int(sample.low),)
    else:
        allowed = filling.allowed(column).values
        if allowed and column.base_type in hints.INTEGERS:
            allowed = tuple(int(v) for v in allowed)
    seen = {str(v).lower() for v in sample.shown}
    return tuple(v for v in allowed if str(v).lower() not in seen)


def _dates(filling: Filling, column: Column, sample: ColumnSample) -> ColumnGrowth:
    low, high = str(sample.low), str(sample.high)
    if low[:10].startswith("0000"):
        return ColumnGrowth(column.name, "copy")
    if low == high:
        low, high = window(column, filling.moment)
    return ColumnGrowth(column.name, "between", low=low, high=high)


def window(column: Column, moment: str) -> tuple[str, str]:
    """Two years that end at `moment`, in the column's type."""
    end = datetime.datetime.fromisoformat(moment)
    start = end - TWO_YEARS
    if column.base_type == "date":
        return start.date().isoformat(), end.date().isoformat()
    return start.isoformat(" "), end.isoformat(" ")


def _text_number(value: Any) -> Any:
    return int(value) if isinstance(value, (bool, int)) else str(value)


def invented(filling: Filling, column: Column) -> ColumnGrowth:
    """How a column without rows is filled, from type, name, default and checks alone.

    Raises UsageError for a type that nothing can be made for.
    """
    base, name, allowed = column.base_type, column.name, filling.allowed(column)
    if allowed.values:
        values = tuple(int(v) if isinstance(v, Decimal) and v == int(v) else v for v in allowed.values)
        return ColumnGrowth(
            name, "choice", values=tuple(str(v) if isinstance(v, Decimal) else v for v in values)
        )
    if base == "enum":
        return ColumnGrowth(name, "choice", values=column.enum_values)
    if base == "set":
        values = ("", *column.enum_values, ",".join(column.enum_values[:2]))
        return ColumnGrowth(name, "choice", values=tuple(dict.fromkeys(values)))
    if hints.is_boolean(column):
        mostly_on = bool(hints.ACTIVE_WORD.search(name.lower()))
        return ColumnGrowth(name, "choice", values=(1, 0), weights=(0.9, 0.1) if mostly_on else (0.1, 0.9))
    if base in hints.INTEGERS | hints.DECIMALS or base in ("bit", "year"):
        low, high = bounded(column, allowed, *hints.usual_numbers(column))
        return ColumnGrowth(name, "between", low=low, high=high)
    if base in hints.DATES:
        low, high = window(column, filling.moment)
        return ColumnGrowth(name, "between", low=low, high=high)
    if base == "time":
        return ColumnGrowth(name, "between", low="00:00:00", high="23:59:59")
    if base == "uuid" or (base in hints.TEXTS and re.search(r"(^|_)(uuid|guid)$", name.lower())):
        return ColumnGrowth(name, "uuid", length=36)
    if base in ("json", "jsonb") or allowed.json:
        return ColumnGrowth(name, "choice", values=("{}", "[]", '{"a": 1}', '{"a": null}'))
    if base == "inet4":
        return ColumnGrowth(name, "choice", values=("192.0.2.1", "198.51.100.4", "203.0.113.9"))
    if base == "inet6":
        return ColumnGrowth(name, "choice", values=("2001:db8::1", "2001:db8::2"))
    if base in hints.BINARIES:
        return ColumnGrowth(name, "hex", length=2 * min(column.length or 16, 16))
    if base in hints.TEXTS:
        return _invented_text(filling, column, allowed)
    if column.default is not None:
        return ColumnGrowth(name, "auto")
    if column.nullable:
        return ColumnGrowth(name, "constant", values=(None,))
    raise UsageError(
        f"Rows for {filling.table.name} cannot be made: nothing is known of the type {column.type!r}.",
        where=f"{filling.table.name}.{name}",
        next_step="Seed some rows of this table (their values are then copied), or leave it out of --rows.",
    )


def _invented_text(filling: Filling, column: Column, allowed: Allowed) -> ColumnGrowth:
    limit = filling.limit(column)
    lower = column.name.lower()
    if re.search(r"token|hash|checksum|fingerprint", lower) and not hints.SECRET.search(lower):
        return ColumnGrowth(column.name, "hex", length=min(limit or 64, 64))
    values = hints.text_values(column)
    if limit:
        values = tuple(dict.fromkeys(v[:limit] for v in values))
    values = tuple(v.ljust(allowed.shortest, "x") for v in values)
    default = (column.default or "").strip("'")
    if default and default.upper() != "NULL" and not default.endswith(")") and default not in values:
        values = (default, *values)
    if hints.STATUS_LIKE.search(lower) or hints.SECRET.search(lower) or (limit and limit < 12):
        return ColumnGrowth(column.name, "choice", values=values)
    numbers = max(1, filling.new // (2 * len(values)))
    return ColumnGrowth(column.name, "copy_varied", values=values, high=numbers, length=limit)


def bounded(column: Column, allowed: Allowed, low: Any, high: Any) -> tuple[Any, Any]:
    """[low, high] moved inside what the checks and the type allow, in the column's own scale."""
    scale = (column.scale or 0) if column.base_type in hints.DECIMALS else 0
    step = Decimal(1).scaleb(-scale)
    smallest, largest = (Decimal(n) for n in hints.whole_numbers(column))
    if allowed.low is not None:
        smallest = max(smallest, allowed.low + (step if allowed.low_open else 0))
    if allowed.high is not None:
        largest = min(largest, allowed.high - (step if allowed.high_open else 0))
    first, last = Decimal(str(low)), Decimal(str(high))
    width = last - first
    if first < smallest:
        first, last = smallest, smallest + width
    if last > largest:
        first, last = max(smallest, largest - width), largest
    if not scale:
        first = first.to_integral_value(ROUND_FLOOR) if first == smallest else first
        return int(first), int(last)
    return str(first.quantize(step)), str(last.quantize(step))


_HOUSEKEEPING = re.compile(r"^(created|updated)(_?at|_on)$", re.I)
"""Nullable by the framework's habit, never NULL in its rows: applications call methods on them unasked."""

_LATER = re.compile(
    r"^(updated|modified|changed|deleted|verified|email_verified|completed|finished|paid|shipped|delivered"
    r"|cancell?ed|closed|published|approved|archived|last_login|last_seen|read|disabled)(_?at|_on|_date)?$",
    re.I,
)
_CREATED = re.compile(r"^(created|inserted|added)(_?at|_on|_date)?$|^date_(created|added)$", re.I)
_STARTS = re.compile(r"^(.*?)(starts?|begins?|from|opened|valid_from)(_?at|_on|_date)?$", re.I)
_ENDS = re.compile(r"^(.*?)(ends?|until|to|closed|valid_(until|to))(_?at|_on|_date)?$", re.I)


def order_dates(filling: Filling, columns: list[ColumnGrowth]) -> list[ColumnGrowth]:
    """Dates that follow another one (updated_at after created_at, ends_at after starts_at) are made from
    it: where the rows that exist agree or, without rows, where the names say so."""
    by_name = {c.column: c for c in columns if c.kind == "between" and _is_date(filling.table, c.column)}
    changed: dict[str, ColumnGrowth] = {}
    for later in by_name.values():
        for earlier in by_name.values():
            if earlier is later or earlier.column in changed or later.column in changed:
                continue
            named = (_CREATED.match(earlier.column) and _LATER.match(later.column)) or _same_span(
                earlier.column, later.column
            )
            created = bool(_CREATED.match(earlier.column)) and not _CREATED.match(later.column)
            pairs = _pairs(filling.sample, earlier.column, later.column)
            follows = all(a <= b for a, b in pairs) if pairs else bool(named)
            if follows and (named or (created and len(pairs) >= 3)):
                high = max(str(later.high), str(earlier.high))
                changed[later.column] = replace(
                    later, kind="after", referenced=earlier.column, low=None, high=high
                )
    return [changed.get(c.column, c) for c in columns]


def _same_span(earlier: str, later: str) -> bool:
    start, end = _STARTS.match(earlier), _ENDS.match(later)
    return bool(start and end and start.group(1).lower() == end.group(1).lower())


def _pairs(sample: TableSample, earlier: str, later: str) -> list[tuple[str, str]]:
    return [
        (str(row[earlier]), str(row[later]))
        for row in sample.sampled
        if row.get(earlier) is not None and row.get(later) is not None
    ]


def _is_date(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and column.base_type in hints.DATES
