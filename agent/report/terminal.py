"""A proof as a person reads it in a terminal: verdict, what was asked, base beside patch, every check."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, TextIO

from bedev.agent.gate.proof import Proof
from bedev.agent.report import evidence as read
from bedev.agent.report.encode import for_terminal, one_line
from bedev.agent.screen import STYLES, SYMBOLS, aligned

if TYPE_CHECKING:
    from rich.text import Text

VERDICT_STYLES = {"verified": "bold green", "rejected": "bold red", "unproven": "bold yellow"}
REALISM = {
    "seeded": "the repository's own seed data",
    "grown": "seed data, grown to a realistic size",
    "statistics": "data made after production's statistics",
    "copy": "the user's own copy of the database",
}


def proof_table(proof: Proof, width: int = 80) -> Text:
    """The whole proof as styled text for a `rich` console, at most `width` columns wide."""
    from rich.text import Text

    width = max(40, width)
    out = Text()

    def line(text: str = "", style: str = "") -> None:
        out.append(f"{text}\n", style)

    def wrapped(text: object, indent: str = "", style: str = "", first: str | None = None) -> None:
        for part in textwrap.wrap(
            one_line(text, 2000),
            width,
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_on_hyphens=False,
        ):
            line(part, style)

    verdict = str(proof.verdict)
    out.append(verdict.upper(), VERDICT_STYLES.get(verdict, "bold"))
    line(f"  claim: {one_line(proof.claim, 20)}", "dim")
    if proof.headline:
        wrapped(read.headline(proof), style="bold")
    line(f"base {one_line(str(proof.base)[:12])}   tree {one_line(str(proof.tree)[:12])}", "dim")
    line()
    chooser = read.scenario_chooser(proof)
    line(f"Scenario{f' ({one_line(chooser, 60)})' if chooser else ''}", "bold")
    for question in read.questions(proof) or ("none",):
        wrapped(question, "    ", first="  ")
    if proof.scenario.get("as"):
        wrapped(f"as {proof.scenario['as']}", "    ", first="  ")
    rows = read.comparisons(proof)
    if rows:
        line()
        table = aligned([(r.label, r.base, r.patch, r.change) for r in rows], ("", "base", "patch", ""))
        line(f"  {table[0]}"[:width], "dim")
        for text in table[1:]:
            line(f"  {text}"[:width])
    line()
    for check in proof.checks:
        status = str(check.status)
        first = f"  {SYMBOLS.get(status, '?')} {one_line(check.name, 15):15} "
        wrapped(f"{check.summary or status}", " " * len(first), STYLES.get(status, "yellow"), first)
        if status == "unmeasured" and check.settle:
            wrapped(f"to settle it: {check.settle}", " " * len(first), "dim")
    different = read.counterexample(proof)
    if different is not None:
        line()
        wrapped(f"Answers differ: {different[0]}", "    ", "red", "  ")
        wrapped(f"base:  {different[1]}", "           ", first="    ")
        wrapped(f"patch: {different[2]}", "           ", first="    ")
    line()
    data = REALISM.get(str(proof.realism), str(proof.realism))
    wrapped(f"Data: {data} (seed {proof.seed}).", style="dim")
    for note in proof.notes:
        wrapped(note, "  ", "dim", "- ")
    out.rstrip()
    return out


def proof_text(proof: Proof, width: int = 80) -> str:
    """The same as plain text, for a pipe."""
    from rich.console import Console

    target = io.StringIO()
    Console(file=target, width=max(40, width), color_system=None, highlight=False).print(
        proof_table(proof, width)
    )
    return target.getvalue()


def print_proof(proof: Proof, stream: TextIO) -> None:
    """Print it in colour on a terminal, plainly elsewhere and under NO_COLOR."""
    if not stream.isatty():
        stream.write(proof_text(proof))
        return
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    console.print(proof_table(proof, min(console.width, 100)))


def error_text(
    what: str, where: str = "", next_step: str = "", detail: str = "", cause: str = "", toml: str = ""
) -> str:
    """An error for a person: what is wrong, where, the last lines of output, the likely cause, and what to do
    next, with the lines of bedev.toml that settle it."""
    lines = [f"bedev: {one_line(what, 2000)}"]
    if where:
        lines.append(f"  where: {one_line(where, 500)}")
    if cause:
        lines.append(f"  likely: {one_line(cause, 2000)}")
    if toml:
        lines.append("  next:  this in the base commit's bedev.toml (docs/bedev-toml.md):")
        lines += [f"      {one_line(text, 2000)}" for text in toml.splitlines()]
    elif next_step:
        lines.append(f"  next:  {one_line(next_step, 2000)}")
    shown = for_terminal(detail).strip().splitlines()
    if shown:
        lines += ["  output:", *(f"    {text[:300]}" for text in shown[-20:])]
    return "\n".join(lines) + "\n"
