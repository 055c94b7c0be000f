"""Whole runs of the installed command with nothing but Python: Django from a package index, and SQLite."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

MINUTES = 8 * 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("pip")
    found = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(place), "Django==4.2.30"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        pytest.skip(f"no package index that has Django: {found.stderr.strip()[-200:]}")
    engine = f"unix://{place}/no-engine.sock"
    state = tmp_path_factory.mktemp("state")
    return {**os.environ, "BEDEV_STATE_DIR": str(state), "NO_COLOR": "1", "DOCKER_HOST": engine}


def bedev(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bedev.agent.entry", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MINUTES,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    shop = tmp_path_factory.mktemp("demo") / "shop"
    return shop, bedev(environment, "demo", "--sandbox", "process", "--folder", str(shop))


def test_the_demo_ends_with_a_proven_branch(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert "outcome  verified" in done.stdout
    assert re.search(r"^verify +verified: work", done.stdout, re.MULTILINE)
    assert "Sandbox: process (not isolated)." in done.stdout
    assert "nothing is isolated" in done.stderr


def test_the_proof_states_what_it_was_made_in_and_names_no_folder_of_this_machine(
    environment: dict[str, str], demo: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    shop, done = demo
    (branch,) = re.findall(r"^branch +(\S+)", done.stdout, re.MULTILINE)
    note = subprocess.run(
        ["git", "-C", str(shop), "notes", "--ref", "refs/notes/bedev", "show", branch],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    proof = json.loads(note)
    assert proof["verdict"] == "verified"
    assert proof["environment"]["sandbox"] == "process (not isolated)"
    assert proof["environment"]["app_image"].startswith("this machine: Python 3.")
    assert environment["BEDEV_STATE_DIR"] not in note


def test_a_patch_that_changes_answers_is_rejected_here_too(
    environment: dict[str, str], demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shop, _ = demo
    views = shop / "shop" / "views.py"
    text = views.read_text()
    patch = tmp_path / "wrong.patch"
    views.write_text(text.replace('"email"', '"e_mail"'))
    patch.write_bytes(
        subprocess.run(["git", "-C", str(shop), "diff"], capture_output=True, check=True).stdout
    )
    views.write_text(text)
    assert patch.stat().st_size, "the example has changed: no answer names a column"
    done = bedev(
        environment, "verify", "--patch", str(patch), "--repo", str(shop), "--sandbox", "process",
        "--http", "GET /api/users?country=FR", "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    proof = json.loads(done.stdout)["proof"]
    failed = {check["name"] for check in proof["checks"] if check["status"] == "failed"}
    assert failed & {"same_answers", "tests"}


def test_nothing_is_left_but_caches(environment: dict[str, str], demo: object) -> None:
    del demo
    runs = Path(environment["BEDEV_STATE_DIR"]) / "process" / "runs"
    deadline = time.monotonic() + 60
    while any(runs.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(runs.iterdir())
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert environment["BEDEV_STATE_DIR"] not in listing
