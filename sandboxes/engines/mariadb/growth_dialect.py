"""Growth's words in MariaDB and MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import NUMBER, PLACE, coprime_step
from bedev.sandboxes.engines.mariadb import growth_numbers, growth_sql
from bedev.sandboxes.engines.mariadb.growth_sql import BINARY, Draws, literal


@dataclass(frozen=True)
class MariadbGrowth:
    """`sequences`: whether the server has the SEQUENCE engine; else the temporary table `bedev_numbers`
    holds the numbers from 1 to `block`."""

    sequences: bool
    block: int
    moments = ("date", "datetime", "timestamp")
    unordered = ()
    divide = "DIV"
    join = "JOIN"
    quote = staticmethod(growth_sql.quote)
    literal = staticmethod(literal)
    draws = staticmethod(Draws)
    choice = staticmethod(growth_sql.choice)
    spread = staticmethod(growth_sql.spread)
    later = staticmethod(growth_sql.later)
    derived = staticmethod(growth_sql.derived)
    next_number = staticmethod(growth_numbers.next_number)
    last_numbers = staticmethod(growth_numbers.last_numbers)

    def case(self, condition: str, then: str, otherwise: str) -> str:
        return f"IF({condition}, {then}, {otherwise})"

    def concat(self, *values: str) -> str:
        return f"CONCAT({', '.join(values)})"

    def floor(self, value: str) -> str:
        return f"CAST(FLOOR({value}) AS SIGNED)"

    def share(self, number: str, total: int) -> str:
        return f"({number} / {total}e0)"

    def choose(self, place: str, values: Sequence[str]) -> str:
        return f"ELT(1 + {place}, {', '.join(values)})"

    def text(self, value: str) -> str:
        return value

    def cast(self, value: str, column: Column) -> str:
        return value

    def default(self, column: Column) -> str:
        return "DEFAULT"

    def split(self, value: str, length: int, digits: int) -> tuple[str, str]:
        tail = f"IF({value} LIKE '_%@%_', CONCAT('@', SUBSTRING_INDEX({value}, '@', -1)), '')"
        head = f"IF({value} LIKE '_%@%_', SUBSTRING_INDEX({value}, '@', 1), {value})"
        mark = f"IF({value} LIKE '_%@%_', '+', {growth_sql.separator(value)})"
        if length:
            tail = f"RIGHT({tail}, {max(0, length - digits - 1)})"
            head = f"LEFT({head}, GREATEST(0, {length} - {digits + 1} - CHAR_LENGTH({tail})))"
        return f"CONCAT({head}, {mark})", tail

    def counted(self, number: str, growth: ColumnGrowth, column: Column) -> str:
        if column.base_type == "inet4":
            return f"INET_NTOA({number})"
        if column.base_type == "inet6":
            return f"CONCAT('fd00::', HEX({number} DIV 65536), ':', LPAD(HEX({number} % 65536), 4, '0'))"
        if column.base_type in BINARY:
            return f"UNHEX(LPAD(HEX({number}), {2 * (column.length or 8)}, '0'))"
        if not growth.values:
            return number
        digits = number
        if growth.length:
            digits = f"LPAD({number}, GREATEST({growth.length}, CHAR_LENGTH({number})), '0')"
        return f"CONCAT({literal(growth.values[0])}, {digits})"

    def counted_moment(self, base: str, column: Column) -> str:
        unit, word = ("DAY", "DATE") if column.base_type == "date" else ("SECOND", "TIMESTAMP")
        return f"{word} {literal(base)} + INTERVAL {NUMBER} - 1 {unit}"

    def numbers(self, first: int, last: int) -> str:
        if self.sequences:
            return f"seq_{first}_to_{last} g"
        return (
            f"(SELECT i + {first - 1} AS seq FROM bedev_numbers WHERE i <= {last - first + 1} ORDER BY i) g"
        )

    def listed(self, values: Sequence[Any]) -> str:
        rows = (f"SELECT {literal(v)} AS v, {n} AS k" for n, v in enumerate(values))
        return f"({' UNION ALL '.join(rows)})"

    def scattered(self, growth: ColumnGrowth, count: int, size: int, start: int) -> str:
        number = f"((n.seq * {coprime_step(size)} + {start}) % {size})"
        if growth.length:
            value = f"LPAD(CONV({number}, 10, 36), {growth.length}, '0')"
        else:
            value = f"{int(growth.low)} + CAST({number} AS SIGNED)"
        return f"(SELECT {value} AS v, n.seq AS k FROM {self._numbers_below(count)} n)"

    def _numbers_below(self, count: int) -> str:
        if self.sequences:
            return f"seq_0_to_{count - 1}"
        blocks = -(-count // self.block)
        outer = " UNION ALL ".join(f"SELECT {b * self.block} AS b" for b in range(blocks))
        return f"(SELECT b + i - 1 AS seq FROM bedev_numbers, ({outer}) o WHERE b + i <= {count})"

    def is_countable(self, column: Column | None) -> bool:
        return True

    def drop(self, name: str) -> str:
        return f"DROP TEMPORARY TABLE IF EXISTS {name}"

    def temporary(self, name: str, select: str, key: Sequence[str]) -> tuple[str, ...]:
        definition = f"{PLACE} INT NOT NULL PRIMARY KEY" if key == (PLACE,) else f"KEY ({', '.join(key)})"
        return (f"CREATE TEMPORARY TABLE {name} ({definition}) ENGINE=InnoDB AS {select}",)

    def insert(
        self, table: str, names: Sequence[str], values: Sequence[str], source: str, where: str, most: int
    ) -> str:
        kept = f" WHERE {where} LIMIT {most}" if where else ""
        return (
            f"INSERT INTO {table} ({', '.join(names)})"
            f" SELECT STRAIGHT_JOIN {', '.join(values)} FROM {source}{kept}"
        )
