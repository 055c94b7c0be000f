"""What a failure means, and how long to go on asking.

The SDK's own retries are off: they honour any `retry-after`, however long, and do not cover a stream that
breaks off. A broken answer is thrown away and the identical request sent again; nothing has been done with
it yet, and the server has most of the prompt in its cache.
"""

from __future__ import annotations

import email.utils
import itertools
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from bedev.agent.models.model import ModelRefusesRequest
from bedev.agent.models.profiles import ALIASES, FACTS, Endpoint
from bedev.sandboxes.errors import BedevError, Paused

T = TypeVar("T")

LONGEST_WAIT = 60.0
"""Seconds between two attempts at most, whatever the server asks for."""
MOST_BROKEN = 4
"""Answers that may break off or be unusable, each of which costs tokens, before the run is paused."""

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "timeout_error": 504,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
}
_MEANING = {
    408: "the server took too long",
    409: "the server reports a conflict",
    429: "the server asks to slow down",
    503: "the server is not available",
    504: "the server took too long",
    529: "the server is overloaded",
}
_NO_MONEY = re.compile(
    r"spend_limit_reached$|^ramp_limit_exceeded$|^organization_on_hold$|billing_unavailable$"
)
_NO_CREDIT = re.compile(r"credit balance|spend(ing)? limit", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"too long|(context|prompt).{0,20}(length|size|window|limit)|maximum context|exceeds? the \w* ?context",
    re.IGNORECASE,
)
_NO_SUCH_MODEL = re.compile(
    r"model.{0,100}(not found|not exist|unknown|no such)|(unknown|no such|not found).{0,40}model",
    re.IGNORECASE,
)


class TransientFailure(Exception):
    """An attempt failed in a way that may heal. `what` says it in a few words of ours; `detail` are the
    server's; `retry_after` the seconds it asks for; `broke_off`: an answer had begun, so it cost tokens."""

    def __init__(
        self, what: str, *, detail: str = "", retry_after: float | None = None, broke_off: bool = False
    ) -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail
        self.retry_after = retry_after
        self.broke_off = broke_off


def persist(
    attempt: Callable[[], T],
    *,
    host: str,
    patience: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[T, int]:
    """Attempt until it succeeds: the result, and how many attempts it took.

    `patience` is how many seconds may be lost after the first failure, in waits and further failures. `say`
    hears of each wait before it begins. Raises Paused when patience ends or MOST_BROKEN answers broke off;
    every other error of `attempt` goes through.
    """
    lost, broken = 0.0, 0
    for number in itertools.count(1):
        began = clock()
        try:
            return attempt(), number
        except TransientFailure as failure:
            fault = failure
        if number > 1:
            lost += clock() - began
        broken += fault.broke_off
        left = patience - lost
        if broken >= MOST_BROKEN or left < 0.01:
            break
        delay = min(fault.retry_after or backoff(number, chance), LONGEST_WAIT, left)
        say(f"{fault.what}; asking again in {_seconds(delay)} (attempt {number + 1})")
        sleep(delay)
        lost += delay
    times = "once" if number == 1 else f"{number} times"
    raise Paused(
        f"The model gave no usable answer: {fault.what} (asked {times} within {_seconds(lost)}).",
        where=host,
        next_step=f"See that {host} is up and can be reached (`bedev models` tries it); then resume the run.",
        detail=fault.detail,
    )


def backoff(attempt: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds before another attempt after the `attempt`th failed: doubling from half a second to 30,
    of which three quarters to all, so that many clients do not come back at the same moment."""
    return float(min(0.5 * 2 ** min(attempt - 1, 10), 30.0) * (0.75 + 0.25 * chance()))


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds that a response asks to wait; None where it does not say, or says something unusable.

    RFC 9110, section 10.2.3: seconds or a date; `retry-after-ms` is Anthropic's own.
    """
    text = headers.get("retry-after", "").strip()
    try:
        milliseconds = headers.get("retry-after-ms")
        seconds = float(milliseconds) / 1000 if milliseconds is not None else float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now()
        except (ValueError, OverflowError):
            return None
    return seconds if seconds > 0 else None


def judge(
    status: int,
    *,
    kind: str,
    code: str,
    message: str,
    headers: Mapping[str, str],
    model: str,
    endpoint: Endpoint,
    broke_off: bool = False,
) -> BedevError | TransientFailure:
    """What an error of the server means for the run.

    `kind` and `code` are the `type` and `details.error_code` of the Messages API's error body, empty where
    there is none; within a stream the HTTP status is 200 already and the kind alone counts. `message` has
    no secret in it any more.
    """
    if status < 400:
        status = _STATUS.get(kind, 500)
    where, detail = endpoint.host, message
    if _NO_MONEY.search(code) or status == 402 or (status in (400, 403, 429) and _NO_CREDIT.search(message)):
        return Paused(
            f"The account may not spend more ({code or kind or status}).",
            where=where,
            next_step="Raise the limit or add credit (platform.claude.com, Billing), or set another key; "
            "then resume the run.",
            detail=detail,
        )
    if status in (401, 403):
        source = endpoint.key_from or "no key"
        refused = "is refused (401)" if status == 401 else f"may not use {model} (403)"
        return Paused(
            f"The key ({source}) {refused}.",
            where=where,
            next_step="Set ANTHROPIC_API_KEY to a key that is valid for this server (`bedev models` tries "
            "it); then resume the run.",
            detail=detail,
        )
    transient = status in (408, 409, 429) or status >= 500
    wish = headers.get("x-should-retry", "").lower()
    if wish == "true" or (transient and wish != "false"):
        named = f" ({status}{f' {kind}' if kind in _STATUS else ''})"
        return TransientFailure(
            _MEANING.get(status, "the server failed" if transient else "the server refuses for now") + named,
            detail=detail,
            retry_after=retry_after(headers),
            broke_off=broke_off,
        )
    if transient:
        return Paused(
            f"The server failed ({status}) and asks not to be asked again.",
            where=where,
            next_step="Look at status.claude.com or at the server's log; then resume the run.",
            detail=detail,
        )
    return _refusal(status, kind, message, model, endpoint)


def _refusal(status: int, kind: str, message: str, model: str, endpoint: Endpoint) -> ModelRefusesRequest:
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(message)):
        return ModelRefusesRequest(
            f"The conversation is too long for {model}.",
            kind="too_long",
            next_step="Start a new run with a narrower task, or choose a model with a larger context.",
            detail=message,
        )
    if (status == 404 and kind == "not_found_error") or _NO_SUCH_MODEL.search(message):
        if endpoint.official:
            step = f"Give --model one of: {', '.join((*ALIASES, *FACTS))}."
        else:
            step = "Give --model a name that this server serves."
        return ModelRefusesRequest(
            f"{endpoint.host} knows no model {model}.",
            kind="unknown_model",
            next_step=step,
            detail=message,
        )
    if status in (404, 405):
        return ModelRefusesRequest(
            f"{endpoint.host} does not speak the Messages API: it has no /v1/messages ({status}).",
            next_step="Check the address in ANTHROPIC_BASE_URL.",
            detail=message,
        )
    return ModelRefusesRequest(
        f"The server refuses the request ({status}).",
        next_step="This is a fault in bedev or a field that the server does not know; with a server of your "
        "own try BEDEV_MODEL_PROFILE=compat.",
        detail=message,
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
