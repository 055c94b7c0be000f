"""`bedev init`: what it writes parses, gives the same recipe, and never harms what is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from bedev.agent.proposed_toml import propose
from bedev.agent.settings import RepositorySettings
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.stacks import stack as stacks
from hypothesis import given
from hypothesis import strategies as st

BEDEV = Path(sys.executable).with_name("bedev")
EXAMPLES = Path(__file__).parents[2] / "examples"
SHOP = Path(__file__).parents[1] / "sandboxes" / "stacks" / "generic_shop"
COMMIT = "0123456789abcdef"


class Files:
    """A tree out of a mapping."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = {p: c.encode() if isinstance(c, str) else c for p, c in files.items()}

    @classmethod
    def of(cls, folder: Path) -> Files:
        found = (p for p in sorted(folder.rglob("*")) if p.is_file())
        return cls({p.relative_to(folder).as_posix(): p.read_bytes() for p in found})

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def with_own(self, text: str) -> Files:
        return Files({**self.files, "bedev.toml": text})


def recipe_of(tree: Files) -> Recipe:
    """As a run makes it: detection, then the repository's own file; without findings, which say where."""
    content = tree.read("bedev.toml")
    own = RepositorySettings.parse(content) if content is not None else RepositorySettings()
    _, recipe = stacks.detect(tree, own.engine, own.stack)
    return replace(own.apply(recipe), findings=())


def active(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))


def uncommented(text: str) -> str:
    """Every setting that is commented out, as if a person had agreed to it."""
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        setting = " = " in bare and bare.split(" = ")[0].replace("_", "").isalnum()
        setting = setting or bare.startswith(("[", "    ", "]"))
        lines.append(bare if line.startswith("# ") and setting else line)
    return "\n".join(lines)


@pytest.mark.parametrize("example", ["laravel-slow-users", "django-slow-users"])
def test_what_it_writes_gives_the_recipe_that_detection_gives(example: str) -> None:
    tree = Files.of(EXAMPLES / example)
    del tree.files["bedev.toml"]
    proposal = propose(tree, COMMIT)
    assert proposal.stack == example.split("-")[0]
    assert 'stack = "' in active(proposal.text)
    assert recipe_of(tree.with_own(proposal.text)) == recipe_of(tree)


def test_what_detection_is_sure_of_stands_and_the_rest_is_commented_out() -> None:
    text = propose(Files.of(EXAMPLES / "laravel-slow-users"), COMMIT).text
    standing = active(text)
    assert 'engine = "mysql"' in standing
    assert "db:seed" in standing
    assert "image" not in standing
    assert "\n# image = " in text
    assert "# connection mysql (mysql)  [.env.example:10]" in text


def test_the_file_that_is_there_is_not_what_it_detects_from() -> None:
    tree = Files.of(EXAMPLES / "django-slow-users")
    assert propose(tree.with_own('[recipe]\nseed = "mine"\n'), COMMIT) == propose(tree, COMMIT)


def test_every_line_that_is_commented_out_can_be_taken_in() -> None:
    proposal = propose(Files({"main.zig": ""}), COMMIT)
    own = RepositorySettings.parse(uncommented(proposal.text).encode())
    assert own.recipe["rollback"] == "./migrate down {steps}"
    assert own.recipe["database_environment"].keys() == {"DATABASE_URL"}
    assert own.scenario is not None
    assert own.rows


def test_a_repository_without_a_framework_gets_what_its_files_say() -> None:
    tree = Files.of(SHOP)
    proposal = propose(tree, COMMIT)
    recipe = recipe_of(tree.with_own(proposal.text))
    assert proposal.stack == ""
    assert recipe.stack == "generic"
    assert recipe.image == "node:20"
    assert recipe.migrate == "npm run --silent migrate"
    assert recipe.served_port == 3000
    assert recipe.test == "node --test --test-reporter=tap --test-reporter-destination={tap} test/"
    assert recipe.services == {"redis": "redis:8"}
    assert (recipe.engine, recipe.engine_image) == ("mariadb", "mariadb:11.8")
    assert recipe.environment == {"REDIS_URL": "redis://127.0.0.1:6379"}
    assert recipe.database_environment == {
        "DATABASE_URL": "mysql://{user}:{password}@{host}:{port}/{database}"
    }
    assert recipe.migration_style == "sql"
    assert 'redis = "redis:8" [docker-compose.yml:7]' in [line.replace("  ", " ") for line in proposal.found]
    assert "\n# rollback = " in proposal.text


STRANGERS: Mapping[str, tuple[Mapping[str, str], Mapping[str, object]]] = {
    "go": (
        {
            "go.mod": "module a\n\ngo 1.24\n",
            "main.go": 'package main\n\nfunc main() { http.ListenAndServe(":8081", nil) }\n',
            "a_test.go": "package main\n",
            ".github/workflows/ci.yml": "jobs:\n  a:\n    services:\n      db:\n"
            "        image: postgres:14-alpine\n      newer:\n        image: postgres:16-alpine\n"
            "    env:\n      DATABASE_URL: postgres://a:b@localhost/c?sslmode=disable\n",
            "migrations/000001_a.up.sql": "SELECT 1;",
            "migrations/000001_a.down.sql": "SELECT 1;",
        },
        {
            "image": "golang:1.24", "install": ("go mod download",), "served_port": 8081,
            "engine": "postgres", "engine_image": "postgres:16", "migration_style": "sql",
            "migration_paths": ("migrations/*.up.sql",), "test_paths": ("**/*_test.go",),
        },
    ),
    "flask": (
        {
            "requirements.txt": "flask\nSQLAlchemy\npytest>=8\n",
            "alembic.ini": "[alembic]\n",
            ".env.example": "DB_HOST=db\nDB_PORT=5432\nDB_NAME=a\nDB_USER=a\nDB_PASSWORD=b\n"
            "REDIS_HOST=cache\n",
            "docker-compose.yml": "services:\n  db:\n    image: postgis/postgis:16-3.4\n  cache:\n"
            "    image: 'valkey/valkey:8-alpine'\n",
            "Dockerfile": "FROM python:3.11-slim AS build\nFROM build\nEXPOSE 5000\n",
        },
        {
            "migrate": ".venv/bin/alembic upgrade head", "rollback": ".venv/bin/alembic downgrade -{steps}",
            "test": ".venv/bin/python -m pytest --junitxml={junit}", "image": "python:3.11-slim",
            "served_port": 5000,
            "services": {"valkey": "valkey:8"}, "environment": {"REDIS_HOST": "127.0.0.1"},
            "database_environment": {
                "DB_HOST": "{host}", "DB_PORT": "{port}", "DB_NAME": "{database}", "DB_USER": "{user}",
                "DB_PASSWORD": "{password}",
            },
        },
    ),
    "poetry": (
        {
            "pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\nredis = "5"\n',
            "poetry.lock": "",
            "migrations/env.py": "",
            "migrations/versions/1a2b_first.py": "",
            "Dockerfile": "FROM node:20\nFROM python:3.11-slim\n",
        },
        {
            "image": "python:3.11", "migration_paths": ("migrations/versions/**/*.py",), "services": {},
            "install": (
                "python3 -m venv /tmp/tools && /tmp/tools/bin/pip install -q poetry && "
                "POETRY_VIRTUALENVS_IN_PROJECT=true /tmp/tools/bin/poetry install --no-interaction --no-root",
            ),
        },
    ),
    "alpine": (
        {
            "Dockerfile": "FROM node:20-alpine\n",
            "package.json": '{"engines": {"node": "22.x"}, "scripts": {"test": "vitest"}}',
            "package-lock.json": "{}",
        },
        {
            "image": "node:22", "install": ("npm ci",),
            "test": "npx vitest run --reporter=junit --outputFile={junit}",
        },
    ),
    "rails": (
        {"Gemfile": "source 'https://x'\nruby '3.3.1'\ngem 'rails'\n", "db/migrate/20240101000000_a.rb": ""},
        {
            "image": "ruby:3.3", "rollback": "bundle exec rails db:rollback STEP={steps}",
            "served_port": 3000, "migration_paths": ("db/migrate/**/*.rb",),
        },
    ),
    "maven": (
        {"pom.xml": "<project>\n<java.version>17</java.version>\n</project>"},
        {"image": "maven:3-eclipse-temurin-17"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGERS)
def test_guesses_are_what_a_person_would_write(kind: str) -> None:
    files, expected = STRANGERS[kind]
    tree = Files(files)
    proposal = propose(tree, COMMIT)
    recipe = recipe_of(tree.with_own(proposal.text))
    assert {key: getattr(recipe, key) for key in expected} == expected
    for line in proposal.found[1:]:
        path, number = line.rsplit("[", 1)[1].rstrip("]").rsplit(":", 1)
        content = tree.read(path)
        assert content is not None, line
        assert 1 <= int(number) <= content.count(b"\n") + 1, line


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_text_of_the_repository_cannot_break_out_of_its_line(script: str, name: str, value: str) -> None:
    tree = Files(
        {
            "package.json": json.dumps(
                {"scripts": {"start": script, "test": name}, "engines": {"node": value}}
            ),
            ".env.example": f"SOME_NAME={value}\n".encode("utf-8", "replace"),
        }
    )
    text = propose(tree, COMMIT).text
    own = RepositorySettings.parse(text.encode("utf-8", "replace"))
    assert own.stack == "generic"
    assert set(own.recipe) <= {"image", "install", "serve", "test", "environment", "served_port"}


def test_a_client_library_is_a_guess_at_its_service() -> None:
    text = propose(Files(STRANGERS["poetry"][0]), COMMIT).text
    assert '# redis = "redis:8"' in text
    assert (
        "redis is a dependency: needed where the application or its tests fail without  [pyproject.toml:3]"
        in text
    )


# the command


def git(folder: Path, *words: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    who = ("-c", "user.name=Mara", "-c", "user.email=mara@example.org")
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "app").mkdir(parents=True)
    (folder / "package.json").write_text('{"scripts": {"start": "node ."}}')
    (folder / "app" / "go.mod").write_text("module a\n\ngo 1.24\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def init(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    home = tempfile.gettempdir()
    environment = {"PATH": os.environ["PATH"], "HOME": home, "NO_COLOR": "1"}
    with tempfile.TemporaryDirectory() as state:
        return subprocess.run(
            [BEDEV, "init", *words],
            cwd=folder,
            env={**environment, "BEDEV_STATE_DIR": state},
            capture_output=True,
            text=True,
            timeout=60,
        )


def test_it_writes_one_file_at_the_top_and_says_what_it_found(repository: Path) -> None:
    before = git(repository, "rev-parse", "HEAD")
    done = init(repository / "app")
    assert done.returncode == 0, done.stderr
    assert git(repository, "status", "--porcelain") == "?? bedev.toml\n"
    assert git(repository, "rev-parse", "HEAD") == before
    assert "[package.json:1]" in done.stderr
    assert str(repository / "bedev.toml") in done.stdout
    RepositorySettings.parse((repository / "bedev.toml").read_bytes())


def test_what_is_there_is_written_over_only_with_force(repository: Path) -> None:
    (repository / "bedev.toml").write_text("# mine\n")
    refused = init(repository)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (repository / "bedev.toml").read_text() == "# mine\n"
    assert init(repository, "--force").returncode == 0
    assert 'stack = "generic"' in (repository / "bedev.toml").read_text()
    assert sorted(p.name for p in repository.iterdir()) == [".git", "app", "bedev.toml", "package.json"]


def test_no_link_is_followed(repository: Path) -> None:
    outside = repository.parent / "outside"
    outside.write_text("precious")
    (repository / "bedev.toml").symlink_to(outside)
    assert init(repository).returncode == 2
    assert init(repository, "--force").returncode == 0
    assert outside.read_text() == "precious"
    assert not (repository / "bedev.toml").is_symlink()
    (repository / "app" / "go.mod").unlink()
    (repository / "app").rmdir()
    (repository.parent / "elsewhere").mkdir()
    (repository / "app").symlink_to(repository.parent / "elsewhere")
    refused = init(repository, "--path", "app")
    assert refused.returncode == 2
    assert "leads out" in refused.stderr
    assert list((repository.parent / "elsewhere").iterdir()) == []


def test_print_writes_nothing(repository: Path) -> None:
    done = init(repository, "--print", "--path", "app")
    assert done.returncode == 0
    assert RepositorySettings.parse(done.stdout.encode()).recipe["image"] == "golang:1.24"
    assert git(repository, "status", "--porcelain") == ""


def test_json_is_one_object(repository: Path) -> None:
    said = json.loads(init(repository, "--json", "--path", "app").stdout)
    assert said["schema"] == "bedev.init/1"
    assert said["file"] == str(repository / "app" / "bedev.toml")
    assert said["stack"] is None
    assert said["text"] == (repository / "app" / "bedev.toml").read_text()


def test_doctor_shows_the_same_findings(repository: Path) -> None:
    with tempfile.TemporaryDirectory() as state:
        done = subprocess.run(
            [BEDEV, "doctor", "--repo", repository, "--json"],
            env={"PATH": os.environ["PATH"], "HOME": state, "BEDEV_STATE_DIR": state},
            capture_output=True,
            text=True,
            timeout=60,
        )
    rows = json.loads(done.stdout)["rows"]
    guessed = [row["found"] for row in rows if row["name"] == "guessed"]
    assert guessed == json.loads(init(repository, "--json", "--print").stdout)["found"][1:]
    assert any("bedev init" in row["fix"] for row in rows)
