"""What a run may spend: turns, tokens, money, minutes, proposals. Reserved before a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bedev.agent.models.model import Usage

MOST_ANSWER = 16_000
"""Tokens that one answer may have (thinking included) where the budget allows it."""
LEAST_ANSWER = 1_500
"""Below this an answer is cut off before it can act: the budget has ended."""
CHARACTERS_PER_TOKEN = 3.2
WARNING_TURNS = 2


@dataclass(frozen=True)
class Limits:
    """The most that a run may spend, None for no limit. `usd` binds only where the model's price is known;
    `tokens` counts every token of every call, cached ones too; `minutes` all of the run."""

    turns: int | None = 40
    tokens: int | None = 4_000_000
    usd: float | None = 5.0
    minutes: float | None = None
    proposals: int | None = 8


@dataclass
class Spent:
    """What a run has spent so far; `usd` is None while nothing had a known price."""

    turns: int = 0
    tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    usd: float | None = None
    proposals: int = 0
    seconds: float = 0.0

    def add(self, usage: Usage, usd: float | None) -> None:
        self.tokens += usage.total
        self.output_tokens += usage.output_tokens
        self.cache_read_tokens += usage.cache_read_tokens
        if usd is not None:
            self.usd = (self.usd or 0.0) + usd


class BudgetEnds(Exception):
    """There is no room for another call; `which` limit ended it, `words` say it with its figure."""

    def __init__(self, which: str, words: str) -> None:
        super().__init__(words)
        self.which, self.words = which, words


@dataclass
class Budget:
    """One for everything in a run. `price` says what a usage would cost, None where nobody knows."""

    limits: Limits
    price: Callable[[Usage], float | None]
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        self._began = time.monotonic() - self.spent.seconds
        self._prompt = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def turns_left(self) -> int | None:
        return None if self.limits.turns is None else self.limits.turns - self.spent.turns

    @property
    def proposals_left(self) -> int | None:
        return None if self.limits.proposals is None else self.limits.proposals - self.spent.proposals

    def reserve(self, characters: int) -> int:
        """Room for one call whose new text has so many characters beyond the last call's; the tokens that
        may be answered. Raises BudgetEnds."""
        limits, spent = self.limits, self.spent
        if self.turns_left is not None and self.turns_left <= 0:
            raise BudgetEnds("turns", f"{limits.turns} turns are used up (--max-turns)")
        if limits.minutes is not None and self.seconds >= limits.minutes * 60:
            raise BudgetEnds("minutes", f"{limits.minutes:g} minutes are over (--max-minutes)")
        prompt = self._prompt + int(characters / CHARACTERS_PER_TOKEN)
        room = MOST_ANSWER
        if limits.tokens is not None:
            room = min(room, limits.tokens - spent.tokens - prompt)
            if room < LEAST_ANSWER:
                raise BudgetEnds(
                    "tokens", f"{spent.tokens:,} of {limits.tokens:,} tokens are used (--max-tokens)"
                )
        if limits.usd is not None:
            room = min(room, self._affordable(prompt, room))
            if room < LEAST_ANSWER:
                raise BudgetEnds("money", f"${spent.usd or 0:.2f} of ${limits.usd:.2f} are spent (--max-usd)")
        spent.turns += 1
        return room

    def _affordable(self, prompt: int, room: int) -> int:
        """Tokens of answer that the rest of the money pays, were nothing of the prompt cached."""
        assert self.limits.usd is not None
        left = self.limits.usd - (self.spent.usd or 0.0)
        asked, answered = self.price(Usage(input_tokens=prompt)), self.price(Usage(output_tokens=1_000_000))
        if asked is None or not answered:
            return room
        return int((left - asked) / answered * 1_000_000)

    def settle(self, usage: Usage) -> float | None:
        """Take what a call really used; its price."""
        usd = self.price(usage)
        self.spent.add(usage, usd)
        self._prompt = usage.prompt_tokens + usage.output_tokens
        return usd

    def warning(self) -> str:
        """What the model is told when little is left, else nothing."""
        left = self.turns_left
        if left == WARNING_TURNS:
            return (
                f"{left} turns are left. Propose what you have if it is right, or say plainly what stands in "
                "the way; what is in the workspace then is left as an unverified branch."
            )
        return ""
