"""`migration`: up, down, up on grown data; the schema after down equals base's."""

from __future__ import annotations

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check

ORDER = 30


def check(case: Case) -> Check:
    if not case.migrations:
        return Check("migration", "skipped", "the patch has no migration")
    edited = [
        c.path
        for c in case.changes
        if c.kind != "added" and case.matches(c.path, case.brought.recipe.migration_paths)
    ]
    if edited:
        return Check(
            "migration",
            "failed",
            f"{edited[0]} exists on base: databases that ran it will not run it again",
            {"files": edited},
        )
    run = case.migration
    if run is None:
        return Check(
            "migration",
            "unmeasured",
            "the migration was not run",
            settle="see the step that failed before it",
        )
    evidence = {
        "files": list(run.files),
        "up_seconds": round(run.up.seconds, 2),
        "down_seconds": round(run.down.seconds, 2) if run.down else None,
        "schema_equal": run.schema_equal,
        "schema_difference": run.schema_difference,
    }
    for name, result in (("up", run.up), ("down", run.down), ("up again", run.again)):
        if result is None or not result.ok:
            lines = result.last_lines.splitlines() if result else []
            evidence["output"] = lines[-12:]
            word = next((line.strip() for line in reversed(lines) if line.strip()), "it was not reached")
            return Check("migration", "failed", f"{name} failed: {word[:160]}", evidence)
    if not run.schema_equal:
        return Check(
            "migration", "failed", f"after down the schema is not base's: {run.schema_difference}", evidence
        )
    return Check(
        "migration",
        "passed",
        f"up {run.up.seconds:.1f} s, down, up again; schema after down equals base's",
        evidence,
    )
