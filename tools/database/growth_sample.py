"""What rows exist: the little that a growth plan needs to know of a table's data, in two queries a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bedev.sandboxes.engines.engine import Column, Schema, Table
from bedev.sandboxes.sandbox import SqlSession

LOOKED_AT = 20_000  # rows that the counts of distinct values are made from, the first by primary key
SAMPLED = 1_000  # rows whose values are read, evenly spaced among those
SHOWN = 200  # characters of a text value that are read: shape and repetition show in them

UNCOUNTABLE = frozenset(
    {"json", "jsonb", "xml", "blob", "tinyblob", "mediumblob", "longblob", "bytea", "vector"}
    | {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "array", "tsvector", "hstore", "box", "circle", "line", "lseg", "path", "xid"}
)
"""Types of which a server cannot cheaply (or at all) count distinct values or tell the smallest."""

UNREADABLE = UNCOUNTABLE | {"binary", "varbinary"}
"""Types of which no values are read: they tell nothing."""

LONG_TEXT = frozenset({"text", "mediumtext", "longtext"})

_ORDERED = frozenset(
    {
        "smallint",
        "int",
        "bigint",
        "decimal",
        "float",
        "double",
        "char",
        "varchar",
        "enum",
        "date",
        "timestamp",
    }
    | {"time", "inet6"}
)
"""Types of which PostgreSQL knows the smallest value; of the others their text has one."""


@dataclass(frozen=True)
class ColumnSample:
    """One column of the rows looked at.

    `rows` of them, `filled` not NULL, `distinct` different values among these (None where not counted);
    `low` and `high` the extremes as the probe gives them; `top` values with their frequency, most frequent
    first; `shown` sampled values that are not NULL, in primary key order.
    """

    rows: int
    filled: int
    distinct: int | None = None
    low: Any = None
    high: Any = None
    shown: tuple[Any, ...] = ()

    @property
    def null_share(self) -> float:
        return 1 - self.filled / self.rows if self.rows else 0.0

    @cached_property
    def top(self) -> tuple[tuple[Any, int], ...]:
        return tuple(Counter(self.shown).most_common())

    @property
    def distinct_share(self) -> float:
        """Different values per value, 1.0 where none repeats; 0 where there is nothing to count."""
        if self.distinct is None or not self.filled:
            return 0.0
        return self.distinct / self.filled

    @property
    def few(self) -> bool:
        """Whether the column looks like a status: few values that repeat."""
        if self.distinct is None or not self.filled:
            return False
        return self.distinct <= 2 or (self.distinct <= 50 and self.distinct_share <= 0.35)


@dataclass(frozen=True)
class TableSample:
    """A table's exact row count, its columns' samples and the sampled rows (column -> value)."""

    rows: int
    columns: Mapping[str, ColumnSample]
    sampled: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


class ColumnSampler:
    """Reads samples through one session. `dialect` is the engine's (sqlglot's name for its SQL).

    Nothing here depends on the order in which a server stores rows: all reading is by primary key (by all
    comparable columns where there is none).
    """

    def __init__(self, session: SqlSession, dialect: str, timeout: float = 600.0) -> None:
        self.session = session
        self.dialect = dialect
        self.timeout = timeout
        self._known: dict[str, TableSample] = {}

    def quote(self, name: str) -> str:
        from sqlglot import exp

        return exp.to_identifier(name, quoted=True).sql(dialect=self.dialect)

    def table(self, table: Table) -> TableSample:
        """What `table` holds now; read once. Raises DatabaseError with the server's words."""
        if table.name not in self._known:
            self._known[table.name] = self._read(table)
        return self._known[table.name]

    def within(self, table: Table, column: str, parent: Table, key: str) -> bool:
        """Whether every value of `table.column` that is not NULL is a value of `parent.key`."""
        q = self.quote
        orphan = self.session.query(
            f"SELECT 1 FROM {q(table.name)} c LEFT JOIN {q(parent.name)} p ON p.{q(key)} = c.{q(column)}"
            f" WHERE c.{q(column)} IS NOT NULL AND p.{q(key)} IS NULL LIMIT 1",
            timeout=self.timeout,
        )
        return not orphan.rows

    def agrees(
        self, table: Table, column: str, parent: Table, keys: tuple[str, ...], referenced: tuple[str, ...]
    ) -> bool:
        """Whether `column` of every row equals the column of that name of the `parent` row it refers to."""
        q = self.quote
        joined = " AND ".join(
            f"p.{q(theirs)} = c.{q(mine)}" for mine, theirs in zip(keys, referenced, strict=True)
        )
        other = self.session.query(
            f"SELECT 1 FROM {q(table.name)} c JOIN {q(parent.name)} p ON {joined}"
            f" WHERE c.{q(column)} <> p.{q(column)} LIMIT 1",
            timeout=self.timeout,
        )
        return not other.rows

    def newest(self, schema: Schema) -> str | None:
        """The newest date (`YYYY-MM-DD HH:MM:SS`) of all date columns of all tables; None without any."""
        dates = [
            str(sample.high)
            for table in schema.tables
            for name, sample in self.table(table).columns.items()
            if sample.high is not None and _base(table, name) in ("date", "datetime", "timestamp")
        ]
        return max((d[:19] if len(d) > 10 else f"{d} 00:00:00") for d in dates) if dates else None

    def _read(self, table: Table) -> TableSample:
        q = self.quote
        ordered = ", ".join(q(c) for c in sort_columns(table))
        looked_at = f"(SELECT * FROM {q(table.name)} ORDER BY {ordered} LIMIT {LOOKED_AT}) s"
        parts = [f"(SELECT COUNT(*) FROM {q(table.name)})", "COUNT(*)"]
        for column in table.columns:
            parts.append(f"COUNT({q(column.name)})")
            if column.base_type not in UNCOUNTABLE:
                value = self._value(column)
                parts += [f"COUNT(DISTINCT {value})", f"MIN({value})", f"MAX({value})"]
        counted = self.session.query(f"SELECT {', '.join(parts)} FROM {looked_at}", timeout=self.timeout)
        numbers = list(counted.rows[0])
        rows, looked = int(numbers[0]), int(numbers[1])
        sampled = self._rows(table, ordered, looked) if looked else ()
        columns: dict[str, ColumnSample] = {}
        at = 2
        for column in table.columns:
            shown = tuple(r[column.name] for r in sampled if r.get(column.name) is not None)
            if column.base_type in UNCOUNTABLE:
                columns[column.name] = ColumnSample(looked, int(numbers[at]), shown=shown)
                at += 1
                continue
            filled, distinct, low, high = numbers[at : at + 4]
            columns[column.name] = ColumnSample(looked, int(filled), int(distinct), low, high, shown)
            at += 4
        return TableSample(rows, columns, sampled)

    def _value(self, column: Column) -> str:
        name = self.quote(column.name)
        if column.base_type == "bit" and self.dialect == "mysql":
            return f"{name} + 0"  # else the server answers bytes
        if self.dialect == "postgres" and column.base_type not in LONG_TEXT:
            if column.base_type == "boolean":
                return f"CAST({name} AS INT)"
            if column.base_type not in _ORDERED:
                return f"CAST({name} AS TEXT)"
            if column.base_type in ("date", "timestamp"):
                zone = " AT TIME ZONE 'UTC'" if column.type.endswith("with time zone") else ""
                return f"NULLIF(NULLIF({name}{zone}, 'infinity'), '-infinity')"
        return f"SUBSTR({name}, 1, {SHOWN})" if column.base_type in LONG_TEXT else name

    def _rows(self, table: Table, ordered: str, looked: int) -> tuple[Mapping[str, Any], ...]:
        q = self.quote
        readable = [c for c in table.columns if c.base_type not in UNREADABLE]
        if not readable:
            return ()
        values = ", ".join(f"{self._value(c)} AS {q(c.name)}" for c in readable)
        if looked <= SAMPLED:
            sql = f"SELECT {values} FROM {q(table.name)} ORDER BY {ordered} LIMIT {SAMPLED}"
        else:
            step = -(-looked // SAMPLED)
            sql = (
                f"SELECT {', '.join(q(c.name) for c in readable)} FROM (SELECT {values},"
                f" ROW_NUMBER() OVER (ORDER BY {ordered}) AS bedev_row FROM {q(table.name)}) s"
                f" WHERE bedev_row <= {LOOKED_AT} AND MOD(bedev_row, {step}) = 0 ORDER BY bedev_row"
            )
        return tuple(self.session.query(sql, max_rows=SAMPLED, timeout=self.timeout).dicts())


def sort_columns(table: Table) -> tuple[str, ...]:
    """What orders the rows of `table` the same way on every machine."""
    if table.primary_key:
        return table.primary_key
    return tuple(c.name for c in table.columns if c.base_type not in UNCOUNTABLE) or (table.columns[0].name,)


def _base(table: Table, name: str) -> str:
    column = table.column(name)
    return column.base_type if column else ""
