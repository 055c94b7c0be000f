"""`faster`: wall time of one warm question, base and patch interleaved, a fixed number of pairs.

A t-interval of the paired log-ratio; only an interval that lies wholly on the slow side fails. What the
clock cannot tell is said in the verdict line, never guessed.
"""

from __future__ import annotations

import math
import statistics

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check

ORDER = 60
SLOWER = 1.05
"""A slowdown is material from 5 % on: below that lies what two equal programs show on a busy machine."""

T_95 = {
    4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201, 12: 2.179, 13: 2.160,
    14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086, 21: 2.080,
}  # fmt: skip
"""Two-sided 95 % quantiles of Student's t by degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2)."""


def pairs_for(base_seconds: float) -> int:
    """How many pairs, fixed before any is run: 21 for a quick question, 7 where one takes seconds."""
    if base_seconds < 0.3:
        return 21
    return 11 if base_seconds < 1.5 else 7


def interval(base: tuple[float, ...], patch: tuple[float, ...]) -> tuple[float, float, float]:
    """How many times faster the patch is: estimate, low, high (95 %). Needs at least 5 pairs."""
    logs = [math.log(b / p) for b, p in zip(base, patch, strict=True)]
    n = len(logs)
    mean = statistics.fmean(logs)
    half = T_95[n - 1] * statistics.stdev(logs) / math.sqrt(n)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def check(case: Case) -> Check:
    timing = case.timing
    if timing is None or len(timing.base) < 5:
        if case.data_sets:
            return Check("faster", "unmeasured", "not timed: the answers or the work decided before")
        return Check("faster", "unmeasured", "time not measured", settle="give a scenario that base answers")
    ratio, low, high = interval(timing.base, timing.patch)
    evidence = {
        "question": timing.question.text,
        "pairs": len(timing.base),
        "base_ms": round(statistics.median(timing.base) * 1000, 2),
        "patch_ms": round(statistics.median(timing.patch) * 1000, 2),
        "ratio": round(ratio, 3),
        "low": round(low, 3),
        "high": round(high, 3),
        "measured_by": "host" if timing.question.kind == "command" else "probe",
    }
    figures = f"{evidence['base_ms']} ms → {evidence['patch_ms']} ms, {len(timing.base)} pairs"
    if high < 1 / SLOWER:
        return Check(
            "faster",
            "failed",
            f"slower: {figures}, {1 / ratio:.2f} times (95 % {1 / high:.2f} to {1 / low:.2f})",
            evidence,
        )
    if low <= 1:
        return Check(
            "faster",
            "passed",
            f"no difference that the clock shows: {figures} (95 % {low:.2f} to {high:.2f} times)",
            {**evidence, "not_faster": True},
        )
    return Check(
        "faster", "passed", f"{figures}, {ratio:.1f} times faster (95 % {low:.1f} to {high:.1f})", evidence
    )
