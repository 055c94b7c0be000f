"""`bedev doctor`: what is there, what is missing, and the command that gets it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from bedev.agent.commands import options, output


def doctor(
    repo: Annotated[
        Path, typer.Option("--repo", help="A folder of the repository to look at.", metavar="DIR")
    ] = Path("."),
    path: options.Sub = "",
    engine: options.Engine = None,
    sandbox: options.Sandbox = None,
    json: options.Json = False,
) -> int:
    """Say what bedev needs on this machine and in this repository, and how to get what is missing.

    Exit code: 0 when a run can start, 3 when something needed is missing. Nothing is changed.
    """
    from bedev.agent.doctor import examine

    rows = examine(repo, path, engine or "", sandbox or "")
    missing = [row for row in rows if row.status == "missing"]
    if json:
        from dataclasses import asdict

        output.print_json(
            {"schema": "bedev.doctor/1", "usable": not missing, "rows": [asdict(row) for row in rows]}
        )
        return 3 if missing else 0
    from bedev.agent.report.encode import one_line

    marks = {"ok": "✓", "missing": "✗", "warning": "!", "unknown": "?"}
    for row in rows:
        output.line(f"{marks[row.status]} {row.name:12} {one_line(row.found, 300)}")
        if row.needed and row.status != "ok":
            output.line(f"  {'':12} needed: {one_line(row.needed, 300)}")
        if row.fix:
            output.line(f"  {'':12} do: {one_line(row.fix, 400)}")
    output.line()
    output.line(
        "bedev can run here." if not missing else f"Missing: {', '.join(row.name for row in missing)}."
    )
    return 3 if missing else 0
