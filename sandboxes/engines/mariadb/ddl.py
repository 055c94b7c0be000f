"""Schema, statistics and indexes of a MariaDB or MySQL database: what differs is a `Catalogue`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.engines.engine import (
    Column,
    ForeignKey,
    Index,
    IndexSize,
    IndexSpec,
    Schema,
    Table,
)
from bedev.sandboxes.engines.mysql_family import name_quoted as quoted
from bedev.sandboxes.errors import DatabaseError, UsageError
from bedev.sandboxes.sandbox import SqlSession

COUNT_SECONDS = 300.0
ANALYZE_SECONDS = 1800.0
MAX_ROWS = 200_000  # of a catalogue query: some thousand tables

TABLES = (
    "SELECT TABLE_NAME, COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES "
    "WHERE TABLE_SCHEMA = %s AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME"
)
COLUMNS = (
    "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE, COLUMN_DEFAULT, "
    "CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, EXTRA, "
    "{generated}, COLLATION_NAME, COLUMN_COMMENT "
    "FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, ORDINAL_POSITION"
)
INDEXES = (
    "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, {column} FROM information_schema.STATISTICS "
    "WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"
)
_FOREIGN_KEYS = (
    "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME "
    "FROM information_schema.KEY_COLUMN_USAGE "
    "WHERE TABLE_SCHEMA = %s AND REFERENCED_TABLE_NAME IS NOT NULL "
    "ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"
)
_CHECKS = (
    "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS "
    "WHERE CONSTRAINT_SCHEMA = %s ORDER BY TABLE_NAME, CONSTRAINT_NAME"
)


@dataclass(frozen=True)
class Catalogue:
    """How one server describes a database. `generated` is SQL for whether a column is computed ('ALWAYS'),
    `index_column` for what an index part is of; `default` and `check` bring what the catalogue says into
    MariaDB's form: an expression, texts in quotes. `kinds` are what SHOW CREATE prints (see `schema_dump`).
    """

    generated: str
    index_column: str
    checks: str
    kinds: tuple[tuple[str, str, str], ...]
    default: Callable[[str, str, str], str]
    check: Callable[[str], str]


def schema(session: SqlSession, database: str, exact: bool, catalogue: Catalogue | None = None) -> Schema:
    """Tables by name, views left out. Row counts are counted (`exact`) or InnoDB's estimates."""

    def read(sql: str) -> dict[str, list[tuple[Any, ...]]]:
        found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for name, *rest in session.query(sql, (database,), max_rows=MAX_ROWS).rows:
            found[str(name)].append(tuple(rest))
        return found

    of = catalogue or MARIADB
    columns = read(COLUMNS.format(generated=of.generated))
    indexes, keys = read(INDEXES.format(column=of.index_column)), read(_FOREIGN_KEYS)
    checks = read(of.checks)
    return Schema(
        tuple(
            Table(
                name=name,
                columns=tuple(_column(row, of) for row in columns[name]),
                indexes=_indexes(indexes[name]),
                foreign_keys=_foreign_keys(keys[name]),
                checks=tuple(of.check(str(row[0])) for row in checks[name]),
                rows=_count(session, database, name) if exact else int(rows[0][0]),
            )
            for name, rows in read(TABLES).items()
        )
    )


def _count(session: SqlSession, database: str, table: str) -> int:
    sql = f"SELECT COUNT(*) FROM {quoted(database)}.{quoted(table)}"
    return int(session.query(sql, timeout=COUNT_SECONDS).scalar)


def _column(row: tuple[Any, ...], of: Catalogue) -> Column:
    (
        name,
        full_type,
        base,
        nullable,
        default,
        length,
        precision,
        scale,
        fraction,
        extra,
        generated,
        collation,
        comment,
    ) = row
    base = str(base).lower()
    full_type = str(full_type)
    return Column(
        name=str(name),
        type=full_type,
        base_type=base,
        nullable=nullable == "YES",
        default=None if default is None else of.default(str(default), base, str(extra)) or None,
        length=None if length is None else int(length),
        precision=int(precision) if precision is not None else None if fraction is None else int(fraction),
        scale=None if scale is None else int(scale),
        unsigned=" unsigned" in full_type.lower(),
        auto_increment="auto_increment" in str(extra).lower(),
        generated=generated == "ALWAYS",
        enum_values=enum_values(full_type) if base in ("enum", "set") else (),
        collation=None if collation is None else str(collation),
        comment=str(comment or ""),
    )


def enum_values(full_type: str) -> tuple[str, ...]:
    """The values of `enum('a','it''s')`, as they are stored."""
    return tuple(value.replace("''", "'") for value in re.findall(r"'((?:[^']|'')*)'", full_type))


def _indexes(rows: Sequence[tuple[Any, ...]]) -> tuple[Index, ...]:
    columns: dict[str, list[str]] = defaultdict(list)
    unique: dict[str, bool] = {}
    for name, non_unique, column in rows:
        columns[str(name)].append(str(column))
        unique[str(name)] = not int(non_unique)
    return tuple(Index(n, tuple(c), unique[n], primary=n == "PRIMARY") for n, c in columns.items())


def _foreign_keys(rows: Sequence[tuple[Any, ...]]) -> tuple[ForeignKey, ...]:
    found: dict[str, tuple[list[str], str, list[str]]] = {}
    for name, column, table, referenced in rows:
        entry = found.setdefault(str(name), ([], str(table), []))
        entry[0].append(str(column))
        entry[2].append(str(referenced))
    return tuple(ForeignKey(n, tuple(c), t, tuple(r)) for n, (c, t, r) in found.items())


# -- the dump

# What SHOW CREATE prints: its column with the text, by kind of object.
KINDS = (
    ("TABLE", "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s "
     "AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1", "Create Table"),
    ("SEQUENCE", "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s "
     "AND TABLE_TYPE = 'SEQUENCE' ORDER BY 1", "Create Table"),
    ("VIEW", "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s ORDER BY 1",
     "Create View"),
    ("TRIGGER", "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s "
     "ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
     "SQL Original Statement"),
    ("FUNCTION", "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s "
     "AND ROUTINE_TYPE = 'FUNCTION' ORDER BY 1", "Create Function"),
    ("PROCEDURE", "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s "
     "AND ROUTINE_TYPE = 'PROCEDURE' ORDER BY 1", "Create Procedure"),
    ("EVENT", "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s ORDER BY 1",
     "Create Event"),
)  # fmt: skip


def _default(text: str, base: str, extra: str) -> str:
    """The catalogue writes an expression: a text default in quotes, and NULL as a word."""
    return "" if text.upper() == "NULL" else text


MARIADB = Catalogue("IS_GENERATED", "COLUMN_NAME", _CHECKS, KINDS, _default, str)


def schema_dump(session: SqlSession, database: str, catalogue: Catalogue | None = None) -> str:
    """Equal for equal schemas: counters of AUTO_INCREMENT and the database's own name are left out, and the
    lines of keys and constraints, which have no order of their own, are sorted. Order of columns counts.
    """
    parts: list[str] = []
    for kind, listing, column in (catalogue or MARIADB).kinds:
        for (name,) in session.query(listing, (database,), max_rows=MAX_ROWS).rows:
            shown = session.query(f"SHOW CREATE {kind} {quoted(database)}.{quoted(str(name))}").dicts()[0]
            text = str(shown[column] or "")
            if kind == "TABLE":
                text = _stable_table(text)
            text = text.replace(f"{quoted(database)}.", "")
            parts.append(f"-- {kind.lower()} {name}\n{text};\n")
    return "\n".join(parts)


_KEY_LINE = re.compile(r"\s+(PRIMARY KEY|UNIQUE KEY|KEY|FULLTEXT KEY|SPATIAL KEY|CONSTRAINT)\b")


def _stable_table(text: str) -> str:
    """The options follow the last parenthesis at a line's start; a text before it is never touched."""
    body, bracket, options = text.rpartition("\n)")
    options = re.sub(r" AUTO_INCREMENT=\d+", "", options, count=1)
    first, *lines = body.split("\n")
    # A default or comment with a line break is written as \n by the server, so a line is a definition.
    columns = [line for line in lines if not _KEY_LINE.match(line)]
    keys = sorted(line.rstrip(",") for line in lines if _KEY_LINE.match(line))
    defined = [line.rstrip(",") for line in columns] + keys
    return first + "\n" + ",\n".join(defined) + bracket + options


# -- indexes


def create_index_sql(index: IndexSpec) -> str:
    """Raises UsageError for an index without a name or columns."""
    if not index.name or not index.columns:
        raise UsageError(
            f"An index on {index.table} lacks a name or columns.",
            next_step="Give it both: IndexSpec(name=...)",
        )
    unique = "UNIQUE " if index.unique else ""
    columns = ", ".join(quoted(column) for column in index.columns)
    return f"CREATE {unique}INDEX {quoted(index.name)} ON {quoted(index.table)} ({columns})"


def drop_index_sql(index: IndexSpec) -> str:
    return f"DROP INDEX {quoted(index.name)} ON {quoted(index.table)}"


def index_sizes(
    session: SqlSession, database: str, catalogue: Catalogue | None = None
) -> tuple[IndexSize, ...]:
    """Bytes of each index as of the last `analyze` (mysql.innodb_index_stats, in pages); needs the admin.

    A table without statistics (another storage engine) has what information_schema says of all its
    secondary indexes, shared evenly.
    """
    page = int(session.query("SELECT @@innodb_page_size").scalar)
    pages = {
        (str(table), str(index)): int(value)
        for table, index, value in session.query(
            "SELECT table_name, index_name, stat_value FROM mysql.innodb_index_stats "
            "WHERE database_name = %s AND stat_name = 'size'",
            (database,),
            max_rows=MAX_ROWS,
        ).rows
    }
    totals = {
        str(name): (int(data or 0), int(index or 0))
        for name, data, index in session.query(
            "SELECT TABLE_NAME, DATA_LENGTH, INDEX_LENGTH FROM information_schema.TABLES "
            "WHERE TABLE_SCHEMA = %s",
            (database,),
            max_rows=MAX_ROWS,
        ).rows
    }
    sizes: list[IndexSize] = []
    for table in schema(session, database, False, catalogue).tables:
        data, rest = totals.get(table.name, (0, 0))
        others = sum(not index.primary for index in table.indexes)
        for index in table.indexes:
            known = pages.get((table.name, index.name))
            guessed = data if index.primary else rest // max(1, others)
            sizes.append(
                IndexSize(table.name, index.name, index.columns, guessed if known is None else known * page)
            )
    return tuple(sizes)


def analyze(session: SqlSession, tables: Sequence[str]) -> None:
    """InnoDB's persistent statistics, from every page: sampling draws pages at random, and base and patch
    would get other plans from the same rows.

    Engine-independent statistics (PERSISTENT FOR ALL) are not made: production has none unless somebody
    asked for them, and a plan that depends on them would not be production's. Needs the admin's session with
    the application's database selected. Raises DatabaseError for a table that cannot be analyzed.
    """
    before = session.query("SELECT @@GLOBAL.innodb_stats_persistent_sample_pages").scalar
    session.query("SET GLOBAL innodb_stats_persistent_sample_pages = 1000000")
    try:
        for table in tables:
            answer = session.query(
                f"ANALYZE NO_WRITE_TO_BINLOG TABLE {quoted(table)}", timeout=ANALYZE_SECONDS
            )
            for row in answer.dicts():
                if str(row["Msg_type"]).lower() == "error":
                    raise DatabaseError(f"{table} could not be analyzed: {row['Msg_text']}", where=table)
    finally:
        session.query(f"SET GLOBAL innodb_stats_persistent_sample_pages = {int(before)}")
