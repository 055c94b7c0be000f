"""How many bytes a column takes in an index key, and which columns cannot be in one.

Sources: MariaDB and MySQL manuals, "Data Type Storage Requirements" and "InnoDB Limits" (a key has at
most 3072 bytes with the DYNAMIC row format); PostgreSQL manual, "Index Types".
"""

from __future__ import annotations

from collections.abc import Mapping

from bedev.sandboxes.engines.engine import Column, Table

MAX_KEY_BYTES: Mapping[str, int] = {"mysql": 3072}
"""By dialect; a dialect that is not here has no limit that the declared lengths could break."""

_MYSQL_NEVER = ("text", "tinytext", "mediumtext", "longtext", "blob", "tinyblob", "mediumblob", "longblob")
_NEVER: Mapping[str, frozenset[str]] = {
    "mysql": frozenset((*_MYSQL_NEVER, "json", "geometry", "point", "linestring", "polygon", "vector")),
    "postgres": frozenset(("json", "jsonb", "xml", "point", "polygon", "tsvector", "bytea")),
}
_FIXED: Mapping[str, int] = {
    "tinyint": 1,
    "bool": 1,
    "boolean": 1,
    "bit": 1,
    "year": 1,
    "smallint": 2,
    "enum": 2,
    "mediumint": 3,
    "date": 3,
    "time": 6,
    "int": 4,
    "integer": 4,
    "float": 4,
    "timestamp": 7,
    "datetime": 8,
    "bigint": 8,
    "double": 8,
    "real": 8,
    "serial": 8,
    "set": 8,
    "inet4": 4,
    "uuid": 16,
    "inet6": 16,
}
_CHARACTER_BYTES = {"latin1": 1, "ascii": 1, "binary": 1, "utf8mb3": 3, "utf8": 3, "ucs2": 2, "cp1252": 1}


def column_bytes(column: Column) -> int:
    """The most bytes that a value of `column` takes in a key (four a character where its character set
    is not known to need fewer)."""
    null = 1 if column.nullable else 0
    if column.base_type in _FIXED:
        return _FIXED[column.base_type] + null
    if column.base_type in ("decimal", "numeric"):
        return (column.precision or 10) // 2 + 1 + null
    length = column.length if column.length is not None else 255
    if column.base_type in ("binary", "varbinary"):
        return length + 2 + null
    character_set = (column.collation or "").split("_")[0].lower()
    return length * _CHARACTER_BYTES.get(character_set, 4) + 2 + null


def cannot_be_key(column: Column, dialect: str) -> bool:
    """Whether a column of this type needs another kind of index (full text, prefix, spatial)."""
    never = _NEVER.get(dialect, frozenset(("json", "jsonb", "blob")))
    return column.base_type.lower() in never


def key_bytes(table: Table, columns: tuple[str, ...]) -> int:
    return sum(column_bytes(c) for c in (table.column(name) for name in columns) if c is not None)
