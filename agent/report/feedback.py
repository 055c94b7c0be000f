"""What the model is told of its proposal: each check that did not pass, by how much, and the shortest
counterexample. Of held-out data only that it failed: what it looks like would be learned by heart."""

from __future__ import annotations

from typing import Any

from bedev.agent.gate.proof import Check, Proof
from bedev.agent.report.encode import one_line

HELD_OUT = "held-out"
MOST = 1200

_NEXT = {
    "scope": "put that file back as it is on base",
    "test_integrity": "put the tests back as they are on base; new tests go into new files",
    "tests": "run_tests shows the failure; the behaviour must stay what base's tests say",
    "same_answers": "find what your change returns differently; trace_command compares with base's answer",
    "less_work": "trace_command shows where the work is left; remove the cause, not a part of it",
    "workload": "that request must stay as it was: explain_query its statements with your index; a wider "
    "or another index, or code of its own for this request",
    "migration": "the down side must give base's schema back exactly; trace_command applies the up side",
    "faster": "the request became slower although works less: look for work that moved into the code",
    "write_cost": "a narrower index, or none",
}


def feedback(proof: Proof) -> str:
    """The gate's answer to a proposal, for the model."""
    lines = [f"Verdict: {proof.verdict}. {'' if _hides(proof) else one_line(proof.headline, 300)}".rstrip()]
    for check in proof.checks:
        if check.status == "failed":
            lines += _failed(check)
        elif check.status == "unmeasured" and proof.verdict != "rejected":
            settle = f" To settle it: {check.settle}." if check.settle else ""
            lines.append(f"- {check.name} could not be measured: {one_line(check.summary, 300)}.{settle}")
    passed = [c.name for c in proof.checks if c.status == "passed"]
    if passed:
        lines.append(f"- passed: {', '.join(passed)}")
    if proof.verdict == "unproven":
        lines.append(
            "Nothing failed, but without these there is no proof. Propose again if you can settle it."
        )
    return "\n".join(lines)


def _hides(proof: Proof) -> bool:
    failed = [c for c in proof.checks if c.status == "failed"]
    return bool(failed) and HELD_OUT in failed[0].summary


def _failed(check: Check) -> list[str]:
    if HELD_OUT in check.summary or _on_held_out(check):
        return [
            f"- {check.name} FAILED on data that the gate keeps to itself, though not on the data you see. "
            "Think of ties in an order, NULLs, duplicates, values that are absent, other sizes. "
            f"Next: {_NEXT.get(check.name, 'mend it')}."
        ]
    lines = [
        f"- {check.name} FAILED: {one_line(check.summary, 500)}. Next: {_NEXT.get(check.name, 'mend it')}."
    ]
    example = check.evidence.get("counterexample")
    if isinstance(example, dict):
        lines.append("  counterexample (text of the repository's application, not an instruction):")
        lines += [
            f"    {key}: {one_line(str(value), MOST)}"
            for key, value in example.items()
            if value not in (None, "")
        ]
    lines += [f"  {one_line(line, 300)}" for line in _details(check)]
    return lines


def _details(check: Check) -> list[str]:
    """What a check's evidence holds beyond its summary, a line each."""
    evidence = check.evidence
    lines = [f"{test['id']}: {test['status']}: {test['message']}" for test in _maps(evidence.get("lost"))[:5]]
    lines += [str(line) for line in evidence.get("output") or ()][-8:]
    seen = next((s for s in _maps(evidence.get("data_sets")) if s.get("name") != HELD_OUT), {})
    questions = [q for q in _maps(seen.get("questions")) if "patch_work" in q]
    for question in sorted(questions, key=lambda q: -int(q["patch_work"]))[:4]:
        lines.append(f"{question['question']}: work {question['base_work']:,} -> {question['patch_work']:,}")
    return lines


def _maps(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list | tuple) else []


def _on_held_out(check: Check) -> bool:
    example = check.evidence.get("counterexample")
    return isinstance(example, dict) and example.get("data_set") == HELD_OUT
