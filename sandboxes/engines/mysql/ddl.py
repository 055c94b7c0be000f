"""Schema, statistics and indexes of a MySQL database: MariaDB's module, with MySQL's catalogue."""

from __future__ import annotations

import re

from bedev.sandboxes.engines.engine import IndexSize, Schema
from bedev.sandboxes.engines.mariadb import ddl
from bedev.sandboxes.engines.mariadb.ddl import analyze, create_index_sql, drop_index_sql
from bedev.sandboxes.sandbox import SqlSession

__all__ = ["analyze", "create_index_sql", "drop_index_sql", "index_sizes", "schema", "schema_dump"]

_CHECKS = (
    "SELECT t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c "
    "JOIN information_schema.TABLE_CONSTRAINTS t USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME) "
    "WHERE c.CONSTRAINT_SCHEMA = %s AND t.CONSTRAINT_TYPE = 'CHECK' "
    "ORDER BY t.TABLE_NAME, c.CONSTRAINT_NAME"
)

_NUMBERS = frozenset(
    ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year", "bit")
)


def _default(text: str, base: str, extra: str) -> str:
    """MySQL gives a text bare, and says of an expression that it is one."""
    if "DEFAULT_GENERATED" in extra.upper() or base in _NUMBERS:
        return text
    return "'" + text.replace("'", "''") + "'"


def _check(clause: str) -> str:
    """MySQL escapes the whole clause once more, and names the character set of each text in it."""
    return re.sub(r"\b_[a-z0-9]+(?=')", "", re.sub(r"\\(.)", r"\1", clause))


CATALOGUE = ddl.Catalogue(
    generated="IF(GENERATION_EXPRESSION <> '', 'ALWAYS', 'NEVER')",
    # An expression's index has no column; in brackets it is the name of none.
    index_column="COALESCE(COLUMN_NAME, CONCAT('(', EXPRESSION, ')'))",
    checks=_CHECKS,
    kinds=tuple(kind for kind in ddl.KINDS if kind[0] != "SEQUENCE"),
    default=_default,
    check=_check,
)


def schema(session: SqlSession, database: str, exact: bool) -> Schema:
    return ddl.schema(session, database, exact, CATALOGUE)


def schema_dump(session: SqlSession, database: str) -> str:
    return ddl.schema_dump(session, database, CATALOGUE)


def index_sizes(session: SqlSession, database: str) -> tuple[IndexSize, ...]:
    return ddl.index_sizes(session, database, CATALOGUE)
