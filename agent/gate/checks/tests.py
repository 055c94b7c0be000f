"""`tests`: every test that passed on base passes on the patch, by id, under base's test files.

Runs last in the pods, on clones of the seeded database: suites wipe what they find.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check
from bedev.sandboxes.application import TestRun

ORDER = 80


def check(case: Case) -> Check:
    recipe = case.brought.recipe
    if not recipe.test:
        return Check(
            "tests", "skipped", "the repository has no test command", settle="[recipe] test in bedev.toml"
        )
    protected = (*recipe.test_paths, *recipe.test_config)
    own = {
        c.path: case.base_tree.read(c.path)
        for c in case.changes
        if c.kind != "added" and case.matches(c.path, protected)
    }
    added_config = {
        c.path: None for c in case.changes if c.kind == "added" and case.matches(c.path, recipe.test_config)
    }
    with ThreadPoolExecutor(2) as pool:
        base_run = pool.submit(case.sides["base"].run_tests, {})
        patch_run = pool.submit(case.sides["patch"].run_tests, {**own, **added_config})
        base, patch = base_run.result(), patch_run.result()
    return judge(base, patch)


def judge(base: TestRun, patch: TestRun) -> Check:
    """Compare two runs by test id. Ids that are red on base are set aside and named."""
    red = sorted(c.id for c in base.cases if c.status in ("failed", "error"))
    if not base.passed:
        why = base.problem or ("every test fails on base" if base.cases else "the suite has no test")
        why += f". Likely cause: {base.cause}" if base.cause else ""
        detail = base.result.last_lines.splitlines()[-8:] if base.result else []
        return Check("tests", "skipped", f"no tests: {why}", {"red_on_base": red[:50], "output": detail})
    by_id = {c.id: c for c in patch.cases}
    lost = sorted(i for i in base.passed if i not in by_id or by_id[i].status != "passed")
    evidence = {
        "base_passed": len(base.passed),
        "patch_passed": len(patch.passed),
        "red_on_base": red[:50],
        "lost": [
            {
                "id": i,
                "status": by_id[i].status if i in by_id else "absent",
                "message": by_id[i].message[:500] if i in by_id else patch.problem,
            }
            for i in lost[:20]
        ],
    }
    if lost:
        state = by_id[lost[0]].status if lost[0] in by_id else "absent"
        return Check(
            "tests",
            "failed",
            f"{len(lost)} of {len(base.passed)} tests that pass on base do not: {lost[0]} ({state})",
            evidence,
        )
    aside = f", {len(red)} red on base set aside" if red else ""
    aside += f" (likely cause: {base.cause})" if base.cause else ""
    return Check("tests", "passed", f"{len(base.passed)} tests pass as on base{aside}", evidence)
