"""The INSERT ... SELECT of one table: which existing rows, parents and free values its new rows take.

Everything a new row takes from elsewhere lies in temporary tables numbered from 0 by key, never by the
order in which the server happens to store rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.engines.combinations import combined_columns, numbered_combinations
from bedev.sandboxes.engines.engine import Column, ColumnGrowth, Schema, Table, TableGrowth
from bedev.sandboxes.engines.growth_dialect import NUMBER, PLACE, GrowthDialect, coprime_step, moment
from bedev.sandboxes.engines.growth_numbers import free_numbers
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

SOURCES = 20_000  # existing rows that new rows are copied from, the first by primary key
NUMBERED = ("copy_unique", "copy_varied")


@dataclass(frozen=True)
class Parents:
    """The rows that a group of key columns chooses from: `size` of them; in the temporary table `alias`,
    or, where `first` is given, the whole numbers from `first` on without a gap."""

    columns: tuple[ColumnGrowth, ...]
    size: int
    alias: str
    first: int | None = None
    itself: bool = False


class TableFiller:
    """Prepares and renders the new rows of one table. `prepare` once, `insert` for each chunk, `clean_up`."""

    def __init__(
        self,
        session: SqlSession,
        dialect: GrowthDialect,
        seed: int,
        growth: TableGrowth,
        table: Table,
        schema: Schema,
        timeout: float,
    ) -> None:
        self._session = session
        self._dialect = dialect
        self._quote = dialect.quote
        self._timeout = timeout
        self._growth = growth
        self._table = table
        self._schema = schema
        self._draws = dialect.draws(seed, table.name, growth.present)
        self._columns = [
            (c, column) for c in growth.columns if (column := table.column(c.column)) and not column.generated
        ]
        self._new = growth.wanted - growth.present
        self.candidates = self._new  # numbers to try: more than rows where some combinations are taken
        self._temporary: list[str] = []
        self._sources = 0
        self._bases: dict[str, int | str] = {}
        self._parents: dict[str, Parents] = {}
        self._index: dict[str, str] = {}  # by representative column: which value of a combination
        self._taken: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Make the temporary tables and read where counting goes on."""
        self._read_bases()
        self._make_source()
        for alias, group in self._groups().items():
            self._parents[group[0].group] = self._make_parents(alias, group)
        for place, (growth, column) in enumerate(self._columns):
            if growth.kind == "pool":
                self._make_pool(f"bedev_pool{place}", growth, column)
        if self._growth.distinct:
            self._count_combinations()

    def chunk(self, most: int, at: int) -> int:
        """How many numbers the next INSERT may take. A table that refers to itself by keys that cannot be
        computed begins with a few roots, so that later rows find parents among them."""
        again = [p for p in self._parents.values() if p.itself and p.first is None]
        if not again:
            return most
        if at:
            for parents in again:
                self._parents[parents.columns[0].group] = self._make_parents(parents.alias, parents.columns)
            return most
        return min(most, max(1, self._new // 100))

    def insert(self, at: int, size: int, most: int) -> str:
        """The statement that makes rows for the `size` numbers after `at`, at most `most` rows."""
        dialect = self._dialect
        names, values = [], []
        for growth, column in self._columns:
            value = self._value(growth, column)
            if value is not None:
                names.append(self._quote(column.name))
                values.append(dialect.cast(value, column))
        joins = [dialect.numbers(at + 1, at + size)]
        if self._sources:
            # Which row is copied is drawn once for all copied columns.
            row = f"{self._draws.draw('source row')} % {self._sources}"
            joins.append(f"{dialect.join} bedev_source s ON s.{PLACE} = {row}")
        for parents in self._parents.values():
            if parents.first is None:
                joins.append(
                    f"LEFT JOIN {parents.alias} ON {parents.alias}.{PLACE} = {self._parent_index(parents)}"
                )
        for place, (growth, _) in enumerate(self._columns):
            if growth.kind == "pool":
                joins.append(f"LEFT JOIN bedev_pool{place} ON bedev_pool{place}.{PLACE} = {NUMBER} - 1")
        where = ""
        if self._taken:
            same = " AND ".join(
                f"k.{self._quote(name)} = {values[names.index(self._quote(name))]}" for name in self._taken
            )
            joins.append(f"LEFT JOIN bedev_taken k ON {same}")
            where = f"k.{self._quote(self._taken[0])} IS NULL"
        return dialect.insert(self._quote(self._table.name), names, values, " ".join(joins), where, most)

    def clean_up(self) -> None:
        for name in self._temporary:
            self._session.query(self._dialect.drop(name))
        self._temporary.clear()

    # What new rows take from elsewhere

    def _make(self, name: str, select: str, key: Sequence[str] = (PLACE,)) -> int:
        """A temporary table; how many rows it has."""
        self._session.query(self._dialect.drop(name))
        if name not in self._temporary:
            self._temporary.append(name)
        for statement in self._dialect.temporary(name, select, key):
            self._session.query(statement, timeout=self._timeout)
        return int(self._scalar(f"SELECT COUNT(*) FROM {name}"))

    def _scalar(self, query: str) -> Any:
        return self._session.query(query, timeout=self._timeout).scalar

    def _order(self) -> str:
        unordered = self._dialect.unordered
        keys = self._table.primary_key or tuple(
            c.name for c in self._table.columns if not c.generated and c.base_type not in unordered
        )
        return ", ".join(self._quote(k) for k in keys) or "1"

    def _make_source(self) -> None:
        copied = [
            (g, c) for g, c in self._columns if g.kind == "copy" or (g.kind in NUMBERED and not g.values)
        ]
        if not copied or not self._growth.present:
            return
        parts = []
        for growth, column in copied:
            name = self._quote(column.name)
            if growth.kind == "copy":
                parts.append(name)
                continue
            head, tail = self._split(growth, self._dialect.text(name))
            parts.append(f"{head} AS {self._quote(column.name + ' head')}")
            parts.append(f"{tail} AS {self._quote(column.name + ' tail')}")
        order = self._order()
        self._sources = self._make(
            "bedev_source",
            f"SELECT ROW_NUMBER() OVER (ORDER BY {order}) - 1 AS {PLACE}, {', '.join(parts)}"
            f" FROM {self._quote(self._table.name)} ORDER BY {order} LIMIT {SOURCES}",
        )

    def _split(self, growth: ColumnGrowth, value: str) -> tuple[str, str]:
        return self._dialect.split(value, growth.length, len(str(self._last_number(growth))))

    def _last_number(self, growth: ColumnGrowth) -> int:
        if growth.kind == "copy_varied":
            return int(growth.high or 1)
        return int(self._bases[growth.column]) + self._new

    def _groups(self) -> dict[str, tuple[ColumnGrowth, ...]]:
        names = list(dict.fromkeys(g.group for g, _ in self._columns if g.kind == "foreign_key"))
        return {
            f"bedev_parent{place}": tuple(
                g for g, _ in self._columns if g.kind == "foreign_key" and g.group == name
            )
            for place, name in enumerate(names)
        }

    def _make_parents(self, alias: str, group: tuple[ColumnGrowth, ...]) -> Parents:
        parent, key = group[0].table, self._quote(group[0].referenced)
        itself = parent.lower() == self._table.name.lower()
        unique = any(g.unique for g in group)
        if len(group) == 1 and not unique and self._is_countable(parent, group[0].referenced):
            first, last, size = self._session.query(
                f"SELECT MIN({key}), MAX({key}), COUNT({key}) FROM {self._quote(parent)}",
                timeout=self._timeout,
            ).rows[0]
            counted = itself and isinstance(self._bases.get(group[0].referenced), int)
            if isinstance(first, int) and last - first + 1 == size:
                return Parents(group, size, alias, first, itself)
            if counted and not size:
                return Parents(group, 0, alias, int(self._bases[group[0].referenced]), True)
        keys = list(dict.fromkeys(g.referenced for g in group))
        columns = ", ".join(f"p.{self._quote(k)}" for k in keys)
        where = [f"p.{self._quote(k)} IS NOT NULL" for k in keys]
        joined = ""
        if unique:
            mine = " AND ".join(
                f"c.{self._quote(g.column)} = p.{self._quote(g.referenced)}" for g in group if g.unique
            )
            joined = f" LEFT JOIN {self._quote(self._table.name)} c ON {mine}"
            where.append(f"c.{self._quote(next(g.column for g in group if g.unique))} IS NULL")
        size = self._make(
            alias,
            f"SELECT ROW_NUMBER() OVER (ORDER BY {columns}) - 1 AS {PLACE}, {columns}"
            f" FROM {self._quote(parent)} p{joined} WHERE {' AND '.join(where)}",
        )
        return Parents(group, size, alias, None, itself)

    def _is_countable(self, table: str, column: str) -> bool:
        found = self._schema.table(table)
        return self._dialect.is_countable(found.column(column) if found else None)

    def _make_pool(self, alias: str, growth: ColumnGrowth, column: Column) -> None:
        """Values that no row has yet, in an order of the seed's: as many as there are to make, or all."""
        need = self._new + self._growth.present
        if growth.values:
            candidates = self._dialect.listed(growth.values)
        else:
            size = 36 ** min(growth.length, 7) if growth.length else int(growth.high) - int(growth.low) + 1
            start = self._draws.constant(column.name, size)
            candidates = self._dialect.scattered(growth, min(size, need), size, start)
        name, value = self._quote(column.name), self._dialect.cast("c.v", column)
        self._make(
            alias,
            f"SELECT ROW_NUMBER() OVER (ORDER BY c.k) - 1 AS {PLACE}, c.v FROM {candidates} c"
            f" LEFT JOIN {self._quote(self._table.name)} t ON t.{name} = {value} WHERE t.{name} IS NULL",
        )

    # Where counting goes on

    def _read_bases(self) -> None:
        for growth, column in self._columns:
            if column.auto_increment and growth.kind == "auto":
                # Numbered here and not by the server: its counter leaves gaps between chunks, and keys
                # without gaps let children compute their parent instead of looking it up.
                highest = self._scalar(
                    f"SELECT MAX({self._quote(column.name)}) FROM {self._quote(self._table.name)}"
                )
                self._bases[column.name] = int(highest or 0) + 1
            elif growth.kind == "sequence":
                self._bases[column.name] = self._dialect.next_number(
                    self._scalar, self._table.name, growth, column
                )
            elif growth.kind == "copy_unique":
                self._bases[column.name] = free_numbers(
                    self._dialect, self._scalar, self._table.name, column, self._new
                )

    # Values

    def _value(self, growth: ColumnGrowth, column: Column) -> str | None:
        """SQL for the column's value; None where the column is left to the server."""
        if column.name in self._bases and growth.kind in ("auto", "sequence"):
            value = self._counted(growth, column)
        elif growth.kind == "auto":
            return None
        else:
            value = self._raw(growth, column)
        if growth.null_share and growth.kind != "foreign_key":
            happens = self._draws.happens(growth.null_share, column.name + " null")
            value = self._dialect.case(happens, "NULL", value)
        return value

    def _raw(self, growth: ColumnGrowth, column: Column) -> str:
        dialect, draws, name = self._dialect, self._draws, column.name
        if growth.kind == "copy":
            value = f"s.{self._quote(name)}" if self._sources else dialect.default(column)
            if growth.added_share and growth.values:
                other = dialect.cast(dialect.choice(draws, growth, growth.values, name + " other"), column)
                value = dialect.case(draws.happens(growth.added_share, name + " added"), other, value)
            return value
        if growth.kind in NUMBERED:
            return self._numbered(growth, column)
        if growth.kind == "foreign_key":
            return self._key(growth)
        if growth.kind == "pool":
            place = next(p for p, (g, _) in enumerate(self._columns) if g is growth)
            return f"bedev_pool{place}.v"
        if growth.kind == "constant":
            return dialect.literal(growth.values[0])
        if growth.kind == "choice":
            if name in self._index:
                return dialect.choose(self._index[name], [dialect.literal(v) for v in growth.values])
            return dialect.choice(draws, growth, growth.values, name)
        if growth.kind == "between":
            return dialect.spread(draws, growth, column, self._index.get(name))
        if growth.kind == "after":
            earlier = next((g, c) for g, c in self._columns if g.column == growth.referenced)
            return dialect.later(draws, growth, column, self._raw(*earlier))
        if growth.kind in ("uuid", "hex"):
            return dialect.derived(draws, growth, column)
        raise DatabaseError(
            f"Growth of the kind {growth.kind!r} is not known.",
            where=f"{self._table.name}.{name}",
            next_step="Make the plan with this version of bedev.",
        )

    def _counted(self, growth: ColumnGrowth, column: Column) -> str:
        base = self._bases[column.name]
        if isinstance(base, str):
            return self._dialect.counted_moment(base, column)
        return self._dialect.counted(f"({base - 1} + {NUMBER})", growth, column)

    def _numbered(self, growth: ColumnGrowth, column: Column) -> str:
        dialect, name = self._dialect, column.name
        if growth.kind == "copy_varied":
            number = f"(1 + {self._draws.draw(name + ' number')} % {max(1, int(growth.high or 1))})"
        else:
            number = f"({self._bases[name]} + {NUMBER})"
        if not growth.values:
            return dialect.concat(
                f"s.{self._quote(name + ' head')}", number, f"s.{self._quote(name + ' tail')}"
            )
        texts = (dialect.text(dialect.literal(v)) for v in growth.values)
        heads, tails = zip(*(self._split(growth, text) for text in texts), strict=True)
        if len(heads) == 1:
            return dialect.concat(heads[0], number, tails[0])
        place = f"{self._draws.draw(name + ' value')} % {len(heads)}"
        return dialect.concat(dialect.choose(place, heads), number, dialect.choose(place, tails))

    # Keys of other tables

    def _key(self, growth: ColumnGrowth) -> str:
        parents = self._parents[growth.group]
        share = max(g.null_share for g in parents.columns)
        if parents.first is not None:
            if parents.itself:
                value = self._older(parents)
            else:
                value = f"({parents.first} + {self._parent_index(parents)})" if parents.size else "NULL"
        else:
            value = f"{parents.alias}.{self._quote(growth.referenced)}"
        if share and growth.null_share:
            # One draw for the group: a composite key is NULL as a whole.
            value = self._dialect.case(self._draws.happens(share, growth.group + " null"), "NULL", value)
        return value

    def _older(self, parents: Parents) -> str:
        """A row of the same table that comes before the new one; the very first has itself or none."""
        growth = parents.columns[0]
        column = self._table.column(growth.column)
        before = f"({parents.size} + {NUMBER} - 1)"
        unit = self._draws.unit(growth.group)
        first = "NULL" if column is not None and column.nullable else str(parents.first)
        older = self._dialect.floor(f"{unit} * {unit} * {before}")
        return self._dialect.case(f"{before} = 0", first, f"{parents.first} + {older}")

    def _parent_index(self, parents: Parents) -> str:
        """Which parent a new row takes, 0-based.

        The square of a draw: the first hundredth of the parents gets a tenth of the children. The places
        are then dealt out over all parents, and one in ten parents gets no child at all: an inner join in
        place of a left join must lose somebody."""
        representative = next((g.column for g in parents.columns if g.column in self._index), None)
        if representative is not None:
            return self._index[representative]
        size, group = parents.size, parents.columns[0].group
        if size == 0:
            return "-1"
        step, start = coprime_step(size), self._draws.constant(group + " start", size)
        if any(g.unique for g in parents.columns):
            # Past the last parent the place is none, and the key NULL.
            dealt = f"(({NUMBER} - 1) * {step} + {start}) % {size}"
            return self._dialect.case(f"{NUMBER} > {size}", "-1", dealt)
        favoured = size if size < 5 else size - max(1, size // 10)
        unit = self._draws.unit(group)
        place = self._dialect.floor(f"{unit} * {unit} * {favoured}")
        return f"(({place} * {step} + {start}) % {size})"

    # Combinations that may occur only once

    def _count_combinations(self) -> None:
        sizes = {name: self._size(name) for name in self._growth.distinct}
        self._make_taken()
        total = self.candidates
        product = 1
        for size in sizes.values():
            product *= size
        if product < total - self._growth.present or product == 0:
            raise DatabaseError(
                f"{self._table.name}: only {product:,} combinations of {', '.join(sizes)} exist.",
                where=self._table.name,
                next_step=f"Ask for at most --rows {self._table.name}={product}.",
            )
        self.candidates = total = min(total, product)
        self._index |= numbered_combinations(self._dialect, self._draws, sizes, total)

    def _size(self, name: str) -> int:
        growth, column = next((g, c) for g, c in self._columns if g.column == name)
        if growth.kind == "foreign_key":
            return self._parents[growth.group].size
        if growth.kind == "choice":
            return len(growth.values)
        if column.base_type in self._dialect.moments:
            span = moment(growth.high) - moment(growth.low)
            return int(span.total_seconds()) // (growth.length or 86_400) + 1
        return int(growth.high) - int(growth.low) + 1

    def _make_taken(self) -> None:
        if not self._growth.present:
            return
        columns = combined_columns(self._growth, self._table)
        names = ", ".join(self._quote(c) for c in columns)
        filled = " AND ".join(f"{self._quote(c)} IS NOT NULL" for c in columns)
        taken = self._make(
            "bedev_taken",
            f"SELECT DISTINCT {names} FROM {self._quote(self._table.name)} WHERE {filled}",
            tuple(self._quote(c) for c in columns),
        )
        self.candidates = self._new + taken
        self._taken = columns if taken else ()
