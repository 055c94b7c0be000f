"""Each check of the gate: a case in which it fails, one in which it passes, one that it cannot judge."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import bedev.agent.gate.checks as package
import gate_cases as given
import pytest
from bedev.agent.gate.case import Beside, Case
from bedev.agent.gate.checks import (
    faster,
    less_work,
    migration,
    same_answers,
    scope,
    test_integrity,
    tests,
    workload,
    write_cost,
)
from bedev.agent.gate.gate import checks
from bedev.sandboxes.engines.engine import Counters, IndexSize
from bedev.tools.scenarios.scenario import Scenario

INTEGRITY = test_integrity.check
del test_integrity  # its name would be collected as a test
OLD_TEST = b"<?php\nassertOk();\nassertCount(3);\n"


class TestScope:
    def test_a_patch_of_application_code_passes(self) -> None:
        check = scope.check(given.case())
        assert check.status == "passed"
        assert check.evidence["paths"] == ["app/Parcel.php"]

    def test_an_empty_patch_fails(self) -> None:
        check = scope.check(given.case(patch={"app/Parcel.php": b"<?php\n"}))
        assert (check.status, check.summary) == ("failed", "the patch changes nothing")

    @pytest.mark.parametrize(
        "path",
        [
            ".github/workflows/ci.yml",
            ".GitHub/workflows/ci.yml",
            "Dockerfile",
            "deploy/Dockerfile.prod",
            "composer.json",
            "packages/api/composer.lock",
            ".env",
            "bedev.toml",
            "vendor/autoload.php",
            ".gitattributes",
            "app/.gitattributes",
            "docker-compose.override.yml",
            "storage/framework/views/a.php",
        ],
    )
    def test_files_that_decide_what_runs_are_refused_wherever_they_lie(self, path: str) -> None:
        check = scope.check(given.case({}, {"app/A.php": b"1", path: b"2"}))
        assert check.status == "failed"
        assert check.evidence["refused"] == [path]
        assert path in check.summary

    @pytest.mark.parametrize("path", ["app/Environment.php", "app/composer_json.php", "docs/docker.md"])
    def test_a_name_that_only_resembles_a_protected_one_passes(self, path: str) -> None:
        assert scope.check(given.case({}, {path: b"1"})).status == "passed"

    def test_deleting_a_protected_file_is_refused(self) -> None:
        assert scope.check(given.case({"composer.lock": b"{}"}, {})).status == "failed"

    @pytest.mark.parametrize("mode", ["120000", "160000"])
    def test_a_link_and_a_submodule_are_refused(self, mode: str) -> None:
        check = scope.check(given.case({}, {"app/a": b"/etc"}, modes={"app/a": mode}))
        assert check.status == "failed"
        assert check.evidence["refused"] == ["app/a"]

    def test_an_executable_file_passes(self) -> None:
        assert scope.check(given.case({}, {"bin/a": b"#!"}, modes={"bin/a": "100755"})).status == "passed"


class TestTestIntegrity:
    def test_a_patch_that_leaves_tests_alone_passes(self) -> None:
        assert INTEGRITY(given.case()).status == "passed"

    def test_a_deleted_test_fails(self) -> None:
        check = INTEGRITY(given.case({"tests/ATest.php": OLD_TEST}, {}))
        assert (check.status, check.summary) == ("failed", "tests/ATest.php is deleted")

    @pytest.mark.parametrize(("number", "status"), [("2", "passed"), ("4", "failed")])
    def test_a_pinned_number_of_queries_may_only_fall(self, number: str, status: str) -> None:
        before = b"def test_a(self):\n    with self.assertNumQueries(3):\n        self.get()\n"
        after = before.replace(b"3", number.encode())
        check = INTEGRITY(given.case({"tests/ATest.php": before}, {"tests/ATest.php": after}))
        assert check.status == status

    def test_a_test_that_loses_a_line_fails(self) -> None:
        check = INTEGRITY(given.case({"tests/ATest.php": OLD_TEST}, {"tests/ATest.php": OLD_TEST[:-17]}))
        assert (check.status, check.summary) == ("failed", "tests/ATest.php loses 1 line")

    def test_a_changed_expectation_fails(self) -> None:
        weaker = OLD_TEST.replace(b"3", b"4")
        assert INTEGRITY(given.case({"tests/A.php": OLD_TEST}, {"tests/A.php": weaker})).status == "failed"

    def test_a_test_that_is_skipped_from_now_on_fails(self) -> None:
        skipping = OLD_TEST.replace(b"<?php\n", b"<?php\n$this->markTestSkipped();\n")
        check = INTEGRITY(given.case({"tests/A.php": OLD_TEST}, {"tests/A.php": skipping}))
        assert (check.status, check.summary) == ("failed", "tests/A.php skips tests")

    @pytest.mark.parametrize("path", ["phpunit.xml", "PHPUnit.xml", "phpunit.xml.dist"])
    def test_changed_or_added_test_configuration_fails(self, path: str) -> None:
        check = INTEGRITY(given.case({}, {path: b"<phpunit/>"}))
        assert check.status == "failed"
        assert path in check.summary

    def test_a_test_that_gains_lines_and_a_new_test_pass(self) -> None:
        grown = OLD_TEST + b"assertCount(4);\n"
        check = INTEGRITY(given.case({"tests/A.php": OLD_TEST}, {"tests/A.php": grown, "tests/B.php": b"1"}))
        assert (check.status, check.evidence["weakened"]) == ("passed", [])

    def test_a_moved_test_passes_by_its_content(self) -> None:
        check = INTEGRITY(given.case({"tests/A.php": OLD_TEST}, {"tests/Feature/A.php": OLD_TEST}))
        assert check.status == "passed"

    @pytest.mark.parametrize("path", ["tests/A.php.off", "tests/Feature/A.txt"])
    def test_a_test_that_moves_to_where_no_suite_looks_fails(self, path: str) -> None:
        check = INTEGRITY(given.case({"tests/Feature/ATest.php": OLD_TEST}, {path: OLD_TEST}))
        assert check.status == "failed"

    def test_a_second_skipped_test_of_a_file_fails(self) -> None:
        once = OLD_TEST + b"$this->markTestSkipped();\n"
        twice = once.replace(b"assertOk", b"$this->markTestSkipped();\nassertOk")
        assert INTEGRITY(given.case({"tests/A.php": once}, {"tests/A.php": twice})).status == "failed"

    def test_other_white_space_is_no_loss(self) -> None:
        indented = OLD_TEST.replace(b"assertOk", b"    assertOk") + b"\n\n"
        assert INTEGRITY(given.case({"tests/A.php": OLD_TEST}, {"tests/A.php": indented})).status == "passed"


class TestSameAnswers:
    def test_equal_answers_on_all_data_sets_pass(self) -> None:
        case = given.case()
        case.data_sets = [given.data_set("seen", given.asked()), given.data_set("held-out", given.asked())]
        check = same_answers.check(case)
        assert (check.status, check.summary) == ("passed", "2 answers equal on 2 data sets")

    def test_a_difference_on_held_out_data_alone_fails_with_the_counterexample(self) -> None:
        case = given.case()
        shorter = given.asked("/api/parcels?city=Chur", b'{"data":[1,2]}', b'{"data":[1]}')
        case.data_sets = [given.data_set("seen", given.asked()), given.data_set("held-out", shorter)]
        check = same_answers.check(case)
        assert check.status == "failed"
        found = check.evidence["counterexample"]
        assert (found["data_set"], found["where"]) == ("held-out", "data")
        assert (found["base"], found["patch"]) == ("2 items", "1 items")
        assert found["question"] == "GET /api/parcels?city=Chur"

    def test_a_server_error_on_the_patch_fails(self) -> None:
        case = given.case()
        answer, difference = given.failed_answer_difference()
        case.data_sets = [given.data_set("seen", replace(given.asked(), patch=answer, difference=difference))]
        assert same_answers.check(case).evidence["counterexample"]["part"] == "status"

    def test_what_the_patchs_server_wrote_of_its_error_is_said_as_the_repositorys_words(self) -> None:
        case = given.case()
        answer, difference = given.failed_answer_difference()
        broken = replace(given.asked(), patch=answer, difference=difference, said="ERROR: Unknown column")
        case.data_sets = [given.data_set("seen", broken)]
        check = same_answers.check(case)
        assert "500 instead of 200 on seen data" in check.summary
        assert check.summary.endswith("wrote (text of the repository): ERROR: Unknown column")
        assert check.evidence["counterexample"]["server_log"] == "ERROR: Unknown column"

    def test_a_difference_counts_also_where_something_else_is_missing(self) -> None:
        case = given.case()
        case.missing = ["held-out data could not be made"]
        case.data_sets = [given.data_set("seen", given.asked(patch=b"{}"))]
        assert same_answers.check(case).status == "failed"

    def test_what_base_says_otherwise_each_time_is_left_out_and_named(self) -> None:
        case = given.case()
        drawn = [b'{"data":[{"id":1,"token":"%s"}]}' % t for t in (b"f3a9c1", b"77b2d0", b"91e4a5")]
        wild = given.asked(base=drawn[0], second=drawn[1], patch=drawn[2])
        case.data_sets = [given.data_set("seen", wild)]
        check = same_answers.check(case)
        assert check.status == "passed"
        assert "token" in str(check.evidence["data_sets"])

    def test_no_scenario_is_unmeasured_and_says_what_to_give(self) -> None:
        check = same_answers.check(given.case())
        assert check.status == "unmeasured"
        assert "--http" in check.settle

    def test_a_refusal_of_base_is_the_reason(self) -> None:
        case = given.case()
        case.missing = ["base answers GET /api/mine with 401"]
        assert same_answers.check(case).summary == "base answers GET /api/mine with 401"

    def test_only_empty_answers_on_one_data_set_are_no_evidence(self) -> None:
        case = given.case()
        nothing = given.asked(base=b'{"data":[]}', empty=True)
        case.data_sets = [given.data_set("seen", given.asked()), given.data_set("held-out", nothing)]
        check = same_answers.check(case)
        assert check.status == "unmeasured"
        assert "held-out" in check.summary

    def test_an_answer_that_never_repeats_is_unmeasured(self) -> None:
        case = given.case()
        case.data_sets = [given.data_set("seen", replace(given.asked(), comparable=False))]
        assert same_answers.check(case).status == "unmeasured"


class TestLessWork:
    def test_less_work_on_every_data_set_passes_with_the_smallest_ratio(self) -> None:
        case = given.case()
        case.data_sets = [
            given.data_set("seen", given.asked(base_rows=50_000, patch_rows=10)),
            given.data_set("held-out", given.asked(base_rows=900, patch_rows=400)),
        ]
        check = less_work.check(case)
        assert check.status == "passed"
        assert check.summary == "work 50,100 → 110, at least 2.0 times less on every data set"
        assert [s["base_work"] for s in check.evidence["data_sets"]] == [50_100, 1_000]

    @pytest.mark.parametrize("patch_rows", [50_000, 42_000, 80_000])
    def test_the_same_or_hardly_less_or_more_work_fails(self, patch_rows: int) -> None:
        case = given.case()
        case.data_sets = [given.data_set("seen", given.asked(patch_rows=patch_rows))]
        assert less_work.check(case).status == "failed"

    def test_less_work_on_seen_data_alone_fails(self) -> None:
        case = given.case()
        case.data_sets = [
            given.data_set("seen", given.asked()),
            given.data_set("held-out", given.asked(base_rows=60_000, patch_rows=60_000)),
        ]
        check = less_work.check(case)
        assert check.status == "failed"
        assert check.summary == "work 60,100 → 60,100 on held-out data: 1.00 times less, needed 1.2"

    def test_one_question_that_becomes_much_dearer_fails_though_the_sum_falls(self) -> None:
        case = given.case()
        dearer = given.asked("/api/parcels?city=Zug", base_rows=100, patch_rows=9_000)
        case.data_sets = [given.data_set("seen", given.asked(), dearer)]
        check = less_work.check(case)
        assert check.status == "failed"
        assert "city=Zug does 9100 instead of 200" in check.summary

    def test_a_rise_that_is_small_against_the_saving_passes(self) -> None:
        case = given.case()
        dearer = given.asked("/api/parcels?city=Zug", base_rows=100, patch_rows=800)
        case.data_sets = [given.data_set("seen", given.asked(), dearer)]
        assert less_work.check(case).status == "passed"

    def test_statements_count_so_that_an_n_plus_1_is_work(self) -> None:
        case = given.case()
        many = replace(
            given.asked(), base_counters=given.counters(60, 51), patch_counters=given.counters(60, 2)
        )
        case.data_sets = [given.data_set("seen", many)]
        assert less_work.check(case).status == "passed"

    def test_a_counter_that_one_side_lacks_is_left_out_on_both(self) -> None:
        case = given.case()
        odd = replace(
            given.asked(base_rows=1_000, patch_rows=900), patch_counters=Counters(rows_examined=900)
        )
        case.data_sets = [given.data_set("seen", odd)]
        check = less_work.check(case)
        assert (check.status, check.evidence["data_sets"][0]["base_work"]) == ("failed", 1_000)

    def test_too_little_data_is_unmeasured(self) -> None:
        case = given.case()
        case.data_sets = [given.data_set("seen", given.asked(base_rows=100, patch_rows=1))]
        check = less_work.check(case)
        assert check.status == "unmeasured"
        assert "--rows" in check.settle

    def test_nothing_asked_is_unmeasured(self) -> None:
        assert less_work.check(given.case()).status == "unmeasured"


class TestFaster:
    def test_an_interval_on_the_quick_side_passes_with_its_figures(self) -> None:
        case = given.case()
        case.timing = given.timing(
            [0.080, 0.082, 0.079, 0.081, 0.080], [0.004, 0.0041, 0.0039, 0.004, 0.0042]
        )
        check = faster.check(case)
        assert check.status == "passed"
        assert (check.evidence["base_ms"], check.evidence["patch_ms"]) == (80.0, 4.0)
        assert check.evidence["low"] > 15
        assert "not_faster" not in check.evidence

    def test_an_interval_on_the_slow_side_fails(self) -> None:
        case = given.case()
        case.timing = given.timing([0.010, 0.011, 0.010, 0.011, 0.010], [0.020, 0.021, 0.020, 0.022, 0.021])
        check = faster.check(case)
        assert check.status == "failed"
        assert check.summary.startswith("slower: 10.0 ms → 21.0 ms")

    def test_a_clock_that_cannot_tell_passes_and_says_so(self) -> None:
        case = given.case()
        case.timing = given.timing([0.010, 0.014, 0.009, 0.012, 0.011], [0.011, 0.010, 0.013, 0.010, 0.012])
        check = faster.check(case)
        assert check.status == "passed"
        assert check.evidence["not_faster"] is True
        assert "11.0 ms → 11.0 ms, 5 pairs" in check.summary
        assert "times faster" not in check.summary

    @pytest.mark.parametrize("pairs", [0, 4])
    def test_fewer_than_five_pairs_are_unmeasured(self, pairs: int) -> None:
        case = given.case()
        case.timing = given.timing([0.01] * pairs, [0.001] * pairs) if pairs else None
        assert faster.check(case).status == "unmeasured"

    @pytest.mark.parametrize("seconds", [0.001, 0.29, 0.3, 1.4, 1.5, 20.0])
    def test_every_number_of_pairs_has_its_quantile(self, seconds: float) -> None:
        pairs = faster.pairs_for(seconds)
        ratio, low, high = faster.interval((0.2,) * pairs, (0.1,) * pairs)
        assert (ratio, low, high) == pytest.approx((2.0, 2.0, 2.0))
        assert pairs - 1 in faster.T_95

    def test_the_interval_is_students(self) -> None:
        """Log-ratios -1, 0, 1, 0, 0: mean 0, deviation 0.7071, half width 2.776 x 0.7071 / 5**0.5."""
        e = 2.718281828459045
        ratio, low, high = faster.interval((1, 1, e, 1, 1), (e, 1, 1, 1, 1))
        assert ratio == pytest.approx(1.0)
        assert (low, high) == pytest.approx((0.41568, 2.40569), rel=1e-4)


class TestMigration:
    def test_a_patch_without_one_is_skipped(self) -> None:
        assert migration.check(given.case()).status == "skipped"

    def test_up_down_up_with_base_s_schema_after_down_passes(self) -> None:
        case = given.with_migration()
        case.migration = given.migrated()
        check = migration.check(case)
        assert check.status == "passed"
        assert check.evidence["files"] == [given.MIGRATION]

    def test_a_schema_that_down_does_not_restore_fails(self) -> None:
        case = given.with_migration()
        case.migration = given.migrated(difference="KEY `parcels_city_index` (`city`)")
        check = migration.check(case)
        assert check.status == "failed"
        assert "parcels_city_index" in check.summary

    @pytest.mark.parametrize(("step", "word"), [("up", "up"), ("down", "down"), ("again", "up again")])
    def test_a_step_that_fails_is_named_with_the_server_s_words(self, step: str, word: str) -> None:
        case = given.with_migration()
        broken = given.command(1, "SQLSTATE[42000]: Duplicate key name 'parcels_city_index'\n")
        case.migration = replace(given.migrated(), **{step: broken})  # type: ignore[arg-type]
        check = migration.check(case)
        assert check.status == "failed"
        assert check.summary.startswith(f"{word} failed: SQLSTATE[42000]")

    def test_a_step_that_the_host_ended_fails(self) -> None:
        case = given.with_migration()
        case.migration = given.migrated(up=given.command(None))
        assert migration.check(case).status == "failed"

    @pytest.mark.parametrize("after", [{given.MIGRATION: b"new"}, {}])
    def test_an_edited_or_deleted_migration_of_base_fails(self, after: dict[str, bytes]) -> None:
        case = given.case({given.MIGRATION: b"old"}, after)
        check = migration.check(case)
        assert check.status == "failed"
        assert given.MIGRATION in check.summary

    def test_one_that_was_not_run_is_unmeasured(self) -> None:
        assert migration.check(given.with_migration()).status == "unmeasured"


class TestWriteCost:
    def test_a_new_index_is_stated_with_its_size(self) -> None:
        case = given.with_migration()
        index = IndexSize("parcels", "parcels_city_index", ("city", "id"), 8_400_000)
        case.migration = given.migrated(indexes=(index,))
        check = write_cost.check(case)
        assert (check.status, check.summary) == ("passed", "parcels(city, id) 8.4 MB")
        assert check.evidence["indexes"][0]["bytes"] == 8_400_000

    def test_no_index_is_skipped(self) -> None:
        assert write_cost.check(given.case()).status == "skipped"
        case = given.with_migration()
        case.migration = given.migrated()
        assert write_cost.check(case).status == "skipped"


class TestWorkload:
    """The scenario of these cases saves 49,990 work."""

    def case(self, *beside: Beside) -> Case:
        case = given.case()
        case.data_sets = [given.data_set("seen", given.asked(base_rows=50_000, patch_rows=10))]
        case.beside = beside
        return case

    def test_requests_that_stay_as_they_were_pass(self) -> None:
        beside = (Beside("GET /a", 900, 1_700), Beside("GET /b", 10, 480), Beside("GET /c", 90_000, 400))
        check = workload.check(self.case(*beside))
        assert (check.status, len(check.evidence["requests"])) == ("passed", 3)

    def test_one_that_becomes_materially_dearer_fails(self) -> None:
        check = workload.check(self.case(Beside("GET /a", 1_000, 900), Beside("GET /b", 1_000, 31_000)))
        assert (check.status, check.summary) == ("failed", "GET /b does work 31,000 instead of 1,000")

    def test_a_small_rise_beside_a_large_saving_passes(self) -> None:
        assert workload.check(self.case(Beside("GET /a", 100, 2_000))).status == "passed"

    def test_another_answer_fails(self) -> None:
        beside = Beside("GET /a", 100, 100, "body $.data: base 3 items, patch 2 items")
        check = workload.check(self.case(beside))
        assert check.status == "failed"
        assert "GET /a answers differently: body $.data" in check.summary

    def test_nothing_beside_is_skipped(self) -> None:
        assert workload.check(given.case()).status == "skipped"


class TestTests:
    def test_the_same_tests_green_pass(self) -> None:
        run = given.suite(first="passed", second="passed")
        check = tests.judge(run, run)
        assert (check.status, check.summary) == ("passed", "2 tests pass as on base")

    @pytest.mark.parametrize("status", ["failed", "error", "skipped"])
    def test_a_test_that_was_green_and_is_not_fails(self, status: str) -> None:
        check = tests.judge(given.suite(a="passed", b="passed"), given.suite(a="passed", b=status))
        assert check.status == "failed"
        assert check.evidence["lost"] == [
            {"id": "Tests\\ParcelTest::b", "status": status, "message": "message"}
        ]

    def test_a_test_that_is_gone_fails_though_as_many_are_green(self) -> None:
        base = given.suite(a="passed", b="passed")
        check = tests.judge(base, given.renamed(base, "::b", "::c"))
        assert check.status == "failed"
        assert check.evidence["lost"][0]["status"] == "absent"

    def test_a_suite_that_does_not_run_on_the_patch_fails_with_the_reason(self) -> None:
        check = tests.judge(given.suite(a="passed"), given.suite("the suite wrote no report"))
        assert check.status == "failed"
        assert check.evidence["lost"][0]["message"] == "the suite wrote no report"

    def test_what_is_red_on_base_is_set_aside_and_named(self) -> None:
        run = given.suite(a="passed", b="failed")
        check = tests.judge(run, run)
        assert (check.status, check.summary) == ("passed", "1 tests pass as on base, 1 red on base set aside")
        assert check.evidence["red_on_base"] == ["Tests\\ParcelTest::b"]

    def test_a_new_red_test_of_the_patch_is_not_a_lost_one(self) -> None:
        assert tests.judge(given.suite(a="passed"), given.suite(a="passed", b="failed")).status == "passed"

    def test_no_green_test_on_base_is_skipped_with_the_reason(self) -> None:
        broken = given.suite("the suite wrote no report", "Fatal error: no such class\n")
        check = tests.judge(broken, broken)
        assert (check.status, check.summary) == ("skipped", "no tests: the suite wrote no report")
        assert check.evidence["output"] == ["Fatal error: no such class"]
        assert "every test fails" in tests.judge(given.suite(a="failed"), given.suite(a="passed")).summary

    @pytest.mark.parametrize(
        "message",
        [
            "E  Failed: Expected to perform 3 queries but 2 were done (add -v option to show queries)",
            "AssertionError: 2 != 3 : 2 queries executed, 3 expected",
            "Expected 3 database queries on the [mysql] connection. 2 occurred.",
        ],
    )
    def test_a_pinned_number_of_queries_that_fell_is_no_failure_and_is_said(self, message: str) -> None:
        base, patch = given.suite(a="passed", b="passed"), given.suite(a="passed", b="failed")
        patch = replace(patch, cases=tuple(replace(c, message=message) for c in patch.cases))
        check = tests.judge(base, patch, frozenset({"b"}))
        assert check.status == "passed"
        assert "1 pin a number of queries that fell" in check.summary
        assert tests.judge(base, patch).status == "failed"  # of a test that pins none it is not believed

    def test_a_pinned_number_of_queries_that_rose_is_a_failure(self) -> None:
        base, patch = given.suite(b="passed"), given.suite(b="failed")
        message = "Expected to perform 3 queries but 4 were done"
        patch = replace(patch, cases=tuple(replace(c, message=message) for c in patch.cases))
        assert tests.judge(base, patch, frozenset({"b"})).status == "failed"

    def test_the_likely_cause_of_many_red_tests_is_said(self) -> None:
        run = replace(given.suite(a="passed", b="failed", c="failed"), cause="This pod has no Redis.")
        assert (
            "2 red on base set aside (likely cause: This pod has no Redis.)" in tests.judge(run, run).summary
        )

    def test_a_repository_without_a_test_command_is_skipped(self) -> None:
        case = given.case(recipe=replace(given.RECIPE, test=""))
        check = tests.check(case)
        assert check.status == "skipped"
        assert "bedev.toml" in check.settle


class TestAddingACheck:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """One more folder of checks, as if its files lay beside the others."""
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        yield tmp_path
        for name in [n for n in sys.modules if n.startswith(f"{package.__name__}.added_")]:
            monkeypatch.delitem(sys.modules, name)

    def test_is_one_file(self, folder: Path) -> None:
        before = [m.__name__ for m in checks()]
        shutil.copy(Path(str(scope.__file__)), folder / "added_scope.py")
        after = [m.__name__ for m in checks()]
        assert set(after) - set(before) == {f"{package.__name__}.added_scope"}
        assert [m.ORDER for m in checks()] == sorted(m.ORDER for m in checks())
        added = next(m for m in checks() if m.__name__.endswith("added_scope"))
        assert added.check(given.case()).status == "passed"

    def test_a_file_without_a_check_function_is_no_check(self, folder: Path) -> None:
        (folder / "added_words.py").write_text("WORDS = ('a', 'b')\n")
        assert not [m for m in checks() if m.__name__.endswith("added_words")]

    def test_those_that_a_claim_needs_are_there(self) -> None:
        from bedev.agent.gate.claims import NEEDS

        names = {m.__name__.rsplit(".", 1)[1] for m in checks()}
        assert {name for needed in NEEDS.values() for name in needed} <= names


class TestWhiteSpace:
    def test_a_patch_of_white_space_alone_is_refused(self) -> None:
        check = scope.check(given.case({"app/A.php": b"<?php f();\n"}, {"app/A.php": b"<?php\n\n  f();\n"}))
        assert check.status == "failed"
        assert "white space" in check.summary

    def test_one_other_character_is_more_than_white_space(self) -> None:
        check = scope.check(given.case({"app/A.php": b"<?php f();\n"}, {"app/A.php": b"<?php g();\n"}))
        assert check.status == "passed"


class TestWorkOfAGuessedRequest:
    """A request that bedev found from the patch's own migration need not be what the patch is for."""

    @pytest.mark.parametrize(("chooser", "status"), [("change", "unmeasured"), ("user", "failed")])
    def test_no_gain_rejects_only_where_somebody_named_the_request(self, chooser: str, status: str) -> None:
        case = given.with_migration()
        case.scenario = Scenario((given.question(),), brought_by=chooser)
        case.data_sets = [given.data_set("seen", given.asked(base_rows=50_000, patch_rows=50_000))]
        check = less_work.check(case)
        assert check.status == status
        assert bool(check.settle) == (status == "unmeasured")
