"""A proof for a pull request: at most 40 lines, so that a reviewer reads it.

Numbers come from the proof alone. What a model or the advisor wrote (risk, rollout, rollback) stands in
a block that says so. Every text from outside is set as code or escaped.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from bedev.agent.gate.proof import Check, Proof
from bedev.agent.report import evidence as read
from bedev.agent.report.encode import fence, for_markdown_code, for_markdown_text, one_line
from bedev.agent.report.terminal import REALISM

MOST_LINES = 40
NOTES_REFSPEC = "refs/notes/bedev:refs/notes/bedev"
_MARKS = {"passed": "✅", "failed": "❌", "unmeasured": "❔", "skipped": "➖"}
_TITLES = {"verified": "Verified", "rejected": "Rejected", "unproven": "Unproven"}


def pull_request(
    proof: Proof,
    *,
    branch: str,
    task: str = "",
    change: Sequence[str] = (),
    plans: Mapping[str, str] | None = None,
    call_sites: Sequence[str] = (),
    reasoning: str = "",
    risk: str = "",
    rollout: str = "",
    rollback: str = "",
    author: str = "",
    assumptions: Sequence[str] = (),
    answers: Sequence[str] = (),
) -> str:
    """The report of a patch as Markdown.

    `change` says what was changed, in at most three lines; without it the changed files are listed.
    `plans` are the one-line plans under `base` and `patch` (None: those that the proof holds).
    `call_sites` are `file:line` of the slow query. `author` is who wrote reasoning, risk, rollout and
    rollback (`advisor`, a model's name). `assumptions` are what it took for granted because nobody could be
    asked, `answers` questions of the model with the user's answers: both stand at the head.
    """
    title = _TITLES.get(str(proof.verdict), "Unproven")
    facts = [_asked(proof, task), *_slow(proof), *_query(proof), *_called(call_sites)]
    lines = [
        f"## {title}: {for_markdown_text(read.headline(proof) or task or proof.claim, 160)}",
        "",
        *_assumed(assumptions, author),
        *_answered(answers),
        *_hard(facts),
    ]
    lines += [
        "",
        *_change(proof, change),
        "",
        *_numbers(proof, read.plans(proof) if plans is None else plans),
        "",
        *_checks(proof),
    ]
    lines += ["", *_words(reasoning, risk, rollout, rollback, author)]
    lines += [_footing(proof), "", "Run the proof again:", *_again(branch)]
    text = "\n".join(_single_blanks(lines))
    return text.rstrip("\n") + "\n"


def unverified(
    *,
    branch: str,
    task: str,
    why: str,
    paths: Sequence[str],
    last: Proof | None = None,
    cause: str = "",
    author: str = "",
    assumptions: Sequence[str] = (),
    answers: Sequence[str] = (),
) -> str:
    """The report of a run that ended without a proof: why, what it changed, what the last proposal lacked."""
    lines = [
        f"## Unverified: {for_markdown_text(task, 160)}",
        "",
        f"**Nothing is proven here.** {for_markdown_text(why, 400)}",
        "",
        *_assumed(assumptions, author),
        *_answered(answers),
        "**Changed**",
        *(f"- {for_markdown_code(path, 160)}" for path in paths[:12]),
    ]
    if len(paths) > 12:
        lines.append(f"- and {len(paths) - 12} more")
    if last is not None:
        lines += ["", *_checks(last)]
    lines += ["", *_words(cause, "", "", "", author), "Judge it, or what you make of it:", *_again(branch)]
    return "\n".join(_single_blanks(lines)).rstrip("\n") + "\n"


def _assumed(assumptions: Sequence[str], author: str) -> list[str]:
    if not assumptions:
        return []
    said = "; ".join(for_markdown_text(a, 200) for a in assumptions[:3])
    return [
        f"**Assumed** by {for_markdown_text(author or 'the author', 40)} (nobody could be asked): {said}",
        "",
    ]


def _answered(answers: Sequence[str]) -> list[str]:
    if not answers:
        return []
    return [f"**The user answered**: {'; '.join(for_markdown_text(a, 240) for a in answers[:3])}", ""]


def _asked(proof: Proof, task: str) -> str:
    asked = read.questions(proof)
    shown = ", ".join(for_markdown_code(q, 120) for q in asked[:2]) or "no scenario"
    more = f" and {len(asked) - 2} more" if len(asked) > 2 else ""
    chooser = read.scenario_chooser(proof)
    said = f" ({for_markdown_text(chooser, 80)})" if chooser else ""
    user = f" as {for_markdown_code(proof.scenario['as'], 80)}" if proof.scenario.get("as") else ""
    given = f"; task: {for_markdown_code(task, 120)}" if task else ""
    return f"**Asked**: {shown}{more}{user}{said}{given}"


def _called(call_sites: Sequence[str]) -> list[str]:
    more = f" and {len(call_sites) - 2} more" if len(call_sites) > 2 else ""
    shown = ", ".join(for_markdown_code(c) for c in call_sites[:2])
    return [f"**Called from**: {shown}{more}"] if shown else []


def _query(proof: Proof) -> list[str]:
    """The statement of base's most expensive plan, on one line."""
    try:
        sql = str(proof.environment["plans"]["base"][0]["sql"])
    except (KeyError, IndexError, TypeError):
        return []
    return [f"**Query**: {for_markdown_code(one_line_sql(sql), 240)}"]


def one_line_sql(sql: str) -> str:
    """SQL as people write it: keywords in capitals, one space between words. As it is where sqlparse,
    which bounds what it reads, refuses it."""
    import sqlparse
    from sqlparse.exceptions import SQLParseError

    try:
        text: str = sqlparse.format(sql, keyword_case="upper", strip_whitespace=True)
    except SQLParseError:
        text = sql
    return " ".join(text.split())


def _slow(proof: Proof) -> list[str]:
    data_set = read.largest_data_set(proof)
    base = read.number(data_set.get("base_work")) if data_set else None
    timing = read.time_comparison(proof)
    facts = []
    if base is not None:
        facts.append(f"{read.count(base)} units of database work")
    if timing is not None:
        facts.append(f"{timing.base} a warm request")
    name = (
        f", on the data set {for_markdown_code(data_set['name'], 40)}"
        if data_set and data_set.get("name")
        else ""
    )
    return [f"**Slow on base**: {' and '.join(facts)}{name}"] if facts else []


def _change(proof: Proof, change: Sequence[str]) -> list[str]:
    paths = read.changed_paths(proof)
    lines = [f"- {for_markdown_text(text, 200)}" for text in change[:3]]
    if not lines and paths:
        more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
        lines.append(f"- {', '.join(for_markdown_code(p, 120) for p in paths[:4])}{more}")
    added = read.indexes(proof)
    if added:
        texts = [
            f"{for_markdown_code(f'{i.table} ({i.columns})', 120)} takes {read.size(i.bytes)}"
            for i in added[:3]
        ]
        more = f"; and {len(added) - 3} more" if len(added) > 3 else ""
        lines.append(f"- new index: {'; '.join(texts)}{more}")
    return ["**Change**", *lines] if lines else []


def _numbers(proof: Proof, plans: Mapping[str, str]) -> list[str]:
    rows = [
        f"| {for_markdown_text(r.label, 40)} | {r.base} | {r.patch} | {r.change} | {r.measured_by} |"
        for r in read.comparisons(proof, 5)
    ]
    if plans.get("base") or plans.get("patch"):
        before, after = (for_markdown_code(plans.get(side) or "", 160) for side in ("base", "patch"))
        rows.append(f"| plan | {before} | {after} | | database server |")
    if not rows:
        return []
    return ["| | base | patch | change | measured by |", "|---|---:|---:|---|---|", *rows]


def _checks(proof: Proof) -> list[str]:
    """One line for all that passed, a line each for at most four that did not."""
    passed = [c for c in proof.checks if c.status == "passed"]
    others = sorted(
        (c for c in proof.checks if c.status != "passed"),
        key=lambda c: (
            ("failed", "unmeasured", "skipped").index(c.status)
            if c.status in ("failed", "unmeasured", "skipped")
            else 1
        ),
    )
    lines = [_check(c) for c in others[:4]]
    if len(others) > 4:
        lines.append(f"- and {len(others) - 4} more that did not pass")
    if passed:
        said = ", ".join(for_markdown_code(c.name, 30) for c in passed[:14])
        lines.append(f"- ✅ {said}")
    for name in ("tests", "migration"):
        check = proof.check(name)
        if check is not None and check.status == "passed" and check.summary:
            lines.append(f"- {for_markdown_code(name)}: {for_markdown_text(check.summary, 200)}")
    different = read.counterexample(proof)
    if different is not None:
        question, base, patch = (for_markdown_code(text, 140) for text in different)
        lines.append(f"- answers differ for {question}: base {base}, patch {patch}")
    return ["**Checks**", *lines]


def _check(check: Check) -> str:
    settle = f" To settle it: {for_markdown_text(check.settle, 160)}" if check.settle else ""
    mark = _MARKS.get(str(check.status), "❔")
    return f"- {mark} {for_markdown_code(check.name, 30)}: {for_markdown_text(check.summary, 240)}{settle}"


def _words(reasoning: str, risk: str, rollout: str, rollback: str, author: str) -> list[str]:
    said = (("Why", reasoning), ("Risk", risk), ("Rollout", rollout), ("Rollback", rollback))
    lines = [f"> {name}: {for_markdown_text(text, 300)}" for name, text in said if text.strip()]
    if not lines:
        return []
    return [
        f"> **Words of {for_markdown_text(author or 'the author', 40)}**, not measured:",
        ">",
        *_hard(lines),
        "",
    ]


def _hard(lines: Sequence[str]) -> list[str]:
    """Markdown joins lines of one paragraph: all but the last end in a hard break."""
    return [f"{line}\\" for line in lines[:-1]] + list(lines[-1:])


def _footing(proof: Proof) -> str:
    data = REALISM.get(str(proof.realism), str(proof.realism))
    notes = "".join(f" {for_markdown_text(note, 160)}" for note in proof.notes[:2])
    base = for_markdown_code(str(proof.base)[:12])
    return (
        f"Base {base}; data: {for_markdown_text(data, 80)}, seed {for_markdown_text(proof.seed, 30)}.{notes}"
    )


def _again(branch: str) -> list[str]:
    """Commands that are safe to paste: a branch name may hold what a shell obeys (`;`, `$(...)`)."""
    command = f"bedev verify {branch if branch.startswith('--patch ') else shlex.quote(one_line(branch))}"
    return fence(f"git fetch origin {NOTES_REFSPEC}\n{command}", "sh").splitlines()


def _single_blanks(lines: Sequence[str]) -> list[str]:
    return [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
