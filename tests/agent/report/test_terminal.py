"""A proof in a terminal."""

from __future__ import annotations

from bedev.agent.gate.proof import Check, Proof
from bedev.agent.report.terminal import error_text, proof_text
from proof_samples import checks, proof


def test_it_shows_verdict_scenario_numbers_and_every_check() -> None:
    text = proof_text(proof())
    assert text.startswith("VERIFIED  claim: faster\n1,590 x less work, 24.1 x faster\n")
    assert "Scenario (found by bedev before anything was edited)\n  GET /api/users?email=a%40b.c\n" in text
    assert "rows examined  200,000" in text
    for name in ("scope", "tests", "test_integrity", "same_answers", "less_work", "faster", "migration"):
        assert f"✓ {name} " in text
    assert "seed data, grown to a realistic size (seed 7)" in text


def test_no_line_is_wider_than_the_terminal() -> None:
    long = Check("tests", "unmeasured", "a b " * 200, settle="c d " * 100)
    text = proof_text(proof("unproven", checks=checks(tests=long), headline="x " * 100), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "? tests" in text
    assert "to settle it:" in text


def test_a_counterexample_is_shown_side_by_side() -> None:
    found = {"counterexample": {"question": "GET /a", "where": "tiny", "base": "[1,2]", "patch": "[1]"}}
    text = proof_text(
        proof("rejected", checks=checks(same_answers=Check("same_answers", "failed", "no", found)))
    )
    assert "Answers differ: GET /a (tiny)" in text
    assert "base: [1,2]" in text
    assert "patch: [1]" in text


def test_a_proof_that_somebody_forged_is_shown_without_harm() -> None:
    forged = Proof.from_json(
        b'{"schema":"bedev.proof/1","base":"\\u001b[2J","tree":"x","claim":"c","scenario":{"questions":"no"},'
        b'"recipe":{},"verdict":"verified","checks":[{"name":"less_work","status":"passed","summary":"\\u202ex",'
        b'"evidence":{"data_sets":[3,{"base_work":"many","questions":{}}]}}],"realism":"grown",'
        b'"environment":{},"seed":1}'
    )
    assert forged is not None
    text = proof_text(forged)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_an_error_says_what_where_next_and_the_last_lines() -> None:
    text = error_text(
        "It broke.", "composer install", "Look.", "\n".join(f"line {i}" for i in range(50)) + "\x1b[2J"
    )
    assert text.startswith(
        "bedev: It broke.\n  where: composer install\n  next:  Look.\n  output:\n    line 30\n"
    )
    assert text.endswith("    line 49\n")
