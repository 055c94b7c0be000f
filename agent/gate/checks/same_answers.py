"""`same_answers`: what an outsider sees is equal on base and patch, on the data seen and on held-out data."""

from __future__ import annotations

from dataclasses import asdict

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check

ORDER = 40


def _words(counterexample: dict[str, object]) -> str:
    said = counterexample.get("server_log")
    return f"; the patch's server wrote (text of the repository): {said}" if said else ""


def check(case: Case) -> Check:
    sets = []
    first = None
    for data in case.data_sets:
        differ = [a for a in data.asked if a.difference is not None]
        sets.append(
            {
                "name": data.name,
                "questions": len(data.asked),
                "equal": len(data.asked) - len(differ),
                "empty": sum(a.empty for a in data.asked),
                "parameters": list(data.parameters),
                "not_compared": sorted({w for a in data.asked for w in a.volatile}),
            }
        )
        if differ and first is None:
            # the shortest counterexample is the one that is read
            shortest = min(differ, key=lambda a: len(str(a.difference)))
            assert shortest.difference is not None
            first = {"data_set": data.name, "question": shortest.question.text, **asdict(shortest.difference)}
            said = next((a.said for a in (shortest, *differ) if a.said), "")
            if said:
                first["server_log"] = said
    evidence: dict[str, object] = {"data_sets": sets}
    if first is not None:
        evidence["counterexample"] = first
        where = first.get("where") or "the answer"
        differs = f"{where} differs"
        if first.get("part") == "status":
            differs = f"{first['patch']} instead of {first['base']}"
        return Check(
            "same_answers",
            "failed",
            f"{first['question']}: {differs} on {first['data_set']} data{_words(first)}",
            evidence,
        )
    if case.missing or not case.data_sets:
        why = "; ".join(case.missing) or "no scenario was found"
        return Check(
            "same_answers",
            "unmeasured",
            why,
            evidence,
            settle="give a scenario that base answers: --http, --scenario or --sql",
        )
    wild = next((a for d in case.data_sets for a in d.asked if not a.comparable), None)
    if wild is not None:
        return Check(
            "same_answers",
            "unmeasured",
            f"base's own answers to {wild.question.label} differ from run to run",
            evidence,
            settle="ask for something whose answer is stable (an order, a fixed date)",
        )
    silent = [d.name for d in case.data_sets if not d.measured]
    if silent:
        return Check(
            "same_answers",
            "unmeasured",
            f"base answers empty for every question on {' and '.join(silent)} data",
            evidence,
            settle="ask for something that exists in the grown data, or bring it with --data",
        )
    total = sum(len(d.asked) for d in case.data_sets)
    return Check(
        "same_answers", "passed", f"{total} answers equal on {len(case.data_sets)} data sets", evidence
    )
