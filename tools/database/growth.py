"""Growth of tables to a realistic size: what rows to make, planned from the schema and the rows there are.

The plan is data and knows no SQL; the engine renders it (`Engine.grow`). The same seed, schema and rows
give the same plan and the same rows on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bedev.sandboxes.engines.engine import ColumnGrowth, GrowthPlan, Schema, Table, TableGrowth
from bedev.sandboxes.errors import UsageError
from bedev.tools.database.growth_checks import read_checks
from bedev.tools.database.growth_columns import EMPTY_NULLS, OTHER_SIDE, Filling, order_dates, plain_column
from bedev.tools.database.growth_links import Link, is_framework, is_lookup, links
from bedev.tools.database.growth_sample import ColumnSampler
from bedev.tools.database.growth_unique import (
    combinations,
    counter_column,
    single_uniques,
    too_many,
    unique_column,
)

BIGGEST = 1_000_000  # rows of the biggest table when the user asks for nothing
TOTAL = 2_500_000  # rows of all grown tables together when the user asks for nothing
MOST = 100_000_000  # rows of one table that anybody may ask for
MOMENT = "2025-01-01 00:00:00"  # the end of invented dates where no row of the database has a date

_WISH = re.compile(r"^(\d[\d_]*)(?:\.(\d+))?(?:([kKmM])|[eE](\d{1,2}))?$")


def parse_rows(texts: str | Sequence[str]) -> dict[str, int]:
    """`users=200000,orders=1e6` (once or several times) as table -> rows. `200k`, `1.5M`, `1e6` and
    `1_000_000` are numbers too. Raises UsageError for anything else."""
    wishes: dict[str, int] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        for part in text.split(","):
            table, equals, number = (p.strip() for p in part.partition("="))
            if not equals or not table:
                raise UsageError(
                    f"--rows {part.strip()!r} names no table and number.",
                    where="--rows",
                    next_step="Write --rows users=200000,orders=1M.",
                )
            rows = _number(table, number)
            if wishes.setdefault(table, rows) != rows:
                raise UsageError(
                    f"--rows asks for {wishes[table]:,} and for {rows:,} rows of {table}.",
                    where="--rows",
                    next_step="Name each table once.",
                )
    return wishes


def _number(table: str, text: str) -> int:
    match = _WISH.match(text)
    if not match:
        raise UsageError(
            f"--rows {table}={text} is no number of rows.",
            where="--rows",
            next_step="Write a whole number such as 200000, 200k, 1M or 1e6.",
        )
    whole, fraction, unit, exponent = match.groups()
    power = {"k": 3, "m": 6}[unit.lower()] if unit else int(exponent or 0)
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > power:
        raise UsageError(
            f"--rows {table}={text} is not a whole number of rows.",
            where="--rows",
            next_step="Write a whole number such as 200000, 200k, 1M or 1e6.",
        )
    rows: int = int(whole.replace("_", "") + fraction) * 10 ** (power - len(fraction))
    if rows > MOST:
        raise UsageError(
            f"--rows {table}={text} is more than a sandbox can hold.",
            where="--rows",
            next_step=f"Ask for at most {MOST:,} rows.",
        )
    return rows


def default_rows(schema: Schema) -> dict[str, int]:
    """How many rows each table gets when the user asks for nothing (`schema` read with exact counts).

    - Tables of frameworks (migrations, jobs, sessions, cache, password resets) and lookup tables
      (countries, roles, statuses; or small, without references, of one or two short texts) stay as they are.
    - The other tables with rows grow by one and the same factor, so that the proportions of the seeded data
      are kept: the biggest gets 1,000,000 rows, all of them together at most 2,500,000.
    - A table that the seeder left empty stays empty; only where the seeder filled nothing at all each gets
      rows: 100,000 where it refers to no other, 500,000 where it does (within the same total).
    - A table never gets more rows than its unique keys of other tables leave room for (a profile for each
      user; pairs of a pivot table: half of those that are possible).

    A user who names tables gets these and no others: children of a grown table keep their count.
    """
    entities = [t for t in schema.tables if not is_framework(t) and not is_lookup(schema, t)]
    seeded = [t for t in entities if t.rows > 0]
    if seeded:
        scale = BIGGEST / max(t.rows for t in seeded)
        rows = {t.name: max(t.rows, round(t.rows * scale)) for t in seeded}
    else:
        rows = {t.name: 500_000 if links(schema, t) else 100_000 for t in entities}
    total = sum(rows.values())
    if total > TOTAL:
        rows = {name: int(count * TOTAL / total) for name, count in rows.items()}
    rows = {t.name: max(t.rows, rows[t.name]) for t in entities if t.name in rows}
    sizes = {t.name: t.rows for t in schema.tables} | rows
    for table in _fill_order(schema, [t for t in entities if t.name in rows]):
        room = _room(schema, table, sizes)
        if room is not None:
            sizes[table.name] = rows[table.name] = max(table.rows, min(rows[table.name], room))
    return {name: count for name, count in rows.items() if count > 0}


def _room(schema: Schema, table: Table, sizes: Mapping[str, int]) -> int | None:
    """The rows that unique keys made of foreign keys alone leave room for; None where there are none."""
    parents = {link.columns: sizes.get(link.table, 0) for link in links(schema, table)}
    rooms: list[int] = []
    for index in (i for i in table.indexes if i.unique):
        parts = [size for columns, size in parents.items() if set(columns) <= set(index.columns)]
        covered = {c for columns in parents if set(columns) <= set(index.columns) for c in columns}
        if parts and covered == set(index.columns):
            product = 1
            for part in parts:
                product *= part
            rooms.append(product if len(parts) == 1 else product // 2)
    return min(rooms) if rooms else None


def plan_growth(
    schema: Schema, sample: ColumnSampler, wanted: Mapping[str, int], seed: int, both_sides: bool = True
) -> GrowthPlan:
    """The rows to make so that each table of `wanted` has that many; other tables keep their count.

    `sample` reads what rows exist. With `both_sides` a nullable column without a NULL gets 3 % NULLs, one
    that is all NULL 3 % values, a flag that is always the same 3 % of the other, an enum some rows of each
    member: what makes a wrong patch visible. Raises UsageError for an unknown table (with those that are
    near), for fewer rows than there are, and where keys or types leave no room for so many rows;
    DatabaseError with the server's words.
    """
    wishes = _resolve(schema, wanted)
    moment = sample.newest(schema) or MOMENT
    sizes = {t.name: t.rows for t in schema.tables}
    planned: list[TableGrowth] = []
    for table in _fill_order(schema, [schema_table(schema, n) for n in wishes]):
        present = sample.table(table).rows
        if wishes[table.name] < present:
            raise UsageError(
                f"{table.name} has {present:,} rows already; growing it to {wishes[table.name]:,} is not"
                " possible: growth only adds.",
                where="--rows",
                next_step=f"Ask for at least {present}, or leave {table.name} out.",
            )
        sizes.update(
            {link.table: _rows(schema, sample, link.table, wishes, planned) for link in links(schema, table)}
        )
        filling = Filling(
            table,
            sample.table(table),
            wishes[table.name] - present,
            sizes,
            read_checks(table.checks, sample.dialect),
            moment,
            both_sides,
        )
        columns, distinct = _columns(schema, sample, filling, wishes)
        source = "rows" if present else "schema"
        planned.append(TableGrowth(table.name, present, wishes[table.name], columns, source, distinct))
    return GrowthPlan(tuple(planned), seed)


def schema_table(schema: Schema, name: str) -> Table:
    """The table `name`. Raises UsageError with near matches."""
    table = schema.table(name)
    if table is not None:
        return table
    import difflib

    names = [t.name for t in schema.tables]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or sorted(names)[:8]
    raise UsageError(
        f"There is no table named {name!r}.",
        where="--rows",
        next_step=f"Did you mean {', '.join(near)}?" if near else "The database has no tables.",
    )


def _resolve(schema: Schema, wanted: Mapping[str, int]) -> dict[str, int]:
    return {schema_table(schema, name).name: rows for name, rows in wanted.items()}


def _rows(
    schema: Schema,
    sample: ColumnSampler,
    name: str,
    wishes: Mapping[str, int],
    planned: Sequence[TableGrowth],
) -> int:
    """The rows of `name` at the moment when the next table is filled."""
    table = schema.table(name)
    if table is None:
        return 0
    done = next((t.wanted for t in planned if t.table == table.name), None)
    return done if done is not None else sample.table(table).rows


def _fill_order(schema: Schema, tables: Sequence[Table]) -> list[Table]:
    """Parents before children; where tables refer to each other in a circle, by name (the one that comes
    first then takes its parents from the rows that are there)."""
    left = sorted(tables, key=lambda t: t.name)
    ordered: list[Table] = []
    while left:
        names = {t.name.lower() for t in left}

        def waits(table: Table, names: set[str] = names) -> int:
            needed = [
                link
                for link in links(schema, table)
                if link.table.lower() in names and link.table.lower() != table.name.lower()
            ]
            # In a circle a table whose keys may be NULL goes first.
            must = [k for k in needed if not all((c := table.column(n)) and c.nullable for n in k.columns)]
            return 2 * len(must) + bool(needed)

        first = min(left, key=lambda t: (waits(t), t.name))
        ordered.append(first)
        left.remove(first)
    return ordered


def _columns(
    schema: Schema, sample: ColumnSampler, filling: Filling, wishes: Mapping[str, int]
) -> tuple[tuple[ColumnGrowth, ...], tuple[str, ...]]:
    table = filling.table
    decided: dict[str, ColumnGrowth] = {}
    linked: dict[str, str] = {}
    indexes = [{c.lower() for c in i.columns} for i in table.indexes if i.unique]
    composite = {c for i in table.indexes if i.unique and len(i.columns) > 1 for c in i.columns}
    usable = _usable_links(schema, sample, filling)
    for link in usable:
        if any(c in decided for c in link.columns):
            _overlap(filling, link, decided, linked)
            continue
        alone = {c.lower() for c in link.columns} in indexes
        for name, growth in _link_columns(schema, filling, link, alone, wishes, composite).items():
            decided[name] = growth
            if growth.group:
                linked[name] = growth.group
    _follow_parents(schema, sample, filling, usable, decided, linked)
    uniques = single_uniques(table)
    for column in table.columns:
        if column.auto_increment:
            counter_column(filling, column)
        if column.name not in decided:
            rule = unique_column if column.name in uniques else plain_column
            decided[column.name] = rule(filling, column)
    decided, distinct = combinations(filling, decided, linked)
    ordered = order_dates(filling, [decided[c.name] for c in table.columns])
    return tuple(ordered), distinct


def _usable_links(schema: Schema, sample: ColumnSampler, filling: Filling) -> list[Link]:
    """Declared links, and implied ones that the rows do not contradict."""
    table = filling.table
    usable = []
    for link in links(schema, table):
        parent = schema.table(link.table)
        if parent is None or any((c := table.column(n)) is None or c.generated for n in link.columns):
            continue
        if not link.declared:
            if not filling.parents.get(parent.name):
                continue
            if filling.sample.rows and not sample.within(table, link.columns[0], parent, link.referenced[0]):
                continue
        usable.append(replace(link, table=parent.name))
    return usable


def _overlap(filling: Filling, link: Link, decided: dict[str, ColumnGrowth], linked: dict[str, str]) -> None:
    """Two foreign keys share columns: the wider one was decided first and implies the narrower; where it
    does not, only copied rows are known to satisfy both."""
    if all(c in decided for c in link.columns):
        return
    if not filling.sample.rows:
        raise UsageError(
            f"{filling.table.name} is empty and its foreign keys share columns: no rows can be made for it.",
            where=f"{filling.table.name}.{link.columns[0]}",
            next_step="Seed at least one row of it, or leave it out of --rows.",
        )
    groups = {linked.pop(c) for c in link.columns if c in linked}
    for column in [*decided, *link.columns]:
        if column in link.columns or linked.get(column) in groups:
            decided[column] = ColumnGrowth(column, "copy")


def _link_columns(
    schema: Schema,
    filling: Filling,
    link: Link,
    alone: bool,
    wishes: Mapping[str, int],
    composite: set[str],
) -> dict[str, ColumnGrowth]:
    table = filling.table
    parent = schema_table(schema, link.table)
    itself = parent.name == table.name
    parents = filling.sample.rows if itself else filling.parents.get(parent.name, 0)
    nullable = [c for c in link.columns if (k := table.column(c)) and k.nullable]
    first = nullable[0] if nullable else link.columns[0]
    seen = filling.sample.columns[first]
    share = (seen.null_share if filling.sample.rows else EMPTY_NULLS) if nullable else 0.0
    if nullable and not share and filling.both_sides:
        share = OTHER_SIDE
    if itself and nullable and not filling.sample.rows:
        share = 0.3
    if not parents and not itself:
        if nullable:
            return {c: ColumnGrowth(c, "constant", values=(None,)) for c in link.columns}
        raise UsageError(
            f"{table.name} cannot be grown: every row needs one of {parent.name}, which is empty.",
            where=f"{table.name}.{link.columns[0]}",
            next_step=f"Add --rows {parent.name}=1000.",
        )
    if alone:
        if not nullable and filling.sample.rows + filling.new > parents:
            raise too_many(filling, link.columns, parents)
    elif (
        filling.sample.rows
        and seen.filled
        and not itself
        and parent.name not in wishes
        and not composite & set(link.columns)
        and (is_lookup(schema, parent) or any(filling.checks.together & {c.lower() for c in link.columns}))
    ):
        # A lookup keeps the frequencies of the rows that exist (most users are from few countries).
        missing = nullable and seen.filled == seen.rows and filling.both_sides
        added = OTHER_SIDE if missing and len(link.columns) == 1 else 0.0
        return {c: ColumnGrowth(c, "copy", null_share=added) for c in link.columns}
    return {
        c: ColumnGrowth(
            c,
            "foreign_key",
            null_share=round(share, 6) if not nullable or c in nullable else 0.0,
            table=parent.name,
            referenced=r,
            group=link.name,
            unique=alone,
        )
        for c, r in zip(link.columns, link.referenced, strict=True)
    }


def _follow_parents(
    schema: Schema,
    sample: ColumnSampler,
    filling: Filling,
    usable: Sequence[Link],
    decided: dict[str, ColumnGrowth],
    linked: dict[str, str],
) -> None:
    """`orders.tenant_id` is the tenant of the order's user, in applications with a tenant in each table:
    take it from the same row as `user_id`, where the rows that exist agree."""
    narrow = {link.columns[0]: link for link in usable if len(link.columns) == 1}
    for column, own in narrow.items():
        growth = decided[column]
        if growth.unique or growth.kind not in ("foreign_key", "copy"):
            continue
        for link in usable:
            through = decided[link.columns[0]]
            parent = schema_table(schema, link.table)
            theirs = parent.column(column)
            if (
                column in link.columns
                or through.kind != "foreign_key"
                or theirs is None
                or through.group == growth.group
            ):
                continue
            same = any(
                k.columns == (theirs.name,) and k.table.lower() == own.table.lower()
                for k in links(schema, parent)
            )
            mine = filling.table.column(column)
            if (
                not same
                or mine is None
                or (theirs.nullable and not mine.nullable)
                or parent.name == filling.table.name
            ):
                continue
            if filling.sample.rows and not sample.agrees(
                filling.table, column, parent, link.columns, link.referenced
            ):
                continue
            decided[column] = replace(
                through, column=column, referenced=theirs.name, unique=False, null_share=0.0
            )
            linked[column] = through.group
            break
