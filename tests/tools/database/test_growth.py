"""What is asked for and what is planned: without a database server."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import cast

import pytest
from bedev.sandboxes.engines.engine import Column, ForeignKey, Index, Schema, Table
from bedev.sandboxes.errors import UsageError
from bedev.tools.database.growth import (
    BIGGEST,
    MOST,
    TOTAL,
    default_rows,
    parse_rows,
    plan_growth,
    schema_table,
)
from bedev.tools.database.growth_checks import Allowed, read_checks
from bedev.tools.database.growth_hints import numbered, token_length
from bedev.tools.database.growth_sample import ColumnSampler
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)


@given(st.dictionaries(NAMES, st.integers(0, MOST), min_size=1, max_size=5))
def test_whole_numbers_come_back_as_they_were_written(wanted: dict[str, int]) -> None:
    assert parse_rows(",".join(f"{t}={n}" for t, n in wanted.items())) == wanted
    assert parse_rows([f" {t} = {n:_} " for t, n in wanted.items()]) == wanted


@given(st.text(max_size=30))
def test_anything_else_is_numbers_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        rows = parse_rows(text)
        assert all(table and 0 <= number <= MOST for table, number in rows.items())


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("200k", 200_000),
        ("1M", 10**6),
        ("1e6", 10**6),
        ("1.5M", 1_500_000),
        ("1_000", 1_000),
        ("2.50k", 2_500),
    ],
)
def test_short_forms_of_numbers(text: str, rows: int) -> None:
    assert parse_rows(f"users={text}") == {"users": rows}


@pytest.mark.parametrize(
    "text",
    ["", "users", "users=", "=5", "users=-1", "users=1.5", "users=1.2345k", "users=1e99", "a=1,a=2", "a=x"],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rows(text)


def table(name: str, rows: int, *columns: str, parents: tuple[str, ...] = ()) -> Table:
    own = tuple(Column(c, "varchar(50)", "varchar", False, length=50) for c in columns)
    keys = tuple(Column(f"{p}_key", "bigint(20)", "bigint", False) for p in parents)
    return Table(
        name,
        (Column("id", "bigint(20)", "bigint", False, auto_increment=True), *own, *keys),
        (Index("PRIMARY", ("id",), True, True),),
        tuple(ForeignKey(f"{name}_{p}", (f"{p}_key",), p, ("id",)) for p in parents),
        (),
        rows,
    )


SHOP = Schema(
    (
        table("countries", 10, "code", "name"),
        table("migrations", 12, "migration"),
        table("users", 50, "name", "email", "password"),
        table("orders", 250, "status", "total", "note", parents=("users",)),
        table("reviews", 0, "body", "title", "stars", parents=("users",)),
    )
)


def test_by_default_entities_grow_in_proportion_and_lookups_stay() -> None:
    assert default_rows(SHOP) == {"users": 200_000, "orders": BIGGEST}


def test_by_default_all_tables_together_stay_below_the_total() -> None:
    many = Schema(tuple(table(f"things{n}", 100, "a", "b", "c") for n in range(10)))
    rows = default_rows(many)
    assert sum(rows.values()) <= TOTAL
    assert len(set(rows.values())) == 1


def test_by_default_a_table_never_shrinks() -> None:
    big = Schema((table("logs", 5_000_000, "a", "b", "c"), table("users", 10, "a", "b", "c")))
    assert default_rows(big) == {"logs": 5_000_000, "users": 10}


def test_without_any_seeded_row_every_entity_gets_some() -> None:
    empty = Schema(tuple(replace(t, rows=0) for t in SHOP.tables if t.name != "countries"))
    assert default_rows(empty) == {"users": 100_000, "orders": 500_000, "reviews": 500_000}


def test_by_default_a_pivot_table_gets_no_more_than_pairs_allow() -> None:
    pivot = table("likes", 900, parents=("users", "posts"))
    pivot = replace(pivot, indexes=(*pivot.indexes, Index("pair", ("users_key", "posts_key"), True)))
    schema = Schema((table("users", 10, "a", "b", "c"), table("posts", 10, "a", "b", "c"), pivot))
    rows = default_rows(schema)
    assert rows["likes"] <= rows["users"] * rows["posts"] // 2


def test_an_unknown_table_is_refused_with_those_that_are_near() -> None:
    with pytest.raises(UsageError) as caught:
        schema_table(SHOP, "user")
    assert "users" in caught.value.next_step
    with pytest.raises(UsageError, match="no table named 'oders'"):
        plan_growth(SHOP, cast(ColumnSampler, None), {"oders": 5}, 1)


@pytest.mark.parametrize(
    ("check", "allowed"),
    [
        ("`x` in ('a','b')", Allowed(values=("a", "b"))),
        ("json_valid(`x`)", Allowed(json=True)),
        ("char_length(`x`) <= 5", Allowed(longest=5)),
        ("length(`x`) = 2", Allowed(shortest=2, longest=2)),
        ("`x` <> ''", Allowed(shortest=1)),
        ("`x` regexp '^a'", Allowed(opaque=True)),
    ],
)
def test_a_check_says_what_a_column_may_hold(check: str, allowed: Allowed) -> None:
    assert read_checks([check], "mysql").of("x") == allowed


@given(
    st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.sampled_from(["between", "ge", "flipped", "null"])
)
def test_bounds_are_read_however_they_are_written(low: int, width: int, style: str) -> None:
    high = low + width
    text = {
        "between": f"`x` between {low} and {high}",
        "ge": f"`x` >= {low} and `x` <= {high}",
        "flipped": f"{low} <= `x` and ({high} >= `x`)",
        "null": f"`x` is null or `x` >= {low} and `x` <= {high}",
    }[style]
    allowed = read_checks([text], "mysql").of("x")
    assert (allowed.low, allowed.high, allowed.opaque) == (low, high, False)


def test_columns_that_are_compared_are_kept_together() -> None:
    assert read_checks(["`discount` <= `total`"], "mysql").together == {"discount", "total"}


@given(st.text(max_size=60))
def test_no_text_of_a_check_breaks_the_reader(text: str) -> None:
    read_checks([text], "mysql")


def test_shapes_of_codes_and_tokens() -> None:
    assert numbered(("ORD-00012", "ORD-00345")) == ("ORD-", 5)
    assert numbered(("a1", "a12")) == ("a", 0)
    assert numbered(("a1", "b1")) is None
    assert token_length(("ab" * 16, "0f" * 16)) == 32
    assert token_length(("Ana Maria Lopez Garcia 1",)) == 0
