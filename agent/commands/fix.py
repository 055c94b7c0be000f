"""`bedev fix TASK`: a whole run, from a sentence to a proven branch."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from bedev.agent.commands import options, output
from bedev.agent.requests import FixRequest, RunResult


def fix(
    task: Annotated[str, typer.Argument(help="What is wrong, in your words.", metavar="TASK")],
    repo: options.Repo = Path("."),
    path: options.Sub = "",
    base: options.Base = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Who proposes: opus, sonnet, haiku, any model's id, or advisor (needs no key). Without it: "
            "opus where a key is set, else the advisor.",
            metavar="NAME",
        ),
    ] = None,
    agent: Annotated[
        Path | None,
        typer.Option("--agent", help="An agent file that replaces the built-in persona.", metavar="FILE"),
    ] = None,
    http: options.Http = None,
    scenario: options.Commands = None,
    sql: options.Sql = None,
    as_user: options.AsUser = "",
    header: options.Headers = None,
    with_: options.With = None,
    data: options.Data = "",
    rows: options.Rows = None,
    dump: options.Dump = None,
    engine: options.Engine = None,
    sandbox: options.Sandbox = None,
    trust: options.Trust = False,
    allow_image: options.AllowImage = None,
    max_turns: options.Turns = None,
    max_tokens: options.Tokens = None,
    max_usd: options.Usd = None,
    max_minutes: options.Minutes = None,
    max_proposals: options.Proposals = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Let the model read texts of the database unmasked.")
    ] = False,
    seed: options.Seed = None,
    out: options.Out = None,
    json: options.Json = False,
) -> int:
    """Find what is slow, fix it, and prove it: ends with a branch bedev/... that anybody can verify.

    Your checkout is never touched. Without a scenario bedev looks for one and says what it tried.
    """
    from bedev.agent.settings import load
    from bedev.sandboxes.errors import UsageError
    from bedev.tools.scenarios import scenario as scenarios

    if not task.strip():
        raise UsageError("The task is empty.", where="TASK", next_step='bedev fix "slow users query"')
    settings = load(
        {
            "model": model,
            "engine": engine,
            "sandbox": sandbox,
            "trust": options.trusted(trust),
            "max_turns": max_turns,
            "max_tokens": max_tokens,
            "max_usd": max_usd,
            "max_minutes": max_minutes,
            "max_proposals": max_proposals,
            "allow_images": tuple(allow_image or ()),
            "rows": options.rows(rows),
        }
    )
    if dump is not None:
        options.check_file(dump, "--dump")
    files = options.scenario_files(with_)
    request = FixRequest(
        task=task,
        repo=repo,
        path=path,
        base=base,
        scenario=scenarios.from_flags(
            http or (), scenario or (), sql or (), as_user, header or (), files, data
        ),
        model=settings.model,
        agent=agent,
        engine=settings.engine,
        sandbox=settings.sandbox,
        rows=settings.rows,
        dump=dump,
        max_minutes=settings.max_minutes,
        allow_images=settings.allow_images,
        as_user=scenarios.as_user_value(as_user),
        headers=tuple(scenarios.header_value(h) for h in header or ()),
        scenario_files=files,
        data=data,
        seed=seed,
        show_values=show_values,
        out=options.parse_out(out or ()),
        settings=settings,
    )
    from bedev.agent.run import fix as run_fix
    from bedev.agent.screen import make_screen

    result = run_fix(request, make_screen())
    if json:
        output.print_json(result.to_dict())
    else:
        print_result(result, repo)
    return result.exit_code


def print_result(result: RunResult, repo: Path) -> None:
    """How a run ended, for a person, on stdout."""
    from bedev.agent.report.encode import for_terminal, one_line
    from bedev.agent.report.terminal import print_proof

    if result.proof is not None:
        print_proof(result.proof, sys.stdout)
        output.line()
    said = result.message.removeprefix(result.proof.headline if result.proof else "").strip()
    if said:
        output.line(for_terminal(said))
    output.line(f"outcome  {result.outcome}   run {one_line(result.run)}")
    if result.branch:
        output.line(f"branch   {one_line(result.branch)}")
        there = shlex.quote(one_line(repo))
        at, where = ("", "") if there == "." else (f" -C {there}", f" --repo {there}")
        output.line(f"look     git{at} diff {result.base[:12]} {one_line(result.branch)}")
        output.line(f"verify   bedev verify {one_line(result.branch)}{where}")
    if result.report:
        output.line(f"report   {one_line(result.report)}")
