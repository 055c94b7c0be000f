"""Schema, statistics and indexes of a PostgreSQL database: the tables that its search path sees.

Types get the names that all engines share: `int4` is an `int`, `timestamptz` a `timestamp`. A domain is what
it is made of. Index parts that are expressions stand as the server writes them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bedev.sandboxes.engines.engine import Column, ForeignKey, Index, IndexSize, IndexSpec, Schema, Table
from bedev.sandboxes.engines.postgres.sessions import FLUSH, quoted
from bedev.sandboxes.errors import DatabaseError, UsageError
from bedev.sandboxes.sandbox import SqlSession

COUNT_SECONDS = 300.0
ANALYZE_SECONDS = 1800.0
MAX_ROWS = 200_000  # of a catalogue query: some thousand tables
LONGEST_NAME = 63  # bytes; the server cuts longer names

BASE_TYPES: Mapping[str, str] = {
    "int2": "smallint",
    "int4": "int",
    "int8": "bigint",
    "float4": "float",
    "float8": "double",
    "numeric": "decimal",
    "bool": "boolean",
    "bpchar": "char",
    "citext": "varchar",
    "timestamptz": "timestamp",
    "timetz": "time",
    "inet": "inet6",
    "bit": "bit_string",
    "varbit": "bit_string",
}

# Visible ordinary and partitioned tables; a partition is its parent's.
_OF = (
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {joins}WHERE c.relkind IN ('r', 'p') "
    "AND NOT c.relispartition AND c.relpersistence <> 't' AND pg_table_is_visible(c.oid) "
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
    "AND NOT EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid "
    "AND x.deptype = 'e') "
)
_TABLES = "SELECT c.relname, GREATEST(c.reltuples, 0)::bigint " + _OF.format(joins="") + "ORDER BY 1"
_COLUMNS = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), b.typname, b.typcategory, b.typtype, "
    "a.attnotnull OR (t.typtype = 'd' AND t.typnotnull), pg_get_expr(d.adbin, d.adrelid), "
    "CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, a.attidentity, a.attgenerated, "
    "l.collname, col_description(c.oid, a.attnum), "
    "(SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = b.oid) "
    + _OF.format(
        joins="JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "JOIN pg_type t ON t.oid = a.atttypid "
        "JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END "
        "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
        "LEFT JOIN pg_collation l ON l.oid = a.attcollation AND l.collname <> 'default' "
    )
    + "ORDER BY c.relname, a.attnum"
)
_INDEXES = (
    "SELECT c.relname, i.relname, x.indisunique AND x.indpred IS NULL, x.indisprimary, "
    "COALESCE(a.attname, pg_get_indexdef(x.indexrelid, k.n::int, false)), x.indisunique "
    + _OF.format(
        joins="JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid "
        "CROSS JOIN LATERAL unnest(x.indkey::int[]) WITH ORDINALITY k (attnum, n) "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum > 0 "
    )
    + "AND k.n <= x.indnkeyatts ORDER BY c.relname, NOT x.indisprimary, i.relname, k.n"
)
_FOREIGN_KEYS = (
    "SELECT c.relname, k.conname, a.attname, f.relname, r.attname "
    + _OF.format(
        joins="JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' "
        "JOIN pg_class f ON f.oid = k.confrelid "
        "CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY u (mine, theirs, n) "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.mine "
        "JOIN pg_attribute r ON r.attrelid = f.oid AND r.attnum = u.theirs "
    )
    + "ORDER BY c.relname, k.conname, u.n"
)
_CHECKS = (
    "SELECT c.relname, pg_get_expr(k.conbin, k.conrelid) "
    + _OF.format(joins="JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'c' ")
    + "ORDER BY c.relname, k.conname"
)


def schema(session: SqlSession, exact: bool) -> Schema:
    """Tables by name, views left out. Row counts are counted (`exact`) or the server's estimates. A unique
    index with a condition is no unique index here: rows outside of the condition may repeat."""

    def read(sql: str) -> dict[str, list[tuple[Any, ...]]]:
        found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for name, *rest in session.query(sql, max_rows=MAX_ROWS).rows:
            found[str(name)].append(tuple(rest))
        return found

    columns, indexes, keys, checks = (read(sql) for sql in (_COLUMNS, _INDEXES, _FOREIGN_KEYS, _CHECKS))
    return Schema(
        tuple(
            Table(
                name=name,
                columns=tuple(_column(row) for row in columns[name]),
                indexes=_indexes(indexes[name]),
                foreign_keys=_foreign_keys(keys[name]),
                checks=tuple(plain_check(str(row[0])) for row in checks[name]),
                rows=_count(session, name) if exact else int(rows[0][0]),
            )
            for name, rows in read(_TABLES).items()
        )
    )


def _count(session: SqlSession, table: str) -> int:
    return int(session.query(f"SELECT COUNT(*) FROM {quoted(table)}", timeout=COUNT_SECONDS).scalar)


def _column(row: tuple[Any, ...]) -> Column:
    (
        name,
        full,
        base,
        category,
        kind,
        filled,
        default,
        modifier,
        identity,
        generated,
        collation,
        comment,
        members,
    ) = row
    shared = "enum" if kind == "e" else "array" if category == "A" else BASE_TYPES.get(str(base), str(base))
    length = int(modifier) - 4 if shared in ("varchar", "char") and int(modifier) >= 4 else None
    precision = scale = None
    if shared == "decimal" and int(modifier) >= 4:
        precision, scale = (int(modifier) - 4) >> 16, (int(modifier) - 4) & 0x7FF
    elif shared in ("timestamp", "time") and int(modifier) >= 0:
        precision = int(modifier)
    counted = bool(identity) or str(default or "").startswith("nextval(")
    return Column(
        name=str(name),
        type=str(full),
        base_type=shared,
        nullable=not filled,
        default=None if default is None or generated else plain_default(str(default)),
        length=length,
        precision=precision,
        scale=scale,
        auto_increment=counted,
        generated=bool(generated),
        enum_values=tuple(str(member) for member in members or ()),
        collation=None if collation is None else str(collation),
        comment=str(comment or ""),
    )


def plain_default(text: str) -> str:
    """`'active'::character varying` without the cast that the server writes behind it."""
    found = re.fullmatch(r"('(?:[^']|'')*')::[\w .\"\[\]()]+", text)
    return found[1] if found else text


_CAST = re.compile(
    r"::(?:character varying|double precision|timestamp with(?:out)? time "
    r"zone|[\w.]+|\"[^\"]+\")(?:\(\d+(?:,\d+)?\))?(?:\[\])?"
)


def plain_check(text: str) -> str:
    """A CHECK as people write it: without casts, and `IN (...)` for `= ANY (ARRAY[...])`. A text that holds
    `::` keeps it."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"'{len(kept) - 1}'"

    bare = _CAST.sub("", re.sub(r"'(?:[^']|'')*'", keep, text))
    bare = re.sub(r"\(('\d+')\)", r"\1", bare)
    for form in (r"= ANY \(\(ARRAY\[([^\]]*)\]\)\)", r"= ANY \(ARRAY\[([^\]]*)\]\)"):
        bare = re.sub(form, r"IN (\1)", bare)
    return re.sub(r"'(\d+)'", lambda match: kept[int(match[1])], bare)


def _indexes(rows: Sequence[tuple[Any, ...]]) -> tuple[Index, ...]:
    columns: dict[str, list[str]] = defaultdict(list)
    kinds: dict[str, tuple[bool, bool]] = {}
    for name, unique, primary, column, _ in rows:
        columns[str(name)].append(str(column))
        kinds[str(name)] = bool(unique), bool(primary)
    return tuple(Index(n, tuple(c), kinds[n][0], primary=kinds[n][1]) for n, c in columns.items())


def _foreign_keys(rows: Sequence[tuple[Any, ...]]) -> tuple[ForeignKey, ...]:
    found: dict[str, tuple[list[str], str, list[str]]] = {}
    for name, column, table, referenced in rows:
        entry = found.setdefault(str(name), ([], str(table), []))
        entry[0].append(str(column))
        entry[2].append(str(referenced))
    return tuple(ForeignKey(n, tuple(c), t, tuple(r)) for n, (c, t, r) in found.items())


# -- indexes


def create_index_sql(index: IndexSpec) -> str:
    """Plain, not CONCURRENTLY: this is for trials on a copy, where nobody waits. Raises UsageError for an
    index without a name or columns, or with a name that the server would cut."""
    if not index.name or not index.columns:
        raise UsageError(
            f"An index on {index.table} lacks a name or columns.",
            next_step="Give it both: IndexSpec(name=...)",
        )
    if len(index.name.encode()) > LONGEST_NAME:
        raise UsageError(
            f"The name {index.name!r} is longer than {LONGEST_NAME} bytes.",
            where=f"index on {index.table}",
            next_step="Give the index a shorter name.",
        )
    unique = "UNIQUE " if index.unique else ""
    columns = ", ".join(quoted(column) for column in index.columns)
    return f"CREATE {unique}INDEX {quoted(index.name)} ON {quoted(index.table)} ({columns})"


def drop_index_sql(index: IndexSpec) -> str:
    return f"DROP INDEX {quoted(index.name)}"


def index_sizes(session: SqlSession) -> tuple[IndexSize, ...]:
    """Bytes of each index, now."""
    sizes = {
        str(name): int(size)
        for name, size in session.query(
            "SELECT i.relname, pg_relation_size(i.oid) + COALESCE("
            "(SELECT SUM(pg_relation_size(p.relid)) FROM pg_partition_tree(i.oid) p "
            "WHERE p.relid <> i.oid), 0) FROM pg_class i WHERE i.relkind IN ('i', 'I') "
            "AND pg_table_is_visible(i.oid)",
            max_rows=MAX_ROWS,
        ).rows
    }
    return tuple(
        IndexSize(table.name, index.name, index.columns, sizes.get(index.name, 0))
        for table in schema(session, False).tables
        for index in table.indexes
    )


# -- statistics

MOST_TARGET = 10_000
_TARGET = (
    "SELECT a.attname FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
    "AND a.attnum = ANY (i.indkey) WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT "
    "a.attisdropped "
    "AND COALESCE(a.attstattarget, -1) = -1 ORDER BY i.indrelid IS NULL, a.attnum LIMIT 1"
)


def analyze(session: SqlSession, tables: Sequence[str]) -> None:
    """The planner's statistics, from every row: ANALYZE draws rows at random, and base and patch would get
    other plans from the same rows. It draws 300 times the largest statistics target of a column, so one
    column has the largest that there is for that moment (3,000,000 rows); the others keep their own, as in
    production. VACUUM goes before it, so that index-only scans find the visibility map made.

    Needs the admin's session. Raises DatabaseError for a table that cannot be analyzed.
    """
    session.query(FLUSH)  # what this session wrote would count as written after the VACUUM
    for table in tables:
        name = quoted(table)
        column = session.query(_TARGET, (name,)).scalar
        if column is None:
            if session.query("SELECT to_regclass(%s)", (name,)).scalar is None:
                raise DatabaseError(f"{table} could not be analyzed: there is no such table.", where=table)
            session.query(f"VACUUM (FREEZE, ANALYZE) {name}", timeout=ANALYZE_SECONDS)
            continue
        change = f"ALTER TABLE {name} ALTER COLUMN {quoted(str(column))} SET STATISTICS"
        session.query(f"{change} {MOST_TARGET}")
        try:
            session.query(f"VACUUM (FREEZE, ANALYZE) {name}", timeout=ANALYZE_SECONDS)
        finally:
            session.query(f"{change} -1")
