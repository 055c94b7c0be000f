"""A value of the scenario that base binds to a column is a parameter of that column."""

from __future__ import annotations

import json
import re

import pytest
from bedev.sandboxes.engines.engine import Column, Statement
from bedev.tools.scenarios.parameters import (
    Parameter,
    absent_value,
    count_query,
    find_parameters,
    substitute,
    substitute_all,
    value_queries,
)
from bedev.tools.scenarios.places import places, put
from bedev.tools.scenarios.scenario import Question, http_question
from hypothesis import given
from hypothesis import strategies as st

from ..database.shop_schema import SCHEMA, column


def find(question: Question, *sqls: str) -> list[tuple[str, str, str, str]]:
    found = find_parameters(question, [Statement(s, 1) for s in sqls], SCHEMA)
    return [(p.name, p.value, p.table, p.column) for p in found]


def test_a_query_parameter_is_decoded_and_found_in_a_where() -> None:
    question = http_question("GET /people?email=a%2Bb%40c.de&page=2")
    sql = "select * from `members` where `email` = 'a+b@c.de' and `members`.`deleted_at` is null limit 2"
    assert find(question, sql) == [("email", "a+b@c.de", "members", "email")]


def test_a_path_segment_is_the_parameter_of_the_key() -> None:
    sql = "select * from `members` where `id` = '7' limit 1"
    assert find(http_question("GET /api/people/7"), sql) == [("id", "7", "members", "id")]


def test_a_fixed_part_of_the_path_is_none() -> None:
    sql = "select * from purchases where state = 'latest'"
    assert find(http_question("GET /purchases/latest"), sql) == []


def test_a_field_of_a_json_body() -> None:
    question = http_question("POST /search", '{"filter": {"region": "AT", "n": 5}}')
    sql = "select * from members where region_code in ('AT', 'DE')"
    assert find(question, sql) == [("region", "AT", "members", "region_code")]


def test_a_literal_of_an_sql_question_and_a_word_of_a_command() -> None:
    sql = "select * from members where email = 'x@y.z'"
    assert find(Question("sql", sql), sql) == [("email", "x@y.z", "members", "email")]
    assert find(Question("command", "run members:show --mail='x@y.z' 5"), sql) == [
        ("mail", "x@y.z", "members", "email")
    ]


def test_the_column_whose_name_fits_wins_over_the_one_asked_first() -> None:
    question = http_question("GET /purchases?member=5")
    sqls = ("select * from regions where name = '5'", "select * from purchases where member_id = 5")
    assert find(question, *sqls) == [("member", "5", "purchases", "member_id")]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from members where email like '%a@b.c%'",  # not what LIKE with wildcards compares
        "update members set email = 'a@b.c' where id = 1",  # written, not compared
        "select * from members where email > 'a@b.c'",
        "select 'a@b.c' from members",
        "select ( from",
    ],
)
def test_what_is_no_comparison_is_no_parameter(sql: str) -> None:
    assert find(http_question("GET /people?email=a@b.c"), sql) == []


def test_a_page_number_is_no_parameter_though_it_equals_a_value() -> None:
    assert find(http_question("GET /people?page=1"), "select * from members where id = 1") == []


def test_a_value_is_put_in_and_the_rest_stays_byte_equal() -> None:
    question = http_question("GET /p%20q?a=1&email=a%40b.c&z=%7e+")
    (parameter,) = find_parameters(
        question, [Statement("select * from members where email = 'a@b.c'", 1)], SCHEMA
    )
    changed = substitute(question, parameter, "ü &=?/#'\"")
    assert changed.text == "GET /p%20q?a=1&email=%C3%BC%20%26%3D%3F%2F%23%27%22&z=%7e+"


def test_several_values_of_other_lengths_are_put_at_once() -> None:
    question = http_question("GET /p?email=a@b.c&region=AT")
    found = find_parameters(
        question,
        [Statement("select * from members where email = 'a@b.c' and region_code = 'AT'", 1)],
        SCHEMA,
    )
    changed = substitute_all(question, [(found[0], "longer@mail.example"), (found[1], "X")])
    assert changed.text == "GET /p?email=longer%40mail.example&region=X"


@given(st.text(min_size=1, max_size=20), st.sampled_from(["query", "segment", "json", "literal", "word"]))
def test_what_is_put_in_a_place_is_read_from_it_again(value: str, kind: str) -> None:
    question = {
        "query": Question("http", "GET /a?x=1&y=2"),
        "segment": Question("http", "GET /a/1/b"),
        "json": Question("http", "POST /a", '{"k": [true, {"x": "1"}], "z": 2}'),
        "literal": Question("sql", "select * from t where a = 'x' and b = 5"),
        "word": Question("command", "run it 'a b' --x=1"),
    }[kind]
    for number, place in enumerate(places(question)):
        if place.writing != kind or (kind == "word" and value.startswith("-")):
            continue
        if any(0xD800 <= ord(c) < 0xE000 for c in value):
            continue
        changed = put(question, place, value)
        again = places(changed)[number]
        assert again.value == value
        assert put(changed, again, place.value if kind != "segment" else "1") is not None


def test_a_number_in_json_stays_a_number_and_text_becomes_text() -> None:
    question = Question("http", "POST /a", '{ "id":5 }')
    (place,) = [p for p in places(question) if p.in_body]
    assert put(question, place, "17").body == '{ "id":17 }'
    assert json.loads(put(question, place, "x").body) == {"id": "x"}


def _parameter(value: str, column_name: str = "email") -> Parameter:
    return Parameter("p", value, "members", column_name, places(Question("http", f"GET /p?x={value}"))[-1])


def test_existing_values_are_asked_for_by_quoted_names_and_the_seed() -> None:
    frequent, rare, some = value_queries(_parameter("a@b.c"), 7)
    assert frequent.startswith("SELECT `email` AS value, COUNT(*) AS times FROM `members` WHERE `email`")
    assert "ORDER BY times DESC" in frequent
    assert "'7:'" in rare
    assert "LIMIT 3" in some
    assert value_queries(_parameter("a@b.c"), 8)[2] != some
    assert '"email"' in value_queries(_parameter("a@b.c"), 7, "postgres")[0]


def test_a_count_cannot_be_broken_out_of() -> None:
    sql = count_query(Parameter("p", "", "members", "em`ail", _parameter("x").place), "a' or \\' 1=1 -- ")
    assert "`em``ail` = 'a'' or \\\\'' 1=1 -- '" in sql


@pytest.mark.parametrize(
    ("value", "type_", "shape"),
    [
        ("anna.b+1@example.com", "varchar(255)", r"[a-z]{4}\.[a-z]\+\d@example\.com"),
        ("AT", "char(2)", r"[A-Z]{2}"),
        ("7", "bigint(20) unsigned", r"\d{15,16}"),
        ("7", "int(11)", r"\d{10}"),
        ("2024-05-01", "date", r"203[67]-\d\d-\d\d"),
        ("2024-05-01 10:00:00", "datetime", r"203[67]-\d\d-\d\d 10:00:00"),
        ("9f1b2c3d-0000-4000-8000-1234567890ab", "char(36)", r"[0-9a-f-]{36}"),
        ("INV-2024-001", "varchar(20)", r"[A-Z]{3}-\d{4}-\d{3}"),
        ("paid", "varchar(20)", r"[a-z]{4}"),
    ],
)
def test_an_absent_value_has_the_shape_of_the_one_that_is_there(value: str, type_: str, shape: str) -> None:
    absent = absent_value(_parameter(value), column("c", type_), 5)
    assert absent is not None
    assert re.fullmatch(shape, absent)
    assert absent != value
    assert absent == absent_value(_parameter(value), column("c", type_), 5)
    assert absent != absent_value(_parameter(value), column("c", type_), 5, attempt=1)


def test_an_int_fits_its_column() -> None:
    assert int(absent_value(_parameter("7"), column("c", "int(11)"), 1) or 0) <= 2_147_483_647


def test_an_enum_has_no_absent_value() -> None:
    enum = Column("c", "enum('a','b')", "enum", False, enum_values=("a", "b"))
    assert absent_value(_parameter("a"), enum, 1) is None
    assert absent_value(_parameter("1"), column("c", "tinyint(1)"), 1) is None
