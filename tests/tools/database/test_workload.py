"""Statements become a workload: what is asked, how often, by which line, and what is asked too often."""

from __future__ import annotations

import time

import pytest
from bedev.sandboxes.engines.engine import Statement, StatementStatistics
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.database.fingerprint import digest_key, fingerprint, literals, tables
from bedev.tools.database.workload import build, n_plus_one
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT * FROM `members` WHERE `email` = 'a@b.c'", "select *  from members where email='x\\'y'"),
        ("select 1 from t where id in (1)", "select 1 from t where id in (1, 2, 3)"),
        ("select 1 from t where id in (?, ?)", "select 1 from t where id IN (7,8,9)"),
        ("insert into t (a, b) values (1, null)", "insert into t (a,b) VALUES (1,'x'), (2,'y'), (3,'z')"),
        ("select 1 from t where a = -5", "select 1 from t where a = 5"),
        (
            "select 1 from t where a > -1.5e3 /* why */ limit 10;",
            "select 1 from t\nwhere a > 2 -- so\n limit 20",
        ),
        ("select 1 from t where a = 0x1F", "select 1 from t where a = x'1F'"),
        ("select 1 from t where a = true", "select 1 from t where a = 1"),
        ("select 1 from t where a = :name", "select 1 from t where a = %s"),
        ("select 1 from t where (a, b) in ((1, 2))", "select 1 from t where (a, b) in ((1, 2), (3, 4))"),
    ],
)
def test_statements_of_one_shape_share_a_fingerprint(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select a from t", "select b from t"),
        ("select 1 from t where a = 1", "select 1 from t where a > 1"),
        ("select 1 from t where a is null", "select 1 from t where a is not null"),
        ("select a - 1 from t", "select a from t"),
        ("select 1 from t order by a", "select 1 from t order by a desc"),
    ],
)
def test_statements_of_different_shapes_do_not(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_a_double_quote_is_a_string_in_mysql_and_a_name_elsewhere() -> None:
    assert fingerprint('select 1 from t where a = "x"', "mysql").endswith("a = ?")
    assert fingerprint('select 1 from "T" where "a" = $1', "postgres") == "select ? from T where a = ?"
    sql = r"select $1, $$it's $1$$, $q$ $$ $q$, E'it\'s\n', e from t where name = 'a\'"
    assert fingerprint(sql, "postgres") == "select ?, ?, ?, ?, e from t where name = ?"
    assert literals(sql, "postgres") == ("it's $1", " $$ ", "it's\n", "a\\")
    assert literals("select $$cut off", "postgres") == ("cut off",)


def test_the_servers_digest_text_has_the_key_of_the_statement() -> None:
    digest = "SELECT * FROM `t` WHERE `id` IN (...) AND `s` = ? LIMIT ?, ... "
    sql = "select * from `t` where `id` in (1, 2) and `s` = 'x' limit 5, 10"
    assert digest_key(fingerprint(digest)) == digest_key(fingerprint(sql))


@given(st.text(alphabet=st.sampled_from("selct 'x\\\"`-/*#?:()[],.0n5e\n$@"), max_size=60))
def test_any_text_has_a_fingerprint_of_one_line(text: str) -> None:
    shape = fingerprint(text)
    assert "\n" not in shape
    literals(text)
    tables(shape)


@pytest.mark.parametrize(
    "hostile", ["'" + "''" * 50_000, "'" + "\\" * 100_001, "(" * 50_000, "in (" + "?," * 50_000]
)
def test_no_text_makes_it_slow(hostile: str) -> None:
    began = time.process_time()
    fingerprint(hostile)
    assert time.process_time() - began < 3


def test_tables_are_named_in_order_and_ctes_are_none() -> None:
    sql = "with x as (select * from a) select * from x join b on b.id = x.id where extract(year from b.d) = 1"
    assert tables(fingerprint(sql)) == ("a", "b")
    assert tables(fingerprint("insert into t (a) values (1) on duplicate key update a = 2")) == ("t",)
    assert tables(fingerprint("select * from a, b where a.id = b.id for update")) == ("a", "b")
    assert tables(fingerprint("delete from shop.t where id = 1")) == ("t",)


def _page(members: int, values: int) -> tuple[list[Statement], list[TracedQuery]]:
    statements = [Statement("set names utf8mb4", 1), Statement("select * from `members` limit 25", 1)]
    traced = [TracedQuery("select * from `members` limit 25", (), 3.0, "app/List.php", 9, "index")]
    for i in range(members):
        key = i % values + 1
        statements.append(Statement(f"select * from `purchases` where `purchases`.`member_id` = {key}", 1))
        traced.append(
            TracedQuery(
                "select * from `purchases` where `purchases`.`member_id` = ?",
                (key,),
                0.5,
                "app/Member.php",
                18,
            )
        )
    return statements, traced


def test_the_server_counts_and_the_trace_says_where() -> None:
    statements, traced = _page(50, 50)
    statistics = [
        StatementStatistics(
            "SELECT * FROM `purchases` WHERE `purchases` . `member_id` = ?", 50, 5000, 250, 0.25
        )
    ]
    first, second = build(statements, traced, statistics)
    assert (first.tables, first.calls, first.rows_examined) == (("members",), 1, None)
    assert first.milliseconds == 3.0
    assert (second.calls, second.distinct_bindings, second.rows_examined) == (50, 50, 5000)
    assert second.milliseconds == pytest.approx(250)
    assert [(s.place, s.calls) for s in second.sites] == [("app/Member.php:18", 50)]
    assert second.example_sql.endswith("= 1")


def test_trace_entries_that_the_server_never_got_do_not_count() -> None:
    statements, traced = _page(3, 3)
    (*_, query) = build(statements, [*traced, traced[-1], traced[-1]])
    assert query.calls == 3
    assert sum(s.calls for s in query.sites) == 3


def test_other_values_each_time_are_n_plus_one() -> None:
    (finding,) = n_plus_one(build(*_page(50, 50)))
    assert finding.id == "n-plus-one"
    assert finding.words == "N+1: app/Member.php:18 asks purchases 50 times (one query per member)"


def test_values_that_come_back_are_said() -> None:
    (finding,) = n_plus_one(build(*_page(50, 7)))
    assert finding.words.endswith("(one query per member, 7 different)")


def test_the_same_values_again_are_to_be_loaded_once() -> None:
    (finding,) = n_plus_one(build(*_page(50, 1)))
    assert finding.id == "asked-again"
    assert "load it once" in finding.words


def test_four_calls_are_no_finding_unless_asked_for() -> None:
    workload = build(*_page(4, 4))
    assert n_plus_one(workload) == ()
    assert len(n_plus_one(workload, threshold=4)) == 1


def test_two_lines_that_ask_three_times_each_are_no_n_plus_one() -> None:
    statements, traced = _page(6, 6)
    elsewhere = [
        TracedQuery(q.sql, q.bindings, q.milliseconds, "app/Other.php", 3) if i % 2 and i else q
        for i, q in enumerate(traced)
    ]
    assert n_plus_one(build(statements, elsewhere)) == ()


def test_rows_written_one_by_one_are_named_so() -> None:
    statements = [Statement(f"insert into t (a) values ({i})", 1) for i in range(9)]
    (finding,) = n_plus_one(build(statements))
    assert finding.id == "row-by-row-write"
