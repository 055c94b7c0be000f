"""`bedev gc`: remove what dead runs left behind, and caches when asked."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import typer
from bedev.agent.commands import options, output

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
    """Remove containers and volumes of runs that are gone. Only what bedev made for you is touched."""
    age = age_seconds(older)
    from bedev.sandboxes.docker_sweep import cache_usage, sweep

    report = sweep(include_caches=caches, older_than_seconds=age)
    usage = cache_usage()
    if json:
        output.print_json({"schema": "bedev.gc/1", "removed": asdict(report), "caches": asdict(usage)})
        return 0
    from bedev.agent.report.evidence import size

    freed = f"; freed {size(report.freed_bytes)}" if report.freed_bytes else ""
    output.line(
        f"removed: {report.containers} containers, {report.volumes} volumes, {report.images} images, "
        f"{report.trees} prepared trees, {report.templates} data templates{freed}"
    )
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


def age_seconds(text: str) -> float:
    """`14d` in seconds. Raises UsageError."""
    from bedev.sandboxes.errors import UsageError

    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if match is None:
        raise UsageError(
            f"--older {text!r} is not an age.", where="--older", next_step="Write 30m, 12h, 14d, 4w or 0d."
        )
    return float(match[1]) * _UNITS[match[2]]
