"""Proofs as the gate writes them, for the tests of reports."""

from __future__ import annotations

from typing import Any

from bedev.agent.gate.proof import Check, Proof, Verdict

WORK = {
    "data_sets": [
        {"name": "quarter", "base_work": 50_130, "patch_work": 120, "ratio": 417.75, "questions": []},
        {
            "name": "full size",
            "base_work": 200_312,
            "patch_work": 126,
            "ratio": 1589.8,
            "questions": [
                {
                    "question": "GET /api/users?email=a%40b.c",
                    "base": {"rows_examined": 200_000, "rows_sent": 1, "statements": 3},
                    "patch": {"rows_examined": 1, "rows_sent": 1, "statements": 1},
                    "base_work": 200_312,
                    "patch_work": 126,
                }
            ],
        },
    ]
}
TIME = {"pairs": 21, "base_ms": 82.14, "patch_ms": 3.41, "ratio": 24.1, "low": 20.3, "high": 28.0}


def checks(**replaced: Check) -> tuple[Check, ...]:
    """All checks of a good patch, some replaced."""
    index = {"table": "users", "name": "users_email_index", "columns": ["email"], "bytes": 8_912_896}
    files = ["database/migrations/2025_01_01_000000_add_email_index_to_users_table.php"]
    found = (
        Check("scope", "passed", "1 file changed", {"paths": files, "refused": []}),
        Check("tests", "passed", "14 tests passed on both", {"base_passed": 14, "patch_passed": 14}),
        Check("test_integrity", "passed", "the tests are base's"),
        Check("same_answers", "passed", "equal on 2 data sets", {"data_sets": []}),
        Check("less_work", "passed", "1,590 x less work", WORK),
        Check("faster", "passed", "24.1 x faster", TIME),
        Check("migration", "passed", "up, down, up; the schema is equal", {"files": files}),
        Check("write_cost", "passed", "1 index, 8.5 MiB", {"indexes": [index]}),
    )
    return tuple(replaced.get(check.name, check) for check in found)


def proof(verdict: Verdict = "verified", **changes: Any) -> Proof:
    """A proof of an index on users.email."""
    values: dict[str, Any] = {
        "base": "1a2b3c4d" * 5,
        "tree": "5e6f7a8b" * 5,
        "claim": "faster",
        "scenario": {
            "questions": [{"kind": "http", "text": "GET /api/users?email=a%40b.c"}],
            "as": "",
            "brought_by": "bedev",
        },
        "recipe": {"stack": "laravel"},
        "verdict": verdict,
        "checks": checks(),
        "realism": "grown",
        "environment": {},
        "seed": 7,
        "headline": "1,590 x less work, 24.1 x faster",
    }
    return Proof(**{**values, **changes})
