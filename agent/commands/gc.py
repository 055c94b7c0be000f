"""`bedev gc`: remove what dead runs left behind, and caches when asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from bedev.agent.commands import options, output

if TYPE_CHECKING:
    from bedev.sandboxes.docker_sweep import CacheUsage, SweepReport

Numbers = TypeVar("Numbers", "SweepReport", "CacheUsage")

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def gc(
    caches: Annotated[
        bool, typer.Option("--caches", help="Remove old images, prepared trees and data templates too.")
    ] = False,
    older: Annotated[
        str, typer.Option("--older", help="Caches older than this: 12h, 14d, 4w, 0d.", metavar="AGE")
    ] = "14d",
    json: options.Json = False,
) -> int:
    """Remove what runs that are gone left behind: containers, volumes, processes and folders. Only what bedev
    made for you is touched."""
    age = age_seconds(older)
    from bedev.sandboxes.choose import KINDS
    from bedev.sandboxes.docker_sweep import CacheUsage, SweepReport

    state = output.state_root()
    missing = {kind.name: kind.missing() for kind in KINDS.values()}
    usable = [kind for kind in KINDS.values() if missing[kind.name] is None]
    report = added(SweepReport, [kind.sweep(state, caches, age) for kind in usable])
    usage = added(CacheUsage, [kind.usage(state) for kind in usable])
    not_seen = {name: error.what for name, error in missing.items() if error is not None}
    if json:
        output.print_json(
            {
                "schema": "bedev.gc/1",
                "removed": asdict(report),
                "caches": asdict(usage),
                "not_looked_at": not_seen,
            }
        )
        return 0
    from bedev.agent.report.evidence import size

    freed = f"; freed {size(report.freed_bytes)}" if report.freed_bytes else ""
    output.line(
        f"removed: {report.containers} containers, {report.volumes} volumes, {report.images} images, "
        f"{report.trees} prepared trees, {report.templates} data templates{freed}"
    )
    for name, words in not_seen.items():
        output.line(f"not looked at: what {name} holds ({words})")
    if report.kept_in_use:
        output.line(f"kept: {report.kept_in_use} that a run or another image is using")
    output.line(
        f"caches now: images {size(usage.image_bytes)} ({usage.images}), "
        f"trees {size(usage.tree_bytes)} ({usage.trees}), "
        f"templates {size(usage.template_bytes)} ({usage.templates})"
    )
    if not caches and (usage.images or usage.trees or usage.templates):
        output.line("to remove old caches too: bedev gc --caches --older 14d")
    return 0


def added(kind: type[Numbers], parts: Sequence[Numbers]) -> Numbers:
    """Values of numbers, field by field."""
    sums: dict[str, int] = Counter()
    for part in parts:
        for name, value in asdict(part).items():
            sums[name] += value
    return kind(**sums)


def age_seconds(text: str) -> float:
    """`14d` in seconds. Raises UsageError."""
    from bedev.sandboxes.errors import UsageError

    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if match is None:
        raise UsageError(
            f"--older {text!r} is not an age.", where="--older", next_step="Write 30m, 12h, 14d, 4w or 0d."
        )
    return float(match[1]) * _UNITS[match[2]]
