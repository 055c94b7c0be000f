"""Whole runs of the installed command on the Django example with MariaDB.

One repository serves all tests of this file, in order: each verdict is asked for on the same grown data, made
once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bedev.sandboxes.docker_pod import docker_engine_status
from renamed_shop import branch, git, replaced, text_at

pytestmark = [pytest.mark.docker, pytest.mark.e2e]

EXAMPLE = Path(__file__).parents[2] / "examples" / "django-slow-users"
SHARED = "GET /api/users?email=purchasing@northwind.example"
LIST = "GET /api/users?country=DE"
ACCOUNT = "GET /api/account/referrals"
VIEWS, ANSWERS, MODELS = "shop/views.py", "shop/answers.py", "shop/models.py"
ROWS = {"users": 60_000, "orders": 300_000}
MINUTES = 10 * 60


@dataclass
class Shop:
    """The repository, and what the tests before have left in it."""

    repository: Path
    state: Path
    branch: str = ""
    text: str = ""

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and the one object on stdout."""
        environment = {**os.environ, "BEDEV_STATE_DIR": str(self.state), "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "bedev.agent.entry", *words, "--json"],
            cwd=self.repository,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MINUTES,
        )
        self.text = done.stderr
        assert done.stdout.strip(), done.stderr
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        assert "Traceback" not in done.stderr
        return done.returncode, document


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    status = docker_engine_status()
    if not status.available:
        pytest.skip(f"no container engine: {status.message}")
    folder = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".venv", ".env"))
    settings = folder / "bedev.toml"
    text = settings.read_text(encoding="utf-8")
    for table, rows in ROWS.items():
        text, count = re.subn(rf"(?m)^{table} = \d+$", f"{table} = {rows}", text)
        assert count == 1
    settings.write_text(text, encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "A small shop")
    return Shop(folder, tmp_path_factory.mktemp("state"))


def check(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in document["proof"]["checks"] if c["name"] == name)


def needs_fix(shop: Shop) -> str:
    if not shop.branch:
        pytest.skip("no branch was made: see the test of fix")
    return shop.branch


def test_the_task_alone_leads_to_a_verified_branch_in_django_s_style(shop: Shop) -> None:
    code, document = shop.run("fix", "slow users query", "--model", "advisor")
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert "/api/users?email=" in document["scenario"]["questions"][0]["text"]
    assert check(document, "migration")["status"] == "passed"
    # One of the 20 is `makemigrations --check`: on the branch, models and migrations agree.
    assert check(document, "tests")["status"] == "passed"
    assert "20 tests" in check(document, "tests")["summary"]
    shop.branch = document["branch"]
    changed = git(shop.repository, "diff", "--name-only", "main", shop.branch).split()
    assert changed == ["shop/migrations/0003_user_users_email_4b85f2_idx.py", MODELS]
    assert "migrations.AddIndex(" in text_at(shop.repository, shop.branch, changed[0])
    assert 'indexes = [models.Index(fields=["email"]' in text_at(shop.repository, shop.branch, MODELS)
    assert git(shop.repository, "status", "--porcelain") == ""


def test_the_branch_is_verified_again(shop: Shop) -> None:
    code, document = shop.run("verify", needs_fix(shop))
    assert (code, document["outcome"]) == (0, "verified"), shop.text


def test_the_same_branch_with_a_shorter_list_is_rejected(shop: Shop) -> None:
    start = needs_fix(shop)
    shorter = replaced(
        text_at(shop.repository, start, VIEWS),
        'User.objects.filter(email=email).order_by("id")\n',
        'User.objects.filter(email=email).order_by("id")[:50]\n',
    )
    name = branch(shop.repository, "shorter", start, {VIEWS: shorter})
    code, document = shop.run("verify", name, "--http", SHARED, "--base", "main")
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    failed = check(document, "same_answers")
    assert failed["status"] == "failed"
    assert "50 items" in failed["evidence"]["counterexample"]["patch"]


def test_the_n_plus_1_is_named_with_its_line(shop: Shop) -> None:
    lines = text_at(shop.repository, "main", ANSWERS).splitlines()
    places = [f"{ANSWERS}:{number}" for number, line in enumerate(lines, 1) if "found.country.name" in line]
    code, document = shop.run("fix", "users of a country are slow", "--http", LIST, "--model", "advisor")
    assert code in (0, 1), shop.text
    assert "once for each" in shop.text or "N+1" in json.dumps(document) + shop.text
    assert places[0] in json.dumps(document) + shop.text


def counted_at_once(shop: Shop, *edits: tuple[str, str]) -> dict[str, str | None]:
    """The list with its countries joined and `found.n` in place of a count for each customer; `edits` of the
    view say where `n` comes from."""
    view = text_at(shop.repository, "main", VIEWS)
    for old, new in (
        ("from django.http import", "from django.db.models import Count\nfrom django.http import"),
        *edits,
    ):
        view = replaced(view, old, new)
    answers = replaced(text_at(shop.repository, "main", ANSWERS), "found.orders.count()", "found.n")
    return {VIEWS: view, ANSWERS: answers}


CUSTOMERS = 'customers = User.objects.order_by("id")'
PAGE_OF = "found = list(customers[(page - 1) * PAGE : page * PAGE + 1])\n"


def test_an_n_plus_1_that_is_loaded_at_once_is_verified(shop: Shop) -> None:
    counts = "counts = dict(Order.objects.filter(user__in=found).values_list('user').annotate(Count('id')))"
    edits = counted_at_once(
        shop,
        (CUSTOMERS, 'customers = User.objects.select_related("country").order_by("id")'),
        (PAGE_OF, f"{PAGE_OF}    {counts}\n    for one in found:\n        one.n = counts.get(one.id, 0)\n"),
    )
    code, document = shop.run("verify", branch(shop.repository, "eager", "main", edits), "--http", LIST)
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    seen = check(document, "less_work")["evidence"]["data_sets"][0]["questions"][0]
    assert seen["base"]["statements"] - seen["patch"]["statements"] > 40


def test_a_count_that_groups_the_whole_table_elsewhere_is_rejected(shop: Shop) -> None:
    """`annotate` on the list: less work for one country, and all orders are grouped where none is named."""
    joined = 'customers = User.objects.select_related("country").annotate(n=Count("orders")).order_by("id")'
    edits = counted_at_once(shop, (CUSTOMERS, joined))
    code, document = shop.run("verify", branch(shop.repository, "grouped", "main", edits), "--http", LIST)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text
    assert check(document, "less_work")["status"] == "passed"
    assert "GET /api/users does work" in check(document, "workload")["summary"]


def test_a_page_behind_a_login_is_fixed_as_a_user(shop: Shop) -> None:
    words = ("fix", "referrals are slow", "--http", ACCOUNT, "--as", "users:1", "--model", "advisor")
    code, document = shop.run(*words)
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert document["scenario"]["as"] == "users:1"


def test_a_model_without_its_migration_is_rejected_by_the_application_s_own_test(shop: Shop) -> None:
    model = text_at(shop.repository, needs_fix(shop), MODELS)
    name = branch(shop.repository, "half", "main", {MODELS: model})
    code, document = shop.run("verify", name, "--http", SHARED)
    assert (code, document["outcome"]) == (1, "rejected"), shop.text


def test_no_run_has_touched_the_checkout(shop: Shop) -> None:
    assert git(shop.repository, "status", "--porcelain") == ""
