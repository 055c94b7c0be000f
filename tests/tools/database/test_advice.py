"""Candidate indexes: what is worth trying, in which order, and what is not."""

from __future__ import annotations

import pytest
from bedev.sandboxes.engines.engine import Index, Schema, Table
from bedev.tools.database.advice import advise, candidate_indexes
from hypothesis import given
from hypothesis import strategies as st

from .shop_schema import PURCHASES, SCHEMA


def columns(*sqls: str, **options: object) -> list[tuple[str, ...]]:
    found = candidate_indexes(sqls, SCHEMA, "mysql", **options)  # type: ignore[arg-type]
    return [(c.index.table, *c.index.columns) for c in found]


def test_an_equality_wants_its_column() -> None:
    sql = "select * from members where email = 'a@b.c' and members.deleted_at is null order by id"
    assert columns(sql)[0] == ("members", "email")
    assert ("members", "email", "deleted_at") in columns(sql)


def test_an_order_after_an_equality_saves_the_sort() -> None:
    sql = "select * from purchases where state = 'paid' order by placed_at desc, id desc limit 50"
    best = candidate_indexes([sql], SCHEMA)[0]
    assert best.index.columns == ("state", "placed_at")  # the server appends the primary key itself
    assert best.reason == ("finds state and delivers rows in the order placed_at, id descending: no sort")
    assert best.for_sql == sql


def test_the_primary_key_at_the_end_is_written_where_the_server_does_not_append_it() -> None:
    sql = "select * from purchases where state = 'paid' order by placed_at desc, id desc limit 50"
    assert candidate_indexes([sql], SCHEMA, "postgres")[0].index.columns == ("state", "placed_at", "id")


def test_mixed_directions_are_no_order_that_a_plain_index_delivers() -> None:
    sql = "select * from purchases where state = 'paid' order by placed_at desc, total asc limit 50"
    assert ("purchases", "state", "placed_at", "total") not in columns(sql)


def test_one_range_column_comes_last() -> None:
    sql = "select * from purchases where placed_at >= '2024-01-01' and total > 5 and state = 'paid'"
    found = columns(sql)
    assert ("purchases", "state", "placed_at") in found
    assert ("purchases", "state", "total") in found
    assert not any(c[1] == "placed_at" and len(c) > 2 for c in found)


def test_equality_columns_stand_in_the_order_of_their_selectivity() -> None:
    sql = "select * from purchases where state = 'paid' and sponsor_id = 5"
    distinct = {("purchases", "state"): 5, ("purchases", "sponsor_id"): 90_000}
    assert columns(sql, distinct=distinct)[0] == ("purchases", "sponsor_id", "state")


def test_group_by_saves_the_temporary_table() -> None:
    assert ("purchases", "state") in columns("select state, count(*) from purchases group by state")


def test_a_join_wants_the_column_of_the_other_side() -> None:
    sql = "select m.name from members m join purchases p on p.sponsor_id = m.id where m.email = 'x'"
    found = columns(sql)
    assert ("purchases", "sponsor_id") in found
    assert ("members", "email") in found


def test_a_correlated_sub_query_is_an_equality() -> None:
    sql = (
        "select `members`.*, (select count(*) from `purchases` "
        "where `members`.`id` = `purchases`.`sponsor_id`) as n from `members`"
    )
    assert columns(sql)[0] == ("purchases", "sponsor_id")


def test_updates_and_deletes_search_too() -> None:
    assert ("members", "email") in columns("update members set state = 'x' where email = 'a'")
    assert ("members", "email") in columns("delete from members where email = 'a'")


def test_narrow_columns_are_carried_along_and_wide_ones_are_not() -> None:
    assert ("purchases", "state", "total") in columns("select total from purchases where state = 'paid'")
    sums = "select state, sum(total) from purchases where placed_at > '2024-01-01' group by state"
    assert ("purchases", "placed_at", "state", "total") in columns(sums)
    assert ("members", "email", "name") not in columns("select name from members where email = 'x'")


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (
            "select * from members where lower(email) = 'x'",
            "unusable: lower(email) (the column stands inside",
        ),
        ("select * from purchases where month(placed_at) = 3", "unusable: month(placed_at)"),
        ("select * from members where email = 5", "unusable: email = 5 (text is compared with a number"),
        ("select * from members where email like '%x'", "unusable: email like '%x' (the pattern begins"),
        ("select * from purchases where cast(total as char) = '5'", "unusable: cast(total as char)"),
    ],
)
def test_what_no_index_can_serve_is_said(sql: str, why: str) -> None:
    advice = advise([sql], SCHEMA)
    assert advice.candidates == ()
    assert advice.unusable[0].words.startswith(why)


@pytest.mark.parametrize("condition", ["date(placed_at) = '2024-01-01'", "year(placed_at) = 2024"])
def test_a_column_inside_date_is_tried_and_a_range_is_named_besides(condition: str) -> None:
    advice = advise([f"select * from purchases where {condition} and state = 'paid'"], SCHEMA)
    assert ("state", "placed_at") in [c.index.columns for c in advice.candidates]
    assert advice.unusable[0].tried == "placed_at"
    assert "needs a range of placed_at" in advice.unusable[0].reason


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("select max(placed_at) from purchases", ("purchases", "placed_at")),
        ("select min(total) from purchases where state = 'paid'", ("purchases", "state", "total")),
        ("select state, max(total) from purchases group by state", ("purchases", "state", "total")),
        (
            "select state, sum(total) from purchases where placed_at > '2024-01-01' group by state",
            ("purchases", "state", "placed_at", "total"),
        ),
        (
            "select sum(total) from purchases where state in ('a', 'b')",
            ("purchases", "state", "total"),
        ),
        (
            "select * from (select *, row_number() over (partition by state order by placed_at desc) n "
            "from purchases) d where n <= 3",
            ("purchases", "state", "placed_at"),
        ),
        (
            "select * from (select * from purchases where state = 'paid') d order by d.placed_at limit 5",
            ("purchases", "state", "placed_at"),
        ),
        (
            "with paid as (select * from purchases where state = 'paid') "
            "select * from paid where sponsor_id = 5",
            ("purchases", "sponsor_id", "state"),
        ),
        (
            "select * from members where id in (select member_id from purchases where sponsor_id = 5)",
            ("purchases", "sponsor_id"),
        ),
    ],
)
def test_aggregates_windows_and_derived_tables_are_looked_into(sql: str, index: tuple[str, ...]) -> None:
    assert index in columns(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from members where bio = 'x'",  # a text column
        "select * from members where motto = 'x'",  # 800 characters of four bytes
        "select * from members where id = 5 and email = 'x'",  # one row by the primary key already
        "select * from members where login = 'x' and state = 'y'",  # one row by a unique index
        "select * from members where region_code = 'AT'",  # an index that is there
        "select * from members where region_code = 'AT' order by id",  # it ends with the primary key
        "select * from members order by id limit 5",
        "select * from members where name != 'x'",
        "select * from nowhere where email = 'x'",
        "select * from (select 1 as email) d where d.email = 2",
    ],
)
def test_no_candidate_where_none_helps(sql: str) -> None:
    assert columns(sql) == []


def test_an_index_that_begins_with_the_same_columns_in_another_order_is_enough() -> None:
    table = Table("t", PURCHASES.columns, (Index("i", ("state", "sponsor_id", "total"), False),), ())
    sql = "select * from t where sponsor_id = 1 and state = 'x'"
    found = candidate_indexes([sql], Schema((table,)))
    assert ("sponsor_id", "state") not in [c.index.columns for c in found]


def test_a_with_name_hides_the_table_of_that_name() -> None:
    assert columns("with members as (select 1 as email) select * from members where email = 'x'") == []


def test_the_same_index_for_two_statements_comes_once_and_there_are_eight_at_most() -> None:
    names = ("email", "state", "name", "created_at", "deleted_at")
    sqls = [f"select * from members where {a} = 'x' and {b} = 'y'" for a in names for b in names if a != b]
    found = columns(*sqls)
    assert len(found) == 8
    assert len(set(found)) == 8


def test_the_best_index_of_each_statement_comes_before_the_second_best_of_any() -> None:
    found = columns(
        "select * from purchases where state = 'x' and sponsor_id = 5 order by placed_at limit 5",
        "select * from members where name = 'x'",
    )
    assert {c[0] for c in found[:2]} == {"purchases", "members"}


def test_a_small_table_comes_last() -> None:
    found = columns("select * from regions where name = 'x'", "select * from members where name > 'x'")
    assert found == [("members", "name"), ("regions", "name")]


def test_sql_that_cannot_be_parsed_gives_a_note() -> None:
    advice = advise(["select from where (", "select * from members where email = 'x'"], SCHEMA)
    assert advice.candidates[0].index.columns == ("email",)
    assert advice.notes[0].startswith("not understood")


WORDS = ("select * from members where", "email", "=", "'x'", "and", "(", ")", "or", "in", ",", "5", "join")


@given(st.lists(st.sampled_from(WORDS)))
def test_no_text_raises(words: list[str]) -> None:
    advise([" ".join(words)], SCHEMA)
