"""`write_cost`: what each new index costs: its size on grown data."""

from __future__ import annotations

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check

ORDER = 70


def check(case: Case) -> Check:
    if case.migration is None or not case.migration.new_indexes:
        return Check("write_cost", "skipped", "the patch adds no index")
    sizes = case.migration.new_indexes
    evidence = {
        "indexes": [
            {"table": i.table, "name": i.name, "columns": list(i.columns), "bytes": i.bytes} for i in sizes
        ]
    }
    words = ", ".join(f"{i.table}({', '.join(i.columns)}) {i.bytes / 1e6:.1f} MB" for i in sizes)
    return Check("write_cost", "passed", words, evidence)
