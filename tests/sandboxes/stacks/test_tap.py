"""Reports in TAP, as runners really write them."""

from __future__ import annotations

import contextlib

import pytest
from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.stacks.generic.tap import parse_tests
from hypothesis import given
from hypothesis import strategies as st

NODE = """TAP version 13
# Subtest: parcels
    # Subtest: are found
    ok 1 - are found
      ---
      duration_ms: 12.5
      ...
    # Subtest: take names from Redis \\#cache
    not ok 2 - take names from Redis \\#cache
      ---
      duration_ms: 3.25
      location: '/work/test/parcels.test.js:41:3'
      failureType: 'testCodeFailure'
      error: |-
        Expected values to be strictly equal:
            ok 7 - this is a line of the message
      ...
    # Subtest: cannot be tracked
    ok 3 - cannot be tracked # SKIP no carrier answers
      ---
      duration_ms: 0.1
      ...
    # Subtest: is slow
    not ok 4 - is slow # TODO
    1..4
not ok 1 - parcels
  ---
  duration_ms: 20
  type: 'suite'
  ...
# Subtest: alone
ok 2 - alone
1..2
# tests 5
# pass 2
"""


def test_of_nested_tests_the_innermost_are_the_cases() -> None:
    found = parse_tests(NODE.encode())
    assert [(c.id, c.status) for c in found] == [
        ("parcels > are found", "passed"),
        ("parcels > take names from Redis #cache", "failed"),
        ("parcels > cannot be tracked", "skipped"),
        ("parcels > is slow", "skipped"),
        ("alone", "passed"),
    ]
    assert found[0].seconds == 0.0125
    assert "strictly equal" in found[1].message
    assert found[0].message == ""


def test_a_suite_whose_hook_failed_is_a_case_too() -> None:
    text = "    ok 1 - inner\n    1..1\nnot ok 1 - outer\n  ---\n  error: 'after hook'\n  ...\n1..1\n"
    found = parse_tests(text.encode())
    assert [(c.id, c.status) for c in found] == [("outer > inner", "passed"), ("outer", "failed")]
    assert "after hook" in found[1].message


def test_flat_reports_of_any_age_are_read() -> None:
    found = parse_tests(b"1..4\nok 1 first\nok\nnot ok 3 - third # skip not here\nok 4 - first\n")
    assert [(c.id, c.status) for c in found] == [
        ("first", "passed"),
        ("test", "passed"),
        ("third", "skipped"),
        ("first (2)", "passed"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line"),
        ("Segmentation fault\n", "no line"),
        ("1..3\nok 1 - a\nok 2 - b\n", "3 tests were planned and 2 reported"),
        ("ok 1 - a\nBail out! the database is gone\n", "the database is gone"),
        ("    ok 1 - a\n    1..2\nok 1 - outer\n1..1\n", "2 tests were planned and 1 reported"),
    ],
)
def test_a_report_that_ends_early_is_no_report(text: str, words: str) -> None:
    with pytest.raises(SetUpFailed, match="no readable report") as caught:
        parse_tests(text.encode())
    assert words in caught.value.detail


def test_a_suite_without_tests_is_empty() -> None:
    assert parse_tests(b"TAP version 13\n1..0 # SKIP nothing to do\n") == ()


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20), max_size=6))
def test_every_name_becomes_one_case_with_an_id_of_its_own(names: list[str]) -> None:
    escaped = [name.replace("\\", "\\\\").replace("#", "\\#") for name in names]
    lines = [f"ok {n} - {name}" for n, name in enumerate(escaped, 1)]
    found = parse_tests(f"1..{len(names)}\n{chr(10).join(lines)}\n".encode())
    assert len(found) == len(names) == len({c.id for c in found})
    assert all(c.status == "passed" for c in found)


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(content: bytes) -> None:
    """Cases or the error that a person can read, and nothing else."""
    with contextlib.suppress(SetUpFailed):
        assert all(c.id and c.status in ("passed", "failed", "skipped") for c in parse_tests(content))
