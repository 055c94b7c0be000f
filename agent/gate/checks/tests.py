"""`tests`: every test that passed on base passes on the patch, by id, under base's test files.

Runs last in the pods, on clones of the seeded database: suites wipe what they find.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check
from bedev.agent.gate.query_counts import fell, pinning_tests
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
    return judge(base, patch, pinning_tests(case))


def judge(base: TestRun, patch: TestRun, pinning: frozenset[str] = frozenset()) -> Check:
    """Compare two runs by test id. Ids that are red on base are set aside and named. A test named in
    `pinning` may fail because fewer queries were asked than it pins."""
    red = sorted(c.id for c in base.cases if c.status in ("failed", "error"))
    if not base.passed:
        why = base.problem or ("every test fails on base" if base.cases else "the suite has no test")
        why += f". Likely cause: {base.cause}" if base.cause else ""
        detail = base.result.last_lines.splitlines()[-8:] if base.result else []
        return Check("tests", "skipped", f"no tests: {why}", {"red_on_base": red[:50], "output": detail})
    by_id = {c.id: c for c in patch.cases}
    lost = sorted(i for i in base.passed if i not in by_id or by_id[i].status != "passed")
    counts = {i: fell(by_id[i].message) for i in lost if i in by_id and _name(i) in pinning}
    fewer = {i: f"{found[0]} -> {found[1]}" for i, found in counts.items() if found is not None}
    lost = [i for i in lost if i not in fewer]
    evidence = {
        "base_passed": len(base.passed),
        "patch_passed": len(patch.passed),
        "red_on_base": red[:50],
        "fewer_queries": fewer,
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
    if fewer:
        first = next(iter(fewer))
        aside += f"; {len(fewer)} pin a number of queries that fell: {first} ({fewer[first]})"
    passed = len(base.passed) - len(fewer)
    return Check("tests", "passed", f"{passed} tests pass as on base{aside}", evidence)


def _name(identity: str) -> str:
    """The test's own name in an id: without its class, module and parameters."""
    return identity.partition("[")[0].rpartition("::")[2]
