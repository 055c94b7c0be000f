"""The report for a pull request: short, complete, and inert."""

from __future__ import annotations

import re
from typing import Any

from bedev.agent.gate.proof import Check, Proof
from bedev.agent.report.markdown import MOST_LINES, pull_request
from hypothesis import given
from hypothesis import strategies as st
from proof_samples import checks, proof

BRANCH = "bedev/slow-users-query-ab12"


def whole(found: Proof, **changes: Any) -> str:
    values: dict[str, Any] = {
        "branch": BRANCH,
        "task": "slow users query",
        "change": ["adds an index on users.email"],
        "plans": {"base": "full scan of users, 200,000 rows", "patch": "index lookup, 1 row"},
        "call_sites": ["app/Http/Controllers/UserController.php:31"],
        "reasoning": "The filter on email has no index.",
        "risk": "Writes to users get a little slower.",
        "rollout": "Run the migration at any time.",
        "rollback": "php artisan migrate:rollback --step=1",
        "author": "advisor",
    }
    return pull_request(found, **{**values, **changes})


def test_it_says_what_was_slow_what_changed_and_how_to_run_the_proof_again() -> None:
    text = whole(proof())
    assert text.startswith("## Verified: 1,590 x less work, 24.1 x faster\n")
    assert "`GET /api/users?email=a%40b.c` (found by bedev before anything was edited)" in text
    assert "**Slow on base**: 200,312 units of database work and 82.1 ms a warm request" in text
    assert "`app/Http/Controllers/UserController.php:31`" in text
    assert "new index: `users (email)` takes 8.5 MiB" in text
    assert "| work | 200,312 | 126 | 1,590 x less | database server |" in text
    assert "| rows examined | 200,000 | 1 |" in text
    assert "| time, warm | 82.1 ms | 3.4 ms | 24.1 x less (20.3 to 28, 21 pairs) | probe |" in text
    assert "| plan | `full scan of users, 200,000 rows` | `index lookup, 1 row` |" in text
    assert (
        "git fetch origin refs/notes/bedev:refs/notes/bedev\nbedev verify bedev/slow-users-query-ab12" in text
    )


def test_the_verdict_is_said_once() -> None:
    assert whole(proof(headline="verified: less work")).startswith("## Verified: less work\n")


def test_words_that_nobody_measured_are_labelled_with_their_author() -> None:
    text = whole(proof())
    label = text.index("> **Words of advisor**, not measured:")
    for word in ("Why:", "Risk:", "Rollout:", "Rollback:"):
        assert text.index(f"> {word}") > label


def test_a_failed_check_and_its_counterexample_are_shown() -> None:
    evidence = {"counterexample": {"question": "GET /api/users", "base": "200 rows", "patch": "50 rows"}}
    failed = Check("same_answers", "failed", "answers differ in 1 question", evidence)
    text = whole(proof("rejected", checks=checks(same_answers=failed), headline="answers differ"))
    assert text.startswith("## Rejected: answers differ\n")
    assert "- ❌ `same_answers`: answers differ in 1 question" in text
    assert "base `200 rows`, patch `50 rows`" in text


def test_a_proof_alone_is_enough() -> None:
    text = pull_request(proof(), branch=BRANCH)
    assert "add\\_email\\_index" in text or "add_email_index" in text
    assert "Words of" not in text


NOISE = st.text(max_size=300)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | NOISE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NOISE, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(NOISE, max_size=9),
    NOISE,
    st.lists(
        st.tuples(NOISE, st.sampled_from(["passed", "failed", "unmeasured", "skipped", "odd"]), NOISE, NOISE),
        max_size=30,
    ),
    st.fixed_dictionaries(
        {}, optional={"data_sets": ANYTHING, "counterexample": ANYTHING, "indexes": ANYTHING}
    ),
)
def test_it_never_has_more_than_40_lines_whatever_the_proof_holds(
    texts: list[str], text: str, found: list[tuple[str, Any, str, str]], evidence: dict[str, Any]
) -> None:
    own = [Check(name, status, summary, {}, settle) for name, status, summary, settle in found]
    for name in ("less_work", "same_answers", "write_cost", "scope", "faster", "migration", "tests"):
        own.append(Check(name, "passed", text, {**evidence, "paths": texts}))
    report = whole(
        proof(checks=tuple(own), headline=text, notes=tuple(texts)),
        change=texts,
        call_sites=texts,
        reasoning=text,
        risk=text,
        rollout=text,
        rollback=text,
    )
    assert len(report.splitlines()) <= MOST_LINES


def test_nothing_in_it_mentions_people_closes_issues_or_loads_images() -> None:
    payload = "@team Fixes #1 <img src=https://evil.example/b.png> ![x](https://evil.example) ``` \u202e"
    text = whole(
        proof(headline=payload, notes=(payload,), checks=checks(scope=Check("scope", "failed", payload))),
        task=payload,
        change=[payload],
        call_sites=[payload],
        plans={"base": payload, "patch": "| a |"},
        risk=payload,
        author=payload,
    )
    outside = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)
    assert "@" not in outside
    assert "https" not in outside
    assert "#1" not in outside
    assert not re.search(r"(?<!\\)<", outside)
    assert "\u202e" not in text


def test_its_commands_can_be_pasted_whatever_the_branch_is_called() -> None:
    assert "\nbedev verify 'x;$(reboot)'\n" in whole(proof(), branch="x;$(reboot)")


def test_plans_come_from_the_proof_where_nobody_gives_them() -> None:
    step = {"table": "users", "access": "ref", "index": "users_email_index"}
    plans = {
        "base": [{"steps": [{"table": "users", "access": "ALL", "index": None}]}],
        "patch": [{"steps": [step]}],
    }
    text = whole(proof(environment={"plans": plans}), plans=None)
    assert "| plan | `users ALL` | `users ref users_email_index` | | database server |" in text


def test_lines_that_belong_to_one_paragraph_stay_lines() -> None:
    lines = whole(proof()).splitlines()
    assert lines[2].endswith("\\")
    assert lines[3].endswith("\\")
    assert not lines[4].endswith("\\")
