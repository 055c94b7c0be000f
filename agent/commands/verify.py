"""`bedev verify REF`: judge any patch, whoever wrote it. No model is asked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from bedev.agent.commands import options, output
from bedev.agent.requests import VerifyRequest, VerifyResult

RULES: Mapping[str, str] = {
    "scope": "Only files that such a patch may change are changed; CI, hooks, lock files, dependency "
    "manifests and container files are refused.",
    "tests": "Every test that passed on base passes on the patch, by its id; tests red on base are named.",
    "test_integrity": "No test is removed, skipped or weakened, and the test configuration is base's.",
    "same_answers": "What an outsider sees is equal on base and on the patch, on realistic data and on a "
    "second set of data that nobody saw.",
    "less_work": "The database server counts at least 1.2 times less work in total, and no question costs "
    "materially more. This check decides; it does not depend on the clock.",
    "workload": "Other requests of the application answer as before, and none of them does more than twice "
    "the work and more by 5 % of what the scenario saves.",
    "faster": "Interleaved warm requests show no slowdown; where time cannot be told, the verdict says it.",
    "migration": "Where the patch has a migration: up, down, up works; after down the schema equals base's.",
    "write_cost": "Where the patch adds an index: its size is measured and stated.",
}
"""What each check asks, in a sentence."""


def verify(
    ref: Annotated[str | None, typer.Argument(help="A branch, tag or commit.", show_default=False)] = None,
    patch: Annotated[
        Path | None, typer.Option("--patch", help="Judge this patch file instead.", metavar="FILE")
    ] = None,
    repo: options.Repo = Path("."),
    path: options.Sub = "",
    base: options.Base = None,
    claim: options.Claim = "faster",
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
    max_minutes: options.Minutes = None,
    seed: options.Seed = None,
    out: options.Out = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Print which checks each claim needs, and stop.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Prove or reject a patch: same answers, less work, tests green, a migration that can be undone.

    Exit code: 0 verified, 1 rejected, 5 unproven (something that the claim needs could not be measured).
    """
    if rules:
        print_rules(json)
        return 0
    from bedev.agent.settings import load
    from bedev.sandboxes.errors import UsageError
    from bedev.tools.scenarios import scenario as scenarios

    if (ref is None) == (patch is None):
        raise UsageError(
            "verify needs a branch or a patch file."
            if ref is None
            else "Both a branch and a patch file are given.",
            where="REF, --patch",
            next_step="bedev verify BRANCH, or: bedev verify --patch FILE",
        )
    settings = load(
        {
            "engine": engine,
            "sandbox": sandbox,
            "trust": options.trusted(trust),
            "max_minutes": max_minutes,
            "allow_images": tuple(allow_image or ()),
            "rows": options.rows(rows),
        }
    )
    for file, flag in ((patch, "--patch"), (dump, "--dump")):
        if file is not None:
            options.check_file(file, flag)
    files = options.scenario_files(with_)
    written = options.parse_out(out or ())
    request = VerifyRequest(
        repo=repo,
        ref=ref,
        patch=patch,
        path=path,
        base=base,
        scenario=scenarios.from_flags(
            http or (), scenario or (), sql or (), as_user, header or (), files, data
        ),
        engine=settings.engine,
        sandbox=settings.sandbox,
        rows=settings.rows,
        dump=dump,
        max_minutes=settings.max_minutes,
        claim=options.check_claim(claim),
        allow_images=settings.allow_images,
        as_user=scenarios.as_user_value(as_user),
        headers=tuple(scenarios.header_value(h) for h in header or ()),
        scenario_files=files,
        data=data,
        seed=seed,
        out=written,
        settings=settings,
    )
    from bedev.agent.run import verify as run_verify
    from bedev.agent.screen import make_screen

    result = run_verify(request, make_screen())
    report = written.get("markdown")
    if report is not None:
        write_markdown(result, report, ref or f"--patch {shlex.quote(str(patch))}")
    if json:
        output.print_json(result.to_dict(ref, str(report) if report else None))
    else:
        from bedev.agent.report.terminal import print_proof

        print_proof(result.proof, sys.stdout)
        if report is not None:
            output.line(f"report   {report}")
    return result.exit_code


def write_markdown(result: VerifyResult, file: Path, branch: str) -> None:
    """The pull request's report, from the proof alone. Raises UsageError where it cannot be written."""
    from bedev.agent.report.markdown import pull_request
    from bedev.sandboxes.errors import UsageError

    try:
        file.write_text(pull_request(result.proof, branch=branch), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The report could not be written: {error.strerror}.",
            where=str(file),
            next_step="Name another file.",
        ) from error


def print_rules(json: bool) -> None:
    """Which checks each claim needs, with a sentence each."""
    import textwrap

    from bedev.agent.gate.claims import MAY_BE_UNMEASURED, NEEDS

    if json:
        rules = {
            claim: [
                {"check": c, "rule": RULES[c], "may_be_unmeasured": c in MAY_BE_UNMEASURED} for c in checks
            ]
            for claim, checks in NEEDS.items()
        }
        output.print_json({"schema": "bedev.rules/1", "claims": rules})
        return
    for claim, checks in NEEDS.items():
        output.line(f"claim {claim}: verified when none of these fails and all that it needs are measured")
        for check in checks:
            may = " It may stay unmeasured." if check in MAY_BE_UNMEASURED else ""
            lead = f"  {check:15} "
            output.line(
                textwrap.fill(RULES[check] + may, 80, initial_indent=lead, subsequent_indent=" " * len(lead))
            )
