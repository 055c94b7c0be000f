"""Answers are compared as an outsider sees them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from bedev.tools.scenarios.compare import (
    Answer,
    Difference,
    command_answer,
    compare,
    failed_answer,
    http_answer,
    is_empty,
    refusal,
    sql_answer,
    volatile,
)
from hypothesis import given
from hypothesis import strategies as st

JSON = ("Content-Type", "application/json")


def answer(body: Any, status: int = 200, *headers: tuple[str, str]) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return http_answer(status, (JSON, *headers), text.encode())


def page(text: str, type_: str = "text/html; charset=UTF-8") -> Answer:
    return http_answer(200, (("Content-Type", type_),), text.encode())


def body_difference(base: Any, patch: Any) -> Difference | None:
    return compare(answer(base), answer(patch))


def test_key_order_and_white_space_are_no_difference() -> None:
    assert body_difference('{"a": 1, "b": [1,2]}', '{ "b":[1, 2],\n "a":1 }') is None


@pytest.mark.parametrize(
    ("base", "patch", "where", "shown"),
    [
        ('{"a": 1}', '{"a": "1"}', "a", ("1", '"1"')),
        ('{"a": null}', "{}", "a", ("null", "missing")),
        ("{}", '{"a": null}', "a", ("missing", "null")),
        ('{"a": {}}', '{"a": []}', "a", ("{}", "[]")),
        ('{"a": 1}', '{"a": 1.0}', "a", ("1", "1.0")),
        ('{"a": true}', '{"a": 1}', "a", ("true", "1")),
        ('{"a": ""}', '{"a": null}', "a", ('""', "null")),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', "a[0] (the same items in another order)", ("1", "2")),
        ('{"a": [1, 2]}', '{"a": [1]}', "a", ("2 items", "1 items")),
        ('{"x": {"odd key": [{"b": 1}]}}', '{"x": {"odd key": [{"b": 2}]}}', 'x["odd key"][0].b', ("1", "2")),
        ('{"a": 12345678901234567890}', '{"a": 12345678901234567891}', "a", None),
    ],
)
def test_what_a_typed_client_would_notice_is_a_difference(
    base: str, patch: str, where: str, shown: tuple[str, str] | None
) -> None:
    found = body_difference(base, patch)
    assert found is not None
    assert found.where == where
    if shown:
        assert (found.base, found.patch) == shown


def test_the_counterexample_is_short_however_long_the_answer() -> None:
    found = body_difference({"a": "x" * 5000, "b": "y"}, {"a": "z" * 5000, "b": "w"})
    assert found == Difference("body", "b", '"y"', '"w"')
    found = body_difference({"a": "x" * 5000}, {"a": "z" * 5000})
    assert found is not None
    assert len(found.words) < 400


def test_status_exit_and_columns() -> None:
    assert compare(answer([]), answer([], 500)) == Difference("status", "", "200", "500")
    assert compare(command_answer(0, b"x"), command_answer(1, b"x")) == Difference("exit", "", "0", "1")
    assert compare(sql_answer(("a",), ()), sql_answer(("b",), ())) == Difference("columns", "", "a", "b")


def test_a_side_that_broke_differs() -> None:
    found = compare(answer([]), failed_answer("timed out after 60 s"))
    assert found is not None
    assert found.patch == "timed out after 60 s"
    assert compare(failed_answer("a"), failed_answer("b")) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Cache-Control", "private, max-age=0"), ("cache-control", "max-age=0,private")),
        (("Set-Cookie", "sid=abc; Path=/"), ("Set-Cookie", "sid=def; Path=/")),
        (("Date", "Mon"), ("Date", "Tue")),
        (("X-Request-Id", "1"), ("Server", "x")),
        (("Location", "http://127.0.0.1:8001/a"), ("Location", "http://127.0.0.1:8002/a")),
    ],
)
def test_headers_that_say_the_same(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert compare(answer([1], 200, one), answer([1], 200, other)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Location", "/a"), ("Location", "/b")),
        (("Cache-Control", "private"), ("Cache-Control", "public")),
        (("Set-Cookie", "sid=abc"), ("Set-Cookie", "other=abc")),
        (("X-Total-Count", "5"), ("X-Total-Count", "6")),
        (("ETag", '"a"'), ("ETag", '"b"')),
        (("Link", "</p?page=2>; rel=next"), ("Link", "</p?page=3>; rel=next")),
    ],
)
def test_headers_that_clients_act_on(one: tuple[str, str], other: tuple[str, str]) -> None:
    found = compare(answer([1], 200, one), answer([1], 200, other))
    assert found is not None
    assert found.part == "header"


def test_an_etag_of_the_same_answer_written_otherwise_is_no_difference() -> None:
    one, other = answer("[1, 2]", 200, ("ETag", '"a"')), answer("[1,2]", 200, ("ETag", '"b"'))
    assert compare(one, other) is None
    assert compare(one, answer("[1,2]")) == Difference("header", "etag", "an ETag", "none")


def test_clocks_and_tokens_of_base_are_masked_and_nothing_else() -> None:
    runs = [
        answer(
            {
                "at": f"2024-01-01 00:00:0{i}",
                "data": [{"id": 1, "token": f"t{i}"}, {"id": 2, "token": f"u{i}"}],
            }
        )
        for i in range(3)
    ]
    mask = volatile(runs)
    assert mask.paths == {"at", "data[*].token"}
    patch = {"at": "later", "data": [{"id": 1, "token": "v"}, {"id": 2, "token": "w"}]}
    assert compare(runs[0], answer(patch), mask) is None
    patch["data"][1]["id"] = 3  # type: ignore[index]
    assert compare(runs[0], answer(patch), mask) == Difference("body", "data[1].id", "2", "3")


def test_base_that_is_constant_has_no_mask() -> None:
    assert not volatile([answer([1]), answer([1])])
    assert not volatile([answer([1])])


def test_a_list_that_base_itself_shuffles_has_no_order() -> None:
    items = [{"id": i, "name": f"n{i}"} for i in range(6)]
    runs = [answer({"data": random.Random(s).sample(items, 6)}) for s in range(3)]
    mask = volatile(runs)
    assert mask.unordered == {"data"}
    assert mask.paths == frozenset()
    assert compare(runs[0], answer({"data": items[::-1]}), mask) is None
    changed = [*items[:5], {"id": 5, "name": "other"}]
    found = compare(runs[0], answer({"data": changed}), mask)
    assert found is not None
    assert (found.where, found.base, found.patch) == ("data[*].name", '"n5"', '"other"')


def test_a_shuffled_list_with_a_clock_masks_the_clock_alone() -> None:
    def run(seed: int) -> Answer:
        items = [{"id": i, "name": f"n{i}", "at": f"{seed}-{i}"} for i in range(6)]
        return answer(random.Random(seed).sample(items, 6))

    mask = volatile([run(1), run(2), run(3)])
    assert mask.unordered == {""}
    assert mask.paths == {"[*].at"}
    assert compare(run(1), run(9), mask) is None


def test_a_list_of_changing_length_is_not_compared_and_said() -> None:
    mask = volatile([answer({"a": [1], "b": 1}), answer({"a": [1, 2], "b": 1})])
    assert mask.words == ("a",)


def test_volatile_headers() -> None:
    mask = volatile([answer([1], 200, ("ETag", "a")), answer([1], 200, ("ETag", "b"))])
    assert mask.headers == {"etag"}
    assert compare(answer([1], 200, ("ETag", "a")), answer([1], 200, ("ETag", "c")), mask) is None


def test_html_without_its_white_space_and_its_token() -> None:
    def form(token: str, name: str = "Anna", gap: str = " ") -> Answer:
        return page(f"<p>{gap}<input value='{token}'>{gap}<b>{name}</b></p>")

    assert compare(form("t", gap="\n  "), form("t")) is None
    mask = volatile([form("a1"), form("b2")])
    assert compare(form("a1"), form("c3"), mask) is None
    found = compare(form("a1"), form("c3", "Bert"), mask)
    assert found is not None
    assert "Anna" in found.base
    assert "Bert" in found.patch


def test_the_output_of_a_command_keeps_its_white_space() -> None:
    found = compare(command_answer(0, b"a  b\nc 1\n"), command_answer(0, b"a  b\nc  1\n"))
    assert found is not None
    assert found.where == "line 2"


def test_output_that_is_longer_ends_later() -> None:
    found = compare(command_answer(0, b"a"), command_answer(0, b"a\nb"))
    assert found is not None
    assert found.base == "ends here"


def test_a_line_whose_number_of_words_varies_is_masked_as_a_line() -> None:
    def output(took: str, total: str = "5") -> Answer:
        return command_answer(0, f"Orders\n total {total}\nDone in {took}\n".encode())

    mask = volatile([output("59 s"), output("1 min 2 s")])
    assert mask.words == ("line 3 of the text",)
    assert compare(output("59 s"), output("3 h 2 min 1 s"), mask) is None
    found = compare(output("59 s"), output("3 h 2 min 1 s", "6"), mask)
    assert found == Difference("output", "line 2", "' total 5'", "' total 6'")


def test_a_body_in_which_nothing_is_constant_is_not_measured() -> None:
    mask = volatile([page("a b c", "text/plain"), page("d e f g", "text/plain")])
    assert mask.whole_body
    assert "whole body" in mask.words[0]


def test_csv_is_compared_by_cell() -> None:
    one, other = page("id,total\n1,5\n2,6\n", "text/csv"), page('"id","total"\r\n1,5\r\n2,7\r\n', "text/csv")
    found = compare(one, other)
    assert found is not None
    assert (found.where, found.base, found.patch) == ("[2].total", '"6"', '"7"')
    assert compare(one, page('"id","total"\r\n1,5\r\n2,6\r\n', "text/csv")) is None


def test_binary_answers_are_compared_by_their_hash() -> None:
    def image(body: bytes) -> Answer:
        return http_answer(200, (("Content-Type", "image/png"),), body)

    found = compare(image(b"\x89\0a"), image(b"\x89\0b"))
    assert found is not None
    assert "SHA-256" in found.base
    assert compare(image(b"\x89\0a"), image(b"\x89\0a")) is None


def test_json_instead_of_html_is_said_so() -> None:
    found = compare(answer({"a": 1}), page("<p>Error</p>"))
    assert found is not None
    assert found.base == "JSON"


def test_rows_without_order_by() -> None:
    one, other = sql_answer(("a",), [(1,), (2,), (2,)]), sql_answer(("a",), [(2,), (1,), (2,)])
    assert compare(one, other, ordered=False) is None
    assert compare(one, other) is not None
    found = compare(one, sql_answer(("a",), [(2,), (1,), (1,)]), ordered=False)
    assert found is not None
    assert {found.base, found.patch} == {"2", "1"}
    found = compare(one, sql_answer(("a",), [(2,), (1,)]), ordered=False)
    assert found is not None
    assert found.base == '{"a": 2}'


def test_types_of_sql_values_matter_and_null_is_not_the_empty_string() -> None:
    for a, b in ((1, "1"), (None, ""), (1, 1.0), (True, 1), ("5.00", "5.0")):
        assert compare(sql_answer(("a",), [(a,)]), sql_answer(("a",), [(b,)])) is not None


def test_two_columns_of_one_name_are_both_compared() -> None:
    assert compare(sql_answer(("a", "a"), [(1, 2)]), sql_answer(("a", "a"), [(3, 2)])) is not None


def test_the_last_digit_of_a_float_column_is_no_difference_and_of_another_it_is() -> None:
    one, other = answer('[{"avg": 0.1, "n": 3}]'), answer('[{"avg": 0.10000000000000002, "n": 3}]')
    assert compare(one, other, floats=("avg",)) is None
    assert compare(one, other, floats=("n",)) is not None
    assert compare(one, other) is not None
    assert compare(one, answer('[{"avg": 0.1001, "n": 3}]'), floats=True) is not None
    rows = sql_answer(("avg",), [(0.1,), (0.2,)]), sql_answer(("avg",), [(0.2,), (0.10000000000000002,)])
    assert compare(*rows, floats=("avg",), ordered=False) is None


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_values)
def test_an_answer_is_equal_to_itself_however_it_is_written(value: Any) -> None:
    one, other = json.dumps(value), json.dumps(value, indent=3, ensure_ascii=False, sort_keys=True)
    assert compare(answer(one), answer(other)) is None
    assert not volatile([answer(one), answer(other)])


@given(_values, _values)
def test_different_answers_differ_and_a_mask_made_of_both_covers_it(one: Any, other: Any) -> None:
    base, patch = answer(one), answer(other)
    found = compare(base, patch)
    equal = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (found is None) == equal
    assert compare(base, patch, volatile([base, patch])) is None


@pytest.mark.parametrize(
    ("seen", "empty"),
    [
        (answer([]), True),
        (answer({"data": []}), True),
        (answer({"data": [], "links": {"next": None}, "meta": {"total": 0}}), True),
        (answer({"users": [], "total": 0}), True),
        (answer("null"), True),
        (answer({}), True),
        (answer({"data": [1]}), False),
        (answer({"id": 5, "tags": []}), False),
        (answer({"status": "ok"}), False),
        (answer({"message": "no"}, 404), True),
        (answer("", 204), True),
        (page("<html><head><title>x</title></head><body> </body></html>"), True),
        (page("<p>x</p>"), False),
        (page("id,total\n", "text/csv"), True),
        (command_answer(0, b" \n"), True),
        (command_answer(0, b"1"), False),
        (sql_answer(("a",), ()), True),
        (sql_answer(("a",), [(0,)]), False),
        (failed_answer("x"), True),
    ],
)
def test_whether_an_outsider_sees_anything(seen: Answer, empty: bool) -> None:
    assert is_empty(seen) is empty


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (answer({}, 401), "--as"),
        (answer({}, 403), "--as"),
        (answer({}, 419), "CSRF"),
        (answer({}, 302, ("Location", "http://localhost/login?next=/a")), "--as"),
        (answer({}, 302, ("Location", "/accounts/sign-in")), "--as"),
        (answer({}, 500), "fails on base"),
        (answer({}, 422), "--http"),
        (command_answer(127, b"sh: not found"), "cannot be run"),
        (command_answer(255, b"Fatal error"), "crashed"),
        (failed_answer("timed out"), "timed out"),
    ],
)
def test_what_cannot_be_a_scenario_is_said_with_what_helps(seen: Answer, words: str) -> None:
    assert words in (refusal(seen) or "")


@pytest.mark.parametrize(
    "seen",
    [
        answer([1]),
        answer({}, 404),
        answer({}, 302, ("Location", "/authors/5")),
        command_answer(1, b"no"),
        sql_answer((), ()),
    ],
)
def test_what_can(seen: Answer) -> None:
    assert refusal(seen) is None
