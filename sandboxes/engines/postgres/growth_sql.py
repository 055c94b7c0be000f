"""Expressions of growth: every value of a new row as SQL over the row's number, computed in the server.

A draw is the lower half of `hashint8extended(number, key)`, the server's own hash (11 and later), with a key
derived from seed, table and column. Constants are written as texts and every value is cast to its column's
type in the end, so that one form serves enums, JSON, network addresses and numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import NUMBER, moment

TIED = (
    f"({NUMBER} - CASE WHEN {NUMBER} % 5 = 0 THEN 1 ELSE 0 END)"  # every fifth draws what the one before does
)
MOMENTS = ("date", "timestamp")


def literal(value: Any) -> str:
    """A constant as text; the server's strings take backslashes as they are (standard_conforming_strings)."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return f"'{int(value)}'"
    return "'" + str(value).replace("'", "''") + "'"


def texts(values: Sequence[Any]) -> str:
    return f"ARRAY[{', '.join(literal(v) for v in values)}]::text[]"


def case(condition: str, then: str, otherwise: str) -> str:
    return f"CASE WHEN {condition} THEN {then} ELSE {otherwise} END"


class Draws:
    """Draws for one table: independent by `purpose`, the same for the same seed, table and row number.

    `present` rows were there before: numbers go on after them, so that a table that is grown again with the
    same seed draws anew."""

    def __init__(self, seed: int, table: str, present: int) -> None:
        self._present = present
        self._key = f"{seed}\x00{table.lower()}\x00"

    def constant(self, purpose: str, below: int) -> int:
        """A number of [0, below) that belongs to the purpose alone."""
        digest = hashlib.sha256((self._key + purpose).encode()).digest()
        return int.from_bytes(digest[:8], "big") % below if below > 0 else 0

    def draw(self, purpose: str, number: str = NUMBER) -> str:
        """SQL for a whole number of [0, 2**32)."""
        key = self.constant(purpose + "\x00key", 2**62)
        return f"(hashint8extended(({number} + {self._present})::bigint, {key}) & 4294967295)"

    def unit(self, purpose: str, number: str = NUMBER) -> str:
        """SQL for a double of [0, 1)."""
        return f"({self.draw(purpose, number)}::float8 * 2.3283064365386963e-10::float8)"

    def happens(self, share: float, purpose: str, number: str = NUMBER) -> str:
        return f"{self.draw(purpose, number)} < {min(2**32, int(share * 2**32))}"

    def digest(self, purpose: str, length: int) -> str:
        """SQL for `length` hexadecimal digits; different for each row from 16 digits on."""
        key = hashlib.sha256((self._key + purpose).encode()).hexdigest()[:16]
        text = f"'{key}' || ({NUMBER} + {self._present})"
        if length <= 32:
            return f"left(md5({text}), {length})"
        return f"rpad(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), {length}, '0')"


def choice(draws: Draws, growth: ColumnGrowth, values: Sequence[Any], purpose: str) -> str:
    """One of `values`, by the growth's weights where they fit; as text."""
    if len(values) == 1:
        return f"{literal(values[0])}::text"
    if len(growth.weights) != len(values):
        return f"({texts(values)})[1 + ({draws.draw(purpose)} % {len(values)})::int]"
    total, reached, cases = sum(growth.weights), 0.0, []
    for value, weight in zip(values[:-1], growth.weights[:-1], strict=True):
        reached += weight / total
        cases.append(f"WHEN {draws.happens(reached, purpose)} THEN {literal(value)}")
    return f"CASE {' '.join(cases)} ELSE {literal(values[-1])} END"


def spread(draws: Draws, growth: ColumnGrowth, column: Column, index: str | None = None) -> str:
    """A value of [low, high]: by `index` (0-based; moments in steps of `growth.length` seconds), or drawn."""
    base, name = column.base_type, column.name
    if base in MOMENTS:
        return _moments(draws, growth, column, index)
    if base == "time":
        first, last = seconds_of(growth.low), seconds_of(growth.high)
        return f"(({first} + {draws.draw(name)} % {max(1, last - first + 1)}) * interval '1 second')::time"
    if base in ("float", "double"):
        low_value, high_value = float(growth.low), float(growth.high)
        width = f"{high_value - low_value!r}::float8"
        return f"round(({low_value!r}::float8 + {draws.unit(name)} * {width})::numeric, 6)"
    scale = _scale(growth, column)
    unit = Decimal(1).scaleb(-scale)
    first, last = (int((Decimal(str(v)) / unit).to_integral_value()) for v in (growth.low, growth.high))
    size = max(1, last - first + 1)
    if index is not None:
        offset = index
    elif size < 2**32:
        offset = f"{draws.draw(name)} % {size}"
    else:
        wide = f"((({draws.draw(name)} % 1073741824) << 32) + {draws.draw(name + ' low')})"
        offset = f"{wide} % {min(size, 2**62)}"
    whole = f"({first} + ({offset}))"
    return f"{whole} * {unit:f}" if scale else whole


def _scale(growth: ColumnGrowth, column: Column) -> int:
    """The places behind the point; of a numeric without a scale those of the values that exist."""
    if column.base_type != "decimal":
        return 0
    if column.precision is not None:
        return column.scale or 0
    exponents = [Decimal(str(v)).as_tuple().exponent for v in (growth.low, growth.high)]
    return max(0, *(-e for e in exponents if isinstance(e, int)), 0)


def _moments(draws: Draws, growth: ColumnGrowth, column: Column, index: str | None) -> str:
    name, low, high = column.name, moment(growth.low), moment(growth.high)
    if column.base_type == "date":
        days = (high.date() - low.date()).days + 1
        offset = index or f"{draws.draw(name, TIED)} % {days}"
        return f"(DATE {literal(low.date().isoformat())} + ({offset})::int)"
    start = f"TIMESTAMP {literal(low.isoformat(' ', 'seconds'))}"
    if index is not None:
        return f"({start} + ({index}) * interval '{growth.length or 1} second')"
    seconds = max(1, int((high - low).total_seconds()) + 1)
    value = f"{start} + ({draws.draw(name, TIED)} % {seconds}) * interval '1 second'"
    if column.precision != 0:
        # Fractions of a second: what a wrong `<= '23:59:59'` loses.
        value += f" + ({draws.draw(name + ' fraction', TIED)} % 1000000) * interval '1 microsecond'"
        value = f"LEAST({value}, TIMESTAMP {literal(high.isoformat(' ', 'seconds'))})"
    return f"({value})"


def later(draws: Draws, growth: ColumnGrowth, column: Column, earlier: str) -> str:
    """A moment from `earlier` up to the growth's high: a third of the rows have the same moment."""
    high, part = moment(growth.high), draws.unit(column.name)
    end = f"TIMESTAMP {literal(high.isoformat(' ', 'seconds'))}"
    unit = 86_400 if column.base_type == "date" else 1
    room = f"GREATEST(0, extract(epoch FROM ({end} - ({earlier})::timestamp)) / {unit})::float8"
    shift = case(draws.happens(1 / 3, column.name + " same"), "0", f"floor({part} * {part} * {room})")
    if column.base_type == "date":
        return f"(({earlier})::date + ({shift})::int)"
    return f"(({earlier})::timestamp + ({shift}) * interval '1 second')"


def derived(draws: Draws, growth: ColumnGrowth, column: Column) -> str:
    """A UUID or hexadecimal token of the row's number."""
    binary = column.base_type == "bytea"
    if growth.kind == "uuid":
        d = draws.digest(column.name, 32)
        if binary:
            return f"decode({d}, 'hex')"
        parts = (
            f"left({d}, 8)",
            f"substr({d}, 9, 4)",
            f"'4' || substr({d}, 14, 3)",
            f"'a' || substr({d}, 18, 3)",
            f"right({d}, 12)",
        )
        return "(" + " || '-' || ".join(parts) + ")"
    if growth.values:
        prefix = str(growth.values[0])
        return f"({literal(prefix)} || upper({draws.digest(column.name, growth.length - len(prefix))}))"
    digest = draws.digest(column.name, growth.length)
    return f"decode({digest}, 'hex')" if binary else digest


def separator(value: str) -> str:
    """SQL for the separator that goes between the text `value` (an expression) and a number."""
    return f"CASE WHEN {value} LIKE '% %' THEN ' ' WHEN {value} ~ '^[A-Za-z0-9]+_' THEN '_' ELSE '-' END"


def seconds_of(value: Any) -> int:
    hours, minutes, seconds = [*str(value).split(".")[0].split("+")[0].split(":"), "0", "0"][:3]
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)
