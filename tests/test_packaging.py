"""What a user installs: the wheel holds every file that the product reads, and works anywhere."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
"""Package -> folder: `bedev.agent` lies in `agent`."""


def tracked() -> list[str]:
    """Files of the packages' folders that git knows or would add."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(
        [*command, "--", *FOLDERS.values()], capture_output=True, text=True, check=True, timeout=60
    )
    return sorted(path for path in set(done.stdout.split("\0")) if path and (ROOT / path).is_file())


def back_end_is_here() -> bool:
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves folders behind."""
    source = tmp_path_factory.mktemp("source")
    top = [name for name in ("README.md", "LICENSE", "MANIFEST.in") if (ROOT / name).exists()]
    for path in (*tracked(), "pyproject.toml", *top):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    out = tmp_path_factory.mktemp("dist")
    # The build back end that pyproject.toml asks for is fetched only where it is not installed here.
    isolation = ["--no-isolation"] if back_end_is_here() else []
    command = [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(out), str(source)]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bedev(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of a fresh virtual environment that has the wheel, and this one's dependencies."""
    home = tmp_path_factory.mktemp("venv") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=120)
    python = home / "bin" / "python"
    # Behind the wheel on the path, and without the editable install's hook: .pth files there are not read.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    done = subprocess.run(
        [*command, "--ignore-installed", "--quiet", str(wheel)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return home / "bin" / "bedev"


def run(bedev: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BEDEV", "VIRTUAL"))}
    environment |= {"HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "100"}
    return subprocess.run(
        [str(bedev), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    missing = [path for path in tracked() if f"bedev/{path}" not in inside]
    assert missing == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"bedev/sandboxes/probe/probe\.py",
        r"bedev/sandboxes/shell\.bash",
        r"bedev/sandboxes/stacks/laravel/files/.+",
        r"bedev/sandboxes/.+\.toml",
        r"bedev/agent/gate/checks/same_answers\.py",
        r"bedev/examples/laravel-slow-users/\.env\.example",
        r"bedev/examples/laravel-slow-users/storage/logs/\.gitignore",
    ],
)
def test_data_files_that_the_product_reads_are_in_the_wheel(wheel: Path, pattern: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = [i for i in archive.infolist() if re.fullmatch(pattern, i.filename)]
    assert found
    assert all(item.file_size for item in found)


def test_nothing_else_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    allowed = re.compile(rf"bedev/({'|'.join(FOLDERS.values())})/|bedev-[^/]+\.dist-info/")
    assert [n for n in names if not allowed.match(n)] == []
    assert [n for n in names if "__pycache__" in n or n.endswith(".pyc")] == []


def test_the_metadata_names_every_dependency_of_the_project(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    needed = re.findall(r"(?m)^Requires-Dist: ([^;\n]+)$", metadata)
    assert sorted(needed) == sorted(PROJECT["project"]["dependencies"])
    assert "\nName: bedev\n" in metadata


def test_help_runs_from_an_empty_folder(bedev: Path, tmp_path: Path) -> None:
    done = run(bedev, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    for command in ("fix", "verify", "doctor"):
        assert command in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_rules_are_printed_from_an_empty_folder(bedev: Path, tmp_path: Path) -> None:
    done = run(bedev, tmp_path, "verify", "--rules")
    assert done.returncode == 0, done.stderr
    assert "same_answers" in done.stdout
    assert list(tmp_path.iterdir()) == []
    document = json.loads(run(bedev, tmp_path, "verify", "--rules", "--json").stdout)
    assert [c["check"] for c in document["claims"]["faster"]][:1] == ["scope"]


def test_what_runs_is_the_wheel_and_not_this_checkout(bedev: Path, tmp_path: Path) -> None:
    code = (
        "import bedev.agent, bedev.sandboxes.stacks.stack as s, bedev.agent.gate.gate as g;"
        "print(bedev.agent.__file__); print(*[m.__name__ for m in g.checks()]); print(s.__file__)"
    )
    done = subprocess.run(
        [str(bedev.with_name("python")), "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    agent, checks, stack = done.stdout.splitlines()
    assert Path(agent).is_relative_to(bedev.parents[1])
    assert Path(stack).is_relative_to(bedev.parents[1])
    assert "bedev.agent.gate.checks.scope" in checks


def test_outside_a_repository_a_run_says_what_to_do(bedev: Path, tmp_path: Path) -> None:
    done = run(bedev, tmp_path, "fix", "slow query", "--http", "GET /")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "repository" in done.stderr
