"""Which checks a claim needs. A claim is what a patch says it achieves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bedev.agent.gate.proof import Check, Verdict

ALWAYS = ("scope", "tests", "test_integrity")

NEEDS: Mapping[str, tuple[str, ...]] = {
    "faster": (*ALWAYS, "same_answers", "less_work", "workload", "faster", "migration", "write_cost"),
}

MAY_BE_UNMEASURED = frozenset({"faster", "write_cost", "workload"})
"""Checks that only fail: where the clock or a size cannot be measured, the verdict line says so."""


def verdict(claim: str, checks: Sequence[Check]) -> Verdict:
    """`rejected` when a check failed; `unproven` when one that the claim needs could not be measured."""
    if any(c.status == "failed" for c in checks):
        return "rejected"
    found = {c.name: c for c in checks}
    for name in NEEDS[claim]:
        check = found.get(name)
        if check is None or (check.status == "unmeasured" and name not in MAY_BE_UNMEASURED):
            return "unproven"
    return "verified"
