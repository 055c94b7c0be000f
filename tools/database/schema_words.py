"""A schema in words for a model: all tables in brief, one in full, and what differs between two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from bedev.sandboxes.engines.engine import Column, Index, Schema, Table
from bedev.tools.database.index_trials import ColumnSample
from bedev.tools.text_table import aligned, cut

MOST_COLUMNS = 30
FULL_TABLES = 40
"""With more tables the brief leaves columns out."""


def brief(schema: Schema) -> str:
    """A line or two for each table: rows, columns (`?`: may be NULL), indexes, foreign keys."""
    lines = []
    for table in schema.tables:
        lines.append(f"{table.name}: ~{table.rows:,} rows; {'; '.join([*_indexes(table), *_keys(table)])}")
        if len(schema.tables) <= FULL_TABLES:
            names = [f"{c.name}{'?' if c.nullable else ''}" for c in table.columns]
            more = f", and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
            lines.append(f"  {', '.join(names[:MOST_COLUMNS])}{more}")
    return "\n".join(lines)


def full(
    schema: Schema,
    table: Table,
    rows: int,
    samples: Mapping[str, ColumnSample],
    skew: Mapping[str, tuple[int, int] | None],
) -> str:
    """One table with everything. `samples` by column; `skew`: rows per parent (median, most) by key."""
    usual = _usual_collation(table)
    columns = [
        (c.name, c.type, _null(c, samples.get(c.name)), _distinct(samples.get(c.name)), _rest(c, usual))
        for c in table.columns
    ]
    counted = next((s.rows for s in samples.values()), rows)
    distinct = f"distinct (of {counted:,} rows)" if counted < rows else "distinct"
    referring = [
        f"{other.name}({', '.join(key.columns)})"
        for other in schema.tables
        for key in other.foreign_keys
        if key.table.lower() == table.name.lower()
    ]
    lines = [f"{table.name}: {rows:,} rows{f', texts are {usual}' if usual else ''}"]
    lines += aligned(("column", "type", "", distinct, ""), columns, {3})
    lines += [f"index {words}" for words in _indexes(table)] or ["no index"]
    lines += [
        f"foreign key {words}{_skew(skew.get(key.name))}"
        for key, words in zip(table.foreign_keys, _keys(table), strict=True)
    ]
    lines += [f"check {cut(check, 200)}" for check in table.checks]
    if referring:
        lines.append(f"referred to by {', '.join(referring)}")
    return "\n".join(lines)


def differences(base: Schema, now: Schema) -> tuple[str, ...]:
    """What `now` has that `base` has not, and the other way round."""
    found: list[str] = []
    for table in now.tables:
        before = base.table(table.name)
        if before is None:
            found.append(f"+ table {table.name}")
        else:
            found.extend(_changes(before, table))
    found += [f"- table {t.name}" for t in base.tables if now.table(t.name) is None]
    return tuple(found)


def _changes(before: Table, now: Table) -> Iterator[str]:
    for kind, old, new in (
        ("column", {c.name: _column(c) for c in before.columns}, {c.name: _column(c) for c in now.columns}),
        ("index", {i.name: _index(i) for i in before.indexes}, {i.name: _index(i) for i in now.indexes}),
        (
            "foreign key",
            {k.name: f"{k.columns} {k.table} {k.referenced}" for k in before.foreign_keys},
            {k.name: f"{k.columns} {k.table} {k.referenced}" for k in now.foreign_keys},
        ),
    ):
        for name in new:
            if name not in old:
                yield f"+ {kind} {now.name}.{new[name] if kind != 'foreign key' else name}"
            elif old[name] != new[name]:
                yield f"~ {kind} {now.name}.{name}: {old[name]} -> {new[name]}"
        for name in old:
            if name not in new:
                yield f"- {kind} {now.name}.{old[name] if kind != 'foreign key' else name}"


def _column(column: Column) -> str:
    null = "NULL" if column.nullable else "not null"
    default = f" default {column.default}" if column.default is not None else ""
    return f"{column.name} {column.type} {null}{default}"


def _index(index: Index) -> str:
    unique = " unique" if index.unique and not index.primary else ""
    return f"{index.name}({', '.join(index.columns)}){unique}"


def _indexes(table: Table) -> list[str]:
    return [_index(index) for index in table.indexes]


def _keys(table: Table) -> list[str]:
    return [
        f"{', '.join(key.columns)} -> {key.table}({', '.join(key.referenced)})" for key in table.foreign_keys
    ]


def _distinct(sample: ColumnSample | None) -> str:
    return "" if sample is None else f"{sample.distinct:,}"


def _null(column: Column, sample: ColumnSample | None) -> str:
    """`not null`, or the share of NULLs: `NULL 12 %`."""
    if not column.nullable:
        return "not null"
    return f"NULL {100 * sample.nulls / sample.rows:.3g} %" if sample is not None and sample.rows else "NULL"


def _skew(rows: tuple[int, int] | None) -> str:
    return f" (rows per parent: median {rows[0]:,}, most {rows[1]:,})" if rows is not None else ""


def _usual_collation(table: Table) -> str:
    """The collation of most of its columns, which names the character set too."""
    found = Counter(c.collation for c in table.columns if c.collation)
    return found.most_common(1)[0][0] if found else ""


def _rest(column: Column, usual: str) -> str:
    words = []
    if column.collation and column.collation != usual:
        words.append(column.collation)
    if column.default is not None:
        words.append(f"default {column.default}")
    if column.auto_increment:
        words.append("auto increment")
    if column.generated:
        words.append("generated")
    if column.comment:
        words.append(cut(column.comment, 60))
    return ", ".join(words)
