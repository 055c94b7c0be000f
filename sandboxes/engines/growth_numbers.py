"""Where counting goes on in a text column whose values must not repeat."""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Column
from bedev.sandboxes.engines.growth_dialect import Ask, GrowthDialect
from bedev.sandboxes.errors import DatabaseError


def free_numbers(dialect: GrowthDialect, ask: Ask, table_name: str, column: Column, new: int) -> int:
    """The start of a range of `new` numbers that no value of the column ends with (before its @, if any).

    A new value ends with a mark that is no digit and its number, so it differs from every value that
    ends with another number, whatever the collation compares. Raises DatabaseError where no range is free."""
    name, table = dialect.quote(column.name), dialect.quote(table_name)
    for width in (6, 9, 12, 15):
        ends = dialect.last_numbers(name, width)
        last = f"GREATEST({', '.join(ends)})" if len(ends) > 1 else ends[0]
        start = int(ask(f"SELECT MAX({last}) FROM {table}") or 0)
        inside = " OR ".join(
            f"{number} BETWEEN {start + 1} AND {start + new}" for number in dialect.last_numbers(name, 18)
        )
        if not ask(f"SELECT COUNT(*) FROM {table} WHERE {inside}"):
            return start
    raise DatabaseError(
        f"No free numbers were found to make new values of {table_name}.{column.name} unique.",
        where=f"{table_name}.{column.name}",
        next_step=f"Leave {table_name} out of --rows.",
    )
