"""Budgets are reserved before a call and settled after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from bedev.agent import recorded
from bedev.agent.budget import LEAST_ANSWER, MOST_ANSWER, Budget, BudgetEnds, Limits, Spent
from bedev.agent.journal import Journal
from bedev.agent.models.model import Usage
from bedev.agent.requests import FixRequest
from bedev.agent.settings import load


def price(usage: Usage) -> float | None:
    return (usage.input_tokens * 4 + usage.output_tokens * 20) / 1e6


def test_turns_end_and_the_model_is_warned_two_turns_before() -> None:
    budget = Budget(Limits(turns=4), price)
    warned = []
    for _ in range(4):
        assert budget.reserve(100) == MOST_ANSWER
        warned.append(bool(budget.warning()))
    assert warned == [False, True, False, False]
    with pytest.raises(BudgetEnds, match="--max-turns"):
        budget.reserve(100)


def test_an_answer_is_never_longer_than_what_is_left_pays() -> None:
    budget = Budget(Limits(usd=0.1), price)
    assert budget.reserve(32) == pytest.approx(4998, abs=1)
    budget.settle(Usage(output_tokens=4000))
    with pytest.raises(BudgetEnds, match=r"\$0\.08 of \$0\.10 are spent") as ended:
        budget.reserve(32)
    assert ended.value.which == "money"


def test_the_prompt_counts_before_the_call() -> None:
    budget = Budget(Limits(tokens=10_000), price)
    budget.reserve(3200)
    budget.settle(Usage(input_tokens=4000, output_tokens=500))
    with pytest.raises(BudgetEnds, match="4,500 of 10,000 tokens"):
        budget.reserve(3200)


def test_without_a_price_money_binds_nothing_and_is_not_zero() -> None:
    budget = Budget(Limits(usd=0.01), lambda usage: None)
    assert budget.reserve(3200) == MOST_ANSWER
    assert budget.settle(Usage(input_tokens=10**6)) is None
    assert budget.spent.usd is None


def test_what_an_earlier_process_spent_counts() -> None:
    budget = Budget(Limits(turns=3, minutes=1), price, Spent(turns=2, seconds=59.9))
    assert budget.reserve(0) > LEAST_ANSWER
    assert budget.spent.turns == 3
    late = Budget(Limits(minutes=1), price, Spent(seconds=61))
    with pytest.raises(BudgetEnds, match="--max-minutes"):
        late.reserve(0)


def test_a_resumed_run_keeps_its_limits_unless_the_user_gives_others(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "0101-abc", "0101-abc")
    request = FixRequest(
        task="x", repo=tmp_path, max_minutes=9, settings=load({"max_turns": 3, "max_usd": 1}, {})
    )
    journal.append("started", request=recorded.to_record(request, journal))
    kept = recorded.limits_in_force(journal, load({}, {}))
    assert (kept["max_turns"], kept["max_usd"], kept["max_minutes"]) == (3, 1, 9)
    raised = recorded.limits_in_force(journal, load({"max_turns": 8}, {}))
    journal.append("resumed", limits=raised)
    assert recorded.limits_in_force(journal, load({}, {}))["max_turns"] == 8
