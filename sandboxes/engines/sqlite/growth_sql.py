"""Expressions of growth for SQLite: every value of a new row as SQL over the row's number.

A draw is the square of `(n * K + A) % P` modulo the prime P; K and A come from seed, table and column.
SQLite has no hash function, and whole numbers of 64 bits are exact and the same on every machine. Squares of
independent progressions are evenly spread, also in pairs; a progression alone would not be: the difference
of two columns' draws would tell the one from the other.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import NUMBER, moment

PRIME = 2_147_483_647
HEX_DIGITS = 7  # of one draw
BINARY = frozenset({"blob", "binary", "varbinary", "bytea"})
MOMENTS = frozenset({"date", "datetime", "timestamp"})
TIED = f"({NUMBER} - ({NUMBER} % 5 = 0))"  # every fifth row draws what the row before it draws
EPOCH = datetime.datetime(1970, 1, 1)


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, dict) and set(value) == {"base64"}:
        import base64

        return f"x'{base64.b64decode(value['base64']).hex()}'"
    return "'" + str(value).replace("'", "''") + "'"


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
        """SQL for a whole number of [0, PRIME)."""
        factor = 2**30 + self.constant(purpose + "\x00factor", 2**30 - 1)
        addend = (self.constant(purpose + "\x00addend", PRIME) + factor * self._present) % PRIME
        place = f"(({number} * {factor} + {addend}) % {PRIME})"
        return f"(({place} * {place}) % {PRIME})"

    def unit(self, purpose: str, number: str = NUMBER) -> str:
        """SQL for a double of [0, 1)."""
        return f"({self.draw(purpose, number)} / {PRIME}.0)"

    def happens(self, share: float, purpose: str, number: str = NUMBER) -> str:
        return f"{self.draw(purpose, number)} < {min(PRIME, int(share * PRIME))}"

    def digest(self, purpose: str, length: int) -> str:
        """SQL for `length` hexadecimal digits; the first eight are different for each row."""
        start = self.constant(purpose, 2**32)
        first = f"printf('%08x', (({NUMBER} + {self._present}) * 2654435761 + {start}) % 4294967296)"
        more = [
            f"printf('%07x', {self.draw(f'{purpose} {n}')} % {16**HEX_DIGITS})"
            for n in range(-(-max(0, length - 8) // HEX_DIGITS))
        ]
        return f"substr({' || '.join([first, *more])}, 1, {length})"


def picked(place: str, values: Sequence[str]) -> str:
    """The value (an expression) at `place`, an expression for 0 and up."""
    if len(values) == 1:
        return values[0]
    cases = " ".join(f"WHEN {n} THEN {value}" for n, value in enumerate(values))
    return f"CASE {place} {cases} END"


def choice(draws: Draws, growth: ColumnGrowth, values: Sequence[Any], purpose: str) -> str:
    """One of `values`, by the growth's weights where they fit."""
    if len(values) == 1:
        return literal(values[0])
    if len(growth.weights) != len(values):
        return picked(f"{draws.draw(purpose)} % {len(values)}", [literal(v) for v in values])
    total, reached, cases = sum(growth.weights), 0.0, []
    for value, weight in zip(values[:-1], growth.weights[:-1], strict=True):
        reached += weight / total
        cases.append(f"WHEN {draws.happens(reached, purpose)} THEN {literal(value)}")
    return f"CASE {' '.join(cases)} ELSE {literal(values[-1])} END"


def spread(draws: Draws, growth: ColumnGrowth, column: Column, index: str | None = None) -> str:
    """A value of [low, high]: by `index` (0-based; moments in steps of `growth.length` seconds), or drawn."""
    base, name = column.base_type, column.name
    if base in MOMENTS:
        low, high = moment(growth.low), moment(growth.high)
        if base == "date":
            days = (high.date() - low.date()).days + 1
            offset = index or f"{draws.draw(name, TIED)} % {days}"
            return f"date({seconds(low)} + ({offset}) * 86400, 'unixepoch')"
        if index is not None:
            return f"datetime({seconds(low)} + ({index}) * {growth.length or 1}, 'unixepoch')"
        span = max(1, int((high - low).total_seconds()) + 1)
        value = f"datetime({seconds(low)} + {draws.draw(name, TIED)} % {span}, 'unixepoch')"
        if "." in str(growth.low) or "." in str(growth.high):
            # Fractions of a second, as the rows have them: what a wrong `<= '23:59:59'` loses.
            value += f" || printf('.%06d', {draws.draw(name + ' fraction', TIED)} % 1000000)"
            value = f"min({value}, {literal(str(growth.high))})"
        return value
    if base == "time":
        first, last = seconds_of(growth.low), seconds_of(growth.high)
        return f"time({first} + {draws.draw(name)} % {max(1, last - first + 1)}, 'unixepoch')"
    if base in ("float", "double", "real"):
        first_value, last_value = float(growth.low), float(growth.high)
        return f"round({first_value!r} + {draws.unit(name)} * {last_value - first_value!r}, 6)"
    exact = base in ("decimal", "numeric", "dec", "fixed")
    scale = (column.scale if column.scale is not None else fraction_digits(growth)) if exact else 0
    unit = Decimal(1).scaleb(-scale)
    low_number, high_number = (
        int((Decimal(str(v)) / unit).to_integral_value()) for v in (growth.low, growth.high)
    )
    size = max(1, high_number - low_number + 1)
    offset = index if index is not None else _wide(draws, name, size)
    whole = f"({low_number} + {offset})"
    return f"round({whole} / {10**scale}.0, {scale})" if scale else whole


def _wide(draws: Draws, name: str, size: int) -> str:
    if size < PRIME:
        return f"{draws.draw(name)} % {size}"
    both = f"({draws.draw(name)} * {PRIME} + {draws.draw(name + ' low')})"
    return f"{both} % {min(size, 2**62)}"


def fraction_digits(growth: ColumnGrowth) -> int:
    """Laravel's `numeric` names no scale: as many digits as the extremes of the rows show, at most two."""
    digits = [len(str(v).partition(".")[2].rstrip("0")) for v in (growth.low, growth.high)]
    return 2 if max(digits) else 0


def later(draws: Draws, growth: ColumnGrowth, column: Column, earlier: str) -> str:
    """A moment from `earlier` up to the growth's high: a third of the rows have the same moment."""
    part = draws.unit(column.name)
    same = draws.happens(1 / 3, column.name + " same")
    end, start = seconds(moment(growth.high)), f"CAST(strftime('%s', {earlier}) AS INTEGER)"
    room = f"max(0, {end} - {start})"
    maker = "date" if column.base_type == "date" else "datetime"
    whole = f"CAST({part} * {part} * {room} AS INTEGER)"
    equal = f"date({earlier})" if column.base_type == "date" else earlier
    return f"iif({same}, {equal}, {maker}({start} + {whole}, 'unixepoch'))"


def derived(draws: Draws, growth: ColumnGrowth, column: Column) -> str:
    """A UUID or hexadecimal token of the row's number."""
    if growth.kind == "uuid":
        digits = draws.digest(column.name, 32)
        if column.base_type in BINARY:
            return f"unhex({digits})"
        if column.length == 32:  # as Django stores them here
            return f"substr({digits}, 1, 12) || '4' || substr({digits}, 14, 3) || 'a' || substr({digits}, 18)"
        parts = ((1, 8), (9, 4), (14, 3), (18, 3), (21, 12))
        a, b, c, d, e = (f"substr({digits}, {start}, {size})" for start, size in parts)
        return f"{a} || '-' || {b} || '-4' || {c} || '-a' || {d} || '-' || {e}"
    if growth.values:
        prefix = str(growth.values[0])
        return f"{literal(prefix)} || upper({draws.digest(column.name, growth.length - len(prefix))})"
    digest = draws.digest(column.name, growth.length)
    return f"unhex({digest})" if column.base_type in BINARY else digest


def separator(value: str) -> str:
    """SQL for the separator that goes between the text `value` (an expression) and a number."""
    return f"CASE WHEN {value} LIKE '% %' THEN ' ' WHEN instr({value}, '_') > 1 THEN '_' ELSE '-' END"


def seconds(value: datetime.datetime) -> int:
    return int((value - EPOCH).total_seconds())


def seconds_of(value: Any) -> int:
    hours, minutes, second = [*str(value).split(".")[0].split(":"), "0", "0"][:3]
    return abs(int(hours)) * 3600 + int(minutes) * 60 + int(second)
