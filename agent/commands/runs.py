"""`bedev runs` and `bedev show RUN`: views of the journals."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from bedev.agent.commands import options, output

if TYPE_CHECKING:
    from bedev.agent.journal import Record


def runs(repo: options.Repo = Path("."), json: options.Json = False) -> int:
    """List this repository's runs, newest first."""
    from bedev.agent.journal import list_runs
    from bedev.agent.repository import Repository
    from bedev.agent.screen import aligned

    with Repository.open(repo) as repository:
        found = list_runs(repository.state)
    if json:
        output.print_json({"schema": "bedev.runs/1", "runs": [asdict(run) for run in found]})
        return 0
    if not found:
        output.line('No runs yet. Start one: bedev fix "slow users query"')
        return 0
    rows = [
        (
            run.run,
            run.started[:16].replace("T", " "),
            run.outcome or {"running": "going on"}.get(run.state, run.state),
            run.branch or "",
            run.task or run.damaged or "",
        )
        for run in found
    ]
    output.line("\n".join(aligned(rows, ("run", "started (UTC)", "outcome", "branch", "task"))))
    return 0


def show(
    run: Annotated[str, typer.Argument(help="A run's id, or the beginning of it.", metavar="RUN")],
    repo: options.Repo = Path("."),
    json: options.Json = False,
) -> int:
    """Show what a run did, record by record, and its proof."""
    from bedev.agent.journal import Journal
    from bedev.agent.repository import Repository
    from bedev.agent.runlock import running

    with Repository.open(repo) as repository:
        folder = run_folder(repository.state, run)
        going_on = running(repository.state) == folder.name
    with Journal.open(folder, read_only=True) as journal:
        records = journal.records()
    if json:
        output.print_json(
            {"schema": "bedev.show/1", "run": folder.name, "records": [_plain(r) for r in records]}
        )
        return 0
    from bedev.agent.report.encode import one_line
    from bedev.agent.report.terminal import print_proof

    proof = None
    output.line(f"run {folder.name}")
    for record in records:
        found = _proof(record.fields)
        proof = found or proof
        fields = {k: v for k, v in record.fields.items() if k not in ("proof", "request", "key")}
        output.line(
            f"{record.at[11:19]}  {one_line(record.kind, 20):16} {one_line(_brief(fields), 400)}".rstrip()
        )
    if not any(record.kind == "finished" for record in records):
        output.line("going on" if going_on else f"killed; to go on with it: bedev resume {folder.name}")
    if proof is not None:
        output.line()
        print_proof(proof, sys.stdout)
    return 0


def _plain(record: Record) -> dict[str, Any]:
    return {"seq": record.seq, "at": record.at, "kind": record.kind, "fields": dict(record.fields)}


def run_folder(state: Path, run: str) -> Path:
    """The folder of the one run whose id begins with `run`. Raises UsageError."""
    from bedev.sandboxes.errors import UsageError

    names = sorted(p.parent.name for p in state.glob("*/journal"))
    found = [n for n in names if n == run] or [n for n in names if run and n.startswith(run)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} runs begin with {run!r}." if found else f"There is no run {run!r}.",
            where=", ".join(found[:5]),
            next_step="`bedev runs` lists them.",
        )
    return state / found[0]


def _brief(fields: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={value}" for key, value in fields.items() if value not in (None, "", [], {}))


def _proof(fields: Mapping[str, Any]) -> Any:
    """The proof that a record holds, None where it holds none."""
    import json

    from bedev.agent.gate.proof import Proof

    proof = fields.get("proof")
    return Proof.from_json(json.dumps(proof).encode()) if isinstance(proof, Mapping) else None
