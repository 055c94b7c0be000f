"""Schema, statistics and indexes of a SQLite database, from its catalogue and pragmas."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
from bedev.sandboxes.engines.sqlite import ddl_text
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.sandbox import SqlSession

COUNT_SECONDS = 300.0
ANALYZE_SECONDS = 1800.0
MAX_ROWS = 200_000  # of a catalogue query
USUAL_LENGTH = 255
"""The length of a `varchar` that names none: what the frameworks that write so check."""

_TABLES = (
    "SELECT m.name, m.sql FROM sqlite_master m JOIN pragma_table_list l ON l.name = m.name "
    "WHERE m.type = 'table' AND l.schema = 'main' AND l.type IN ('table', 'virtual') "
    "AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name"
)
_COLUMNS = (
    'SELECT m.name, x.name, x.type, x."notnull", x.dflt_value, x.pk, x.hidden FROM sqlite_master m, '
    "pragma_table_xinfo(m.name) x WHERE m.type = 'table' ORDER BY m.name, x.cid"
)
_INDEXES = (
    'SELECT m.name, l.name, l."unique", l.origin, x.name FROM sqlite_master m, pragma_index_list(m.name) l, '
    "pragma_index_xinfo(l.name) x WHERE m.type = 'table' AND x.key = 1 "
    "ORDER BY m.name, l.origin <> 'pk', l.name, x.seqno"
)
_FOREIGN_KEYS = (
    'SELECT m.name, f.id, f."from", f."table", f."to" FROM sqlite_master m, '
    "pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY m.name, f.id DESC, f.seq"
)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def schema(session: SqlSession, exact: bool) -> Schema:
    """Tables by name, views and SQLite's own left out. Row counts are counted (`exact`), else those of the
    last `analyze`."""
    columns, indexes = _grouped(session, _COLUMNS), _grouped(session, _INDEXES)
    keys = _grouped(session, _FOREIGN_KEYS)
    counted = {} if exact else analyzed_rows(session)
    found = []
    for name, sql in session.query(_TABLES, max_rows=MAX_ROWS).rows:
        made = tuple(_column(row, str(sql or ""), columns[str(name)]) for row in columns.get(str(name), ()))
        primary = tuple(
            str(row[0]) for row in sorted(columns.get(str(name), ()), key=lambda row: int(row[4])) if row[4]
        )
        found.append(
            Table(
                name=str(name),
                columns=made,
                indexes=_indexes(indexes.get(str(name), ()), primary),
                foreign_keys=_foreign_keys(str(name), keys.get(str(name), ()), columns),
                checks=ddl_text.checks(str(sql or "")),
                rows=_count(session, str(name)) if exact else counted.get(str(name), 0),
            )
        )
    return Schema(tuple(found))


def _grouped(session: SqlSession, sql: str) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for name, *rest in session.query(sql, max_rows=MAX_ROWS).rows:
        found.setdefault(str(name), []).append(tuple(rest))
    return found


def _count(session: SqlSession, table: str) -> int:
    return int(session.query(f"SELECT COUNT(*) FROM {quoted(table)}", timeout=COUNT_SECONDS).scalar)


def _column(row: tuple[Any, ...], sql: str, columns: Sequence[tuple[Any, ...]]) -> Column:
    name, declared, not_null, default, key, hidden = row
    text = str(declared or "")
    base = ddl_text.base_type(text)
    numbers = [int(n) for n in re.findall(r"\d+", text[text.find("(") :])] if "(" in text else []
    character = base in ("varchar", "char", "nvarchar", "nchar", "character", "varbinary", "binary")
    length = (numbers or [USUAL_LENGTH])[0] if character else None
    exact = base in ("decimal", "numeric", "dec", "fixed") and bool(numbers)
    # The alias of the row's own number: counts by itself and cannot be NULL, whatever the column says.
    alias = bool(key) and base == "integer" and sum(bool(c[4]) for c in columns) == 1
    alias = alias and not re.search(r"\bwithout\s+rowid\b", sql, re.I)
    return Column(
        name=str(name),
        type=text,
        base_type=base,
        nullable=not (int(not_null) or alias or (key and "without rowid" in sql.lower())),
        default=None if default is None or str(default).upper() == "NULL" else str(default),
        length=length,
        precision=numbers[0] if exact else None,
        scale=(numbers[1] if len(numbers) > 1 else 0) if exact else None,
        unsigned="unsigned" in text.lower(),
        auto_increment=alias,
        generated=int(hidden) in (2, 3),
    )


def _indexes(rows: Sequence[tuple[Any, ...]], primary: tuple[str, ...]) -> tuple[Index, ...]:
    """A key that is the row's number has no index of its own, but serves as one."""
    columns: dict[str, list[str]] = {}
    facts: dict[str, tuple[bool, bool]] = {}
    for name, unique, origin, column in rows:
        columns.setdefault(str(name), []).append(str(column) if column is not None else "(expression)")
        facts[str(name)] = (bool(unique), origin == "pk")
    found = tuple(Index(n, tuple(c), facts[n][0], facts[n][1]) for n, c in columns.items())
    if primary and not any(index.primary for index in found):
        found = (Index("PRIMARY", primary, True, True), *found)
    return found


def _foreign_keys(
    table: str, rows: Sequence[tuple[Any, ...]], columns: dict[str, list[tuple[Any, ...]]]
) -> tuple[ForeignKey, ...]:
    """A key that names no columns of the other table means its primary key."""
    found: dict[int, tuple[list[str], str, list[str | None]]] = {}
    for number, column, other, referenced in rows:
        entry = found.setdefault(int(number), ([], str(other), []))
        entry[0].append(str(column))
        entry[2].append(None if referenced is None else str(referenced))
    keys = []
    for mine, other, theirs in found.values():
        primary = [str(c[0]) for c in sorted(columns.get(other, ()), key=lambda c: int(c[4])) if c[4]]
        named = [name for name in theirs if name is not None] or primary
        if len(named) == len(mine):
            keys.append(ForeignKey(f"{table}_{'_'.join(mine)}_foreign", tuple(mine), other, tuple(named)))
    return tuple(keys)


def schema_dump(session: SqlSession) -> str:
    """Equal for equal schemas: frameworks change a table by making another one and renaming it, which leaves
    other quotes and spaces behind."""
    rows = session.query(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name",
        max_rows=MAX_ROWS,
    ).rows
    return "\n".join(f"-- {kind} {name}\n{ddl_text.normal(str(sql))};\n" for kind, name, sql in rows)


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
    return f"DROP INDEX {quoted(index.name)}"


def index_sizes(session: SqlSession) -> tuple[IndexSize, ...]:
    """Bytes of the pages of each index, counted now (dbstat); of a row's own number those of its table."""
    pages = {
        str(name): int(size)
        for name, size in session.query(
            "SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE", max_rows=MAX_ROWS, timeout=COUNT_SECONDS
        ).rows
    }
    return tuple(
        IndexSize(table.name, index.name, index.columns, pages.get(index.name, pages.get(table.name, 0)))
        for table in schema(session, False).tables
        for index in table.indexes
    )


def analyze(session: SqlSession, tables: Sequence[str]) -> None:
    """From all rows, so that the same rows give the same statistics. Connections that are open read them
    anew because a table is made and dropped: they look for nothing but a change of the schema."""
    session.query("PRAGMA analysis_limit = 0")
    for table in tables:
        session.query(f"ANALYZE {quoted(table)}", timeout=ANALYZE_SECONDS)
    session.query("CREATE TABLE bedev_statistics_changed (a)")
    session.query("DROP TABLE bedev_statistics_changed")


def statistics(session: SqlSession) -> dict[tuple[str, str], tuple[int, ...]]:
    """What `analyze` found, by table and index (empty for the table): its rows, then rows for each value of
    the first column, of the first two, and so on."""
    if not session.query("SELECT COUNT(*) FROM sqlite_master WHERE name = 'sqlite_stat1'").scalar:
        return {}
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for table, index, stat in session.query(
        "SELECT tbl, idx, stat FROM sqlite_stat1", max_rows=MAX_ROWS
    ).rows:
        numbers = tuple(int(n) for n in str(stat).split() if n.isdigit())
        found[(str(table), str(index or ""))] = numbers
    return found


def analyzed_rows(session: SqlSession) -> dict[str, int]:
    rows: dict[str, int] = {}
    for (table, _), numbers in statistics(session).items():
        rows[table] = max(rows.get(table, 0), numbers[0] if numbers else 0)
    return rows
