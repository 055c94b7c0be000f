"""Whole runs on an application that no stack knows: Node.js, MariaDB, Redis, driven by bedev.toml alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bedev.sandboxes.docker_engine import RUN_LABEL, engine
from bedev.sandboxes.docker_pod import docker_engine_status
from renamed_shop import branch, git, replaced, text_at

pytestmark = [pytest.mark.docker, pytest.mark.e2e]

SHOP = Path(__file__).parents[1] / "sandboxes" / "stacks" / "generic_shop"
INDEX = {
    "migrations/003_recipient.up.sql": "CREATE INDEX by_recipient ON parcels (recipient);\n",
    "migrations/003_recipient.down.sql": "DROP INDEX by_recipient ON parcels;\n",
}
TEST = 'test = "node --test --test-reporter=tap --test-reporter-destination={tap} test/"\n'
JUNIT = (
    'test = "node migrate.js up && node seed.js && '
    'node --test --test-reporter=junit --test-reporter-destination={junit} test/"\n'
    'test_databases = ["parcels_test"]\n'
)
"""The suite on an empty database of its own, with a report in JUnit XML."""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    status = docker_engine_status()
    if not status.available:
        pytest.skip(f"no container engine: {status.message}")
    if not engine().images("redis:8"):
        pytest.skip("the image redis:8 is not here: `.ci/standins --all` builds a stand-in")
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module", params=[TEST, JUNIT], ids=["TAP", "JUnit"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk") / "parcels"
    shutil.copytree(SHOP, folder)
    settings = folder / "bedev.toml"
    settings.write_text(replaced(settings.read_text(), TEST, request.param))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "The parcel desk")
    return folder


only_tap = pytest.mark.parametrize("shop", [TEST], ids=["TAP"], indirect=True)
"""Where it makes no difference how tests are read."""


def bedev(shop: Path, state: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the one object on stdout, and what people read."""
    done = subprocess.run(
        [sys.executable, "-m", "bedev.agent.entry", *words, "--json"],
        cwd=shop,
        env={**os.environ, "BEDEV_STATE_DIR": str(state), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.strip(), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document, done.stderr


def check(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in document["proof"]["checks"] if c["name"] == name)
    return found


def test_a_good_patch_is_verified_with_its_tests_and_services_in_the_proof(shop: Path, state: Path) -> None:
    branch(shop, "good", "main", dict(INDEX))
    code, document, said = bedev(shop, state, "verify", "good")
    assert code == 0, said
    assert document["outcome"] == "verified"
    assert check(document, "tests")["summary"].startswith("3 tests pass")
    assert check(document, "migration")["status"] == "passed"
    proof = document["proof"]
    assert proof["recipe"]["services"] == {"redis": "redis:8"}
    assert proof["recipe"]["database_environment"] == {
        "DATABASE_URL": "mysql://{user}:{password}@{host}:{port}/{database}"
    }
    assert set(proof["environment"]["service_images"]) == {"redis"}
    left = engine().containers(all=True, filters={"label": f"{RUN_LABEL}={document['run']}"})
    assert left == []


def test_a_patch_that_leaves_parcels_out_is_rejected_by_answers_and_tests(shop: Path, state: Path) -> None:
    code = text_at(shop, "main", "app.js")
    edits: dict[str, str | None] = {
        **INDEX,
        "app.js": replaced(code, "recipient = ? ORDER BY id", "recipient = ? LIMIT 1"),
    }
    branch(shop, "bad", "main", edits)
    code_of_exit, document, said = bedev(shop, state, "verify", "bad")
    assert code_of_exit == 1, said
    assert check(document, "same_answers")["status"] == "failed"
    assert check(document, "tests")["status"] == "failed"
    assert "are found by their recipient" in check(document, "tests")["summary"]


@only_tap
def test_the_advisor_writes_the_next_sql_migration_and_its_undoing(shop: Path, state: Path) -> None:
    code, document, said = bedev(shop, state, "fix", "looking up parcels is slow")
    assert code == 0, said
    names = git(shop, "diff", "--name-only", "main", document["branch"]).split()
    assert names == [
        "migrations/003_add_index_on_parcels_recipient.down.sql",
        "migrations/003_add_index_on_parcels_recipient.up.sql",
    ]


@only_tap
def test_without_a_scenario_it_says_that_one_has_to_be_given(shop: Path, state: Path) -> None:
    settings = text_at(shop, "main", "bedev.toml")
    branch(shop, "unsaid", "main", {"bedev.toml": settings.split("[scenario]")[0]})
    code, document, said = bedev(shop, state, "fix", "looking up parcels is slow", "--base", "unsaid")
    assert code == 2, said
    assert "knows no request and no command" in document["error"]["what"]
    assert "--http" in document["error"]["next"]
