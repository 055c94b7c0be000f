"""How long to go on asking."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from bedev.agent.models.retry import (
    LONGEST_WAIT,
    MOST_BROKEN,
    TransientFailure,
    backoff,
    persist,
    retry_after,
)
from bedev.sandboxes.errors import Paused
from hypothesis import given
from hypothesis import strategies as st


class Clock:
    """Time that only passes by waiting, and by what an attempt takes."""

    def __init__(self, an_attempt_takes: float = 0.0) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.said: list[str] = []
        self.takes = an_attempt_takes

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def persist(self, failures: list[Exception], patience: float) -> tuple[str, int]:
        def attempt() -> str:
            self.now += self.takes
            if failures:
                raise failures.pop(0)
            return "done"

        return persist(
            attempt,
            host="here",
            patience=patience,
            say=self.said.append,
            sleep=self.sleep,
            chance=lambda: 1.0,
            clock=lambda: self.now,
        )


def fails(times: int, **fields: float | bool) -> list[Exception]:
    return [TransientFailure("it failed", **fields) for _ in range(times)]  # type: ignore[arg-type]


def test_waits_double_up_to_half_a_minute() -> None:
    clock = Clock()
    assert clock.persist(fails(9), 300) == ("done", 10)
    assert clock.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert clock.said[6] == "it failed; asking again in 30 s (attempt 8)"


def test_patience_begins_with_the_first_failure_and_counts_failing_attempts() -> None:
    clock = Clock(an_attempt_takes=600)
    # The long first attempt costs no patience: its answer may have been long. The second does.
    with pytest.raises(Paused, match="asked 2 times"):
        clock.persist(fails(9), 300)
    assert len(clock.waits) == 1


def test_a_success_after_long_attempts_is_one() -> None:
    assert Clock(an_attempt_takes=600).persist(fails(1), 300) == ("done", 2)


def test_other_errors_go_through_at_once() -> None:
    clock = Clock()
    with pytest.raises(KeyError):
        clock.persist([*fails(1), KeyError("x")], 300)
    assert len(clock.waits) == 1


def test_broken_answers_are_counted_apart_from_refused_ones() -> None:
    clock = Clock()
    mixed = [*fails(5), *fails(MOST_BROKEN - 1, broke_off=True)]
    assert clock.persist(mixed, 300) == ("done", 5 + MOST_BROKEN)
    with pytest.raises(Paused):
        clock.persist(fails(MOST_BROKEN, broke_off=True), 300)


@given(
    wishes=st.lists(st.one_of(st.none(), st.floats(0.001, 1e9)), min_size=1, max_size=12),
    patience=st.floats(0, 1000),
)
def test_no_wait_is_longer_than_a_minute_and_all_together_not_longer_than_patience(
    wishes: list[float | None], patience: float
) -> None:
    clock = Clock()
    failures: list[Exception] = [TransientFailure("x", retry_after=wish) for wish in wishes]
    with contextlib.suppress(Paused):
        clock.persist(failures, patience)
    assert all(0 < wait <= LONGEST_WAIT for wait in clock.waits)
    assert sum(clock.waits) <= patience + 1e-6


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_backoff_is_bounded(attempt: int, chance: float) -> None:
    assert 0.375 <= backoff(attempt, lambda: chance) <= 30


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Wed, 99 Xxx 2026 00:00:00 GMT"}, None),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_server_may_give_a_date() -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    header = {"retry-after": format_datetime(now + timedelta(seconds=90), usegmt=True)}
    assert retry_after(header, lambda: now.timestamp()) == 90
    assert retry_after(header, lambda: now.timestamp() + 100) is None


@given(st.text(max_size=30))
def test_any_header_is_survived(value: str) -> None:
    found = retry_after({"retry-after": value})
    assert found is None or found > 0
