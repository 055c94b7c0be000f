"""What the checks add up to, which paths a pattern means, and what survives the proof's JSON form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from bedev.agent.gate.claims import MAY_BE_UNMEASURED, NEEDS, verdict
from bedev.agent.gate.proof import Check, Proof
from bedev.sandboxes.patterns import matches
from hypothesis import given
from hypothesis import strategies as st

ALL = NEEDS["faster"]


def made(**statuses: str) -> list[Check]:
    return [Check(n, statuses.get(n, "passed"), n) for n in ALL]  # type: ignore[arg-type]


PROOF = Proof(
    base="b" * 40,
    tree="c" * 40,
    claim="faster",
    scenario={"questions": [{"kind": "http", "text": "GET /api/straße?q=%00"}]},
    recipe={"stack": "laravel"},
    verdict="verified",
    checks=(
        Check("scope", "passed", "1 file", {"paths": ["ä.php"], "n": 1.5}),
        Check("tests", "skipped", "-"),
    ),
    realism="grown",
    environment={"rows": {"parcels": 3}},
    seed=7,
    headline="1,590 × less work",
    notes=("one", "two"),
)


class TestVerdict:
    def test_all_passed_is_verified(self) -> None:
        assert verdict("faster", made()) == "verified"

    @pytest.mark.parametrize("name", ALL)
    def test_any_failed_check_rejects(self, name: str) -> None:
        assert verdict("faster", made(**{name: "failed"})) == "rejected"

    def test_a_failed_check_that_the_claim_does_not_need_rejects_too(self) -> None:
        assert verdict("faster", [*made(), Check("new", "failed", "")]) == "rejected"

    @pytest.mark.parametrize("name", ALL)
    def test_an_unmeasured_check_is_no_proof_unless_it_only_ever_fails(self, name: str) -> None:
        expected = "verified" if name in MAY_BE_UNMEASURED else "unproven"
        assert verdict("faster", made(**{name: "unmeasured"})) == expected

    @pytest.mark.parametrize("name", ALL)
    def test_a_check_that_is_absent_is_no_proof(self, name: str) -> None:
        assert verdict("faster", [c for c in made() if c.name != name]) == "unproven"

    def test_failed_wins_over_unmeasured(self) -> None:
        assert verdict("faster", made(tests="unmeasured", scope="failed")) == "rejected"

    def test_skipped_checks_do_not_stand_in_the_way(self) -> None:
        checks = made(migration="skipped", write_cost="skipped", tests="skipped")
        assert verdict("faster", checks) == "verified"

    @pytest.mark.parametrize("name", ["same_answers", "less_work"])
    def test_the_deciding_checks_may_not_be_unmeasured(self, name: str) -> None:
        assert name not in MAY_BE_UNMEASURED


class TestPatterns:
    @pytest.mark.parametrize(
        ("path", "pattern"),
        [
            ("composer.json", "**/composer.json"),
            ("a/b/composer.json", "**/composer.json"),
            ("Tests/Feature/ATest.php", "tests/**"),
            (".github/workflows/a.yml", ".github/**"),
            ("a/Dockerfile.prod", "**/Dockerfile*"),
            ("docker-compose.prod.yaml", "**/docker-compose*.y*ml"),
            ("a.b", "?.b"),
        ],
    )
    def test_matches(self, path: str, pattern: str) -> None:
        assert matches(path, [pattern])

    @pytest.mark.parametrize(
        ("path", "pattern"),
        [
            ("xcomposer.json", "**/composer.json"),
            ("composer.json.md", "**/composer.json"),
            ("composerxjson", "**/composer.json"),
            ("a/b.yml", "*.yml"),
            ("src/tests/a", "tests/**"),
            ("tests", "tests/**"),
            ("a/.b", "??.b"),
        ],
    )
    def test_does_not_match(self, path: str, pattern: str) -> None:
        assert not matches(path, [pattern])

    def test_a_line_break_in_a_name_hides_nothing(self) -> None:
        assert matches("tests/a\nb.php", ["tests/**"])
        assert matches("a\nb/composer.json", ["**/composer.json"])

    def test_no_pattern_matches_nothing(self) -> None:
        assert not matches("a", [])


class TestProofJson:
    def test_comes_back_equal(self) -> None:
        again = Proof.from_json(PROOF.to_json())
        assert again == PROOF
        assert again is not None
        assert again.digest == PROOF.digest

    def test_is_canonical(self) -> None:
        one, other = (
            replace(PROOF, recipe=dict(pairs)) for pairs in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)])
        )
        assert one.to_json() == other.to_json()
        assert PROOF.to_json().endswith(b"}\n")
        assert json.loads(PROOF.to_json())["schema"] == "bedev.proof/1"

    def test_the_digest_changes_with_the_verdict(self) -> None:
        assert replace(PROOF, verdict="rejected").digest != PROOF.digest

    def test_check_finds_by_name(self) -> None:
        found = PROOF.check("tests")
        assert found is not None
        assert found.status == "skipped"
        assert PROOF.check("absent") is None

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff\xfe",
            b"null",
            b"[]",
            b"7",
            b'"text"',
            b"{}",
            b'{"schema": "bedev.proof/1"}',
            b'{"schema": "bedev.proof/1", "checks": [1]}',
            b'{"schema": "bedev.proof/1", "checks": [{"name": "scope"}]}',
            b'{"schema": "bedev.proof/1", "checks": {"name": "scope"}}',
            b'{"schema": "bedev.proof/1", "checks": 3}',
            b"9" * 5000,
        ],
    )
    def test_bytes_that_are_no_proof_give_none(self, content: bytes) -> None:
        assert Proof.from_json(content) is None

    @pytest.mark.parametrize(
        "change",
        [{"schema": "bedev.proof/2"}, {"seed_": 1}, {"notes": 3}, {"checks": [{"status": "passed"}]}],
    )
    def test_a_proof_with_one_thing_wrong_gives_none(self, change: dict[str, Any]) -> None:
        assert Proof.from_json(json.dumps({**PROOF.to_dict(), **change}).encode()) is None

    @pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000])
    def test_deep_nesting_gives_none(self, content: bytes) -> None:
        assert Proof.from_json(content) is None

    @given(st.binary(max_size=200))
    def test_any_bytes_give_none_or_a_proof(self, content: bytes) -> None:
        assert Proof.from_json(content) is None

    @given(st.data())
    def test_a_damaged_proof_never_raises(self, data: st.DataObject) -> None:
        content = bytearray(PROOF.to_json())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        found = Proof.from_json(bytes(content))
        assert found is None or isinstance(found, Proof)
