"""What a server wrote of the request that has just failed is told from what it wrote before."""

from __future__ import annotations

from bedev.agent.gate.server_log import error_line, first_error, since
from hypothesis import given
from hypothesis import strategies as st

OLD = "[1] production.ERROR: an old one\n#0 index.php\n"
NEW = "GET /a\n[2] production.ERROR: Unknown column\n#0 Connection.php\n#1 {main}\n"


def test_only_what_came_since_counts() -> None:
    assert since(OLD, OLD + NEW) == NEW
    assert since("", NEW) == NEW
    assert since(OLD, OLD) == ""


def test_a_tail_that_moved_on_is_found_again() -> None:
    before = "x" * 1000 + OLD
    assert since(before, before[500:] + NEW) == NEW


def test_where_nothing_of_the_earlier_look_is_left_all_counts() -> None:
    assert since("y" * 400, NEW) == NEW


@given(st.text(), st.text())
def test_it_is_always_an_end_of_the_log(before: str, after: str) -> None:
    assert after.endswith(since(before, after))


def test_the_line_that_speaks_of_an_error_is_the_one_that_is_shown() -> None:
    assert error_line(NEW) == "[2] production.ERROR: Unknown column"
    assert error_line("GET /a 200\n") == ""
    assert len(error_line("Exception " + "z" * 5000)) == 240


def test_a_few_lines_after_it_come_with_it() -> None:
    assert first_error(NEW).splitlines() == NEW.splitlines()[1:]
    assert first_error("a\nb\n") == "a\nb"
