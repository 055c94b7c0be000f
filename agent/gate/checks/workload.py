"""`workload`: other requests answer as before and do not make the database work materially more.

An index for one query can lead the planner of another astray, and a shared class serves more than one route.
"""

from __future__ import annotations

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check

ORDER = 55
RISE = 2.0
SHARE_OF_SAVING = 0.05
SMALLEST_RISE = 500
"""A rise of less work than this is a handful of pages."""


def check(case: Case) -> Check:
    """Fails where a neighbour's answer differs, or its work doubles and rises by more than 5 % of what the
    scenario saves."""
    if not case.beside:
        return Check("workload", "skipped", "no other request could be asked")
    seen = case.data_sets[0]
    saving = max(0, sum(a.base_work for a in seen.asked) - sum(a.patch_work for a in seen.asked))
    rows = [
        {
            "question": b.label,
            "base_work": b.base_work,
            "patch_work": b.patch_work,
            "difference": b.difference,
        }
        for b in case.beside
    ]
    evidence = {"requests": rows, "saving": saving}
    for b in case.beside:
        if b.difference:
            return Check("workload", "failed", f"{b.label} answers differently: {b.difference}", evidence)
    for b in case.beside:
        rise = b.patch_work - b.base_work
        if b.patch_work > RISE * b.base_work and rise > max(SMALLEST_RISE, SHARE_OF_SAVING * saving):
            return Check(
                "workload",
                "failed",
                f"{b.label} does work {b.patch_work:,} instead of {b.base_work:,}",
                evidence,
            )
    return Check(
        "workload", "passed", f"{len(rows)} other requests answer the same without more work", evidence
    )
