"""What package manifests say: language and version, how dependencies are installed, and the scripts whose
names tell what they do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.tree_text import line_of, mapping, text_of

NODE_LOCKS = {
    "package-lock.json": "npm ci",
    "npm-shrinkwrap.json": "npm ci",
    "pnpm-lock.yaml": "corepack enable --install-directory /tmp && /tmp/pnpm install --frozen-lockfile",
    "yarn.lock": "corepack enable --install-directory /tmp && /tmp/yarn install --immutable",
    "package.json": "npm install",
}
_TOOLS = "python3 -m venv /tmp/tools && /tmp/tools/bin/pip install -q"
PYTHON_LOCKS = {
    "uv.lock": f"{_TOOLS} uv && /tmp/tools/bin/uv sync --frozen",
    "poetry.lock": f"{_TOOLS} poetry && POETRY_VIRTUALENVS_IN_PROJECT=true /tmp/tools/bin/poetry install "
    "--no-interaction --no-root",
    "pdm.lock": f"{_TOOLS} pdm && /tmp/tools/bin/pdm sync",
    "Pipfile.lock": f"{_TOOLS} pipenv && PIPENV_VENV_IN_PROJECT=1 /tmp/tools/bin/pipenv sync --dev",
}
"""What each lock file's manager is told, so that everything comes to .venv."""

CLIENTS = {
    "redis": "redis", "ioredis": "redis", "bullmq": "redis", "sidekiq": "redis", "go-redis": "redis",
    "predis": "redis", "valkey": "valkey", "memjs": "memcached", "pymemcache": "memcached",
    "dalli": "memcached", "gomemcache": "memcached", "amqplib": "rabbitmq", "pika": "rabbitmq",
    "bunny": "rabbitmq", "amqp091-go": "rabbitmq",
}  # fmt: skip
"""Client libraries, and the service that they speak to."""

_NEWEST = {"redis": "8", "valkey": "8", "memcached": "1", "rabbitmq": "4"}

NODE_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "build": ("build", "compile"),
    "migrate": (
        "migrate",
        "db:migrate",
        "migrate:up",
        "migrate:latest",
        "migration:run",
        "db:up",
        "migrations",
    ),
    "rollback": ("migrate:down", "db:rollback", "migrate:rollback", "migration:revert", "db:migrate:undo"),
    "seed": ("seed", "db:seed", "seed:run", "seeds", "db:populate"),
    "serve": ("start", "serve", "start:prod"),
}
RUNNERS = (
    (r"\bnode\b.*--test\b", " --test-reporter=tap --test-reporter-destination={tap}", "--test", True),
    (r"\bvitest\b", "npx vitest run --reporter=junit --outputFile={junit}", "", True),
    (r"\bmocha\b", "npx mocha --reporter tap --reporter-option output={tap}", "", False),
    (r"\bjest\b", "JEST_JUNIT_OUTPUT_FILE={junit} npx jest --reporters=jest-junit", "", False),
    (r"\bava\b", "npx ava --tap > {tap}", "", True),
    (r"\btap\b", "npx tap --reporter=tap > {tap}", "", False),
)
"""Test runners by the script that starts them; how they write a report; what of the script is kept (the
option goes behind it); whether it works with what the runner itself brings."""


@dataclass(frozen=True)
class Guess:
    """`[table] key = value`, the `source` (`Dockerfile:3`) that says so, and `why`, for a person.

    Not `sure` means that no file says it in so many words."""

    table: str
    key: str
    value: Any
    why: str
    source: str = ""
    sure: bool = True


def guess(tree: TreeReader) -> Iterator[Guess]:
    for path, read in _LANGUAGES.items():
        text = text_of(tree, path)
        if text is not None:
            yield from read(tree, path, text)
            yield from _clients(path, text)


def _clients(path: str, text: str) -> Iterator[Guess]:
    names = "|".join(map(re.escape, CLIENTS))
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(rf"(?<![\w-])({names})(?![\w-])", line)
        if found and not line.lstrip().startswith(("#", "//")):
            kind = CLIENTS[found[1]]
            why = f"{found[1]} is a dependency: needed where the application or its tests fail without"
            yield Guess("services", kind, f"{kind}:{_NEWEST[kind]}", why, f"{path}:{number}", sure=False)


def _guess(key: str, value: Any, why: str, source: str, sure: bool = True) -> Guess:
    return Guess("recipe", key, value, why, source, sure)


def _image(name: str, constraint: str, default: str, source: str, end: str = "") -> Guess:
    """The lowest version that is said: the one that surely works."""
    found = re.search(r"(\d+)(?:\.(\d+))?", constraint)
    if found is None:
        return _guess("image", f"{name}:{default}{end}", "no version is said", source, sure=False)
    parts = 1 if "." not in default else 2
    version = ".".join(p for p in (found[1], found[2])[:parts] if p)
    return _guess("image", f"{name}:{version}{end}", f"{name} {constraint.strip()}", source)


def _node(tree: TreeReader, path: str, text: str) -> Iterator[Guess]:
    try:
        data = mapping(json.loads(text))
    except (ValueError, RecursionError):
        return
    scripts = {k: v for k, v in mapping(data.get("scripts")).items() if isinstance(v, str)}
    engines = str(mapping(data.get("engines")).get("node") or "")
    for file in (".nvmrc", ".node-version"):
        said = (text_of(tree, file) or "").strip()
        if re.match(r"v?\d", said):
            yield _image("node", said.lstrip("v"), "22", f"{file}:1")
    yield _image(
        "node", engines, "22", f"{path}:{line_of(text, chr(34) + 'node' + chr(34)) if engines else 1}"
    )
    lock = next(name for name in NODE_LOCKS if tree.read(name) is not None)
    newest = "the newest versions: there is no lock file" if lock == "package.json" else f"from {lock}"
    if lock != "package.json" or data.get("dependencies"):
        download = NODE_LOCKS[lock]
        if lock == "yarn.lock" and "yarn lockfile v1" in (text_of(tree, lock) or "")[:200]:
            download = download.replace("--immutable", "--frozen-lockfile")
        yield _guess("install", [download], newest, f"{lock}:1")
    for key, names in NODE_SCRIPTS.items():
        name = next((n for n in names if n in scripts), None)
        if name is None:
            continue
        source = f"{path}:{_key_line(text, name)}"
        command: Any = f"npm run --silent {name}"
        why = f"the script {name}: {scripts[name][:100]}"
        if key == "rollback":
            command = f"for n in $(seq {{steps}}); do {command} || exit; done"
            why += " (each time it has to undo one migration)"
        yield _guess(key, [command] if key == "build" else command, why, source, sure=key != "rollback")
    if "test" in scripts:
        yield from _node_tests(scripts["test"], f"{path}:{_key_line(text, 'test')}")


def _node_tests(script: str, source: str) -> Iterator[Guess]:
    for pattern, command, behind, brought in RUNNERS:
        if re.search(pattern, script):
            if behind:
                command = script.replace(behind, behind + command, 1)
            why = f"the script test: {script[:100]}"
            if not brought:
                why += " (look whether its reporter is installed)"
            yield _guess("test", command, why, source, sure=brought)
            return
    yield _guess(
        "test", "npm test > {tap}", f"the script test, if it prints TAP: {script[:100]}", source, False
    )


def _key_line(text: str, name: str) -> int:
    return line_of(text, re.escape(json.dumps(name)) + r"\s*:")


def _python(tree: TreeReader, path: str, text: str) -> Iterator[Guess]:
    said = re.search(r"^\s*(?:requires-python|python)\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    source = f"{path}:{line_of(text, re.escape(said[0].strip()))}" if said else f"{path}:1"
    pinned = (text_of(tree, ".python-version") or "").strip()
    if re.match(r"3\.\d+", pinned):
        yield _image("python", pinned, "3.12", ".python-version:1")
    yield _image("python", said[1] if said else "", "3.12", source)
    target = "-e ." if path == "pyproject.toml" and tree.read("requirements.txt") is None else ""
    target = target or "-r requirements.txt"
    venv = "python3 -m venv .venv && .venv/bin/pip install -q"
    where = "requirements.txt:1" if "requirements" in target else f"{path}:1"
    lock = next((name for name in PYTHON_LOCKS if tree.read(name) is not None), "")
    if lock:
        yield _guess("install", [PYTHON_LOCKS[lock]], f"from {lock}", f"{lock}:1")
    else:
        yield _guess("install", [f"{venv} {target}"], "into an environment of its own", where)
    if re.search(r"^\s*['\"]?pytest\b", text, re.MULTILINE | re.IGNORECASE):
        line = line_of(text, r"^\s*['\"]?pytest\b")
        yield _guess(
            "test",
            ".venv/bin/python -m pytest --junitxml={junit}",
            "pytest writes JUnit XML",
            f"{path}:{line}",
        )
    if tree.read("alembic.ini") is not None:
        yield _guess("migrate", ".venv/bin/alembic upgrade head", "Alembic", "alembic.ini:1")
        yield _guess("rollback", ".venv/bin/alembic downgrade -{steps}", "Alembic", "alembic.ini:1")


def _go(tree: TreeReader, path: str, text: str) -> Iterator[Guess]:
    said = re.search(r"^go\s+(\S+)", text, re.MULTILINE)
    line = line_of(text, r"^go\s")
    yield _image("golang", said[1] if said else "", "1.25", f"{path}:{line}")
    yield _guess("install", ["go mod download"], "from go.sum", f"{path}:1")
    yield _guess("build", ["go build ./..."], "compiled before it runs", f"{path}:1")
    if tree.read("main.go") is not None:
        yield _guess("serve", "exec go run .", "the program at the top", "main.go:1", sure=False)
    yield _guess(
        "test",
        "go test -json ./... | go run github.com/jstemmer/go-junit-report/v2 -parser gojson > {junit}",
        "go-junit-report has to be among the module's tools",
        f"{path}:1",
        sure=False,
    )


def _ruby(tree: TreeReader, path: str, text: str) -> Iterator[Guess]:
    pinned = (text_of(tree, ".ruby-version") or "").strip().removeprefix("ruby-")
    said = re.search(r"^ruby\s+['\"]([^'\"]+)", text, re.MULTILINE)
    source = ".ruby-version:1" if pinned else f"{path}:{line_of(text, r'^ruby ')}"
    yield _image("ruby", pinned or (said[1] if said else ""), "3.3", source)
    yield _guess(
        "install", ["bundle config set --local path vendor/bundle && bundle install"], "Bundler", f"{path}:1"
    )
    if re.search(r"^\s*gem\s+['\"]rails['\"]", text, re.MULTILINE):
        at = f"{path}:{line_of(text, 'gem .rails.')}"
        yield _guess("migrate", "bundle exec rails db:migrate", "Rails", at)
        yield _guess("rollback", "bundle exec rails db:rollback STEP={steps}", "Rails", at)
        yield _guess("seed", "bundle exec rails db:seed", "Rails", at)
        yield _guess("serve", "exec bundle exec rails server -b 127.0.0.1 -p 3000", "Rails", at)
        yield _guess("served_port", 3000, "where it listens", at)
    if "rspec_junit_formatter" in text:
        at = f"{path}:{line_of(text, 'rspec_junit_formatter')}"
        yield _guess("test", "bundle exec rspec --format RspecJunitFormatter --out {junit}", "RSpec", at)


def _java(tree: TreeReader, path: str, text: str) -> Iterator[Guess]:
    said = re.search(r"<(?:java\.version|maven\.compiler\.(?:release|target))>(?:1\.)?(\d+)<", text)
    line = line_of(text, re.escape(said[0])) if said else 1
    version = said[1] if said else "21"
    yield _guess(
        "image", f"maven:3-eclipse-temurin-{version}", f"Java {version}", f"{path}:{line}", said is not None
    )
    local = "-Dmaven.repo.local=.m2"
    yield _guess("install", [f"mvn -q -B {local} dependency:go-offline"], "Maven", f"{path}:1")
    yield _guess(
        "build", [f"mvn -q -B -o {local} -DskipTests package"], "Maven, without network", f"{path}:1"
    )
    yield _guess(
        "test",
        f"mvn -q -B -o {local} test; cat target/surefire-reports/TEST-*.xml > {{junit}}",
        "Surefire writes a file for each class: they have to become one",
        f"{path}:1",
        sure=False,
    )


def _php(tree: TreeReader, path: str, text: str) -> Iterator[Guess]:
    said = re.search(r'"php"\s*:\s*"([^"]+)"', text)
    source = f"{path}:{_key_line(text, 'php')}"
    yield _image("php", said[1] if said else "", "8.3", source, "-cli")
    if tree.read("vendor/autoload.php") is None:
        yield _guess(
            "install", ["composer install --no-interaction --no-scripts --no-plugins"],
            "the image has to bring composer: packages", f"{path}:1", sure=False,
        )  # fmt: skip
    if "phpunit" in text:
        at = f"{path}:{line_of(text, 'phpunit')}"
        yield _guess("test", "vendor/bin/phpunit --log-junit {junit}", "PHPUnit", at)


_LANGUAGES: Mapping[str, Callable[[TreeReader, str, str], Iterator[Guess]]] = {
    "package.json": _node,
    "pyproject.toml": _python,
    "requirements.txt": _python,
    "go.mod": _go,
    "Gemfile": _ruby,
    "pom.xml": _java,
    "composer.json": _php,
}
