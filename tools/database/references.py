"""Which table's column a name in a statement means: aliases, unqualified names, sub-queries, CTEs.

sqlglot is imported inside the functions: it costs a quarter of a second that most commands do not need.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bedev.sandboxes.engines.engine import Column, Schema, Table

if TYPE_CHECKING:
    from sqlglot import exp

_DATA = re.compile(
    r"\s*\(*\s*(?:/\*.*?\*/\s*)*(?:select|with|insert|update|delete|replace|explain)\b", re.I | re.S
)
MAX_SQL = 200_000
"""Characters; a longer statement (a bulk insert) has nothing to say that is worth parsing it."""


def parse(sql: str, dialect: str) -> exp.Expr | None:
    """The tree of one statement, None where it is no data statement or cannot be read. Never raises."""
    if len(sql) > MAX_SQL or not _DATA.match(sql):
        return None
    import sqlglot
    from sqlglot.errors import SqlglotError

    log = logging.getLogger("sqlglot")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it warns about what it does not know; we answer None
    try:
        return sqlglot.parse_one(sql, read=dialect or "mysql")
    except (SqlglotError, RecursionError, ValueError, IndexError, KeyError, AttributeError, TypeError):
        return None
    finally:
        log.setLevel(level)


@dataclass(frozen=True)
class Reference:
    """A column of a table of the schema; `source` is the alias or name by which the statement calls it."""

    table: Table
    column: Column
    source: str


class References:
    """The names of one parsed statement."""

    def __init__(self, tree: exp.Expr, schema: Schema) -> None:
        from sqlglot import exp

        self._block_types = (exp.Select, exp.Update, exp.Delete)
        self.blocks: list[exp.Expr] = list(tree.find_all(*self._block_types))
        common = {c.alias_or_name.lower() for c in tree.find_all(exp.CTE)}
        self._sources: dict[int, dict[str, Table | None]] = {id(b): {} for b in self.blocks}
        for table in tree.find_all(exp.Table):
            block = self.block_of(table)
            if block is None:
                continue
            name = table.name.lower()
            known = None if name in common and not table.db else schema.table(name)
            self._sources[id(block)][table.alias_or_name.lower()] = known
        for derived in tree.find_all(exp.Subquery):
            block = derived.parent_select if derived.parent is not None else None
            if derived.alias and block is not None and id(block) in self._sources:
                self._sources[id(block)].setdefault(derived.alias.lower(), None)

    def block_of(self, node: exp.Expr) -> exp.Expr | None:
        """The SELECT, UPDATE or DELETE that a node belongs to (a derived table's own is another one)."""
        found = node.find_ancestor(*self._block_types)
        return found

    def sources(self, block: exp.Expr) -> dict[str, Table | None]:
        return self._sources[id(block)]

    def resolve(self, column: exp.Column) -> Reference | None:
        """The table and column that a name means, looking outwards from its own block; None for names of
        derived tables and for what the schema does not know."""
        return next((r for r, _ in self._candidates(column)), None)

    def resolve_in(self, column: exp.Column, block: exp.Expr) -> Reference | None:
        """The same, None where the name belongs to an outer block."""
        return next((r for r, b in self._candidates(column) if b is block), None)

    def _candidates(self, column: exp.Column) -> Iterator[tuple[Reference, exp.Expr]]:
        block = self.block_of(column)
        qualifier, name = column.table.lower(), column.name
        while block is not None:
            sources = self._sources[id(block)]
            if qualifier:
                if qualifier in sources:
                    table = sources[qualifier]
                    known = table.column(name) if table is not None else None
                    if table is not None and known is not None:
                        yield Reference(table, known, qualifier), block
                    return
            else:
                for source, table in sources.items():
                    known = table.column(name) if table is not None else None
                    if table is not None and known is not None:
                        yield Reference(table, known, source), block
                        return
                if any(table is None for table in sources.values()):
                    return  # it may be a column of a derived table
            block = self.block_of(block)
