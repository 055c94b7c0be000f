"""Combinations that may occur only once, where a unique index over several keys is filled."""

from __future__ import annotations

from collections.abc import Mapping

from bedev.sandboxes.engines.engine import Table, TableGrowth
from bedev.sandboxes.engines.growth_dialect import NUMBER, Draws, GrowthDialect, coprime_step


def combined_columns(growth: TableGrowth, table: Table) -> tuple[str, ...]:
    """The columns of the unique index that `growth.distinct` counts through. A column that only comes along
    with a key, from the same parent row, is none of them: it may be NULL where the key is not."""
    group = {g.column: g.group if g.kind == "foreign_key" else g.column for g in growth.columns}
    wanted = {group.get(name, name) for name in growth.distinct}
    for index in sorted((i for i in table.indexes if i.unique), key=lambda i: (len(i.columns), i.name)):
        known = [name for name in index.columns if name in group]
        if len(known) > 1 and {group[name] for name in known} == wanted:
            return tuple(known)
    return tuple(g.column for g in growth.columns if group[g.column] in wanted)


def numbered_combinations(
    dialect: GrowthDialect, draws: Draws, sizes: Mapping[str, int], total: int
) -> dict[str, str]:
    """Number the combinations of columns so that none comes twice: by column, SQL for which of its values
    (0-based) a new row has.

    `sizes`: how many values each column has; `total`: how many rows are numbered, at most the product of
    the sizes. The first column keeps its value for a run of consecutive numbers; within a run the number
    itself, stepped through the product of the others' sizes, gives a different rest each time as long as
    the run is not longer than that product."""
    product = 1
    for size in sizes.values():
        product *= size
    first, run = _first(dialect, draws, sizes, total, product)
    index = {first: run}
    rest = product // sizes[first]
    step, start = coprime_step(rest), draws.constant("combination", rest)
    place, unit = f"((({NUMBER} - 1) * {step} + {start}) % {rest})", 1
    for name, size in sizes.items():
        if name != first:
            index[name] = f"({place} {dialect.divide} {unit} % {size})"
            unit *= size
    return index


def _first(
    dialect: GrowthDialect, draws: Draws, sizes: Mapping[str, int], total: int, product: int
) -> tuple[str, str]:
    """The column that keeps its value over a run, and which value it has: skewed where the longest run
    leaves room, else with a tenth of the values unused, else evenly."""
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if total / size**0.5 + 1 <= product // size:
            share = dialect.share(f"({NUMBER} - 1)", total)
            return name, _dealt(draws, name, size, dialect.floor(f"{share} * {share} * {size}"))
    name, size = max(sizes.items(), key=lambda item: item[1])
    used = size - size // 10
    if -(-total // used) > product // size:
        used = size
    return name, _dealt(draws, name, size, f"((({NUMBER} - 1) * {used}) {dialect.divide} {total})")


def _dealt(draws: Draws, name: str, size: int, place: str) -> str:
    return f"(({place} * {coprime_step(size)} + {draws.constant(name, size)}) % {size})"
