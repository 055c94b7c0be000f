"""What growth asks of an engine's SQL: the words that differ, as one small object that each engine defines.

Everything else about new rows (which parents, which combinations, how often) is the same everywhere and
lies in `growth_rows` and `combinations`.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from bedev.sandboxes.engines.engine import Column, ColumnGrowth

NUMBER = "g.seq"
"""The new row's number, from 1."""

PLACE = "bedev_i"
"""The column of a temporary table that numbers its rows from 0."""

Ask = Callable[[str], Any]
"""Runs a query and gives the first value of its first row."""


def coprime_step(size: int) -> int:
    """A step that visits every one of `size` places once, near the golden section so that neighbours part."""
    step = max(1, int(size * 0.6180339887))
    while math.gcd(step, size) != 1:
        step += 1
    return step


def moment(value: Any) -> datetime.datetime:
    """A date or moment of the plan, without fractions and time zone: growth runs in UTC."""
    return datetime.datetime.fromisoformat(str(value)).replace(microsecond=0, tzinfo=None)


class Draws(Protocol):
    """Draws for one table: independent by `purpose`, the same for the same seed, table and row number."""

    def constant(self, purpose: str, below: int) -> int:
        """A number of [0, below) that belongs to the purpose alone."""

    def draw(self, purpose: str, number: str = NUMBER) -> str:
        """SQL for a whole number of 0 and up, to 2**31 at least."""

    def unit(self, purpose: str, number: str = NUMBER) -> str:
        """SQL for a double of [0, 1)."""

    def happens(self, share: float, purpose: str, number: str = NUMBER) -> str:
        """SQL for a condition that holds for that share of the rows."""


class GrowthDialect(Protocol):
    """One engine's SQL for growth. Arguments that are called `value`, `number`, `place` or `condition` are
    expressions in SQL, and so is what is returned, unless it says otherwise."""

    @property
    def moments(self) -> Collection[str]:
        """The base types of dates and moments."""

    @property
    def unordered(self) -> Collection[str]:
        """The base types that ORDER BY refuses."""

    @property
    def divide(self) -> str:
        """The operator that divides whole numbers."""

    @property
    def join(self) -> str:
        """The join that keeps the order of its tables where the optimizer would choose a worse one."""

    # Words

    def quote(self, name: str) -> str: ...

    def literal(self, value: Any) -> str: ...

    def case(self, condition: str, then: str, otherwise: str) -> str: ...

    def concat(self, *values: str) -> str: ...

    def floor(self, value: str) -> str:
        """The whole number below a double that is not negative."""

    def share(self, number: str, total: int) -> str:
        """`number` divided by `total`, as a double."""

    def choose(self, place: str, values: Sequence[str]) -> str:
        """The one of the texts `values` that stands at `place`, from 0."""

    def text(self, value: str) -> str:
        """A value as text, where the engine does not convert it by itself."""

    def cast(self, value: str, column: Column) -> str:
        """A value as the column's type, where the engine does not convert it by itself."""

    def default(self, column: Column) -> str:
        """What a row has in the column if nothing is said."""

    # Values of new rows

    def draws(self, seed: int, table: str, present: int) -> Draws:
        """Draws that go on after the `present` rows: a table grown again with the same seed draws anew."""

    def choice(self, draws: Any, growth: ColumnGrowth, values: Sequence[Any], purpose: str) -> str:
        """One of `values`, by the growth's weights where they fit."""

    def spread(self, draws: Any, growth: ColumnGrowth, column: Column, index: str | None = None) -> str:
        """A value of [low, high]: by `index` (0-based; moments in steps of `growth.length` seconds), or
        drawn."""

    def later(self, draws: Any, growth: ColumnGrowth, column: Column, earlier: str) -> str:
        """A moment from `earlier` up to the growth's high: a third of the rows have the same moment."""

    def derived(self, draws: Any, growth: ColumnGrowth, column: Column) -> str:
        """A UUID or hexadecimal token of the row's number."""

    def split(self, value: str, length: int, digits: int) -> tuple[str, str]:
        """What stands before and after a number of `digits` digits in a text made of `value`: the number
        goes before the @ of an e-mail address, after everything else; the text is cut to fit `length`
        (0: as long as it likes)."""

    def counted(self, number: str, growth: ColumnGrowth, column: Column) -> str:
        """A value that is different for each number."""

    def counted_moment(self, base: str, column: Column) -> str:
        """The date or moment of a new row, counted on from `base` (its text)."""

    def next_number(self, ask: Ask, table: str, growth: ColumnGrowth, column: Column) -> int | str:
        """Not SQL: where a unique sequence goes on, a whole number, or for dates and moments the next one
        as text."""

    def last_numbers(self, name: str, width: int) -> tuple[str, ...]:
        """The numbers of at most `width` digits that a text column's value ends with, or that stand before
        its @; 0 where there is none."""

    # Statements and their tables

    def numbers(self, first: int, last: int) -> str:
        """A source `g` of the whole numbers from `first` to `last`, named `seq`."""

    def listed(self, values: Sequence[Any]) -> str:
        """A subquery of the constants `values` as `v`, with their order as `k`."""

    def scattered(self, growth: ColumnGrowth, count: int, size: int, start: int) -> str:
        """A subquery of `count` different values of a pool of `size` as `v` (texts of `growth.length` digits
        in base 36, or whole numbers from `growth.low` on), with their order as `k`: at coprime steps from
        `start` on."""

    def is_countable(self, column: Column | None) -> bool:
        """Not SQL: whether the key may be asked for its least and greatest value to see if it has gaps."""

    def drop(self, name: str) -> str:
        """Drops a temporary table if it is there."""

    def temporary(self, name: str, select: str, key: Sequence[str]) -> tuple[str, ...]:
        """The statements that make a temporary table that is looked up by the columns `key`; by PLACE,
        which is unique, if `key` is that alone."""

    def insert(
        self, table: str, names: Sequence[str], values: Sequence[str], source: str, where: str, most: int
    ) -> str:
        """The INSERT of at most `most` rows. Without `where` the source has no more than that."""
