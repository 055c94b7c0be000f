"""Growth's words in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import NUMBER, coprime_step, moment
from bedev.sandboxes.engines.sqlite import growth_numbers, growth_sql
from bedev.sandboxes.engines.sqlite.growth_sql import BINARY, MOMENTS, Draws, literal


class SqliteGrowth:
    moments = MOMENTS
    unordered = ()
    divide = "/"
    join = "CROSS JOIN"
    quote = staticmethod(growth_sql.quote)
    literal = staticmethod(literal)
    draws = staticmethod(Draws)
    choice = staticmethod(growth_sql.choice)
    choose = staticmethod(growth_sql.picked)
    spread = staticmethod(growth_sql.spread)
    later = staticmethod(growth_sql.later)
    derived = staticmethod(growth_sql.derived)
    next_number = staticmethod(growth_numbers.next_number)
    last_numbers = staticmethod(growth_numbers.last_numbers)

    def case(self, condition: str, then: str, otherwise: str) -> str:
        return f"iif({condition}, {then}, {otherwise})"

    def concat(self, *values: str) -> str:
        return " || ".join(values)

    def floor(self, value: str) -> str:
        return f"CAST({value} AS INTEGER)"

    def share(self, number: str, total: int) -> str:
        return f"({number} / {total}.0)"

    def text(self, value: str) -> str:
        return value

    def cast(self, value: str, column: Column) -> str:
        return value

    def default(self, column: Column) -> str:
        return column.default or "NULL"

    def split(self, value: str, length: int, digits: int) -> tuple[str, str]:
        tail = f"iif({value} LIKE '_%@%_', substr({value}, instr({value}, '@')), '')"
        head = f"iif({value} LIKE '_%@%_', substr({value}, 1, instr({value}, '@') - 1), {value})"
        mark = f"iif({value} LIKE '_%@%_', '+', {growth_sql.separator(value)})"
        if length:
            tail = f"substr({tail}, -{max(1, length - digits - 1)})"
            head = f"substr({head}, 1, max(0, {length} - {digits + 1} - length({tail})))"
        return f"({head} || {mark})", tail

    def counted(self, number: str, growth: ColumnGrowth, column: Column) -> str:
        if column.base_type in BINARY:
            return f"unhex(printf('%0{2 * (column.length or 8)}x', {number}))"
        if not growth.values:
            return number
        digits = f"printf('%0{growth.length}d', {number})" if growth.length else number
        return f"({literal(growth.values[0])} || {digits})"

    def counted_moment(self, base: str, column: Column) -> str:
        start = growth_sql.seconds(moment(base))
        if column.base_type == "date":
            return f"date({start} + ({NUMBER} - 1) * 86400, 'unixepoch')"
        return f"datetime({start} + {NUMBER} - 1, 'unixepoch')"

    def numbers(self, first: int, last: int) -> str:
        return f"{_numbers(first, last)} g"

    def listed(self, values: Sequence[Any]) -> str:
        rows = (f"SELECT {literal(v)} AS v, {n} AS k" for n, v in enumerate(values))
        return f"({' UNION ALL '.join(rows)})"

    def scattered(self, growth: ColumnGrowth, count: int, size: int, start: int) -> str:
        number = f"((n.seq * {coprime_step(size)} + {start}) % {size})"
        value = _base_36(number, growth.length) if growth.length else f"{int(growth.low)} + {number}"
        return f"(SELECT {value} AS v, n.seq AS k FROM {_numbers(0, count - 1)} n)"

    def is_countable(self, column: Column | None) -> bool:
        return True

    def drop(self, name: str) -> str:
        return f"DROP TABLE IF EXISTS temp.{name}"

    def temporary(self, name: str, select: str, key: Sequence[str]) -> tuple[str, ...]:
        return (
            f"CREATE TEMPORARY TABLE {name} AS {select}",
            f"CREATE INDEX temp.{name}_key ON {name} ({', '.join(key)})",
        )

    def insert(
        self, table: str, names: Sequence[str], values: Sequence[str], source: str, where: str, most: int
    ) -> str:
        kept = f" WHERE {where} LIMIT {most}" if where else ""
        return f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {source}{kept}"


def _numbers(first: int, last: int) -> str:
    """A source of the whole numbers from `first` to `last`, named `seq`."""
    return (
        f"(WITH RECURSIVE n(seq) AS (VALUES ({first}) UNION ALL SELECT seq + 1 FROM n WHERE seq < {last}) "
        "SELECT seq FROM n)"
    )


def _base_36(number: str, length: int) -> str:
    """`number`, written with `length` digits and capitals."""
    digits = "'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
    places = (f"substr({digits}, 1 + ({number} / {36**n}) % 36, 1)" for n in reversed(range(min(length, 7))))
    return f"'{'0' * max(0, length - 7)}' || " + " || ".join(places)
