"""Growth's words in PostgreSQL. Constants are texts; every value is cast to its column's type in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import NUMBER, coprime_step
from bedev.sandboxes.engines.postgres import growth_numbers, growth_sql, sessions
from bedev.sandboxes.engines.postgres.growth_sql import MOMENTS, Draws, case, literal

WHOLE = ("smallint", "int", "bigint")


class PostgresGrowth:
    moments = MOMENTS
    unordered = ("json", "xml", "point", "box", "circle", "line", "lseg", "path", "polygon")
    divide = "/"
    join = "JOIN"
    quote = staticmethod(sessions.quoted)
    literal = staticmethod(literal)
    case = staticmethod(case)
    draws = staticmethod(Draws)
    choice = staticmethod(growth_sql.choice)
    spread = staticmethod(growth_sql.spread)
    later = staticmethod(growth_sql.later)
    derived = staticmethod(growth_sql.derived)
    next_number = staticmethod(growth_numbers.next_number)
    last_numbers = staticmethod(growth_numbers.last_numbers)

    def concat(self, *values: str) -> str:
        return " || ".join(values)

    def floor(self, value: str) -> str:
        return f"floor({value})::bigint"

    def share(self, number: str, total: int) -> str:
        return f"({number}::float8 / {total})"

    def choose(self, place: str, values: Sequence[str]) -> str:
        return f"(ARRAY[{', '.join(values)}]::text[])[1 + ({place})::int]"

    def text(self, value: str) -> str:
        return f"{value}::text"

    def cast(self, value: str, column: Column) -> str:
        return f"({value})::{column.type}"

    def default(self, column: Column) -> str:
        return column.default or "NULL"

    def split(self, value: str, length: int, digits: int) -> tuple[str, str]:
        address = f"{value} LIKE '_%@%_'"
        tail = case(address, f"'@' || substring({value} FROM '[^@]*$')", "''")
        head = case(address, f"split_part({value}, '@', 1)", value)
        mark = case(address, "'+'", growth_sql.separator(value))
        if length:
            tail = f"right({tail}, {max(0, length - digits - 1)})"
            head = f"left({head}, GREATEST(0, {length} - {digits + 1} - length({tail})))"
        return f"({head} || {mark})", f"({tail})"

    def counted(self, number: str, growth: ColumnGrowth, column: Column) -> str:
        if column.base_type == "inet6":
            return f"'fd00::'::inet + {number}"
        if column.base_type == "bytea":
            return f"decode(lpad(to_hex({number}), {2 * (column.length or 8)}, '0'), 'hex')"
        if not growth.values:
            return number
        digits = f"{number}::text"
        if growth.length:
            digits = f"lpad({digits}, GREATEST({growth.length}, length({digits})), '0')"
        return f"{literal(growth.values[0])} || {digits}"

    def counted_moment(self, base: str, column: Column) -> str:
        unit, word = ("day", "DATE") if column.base_type == "date" else ("second", "TIMESTAMP")
        return f"{word} {literal(base)} + ({NUMBER} - 1) * interval '1 {unit}'"

    def numbers(self, first: int, last: int) -> str:
        return f"generate_series({first}::bigint, {last}) AS g(seq)"

    def listed(self, values: Sequence[Any]) -> str:
        return f"(SELECT v, k FROM unnest({growth_sql.texts(values)}) WITH ORDINALITY AS u(v, k))"

    def scattered(self, growth: ColumnGrowth, count: int, size: int, start: int) -> str:
        number = f"((n::numeric * {coprime_step(size)} + {start}) % {size})::bigint"
        value = (
            _in_base_36(number, growth.length) if growth.length else f"({int(growth.low)} + {number})::text"
        )
        return f"(SELECT {value} AS v, n AS k FROM generate_series(0, {count - 1}) n)"

    def is_countable(self, column: Column | None) -> bool:
        return column is not None and column.base_type in WHOLE

    def drop(self, name: str) -> str:
        return f"DROP TABLE IF EXISTS pg_temp.{name}"

    def temporary(self, name: str, select: str, key: Sequence[str]) -> tuple[str, ...]:
        """Without an index: the planner hashes the table, of which ANALYZE tells it the size."""
        return f"CREATE TEMPORARY TABLE {name} AS {select}", f"ANALYZE {name}"

    def insert(
        self, table: str, names: Sequence[str], values: Sequence[str], source: str, where: str, most: int
    ) -> str:
        kept = f" WHERE {where}" if where else ""
        return (
            f"INSERT INTO {table} ({', '.join(names)}) OVERRIDING SYSTEM VALUE"
            f" SELECT {', '.join(values)} FROM {source}{kept} ORDER BY {NUMBER} LIMIT {most}"
        )


def _in_base_36(number: str, length: int) -> str:
    """SQL for a whole number as `length` letters and digits."""
    digits = " || ".join(
        f"substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', (({number} / {36**place}) % 36)::int + 1, 1)"
        for place in range(min(length, 7) - 1, -1, -1)
    )
    return f"lpad({digits}, {length}, '0')"
