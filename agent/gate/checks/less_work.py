"""`less_work`: the database does materially less for the same questions. It decides, not the clock.

work = rows examined + rows sorted + rows sent + 10 x pages + 10 x temporary pages + 100 x statements.
"""

from __future__ import annotations

from typing import Any

from bedev.agent.gate.case import Case, evidence_counters
from bedev.agent.gate.proof import Check

ORDER = 50
RATIO = 1.2
RISE = 2.0
SHARE_OF_SAVING = 0.05
SMALLEST_WORK = 500
"""Below this a data set is too small to judge (a handful of statements and pages)."""


def check(case: Case) -> Check:
    sets: list[dict[str, Any]] = []
    worst: float | None = None
    risen = ""
    for data in case.data_sets:
        base = sum(a.base_work for a in data.asked)
        patch = sum(a.patch_work for a in data.asked)
        ratio = base / max(1, patch)
        sets.append(
            {
                "name": data.name,
                "base_work": base,
                "patch_work": patch,
                "ratio": round(ratio, 2),
                "questions": [
                    {
                        "question": a.question.text,
                        "base": evidence_counters(a.base_counters),
                        "patch": evidence_counters(a.patch_counters),
                        "base_work": a.base_work,
                        "patch_work": a.patch_work,
                    }
                    for a in data.asked
                ],
            }
        )
        if base < SMALLEST_WORK:
            continue
        worst = ratio if worst is None else min(worst, ratio)
        for a in data.asked:
            rise = a.patch_work - a.base_work
            if (
                a.patch_work > RISE * a.base_work
                and rise > SHARE_OF_SAVING * max(0, base - patch)
                and not risen
            ):
                risen = f"{a.question.label} does {a.patch_work} instead of {a.base_work} on {data.name} data"
    evidence = {"data_sets": sets, "needed_ratio": RATIO}
    if worst is None:
        why = "; ".join(case.missing) or (
            "the data is too small to tell" if sets else "no scenario was measured"
        )
        return Check(
            "less_work", "unmeasured", why, evidence, settle="grow the tables (--rows) or give a scenario"
        )
    if worst < RATIO and case.migrations and case.scenario and case.scenario.brought_by == "change":
        # bedev guessed this request from the migration; that it gains nothing says little about the patch
        return Check(
            "less_work",
            "unmeasured",
            "the request that bedev found gains nothing",
            evidence,
            settle="give the request that the patch is for: --http, --scenario or --sql",
        )
    if worst < RATIO:
        short = min((s for s in sets if s["base_work"] >= SMALLEST_WORK), key=lambda s: float(s["ratio"]))
        return Check(
            "less_work",
            "failed",
            f"work {short['base_work']:,} → {short['patch_work']:,} on {short['name']} data: "
            f"{worst:.2f} times less, needed {RATIO}",
            evidence,
        )
    if risen:
        return Check("less_work", "failed", risen, evidence)
    figures = f"{sets[0]['base_work']:,} → {sets[0]['patch_work']:,}"
    return Check(
        "less_work", "passed", f"work {figures}, at least {worst:.1f} times less on every data set", evidence
    )
