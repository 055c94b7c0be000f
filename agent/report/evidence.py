"""What the checks' evidence says, read defensively into values that reports show.

A proof may come from a note that anybody wrote, so nothing here trusts a type; what is not there is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bedev.agent.gate.proof import Proof


@dataclass(frozen=True)
class Comparison:
    """One number on base and on the patch. `measured_by` is `database server` or `probe`."""

    label: str
    base: str
    patch: str
    change: str
    measured_by: str


@dataclass(frozen=True)
class Index:
    table: str
    name: str
    columns: str
    bytes: float | None


def comparisons(proof: Proof, most: int = 6) -> tuple[Comparison, ...]:
    """Work, the counters that differ most, and time, on the data set with the most work: `most` rows."""
    data_set = largest_data_set(proof)
    rows: list[Comparison] = []
    if data_set is not None:
        base, patch = number(data_set.get("base_work")), number(data_set.get("patch_work"))
        if base is not None and patch is not None:
            rows.append(Comparison("work", count(base), count(patch), change(base, patch), "database server"))
        rows += _counters(data_set)
    timing = time_comparison(proof)
    room = max(0, most - (timing is not None))
    return (*rows[:room], *((timing,) if timing else ()))


def largest_data_set(proof: Proof) -> Mapping[str, Any] | None:
    """The data set of `less_work` on which base worked most."""
    sets = maps(evidence(proof, "less_work").get("data_sets"))
    return max(sets, key=lambda s: number(s.get("base_work")) or 0, default=None)


def time_comparison(proof: Proof) -> Comparison | None:
    """One warm request on base and on the patch, with the interval of the ratio."""
    found = evidence(proof, "faster")
    base, patch = number(found.get("base_ms")), number(found.get("patch_ms"))
    if base is None or patch is None:
        return None
    low, high, pairs = (number(found.get(key)) for key in ("low", "high", "pairs"))
    # The ratio of the pairs, where it was measured, rather than of two averages.
    ratio = number(found.get("ratio"))
    says = change(ratio, 1.0) if ratio else change(base, patch)
    if low is not None and high is not None and low < 1 < high:
        says = "no difference"
    if low is not None and high is not None:
        says += f" ({low:.3g} to {high:.3g}"
        says += f", {pairs:.0f} pairs)" if pairs is not None else ")"
    return Comparison("time, warm", f"{base:,.1f} ms", f"{patch:,.1f} ms", says, "probe")


def indexes(proof: Proof) -> tuple[Index, ...]:
    """The indexes that the patch adds, with what they cost."""
    return tuple(
        Index(
            str(i.get("table", "")),
            str(i.get("name", "")),
            ", ".join(strings(i.get("columns"))) or str(i.get("columns", "")),
            number(i.get("bytes")),
        )
        for i in maps(evidence(proof, "write_cost").get("indexes"))
    )


def headline(proof: Proof) -> str:
    """The proof's headline without the verdict that reports show before it."""
    return str(proof.headline).removeprefix(f"{proof.verdict}: ")


def plans(proof: Proof) -> dict[str, str]:
    """One line a side: how the first plan of `environment.plans` reaches each table."""
    found = proof.environment.get("plans") if isinstance(proof.environment, Mapping) else None
    lines = {}
    for side in ("base", "patch"):
        first = next(iter(maps(found.get(side))), {}) if isinstance(found, Mapping) else {}
        steps = [s for s in maps(first.get("steps")) if s.get("table")]
        words = (f"{s.get('table')} {s.get('access') or ''} {s.get('index') or ''}" for s in steps[:4])
        if steps:
            lines[side] = ", ".join(" ".join(text.split()) for text in words)
    return lines


def changed_paths(proof: Proof) -> tuple[str, ...]:
    """Files that the patch changes."""
    return strings(evidence(proof, "scope").get("paths"))


def migration_files(proof: Proof) -> tuple[str, ...]:
    return strings(evidence(proof, "migration").get("files"))


def counterexample(proof: Proof) -> tuple[str, str, str] | None:
    """Question, base's answer and the patch's where they differed on data that may be shown."""
    found = evidence(proof, "same_answers").get("counterexample")
    if not isinstance(found, Mapping):
        return None
    where = f" ({found['where']})" if found.get("where") else ""
    return f"{found.get('question', '')}{where}", str(found.get("base", "")), str(found.get("patch", ""))


def questions(proof: Proof) -> tuple[str, ...]:
    """What the scenario asks, in the words of its flags."""
    return tuple(str(q.get("text", "")) for q in maps(proof.scenario.get("questions")))


def scenario_chooser(proof: Proof) -> str:
    by = str(proof.scenario.get("brought_by", ""))
    return {
        "user": "chosen by the user",
        "bedev": "found by bedev before anything was edited",
        "change": "found by bedev from what the patch changes",
        "branch": "brought by the branch",
    }.get(by, f"from {by}" if by else "")


def evidence(proof: Proof, check: str) -> Mapping[str, Any]:
    found = proof.check(check)
    return found.evidence if found is not None and isinstance(found.evidence, Mapping) else {}


def _counters(data_set: Mapping[str, Any]) -> list[Comparison]:
    totals: dict[str, list[float]] = {}
    for question in maps(data_set.get("questions")):
        for side, key in enumerate(("base", "patch")):
            counters = question.get(key)
            for name, value in counters.items() if isinstance(counters, Mapping) else ():
                amount = number(value)
                if amount is not None:
                    totals.setdefault(str(name), [0.0, 0.0])[side] += amount
    ranked = sorted(totals.items(), key=lambda item: (-abs(item[1][0] - item[1][1]), item[0]))
    return [
        Comparison(name.replace("_", " "), count(b), count(p), change(b, p), "database server")
        for name, (b, p) in ranked
        if b or p
    ]


def change(base: float, patch: float) -> str:
    """`14.3 x less`, `2 x more`, `equal`."""
    if base == patch:
        return "equal"
    if not patch or not base:
        return "none left" if base else "new"
    ratio = base / patch
    word = "less" if ratio > 1 else "more"
    ratio = max(ratio, 1 / ratio)
    return f"{ratio:,.0f} x {word}" if ratio >= 100 else f"{ratio:.3g} x {word}"


def count(value: float) -> str:
    """A number for people: `200,012`, `0.5`."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def size(value: float | None) -> str:
    """Bytes for people: `8.5 MiB`; `size not measured` for None."""
    if value is None:
        return "size not measured"
    for unit in ("bytes", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def number(value: object) -> float | None:
    """A finite number, None for anything else (booleans too)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if found - found == 0 else None


def strings(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, list | tuple) else ()


def maps(value: object) -> Sequence[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []
