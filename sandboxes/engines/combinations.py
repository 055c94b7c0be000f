"""Which columns say that a combination is taken, where a unique index over several keys is filled."""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Table, TableGrowth


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
