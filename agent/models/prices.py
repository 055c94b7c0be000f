"""What tokens cost, per model, at a date. A model that is not here has no price: never 0."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bedev.agent.models.model import Usage

AS_OF = "2026-11"
"""The month in which Anthropic's price list said this: platform.claude.com, the page of each model."""


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens. `write` keeps a prefix in the cache for 5 minutes, `write_1h` for an
    hour, `read` takes it from there; None where the price list does not say. Prompts longer than `step`
    tokens cost what `above` says, all of them."""

    input: float
    output: float
    write: float | None
    write_1h: float | None
    read: float
    step: int = 0
    above: Price | None = None

    def of(self, usage: Usage) -> float | None:
        """Dollars for `usage`; None where it holds tokens whose price is not known."""
        if self.above is not None and usage.prompt_tokens > self.step:
            return self.above.of(usage)
        hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
        parts = (
            (usage.input_tokens, self.input),
            (usage.output_tokens, self.output),
            (usage.cache_write_tokens - hour, self.write),
            (hour, self.write_1h),
            (usage.cache_read_tokens, self.read),
        )
        total = 0.0
        for tokens, rate in parts:
            if tokens and rate is None:
                return None
            total += tokens * (rate or 0.0)
        return total / 1_000_000


_OPUS_BEFORE_5_5 = Price(5, 25, 6.25, 10, 0.50)
_SONNET_4 = Price(3, 15, 3.75, 6, 0.30)

PRICES = {
    "claude-opus-5-5": Price(4, 20, 5, 8, 0.20),
    "claude-sonnet-5-5": Price(2, 10, 2.5, 4, 0.10),
    "claude-haiku-5-5": Price(
        0.10, 0.50, 0.125, 0.20, 0.01, step=100_000, above=Price(0.50, 2.50, 0.625, 1.00, 0.05)
    ),
    "claude-fable-5-2": Price(8, 40, 10, 16, 0.20),
    "claude-fable-5-1": Price(10, 50, None, None, 0.25),
    "claude-opus-5": _OPUS_BEFORE_5_5,
    "claude-opus-4-8": _OPUS_BEFORE_5_5,
    "claude-opus-4-7": _OPUS_BEFORE_5_5,
    "claude-opus-4-6": _OPUS_BEFORE_5_5,
    "claude-opus-4-5": _OPUS_BEFORE_5_5,
    "claude-sonnet-5": Price(2, 10, 2.5, 4, 0.20),
    "claude-sonnet-4-6": _SONNET_4,
    "claude-sonnet-4-5": _SONNET_4,
    "claude-haiku-4-5": Price(1, 5, 1.25, 2, 0.10),
}

_SNAPSHOT = re.compile(r"-20\d{6}$")


def undated(model: str) -> str:
    """A model's id without the day of its snapshot: claude-haiku-4-5-20251001 is claude-haiku-4-5."""
    return _SNAPSHOT.sub("", model)


def price_of(model: str) -> Price | None:
    """The price of a model id, None where it is not known."""
    return PRICES.get(undated(model))
