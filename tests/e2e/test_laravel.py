"""Whole runs of the installed command on a Laravel application with MariaDB.

One repository serves all tests of this file, in order: each verdict is asked for on the same grown
data, which is made once. The names in it are not those of the example.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bedev.sandboxes.docker_engine import KIND_LABEL, RUN_LABEL
from bedev.sandboxes.docker_pod import docker_engine_status
from renamed_shop import branch, git, index_migration, make_shop, replaced, text_at

pytestmark = [pytest.mark.docker, pytest.mark.e2e]

SCENARIO = "GET /api/members?contact=paul.garcia1@example.org"
SHARED = "GET /api/members?contact=purchasing@northwind.example"
ACCOUNT = "GET /api/account/referrals"
LIST = "GET /api/members?page=30"
MEMBERS = "app/Http/Controllers/MemberController.php"
MINUTES = 10 * 60


@dataclass
class Shop:
    """The repository, and what the tests before have left in it."""

    repository: Path
    state: Path
    branch: str = ""
    runs: list[str] = field(default_factory=list)
    text: str = ""

    def command(self, *words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "BEDEV_STATE_DIR": str(self.state), "NO_COLOR": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "bedev.agent.entry", *words],
            cwd=self.repository,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and the one object on stdout."""
        process = self.command(*words, "--json")
        try:
            out, self.text = process.communicate(timeout=MINUTES)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        assert out.strip(), self.text
        document = json.loads(out)  # raises where anything stands before or after the object
        assert isinstance(document, dict)
        assert "Traceback" not in self.text
        if document.get("run"):
            self.runs.append(document["run"])
        return process.returncode, document

    def verify(self, ref: str, http: str | None, *words: str) -> tuple[int, dict[str, Any]]:
        asked = ("--http", http) if http else ()
        return self.run("verify", ref, *asked, *words)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    status = docker_engine_status()
    if not status.available:
        pytest.skip(f"no container engine: {status.message}")
    return Shop(make_shop(tmp_path_factory.mktemp("shop")), tmp_path_factory.mktemp("state"))


def digest(repository: Path) -> dict[str, str]:
    """Every path with its mode, time and bytes, but for what bedev adds: its branches, its notes, objects."""
    found = {}
    for path in sorted(repository.rglob("*")):
        name = str(path.relative_to(repository))
        own = ("objects", "refs/heads/bedev", "refs/notes", "logs/refs/heads/bedev", "logs/refs/notes")
        if name.startswith(tuple(f".git/{part}" for part in own)):
            continue
        status = path.lstat()
        parents = (
            ".git",
            ".git/refs",
            ".git/refs/heads",
            ".git/logs",
            ".git/logs/refs",
            ".git/logs/refs/heads",
        )
        if path.is_dir():
            # a folder's time changes where bedev adds a ref to it
            found[name] = f"{status.st_mode:o} {'' if name in parents else status.st_mtime_ns}"
            continue
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[name] = f"{status.st_mode:o} {status.st_mtime_ns} {content}"
    return found


def containers(run: str) -> list[str]:
    words = ["docker", "ps", "-aq", "--filter", f"label={RUN_LABEL}={run}"]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def working_volumes(run: str) -> list[str]:
    """What a run's own servers and files lived in; prepared trees and data for later runs are kept."""
    words = ["docker", "volume", "ls", "-q", "--filter", f"label={RUN_LABEL}={run}"]
    found = []
    for kind in ("app", "db"):
        kinds = [*words, "--filter", f"label={KIND_LABEL}={kind}"]
        done = subprocess.run(kinds, capture_output=True, text=True, check=True, timeout=60)
        found.extend(done.stdout.split())
    return found


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in document["proof"]["checks"]}


def check(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in document["proof"]["checks"] if c["name"] == name)


def needs_fix(shop: Shop) -> str:
    if not shop.branch:
        pytest.skip("no branch was made: see the test of fix")
    return shop.branch


def test_fix_leaves_a_verified_branch_and_nothing_else(shop: Shop) -> None:
    head = git(shop.repository, "rev-parse", "HEAD").strip()
    before = digest(shop.repository)
    code, document = shop.run("fix", "slow members query", "--http", SCENARIO)
    after = digest(shop.repository)
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert after == before
    assert git(shop.repository, "status", "--porcelain") == ""
    assert (document["schema"], document["base"]) == ("bedev.run/1", head)
    assert statuses(document)["less_work"] == "passed"
    assert statuses(document)["migration"] == "passed"
    assert document["proof"]["environment"]["rows"]["members"] == 60_000
    shop.branch = document["branch"]
    changed = git(shop.repository, "diff", "--name-only", head, shop.branch).split()
    assert len(changed) == 1
    assert changed[0].startswith("database/migrations/")
    assert "contact" in text_at(shop.repository, shop.branch, changed[0])
    assert git(shop.repository, "rev-parse", f"{shop.branch}^").strip() == head


def test_the_branch_is_verified_again_by_what_it_brought(shop: Shop) -> None:
    code, document = shop.verify(needs_fix(shop), None)
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert document["scenario"]["brought_by"] == "branch"
    assert [q["text"] for q in document["scenario"]["questions"]] == [SCENARIO]
    assert {s["name"] for s in check(document, "same_answers")["evidence"]["data_sets"]} == {
        "seen",
        "held-out",
    }


def test_the_same_branch_with_a_shorter_list_is_rejected(shop: Shop) -> None:
    start = needs_fix(shop)
    text = text_at(shop.repository, start, MEMBERS)
    shorter = replaced(
        text,
        "->orderBy('id')\n            ->get();",
        "->orderBy('id')\n            ->limit(50)\n            ->get();",
    )
    name = branch(shop.repository, "shorter", start, {MEMBERS: shorter})
    code, document = shop.verify(name, SHARED, "--base", "main")
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    failed = check(document, "same_answers")
    assert failed["status"] == "failed"
    assert "50 items" in failed["evidence"]["counterexample"]["patch"]


def test_a_route_that_breaks_on_the_patch_is_rejected_with_the_servers_words(shop: Shop) -> None:
    text = text_at(shop.repository, "main", MEMBERS)
    wrong = replaced(text, "->where('contact', $contact)", "->where('kontact', $contact)")
    name = branch(shop.repository, "wrong", "main", {MEMBERS: wrong})
    code, document = shop.verify(name, SCENARIO)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    summary = check(document, "same_answers")["summary"]
    assert "500 instead of 200" in summary
    assert "(text of the repository)" in summary
    assert "Unknown column 'kontact'" in summary


def test_a_patch_that_makes_another_request_dear_is_rejected(shop: Shop) -> None:
    countries = "app/Http/Controllers/CountryController.php"
    text = text_at(shop.repository, "main", countries)
    dear = replaced(
        text,
        "        return CountryResource",
        "        \\App\\Models\\Member::query()->where('name', '')->count();\n        return CountryResource",
    )
    edits: dict[str, str | None] = {**index_migration("members", ["contact"]), countries: dear}
    name = branch(shop.repository, "dear", "main", edits)
    code, document = shop.verify(name, SCENARIO)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    failed = check(document, "workload")
    assert (failed["status"], statuses(document)["same_answers"]) == ("failed", "passed")
    assert failed["summary"].startswith("GET /api/countries does work ")
    asked = {r["question"] for r in failed["evidence"]["requests"]}
    assert "GET /api/account as members:1" in asked


def test_a_patch_of_white_space_is_rejected_at_once(shop: Shop) -> None:
    text = text_at(shop.repository, "main", MEMBERS)
    name = branch(shop.repository, "blank", "main", {MEMBERS: text + "\n"})
    code, document = shop.verify(name, SCENARIO)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    assert statuses(document)["scope"] == "failed"


def test_a_patch_of_a_comment_is_rejected_for_its_work(shop: Shop, tmp_path: Path) -> None:
    text = text_at(shop.repository, "main", MEMBERS)
    name = branch(shop.repository, "remark", "main", {MEMBERS: text + "\n// quick\n"})
    patch = tmp_path / "remark.patch"
    patch.write_text(git(shop.repository, "diff", "main", name))
    code, document = shop.run("verify", "--patch", str(patch), "--http", SCENARIO)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    assert statuses(document)["less_work"] == "failed"
    assert statuses(document)["same_answers"] == "passed"
    assert document["commit"] is None


def account_branch(shop: Shop) -> str:
    edits = index_migration("purchases", ["sponsor_id", "booked_at"])
    return branch(shop.repository, "referrals", "main", dict(edits))


def test_a_page_behind_a_login_is_proven_as_a_user(shop: Shop) -> None:
    code, document = shop.verify(account_branch(shop), ACCOUNT, "--as", "members:1")
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert document["scenario"]["as"] == "members:1"
    index = check(document, "write_cost")["evidence"]["indexes"]
    assert [(i["table"], i["columns"]) for i in index] == [("purchases", ["sponsor_id", "booked_at"])]


def test_a_page_behind_a_login_is_unproven_for_a_stranger(shop: Shop) -> None:
    code, document = shop.verify(account_branch(shop), ACCOUNT)
    assert (code, document["outcome"]) == (5, "unproven"), shop.text
    assert "401" in check(document, "same_answers")["summary"]
    assert "401" in document["message"]


def test_a_patch_that_deletes_a_test_is_rejected(shop: Shop) -> None:
    edits = {**index_migration("members", ["contact"]), "tests/Feature/MemberListTest.php": None}
    name = branch(shop.repository, "untested", "main", edits)
    code, document = shop.verify(name, SCENARIO)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    assert check(document, "test_integrity")["summary"] == "tests/Feature/MemberListTest.php is deleted"


def test_a_migration_that_cannot_be_undone_is_rejected(shop: Shop) -> None:
    edits = index_migration("members", ["contact"], down=False)
    name = branch(shop.repository, "one-way", "main", dict(edits))
    code, document = shop.verify(name, SCENARIO)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    assert check(document, "migration")["status"] == "failed"
    assert "members_contact_quick" in json.dumps(check(document, "migration"))


def test_an_n_plus_1_that_is_loaded_at_once_is_verified(shop: Shop) -> None:
    resource = "app/Http/Resources/CustomerResource.php"
    edits: dict[str, str | None] = {
        MEMBERS: replaced(
            text_at(shop.repository, "main", MEMBERS),
            "$customers = Member::query()\n",
            "$customers = Member::query()->with('country')->withCount('purchases')\n",
        ),
        resource: replaced(
            text_at(shop.repository, "main", resource),
            "$this->purchases()->count()",
            "$this->purchases_count",
        ),
    }
    name = branch(shop.repository, "eager", "main", edits)
    code, document = shop.verify(name, LIST)
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert statuses(document)["migration"] == "skipped"
    seen = check(document, "less_work")["evidence"]["data_sets"][0]["questions"][0]
    assert seen["base"]["statements"] - seen["patch"]["statements"] > 40


def test_an_answer_that_is_kept_for_ever_is_not_verified(shop: Shop) -> None:
    """A cache that no write clears answers with old data: less work, and wrong from the first change on."""
    kept = replaced(
        text_at(shop.repository, "main", MEMBERS),
        "return Member::query()\n"
        "            ->where('contact', $contact)\n            ->orderBy('id')\n            ->get();",
        "return \\Illuminate\\Support\\Facades\\Cache::store('file')->rememberForever(\n"
        "            'of.'.md5($contact),\n"
        "            fn () => Member::query()->where('contact', $contact)->orderBy('id')->get()\n        );",
    )
    name = branch(shop.repository, "kept", "main", {MEMBERS: kept})
    code, _ = shop.verify(name, SCENARIO)
    assert code in (1, 5)


def test_a_killed_run_leaves_no_container(shop: Shop) -> None:
    known = set(journals(shop.state))
    process = shop.command("fix", "slow members query", "--http", SCENARIO)
    try:
        run = wait_for_containers(shop, known, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    deadline = time.monotonic() + 15
    while containers(run) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert containers(run) == []
    assert git(shop.repository, "status", "--porcelain") == ""
    # The next run of any kind sweeps what a dead one has left; this one judges an empty patch.
    code, _ = shop.verify("main", SCENARIO, "--base", "main")
    assert code == 1
    assert working_volumes(run) == []


def journals(state: Path) -> list[str]:
    """Ids of the runs whose state is there."""
    return [p.name for p in state.rglob("????-??????") if p.is_dir()]


def wait_for_containers(shop: Shop, known: set[str], process: subprocess.Popen[str]) -> str:
    """The id of the run that has begun and has containers now."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for run in set(journals(shop.state)) - known:
            if containers(run):
                return run
        time.sleep(0.2)
    raise AssertionError("no container came up in 120 s")


def test_the_scenario_is_found_from_the_task_alone(shop: Shop) -> None:
    code, document = shop.run("fix", "slow members query")
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert document["scenario"]["brought_by"] == "bedev"
    questions = [q["text"] for q in document["scenario"]["questions"]]
    assert all("/api/members" in q for q in questions), questions


def test_no_run_has_left_anything_in_the_engine(shop: Shop) -> None:
    assert shop.runs
    left = {run: containers(run) + working_volumes(run) for run in shop.runs}
    assert {run: names for run, names in left.items() if names} == {}


def test_no_run_has_touched_the_checkout(shop: Shop) -> None:
    assert git(shop.repository, "status", "--porcelain") == ""
    assert git(shop.repository, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    heads = git(shop.repository, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    mine = {"main", "shorter", "wrong", "dear", "blank", "remark", "referrals", "untested", "one-way"}
    mine |= {"eager", "kept"}
    assert all(name in mine or name.startswith("bedev/") for name in heads)
