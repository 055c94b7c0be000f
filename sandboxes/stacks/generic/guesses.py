"""What the files of a repository without a known framework say about how it comes up: Dockerfile, compose and
CI files, environment examples, package manifests. Read as data, line by line; nothing is run.

A guess that a file says is `sure`; the rest is for a person to confirm (`bedev init` comments it out).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.services import service as services
from bedev.sandboxes.stacks.compose import COMPOSE_FILES
from bedev.sandboxes.stacks.generic import manifests
from bedev.sandboxes.stacks.generic.manifests import Guess
from bedev.sandboxes.stacks.generic.sql_migration import form_of
from bedev.sandboxes.stacks.tree_text import text_of

SERVERS = {
    "mysql": "mysql", "mysql-server": "mysql", "mariadb": "mariadb", "postgres": "postgres",
    "postgis": "postgres", "pgvector": "postgres", "timescaledb": "postgres",
}  # fmt: skip
SCHEMES = {
    "mysql": "mysql", "mysql2": "mysql", "mariadb": "mariadb", "postgres": "postgres",
    "postgresql": "postgres", "pgsql": "postgres",
}  # fmt: skip
ENVIRONMENT_FILES = (".env.example", ".env.sample", ".env.dist", ".env.template", "example.env", ".env.test")
CI_FILES = r"\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci\.ya?ml|\.circleci/config\.ya?ml|\.travis\.ya?ml"
_PARTS = {
    "HOST": "{host}", "HOSTNAME": "{host}", "PORT": "{port}", "DATABASE": "{database}", "NAME": "{database}",
    "DBNAME": "{database}", "DB": "{database}", "USER": "{user}", "USERNAME": "{user}",
    "PASSWORD": "{password}", "PASS": "{password}", "PASSWD": "{password}",
}  # fmt: skip
_ADDRESS = re.compile(rf"((?:\w+_)?(?:DB|DATABASE|MYSQL|MARIADB|POSTGRES|PG)_?)({'|'.join(_PARTS)})")
_URL = re.compile(r"\b([A-Z][A-Z0-9_]*)\b['\"]?\s*[:=]\s*['\"]?((?:jdbc:)?(\w+)(?:\+\w+)?)://")


@dataclass(frozen=True)
class Line:
    path: str
    number: int
    text: str

    @property
    def source(self) -> str:
        return f"{self.path}:{self.number}"


def guess(tree: TreeReader) -> tuple[Guess, ...]:
    """All guesses, those of one key in the order of trust: the first that is sure is the one to use."""
    return (
        *manifests.guess(tree),
        *_dockerfile(tree),
        *_servers(tree),
        *_address(tree),
        *_environment(tree),
        *_tests(tree),
        *_migrations(tree),
        *_listening(tree),
    )


def lines_of(tree: TreeReader, *paths: str) -> Iterator[Line]:
    for path in paths:
        for number, text in enumerate((text_of(tree, path) or "").splitlines(), 1):
            if not text.lstrip().startswith("#"):
                yield Line(path, number, text)


def _ci(tree: TreeReader) -> tuple[str, ...]:
    return tuple(p for p in tree.paths() if re.fullmatch(CI_FILES, p))


def _dockerfile(tree: TreeReader) -> Iterator[Guess]:
    """The images of its stages, the last one first: that is the one which runs."""
    stages: set[str] = set()
    images: list[Guess] = []
    for line in lines_of(tree, "Dockerfile"):
        if found := re.match(r"FROM\s+(?:--\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", line.text, re.IGNORECASE):
            image = found[1]
            named = re.fullmatch(r"[a-z0-9][a-z0-9./_-]*(?::[\w.-]+)?", image)
            if named and image not in stages and image != "scratch":
                poor = "alpine" in image or "distroless" in image
                why = "the Dockerfile's image"
                if poor:
                    why += ", which has no bash: take the one of the same version that is based on Debian"
                images.insert(0, Guess("recipe", "image", image, why, line.source, sure=not poor))
            stages.add(found[2] or "")
        elif found := re.match(r"EXPOSE\s+(\d{2,5})\b", line.text):
            yield Guess("recipe", "served_port", int(found[1]), "where the container listens", line.source)
        elif found := re.match(r"CMD\s+\[(.+)\]\s*$", line.text):
            words = " ".join(re.findall(r'"([^"]*)"', found[1]))
            yield Guess("recipe", "serve", words, "the container's command", line.source, sure=False)
    yield from images


def _servers(tree: TreeReader) -> Iterator[Guess]:
    """Database and services that compose and CI files start; of several versions in CI the highest."""
    versions: list[tuple[tuple[int, ...], Guess]] = []
    files = (*(p for p in COMPOSE_FILES if tree.read(p) is not None), *_ci(tree))
    for line in lines_of(tree, *files):
        found = re.match(r"[\s-]*image:\s*['\"]?([\w./-]+)(?::([\w.-]+))?", line.text)
        if found is None:
            continue
        name = found[1].rpartition("/")[2]
        engine = SERVERS.get(name, "")
        if engine:
            yield Guess("database", "engine", engine, "the database that is started beside it", line.source)
            version = re.match(r"(?:pg)?(\d+(?:\.\d+)?)", found[2] or "")
            if version and name == engine:
                image = f"{engine}:{version[1]}"
                order = tuple(int(part) for part in version[1].split("."))
                first = 1 if line.path in COMPOSE_FILES else 0
                versions.append(
                    ((first, *order), Guess("database", "image", image, "its version", line.source))
                )
        elif name in services.names():
            tag = re.sub(r"-?alpine[\d.]*$", "", found[2] or "") or "latest"
            yield Guess("services", name, f"{name}:{tag}", "started beside it", line.source)
    yield from (g for _, g in sorted(versions, key=lambda pair: pair[0], reverse=True))


def _address(tree: TreeReader) -> Iterator[Guess]:
    """How the application is told where its database is, in its own variables."""
    files = [p for p in ENVIRONMENT_FILES if tree.read(p) is not None]
    files += [p for p in COMPOSE_FILES if tree.read(p) is not None] + list(_ci(tree))
    for line in lines_of(tree, *files):
        if found := _URL.search(line.text):
            engine = SCHEMES.get(found[3].lower())
            if engine:
                value = f"{found[2]}://{{user}}:{{password}}@{{host}}:{{port}}/{{database}}"
                if found[2].startswith("jdbc:"):
                    value = f"{found[2]}://{{host}}:{{port}}/{{database}}"
                yield Guess("database.environment", found[1], value, "the database's address", line.source)
                yield Guess("database", "engine", engine, "the scheme of that address", line.source)
            continue
        assigned = re.match(r"(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=", line.text)
        parts = _ADDRESS.fullmatch(assigned[1]) if assigned and line.path in ENVIRONMENT_FILES else None
        if assigned and parts:
            why = "a part of the database's address"
            yield Guess("database.environment", assigned[1], _PARTS[parts[2]], why, line.source)


def _environment(tree: TreeReader) -> Iterator[Guess]:
    """The example's other variables, as it has them; what names another machine is in the pod."""
    for line in lines_of(tree, *[p for p in ENVIRONMENT_FILES if tree.read(p) is not None][:1]):
        found = re.match(r"(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=\s*(.*?)\s*$", line.text)
        url = _URL.search(line.text)
        if not found or _ADDRESS.fullmatch(found[1]) or (url and url[3].lower() in SCHEMES):
            continue
        value = re.sub(r"\s+#.*$", "", found[2]).strip("'\"")
        if not value or "${" in value or found[1].startswith("BEDEV_"):
            continue
        why = "as the example has it"
        local = re.sub(r"^((?:redis|memcached|amqp)://(?:[^@/]*@)?)[\w.-]+", r"\g<1>127.0.0.1", value)
        if re.search(r"(?:REDIS|VALKEY|CACHE|MEMCACHED?)_HOST$", found[1]):
            local = "127.0.0.1"
        if local != value:
            value, why = local, "in the pod a service is on 127.0.0.1"
        if found[1] == "PORT" and value.isdigit():
            yield Guess("recipe", "served_port", int(value), "the example's PORT", line.source)
        yield Guess("recipe.environment", found[1], value, why, line.source)


def _tests(tree: TreeReader) -> Iterator[Guess]:
    folders = ("test", "tests", "spec", "__tests__", "src/test")
    patterns = [f"{f}/**" for f in folders if any(p.startswith(f"{f}/") for p in tree.paths())]
    endings = {
        "**/*.test.*": r"\.test\.[cm]?[jt]sx?$", "**/*.spec.*": r"\.spec\.[cm]?[jt]sx?$",
        "**/*_test.go": r"_test\.go$", "**/test_*.py": r"(?:^|/)test_\w+\.py$",
    }  # fmt: skip
    outside = [p for p in tree.paths() if not p.startswith(tuple(f"{f}/" for f in folders))]
    patterns += [name for name, ending in endings.items() if any(re.search(ending, p) for p in outside)]
    if patterns:
        first = next(
            p for p in tree.paths()
            if p.startswith(tuple(f"{f}/" for f in folders)) or any(re.search(e, p) for e in endings.values())
        )  # fmt: skip
        yield Guess("recipe", "test_paths", patterns, "the suite: the gate runs base's", f"{first}:1")


def _migrations(tree: TreeReader) -> Iterator[Guess]:
    """Folders of migrations: of SQL files those that go up, so that a step counts once."""
    found: dict[str, str] = {}
    for path in tree.paths():
        match = re.match(r"(.*\bversions)/[^/]+\.(py)$", path) or re.match(
            r"((?:[^/]+/)*?(?:migrations?|migrate))/(?!(?:env|__init__)\.py)(?:[^/]+/)?[^/]+\.(\w+)$", path
        )
        if match and match[2] in ("sql", "js", "ts", "cjs", "mjs", "py", "rb", "php", "go", "java"):
            ending = match[2]
            if re.search(r"(?:^|/|[._-])down\.sql$", path):
                continue
            up = re.search(r"(?:/|[._-])up\.sql$", path)
            pattern = f"{match[1]}/**{up[0] if up else '.' + ending}"
            if up and up[0] != "/up.sql":
                pattern = f"{match[1]}/*{up[0]}"
            elif not up:
                pattern = f"{match[1]}/**/*.{ending}"
            found.setdefault(pattern, f"{path}:1")
    for pattern, source in found.items():
        yield Guess("recipe", "migration_paths", [pattern], "files that change the schema", source)
        if pattern.endswith("sql"):
            try:
                form_of(tree, [pattern])
            except UsageError:
                continue
            yield Guess("recipe", "migration_style", "sql", "bedev can write such files", source)


def _listening(tree: TreeReader) -> Iterator[Guess]:
    """Where a server is started with its port in the source."""
    sources = [p for p in tree.paths() if re.search(r"\.(?:[cm]?[jt]s|py|rb|go|php)$", p)]
    near = [p for p in sources if p.count("/") < 3 and not re.search(r"(?:^|/)(?:tests?|node_modules)/", p)]
    for line in lines_of(tree, *near[:200]):
        found = re.search(
            r"(?:\.listen\(\s*|ListenAndServe\(\s*\"[\w.]*:|\.run\([^)]*port\s*=\s*)(\d{4,5})", line.text
        )
        if found:
            yield Guess("recipe", "served_port", int(found[1]), "where the server listens", line.source)
            return
