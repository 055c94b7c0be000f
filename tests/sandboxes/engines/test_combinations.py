"""A combination is taken when the columns of its unique index are."""

from __future__ import annotations

from bedev.sandboxes.engines.combinations import combined_columns
from bedev.sandboxes.engines.engine import Column, ColumnGrowth, Index, Table, TableGrowth


def column(name: str) -> Column:
    return Column(name, "int", "int", nullable=True)


def key(name: str, group: str) -> ColumnGrowth:
    return ColumnGrowth(name, "foreign_key", table="parents", referenced="id", group=group)


def growth(*columns: ColumnGrowth, distinct: tuple[str, ...]) -> TableGrowth:
    return TableGrowth("pairs", 3, 9, columns, "rows", distinct)


def table(*indexes: Index) -> Table:
    names = ("id", "locale", "group", "project")
    return Table("pairs", tuple(column(n) for n in names), indexes, (), rows=3)


def test_a_column_that_comes_along_with_a_key_is_none_of_them() -> None:
    grown = growth(key("locale", "l"), key("group", "l"), key("project", "p"), distinct=("project", "locale"))
    assert combined_columns(grown, table(Index("u", ("project", "locale"), True))) == ("project", "locale")


def test_the_index_counts_where_another_column_stands_for_the_key() -> None:
    grown = growth(key("group", "l"), key("locale", "l"), key("project", "p"), distinct=("project", "group"))
    assert combined_columns(grown, table(Index("u", ("project", "locale"), True))) == ("project", "locale")
