"""A state folder on a full disk: said as that, nothing half copied stays, and the next run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENV = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}

# In a mount namespace of its own, where an ordinary user may mount a small disk.
IMPORT = """
import sys
from pathlib import Path
from bedev.agent.repository import Repository
from bedev.sandboxes.errors import BedevError
with Repository.open(Path(sys.argv[1])) as repository:
    try:
        repository.import_commits(repository.resolve("HEAD"))
        print("imported", len(repository.tree(repository.resolve("HEAD")).read("big")))
    except BedevError as error:
        print(type(error).__name__, error.exit_code, error.what, "|", error.where, "|", error.next_step)
"""
SCRIPT = """
set -e
mount -t tmpfs -o size={size} tmpfs "$BEDEV_STATE_DIR"
$PYTHON -c "$IMPORT" "$REPOSITORY" || true
find "$BEDEV_STATE_DIR" -name 'tmp_*' -o -name '*.lock' -path '*/refs/*'
echo "used $(du -sk "$BEDEV_STATE_DIR" | cut -f1)"
mount -o remount,size=64m "$BEDEV_STATE_DIR"
$PYTHON -c "$IMPORT" "$REPOSITORY"
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(4 << 20))
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **ENV}, check=True)
    return folder


def small_disk(script: str, tmp_path: Path, repository: Path) -> list[str]:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare(1): mount namespaces are Linux's")
    state = tmp_path / "state"
    state.mkdir()
    env = {
        **os.environ,
        "BEDEV_STATE_DIR": str(state),
        "PYTHON": sys.executable,
        "IMPORT": IMPORT,
        "REPOSITORY": str(repository),
    }
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no ordinary user have a mount namespace")
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("size", ["1m", "3m"])
def test_a_commit_that_does_not_fit(size: str, tmp_path: Path, repository: Path) -> None:
    said, used, later = small_disk(SCRIPT.replace("{size}", size), tmp_path, repository)
    assert said.startswith("DiskFull 3 git fetch found no space left on the disk")
    assert "repo.git" in said
    assert "BEDEV_STATE_DIR" in said
    assert int(used.split()[1]) < 200, "half of a pack would fill the disk for good"
    assert later == f"imported {4 << 20}"


def test_a_small_file_of_the_store_that_does_not_fit(tmp_path: Path, repository: Path) -> None:
    script = """
mount -t tmpfs -o size=64k tmpfs "$BEDEV_STATE_DIR"
$PYTHON -c "
import os, sys
from pathlib import Path
from bedev.agent.git.store import replace_file
from bedev.sandboxes.errors import DiskFull
folder = Path(os.environ['BEDEV_STATE_DIR'])
replace_file(folder / 'kept', b'old')
try:
    replace_file(folder / 'kept', b'n' * 100_000)
except DiskFull as error:
    print(error.what, error.where == str(folder / 'kept'))
print(sorted(p.name for p in folder.iterdir()), (folder / 'kept').read_bytes())
"
"""
    assert small_disk(script, tmp_path, repository) == [
        "No space is left on the disk. True",
        "['kept'] b'old'",
    ]
