"""A Django repository's recipe, from its files as data."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from bedev.sandboxes.recipe import Finding, Recipe, TreeReader
from bedev.sandboxes.stacks.compose import engine_of_compose
from bedev.sandboxes.stacks.django import dependencies as manifests
from bedev.sandboxes.stacks.django.dependencies import Dependencies
from bedev.sandboxes.stacks.django.environment import derive, example
from bedev.sandboxes.stacks.django.python import DRIVERS, choose_python, install_steps, system_packages
from bedev.sandboxes.stacks.django.suite import (
    TEST_CONFIG,
    TEST_PATHS,
    pytest_options,
    test_command,
    test_databases,
)
from bedev.sandboxes.stacks.tree_text import assignment_source, line_of, text_of

BACKENDS = {
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
    "postgres": "django.db.backends.postgresql",
    "sqlite": "django.db.backends.sqlite3",
}
ENGINES = {
    "mysql": "mysql",
    "mysql2": "mysql",
    "mysqlgis": "mysql",
    "postgres": "postgres",
    "postgresql": "postgres",
    "postgresql_psycopg2": "postgres",
    "pgsql": "postgres",
    "postgis": "postgres",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "spatialite": "sqlite",
}
"""Names of Django's back ends and of schemes of database URLs, and bedev's engines."""
MIGRATION_PATHS = ("**/migrations/[!_]*.py",)
GENERATED = (
    ".venv/**",
    "**/__pycache__/**",
    "**/*.pyc",
    ".env",
    "**/.pytest_cache/**",
    "**/*.sqlite3",
    "staticfiles/**",
    ".coverage",
    "**/*.egg-info/**",
)
_SEEDS = re.compile(
    r"(?:^|/)management/commands/((?:seed|populate|demo|sample|load_demo|load_sample|create_demo)\w*)\.py$"
)


@dataclass(frozen=True)
class Project:
    """Where manage.py lies (`root`, empty or with a slash at its end), the settings module, its source, and
    the files that it is made of."""

    root: str
    module: str
    source: str
    files: tuple[str, ...]


def find_project(tree: TreeReader) -> Project | None:
    """The shallowest manage.py of Django's, None where there is none."""
    found = [p for p in tree.paths() if re.fullmatch(r"(?:[^/]+/){0,2}manage\.py", p)]
    for path in sorted(found, key=lambda p: (p.count("/"), p)):
        text = text_of(tree, path) or ""
        if "django" not in text.lower():
            continue
        root = path[: -len("manage.py")]
        module, source = _settings_module(tree, root, text, path)
        return Project(root, module, source, settings_files(tree, root, module))
    return None


def _settings_module(tree: TreeReader, root: str, manage: str, path: str) -> tuple[str, str]:
    """manage.py's word where there is such a file, else the environment example's, else wsgi.py's, else the
    one settings file that there is."""
    said: list[tuple[str, str]] = []
    pattern = r"DJANGO_SETTINGS_MODULE['\"]\s*(?:,\s*(?:default\s*=\s*)?|\]\s*=\s*)['\"]([\w.]+)['\"]"
    for file in (
        path,
        *(p for p in tree.paths() if p.startswith(root) and p.endswith(("wsgi.py", "asgi.py"))),
    ):
        text = manage if file == path else text_of(tree, file) or ""
        for match in re.finditer(pattern, text):
            said.append((match[1], f"{file}:{line_of(text, re.escape(match[0]))}"))
    file, values = example(tree, root)
    if values.get("DJANGO_SETTINGS_MODULE"):
        line = line_of(text_of(tree, file) or "", "DJANGO_SETTINGS_MODULE")
        said.insert(1, (values["DJANGO_SETTINGS_MODULE"], f"{file}:{line}"))
    for module, source in said:
        if module_file(tree, root, module):
            return module, source
    for file in tree.paths():
        named = re.fullmatch(
            rf"{re.escape(root)}((?:[^/]+/)*settings)(?:/(base|common|development|dev|local))?\.py", file
        )
        if named:
            return ".".join((*named[1].split("/"), *((named[2],) if named[2] else ()))), f"{file}:1"
    return (said[0][0], said[0][1]) if said else ("settings", f"{path}:1")


def module_file(tree: TreeReader, root: str, module: str) -> str:
    """The file of a module of the repository, empty where it has none."""
    for folder in dict.fromkeys((root, "", f"{root}src/")):
        base = folder + module.replace(".", "/")
        for path in (f"{base}.py", f"{base}/__init__.py"):
            if tree.read(path) is not None:
                return path
    return ""


def settings_files(tree: TreeReader, root: str, module: str) -> tuple[str, ...]:
    """The module's file and those that it takes names from (`from .base import *`)."""
    found: list[str] = []
    waiting = [module]
    while waiting and len(found) < 20:
        current = waiting.pop(0)
        path = module_file(tree, root, current)
        if not path or path in found:
            continue
        found.append(path)
        package = current if path.endswith("/__init__.py") else current.rpartition(".")[0]
        for match in re.finditer(
            r"^\s*from\s+(\.*)([\w.]*)\s+import\s+", text_of(tree, path) or "", re.MULTILINE
        ):
            dots, name = len(match[1]), match[2]
            if not dots:
                waiting.append(name)
                continue
            parts = package.split(".")
            above = parts[: len(parts) - (dots - 1)]
            waiting.append(".".join((*above, *((name,) if name else ()))))
    return tuple(found)


def detect(tree: TreeReader, engine: str = "") -> Recipe | None:
    """The recipe, or None where this is no Django application. `engine` is the user's choice."""
    project = find_project(tree)
    if project is None:
        return None
    root = project.root
    needs = manifests.read(tree, root)
    chosen, backend, image, database = _database(tree, project, needs, engine)
    environment = derive(tree, root, project.files, chosen, backend, project.module)
    python = choose_python(needs, f"{root}manage.py:1")
    packages, about_packages = system_packages(needs)
    install, installing = install_steps(needs, chosen)
    manage = f"cd {shlex.quote(root.rstrip('/'))} && python3 manage.py" if root else "python3 manage.py"
    seed, seeding = _seed(tree, root, manage)
    test, testing = test_command(tree, root, needs, manage)
    test_module, _, _ = pytest_options(tree, root, needs)
    test_files = settings_files(tree, root, test_module) if test_module else project.files
    return Recipe(
        stack="django",
        image=python.image,
        packages=packages,
        install=install,
        environment=_process(root, project.module, backend),
        dotenv=environment.dotenv,
        dotenv_path=".env",
        migrate=f"{manage} migrate --noinput",
        rollback=f"{manage} bedev_rollback {{steps}}",
        seed=seed,
        serve=f"{manage} bedev_serve 8000".replace("python3", "exec python3"),
        test=test,
        test_paths=TEST_PATHS,
        test_config=(*TEST_CONFIG, *(f for f in test_files if re.search(r"test", f.rpartition("/")[2]))),
        migration_paths=MIGRATION_PATHS,
        generated=GENERATED,
        test_databases=test_databases(tree, tuple(dict.fromkeys((*project.files, *test_files)))),
        engine=chosen,
        engine_image=image,
        findings=(
            _framework(needs, root),
            Finding("settings", project.module, project.source),
            python.finding,
            *about_packages,
            *installing,
            *database,
            *environment.findings,
            *seeding,
            *testing,
        ),
        substitutions=environment.substitutions,
    )


def _framework(needs: Dependencies, root: str) -> Finding:
    version, source = needs.packages.get("django", ("", f"{root}manage.py:1"))
    return Finding("framework", f"Django {version}".strip(), source)


def _process(root: str, module: str, backend: str) -> dict[str, str]:
    top = f"/work/{root}".rstrip("/")
    return {
        "PATH": "/work/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": ":".join(dict.fromkeys(("/bedev/stack", top, f"{top}/src"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "bedev_django.settings",
        "BEDEV_SETTINGS_MODULE": module,
        "BEDEV_DATABASE_BACKEND": backend,
        "BEDEV_DOTENV": "/work/.env",
        "BEDEV_MANAGE": f"{top}/manage.py",
    }


def _database(
    tree: TreeReader, project: Project, needs: Dependencies, engine: str
) -> tuple[str, str, str, tuple[Finding, ...]]:
    """The engine, Django's back end for it, the image that a compose file names, and what says so."""
    compose = engine_of_compose(tree)
    own, source = _said_engine(tree, project, needs)
    if compose is not None and (not own or (own, compose[1]) == ("mysql", "mariadb")):
        own, source = compose[1], compose[0].source
    own, source = own or "sqlite", source or f"{project.root}manage.py:1"
    chosen = engine or own
    image = f"{chosen}:{compose[2]}" if compose and compose[1] == chosen and compose[2] else ""
    findings = [Finding("database", own, source)]
    if chosen != own:
        findings.append(Finding("database", f"{chosen} instead, as the user chose", source))
    if image and compose:
        findings.append(compose[0])
    return chosen, BACKENDS.get(chosen, BACKENDS["postgres"]), image, tuple(findings)


def _said_engine(tree: TreeReader, project: Project, needs: Dependencies) -> tuple[str, str]:
    path, values = example(tree, project.root)
    for name, value in values.items():
        match = (
            re.match(r"(\w+?)(?:\+\w+)?://", value)
            if re.search(r"(?:DATABASE|DB)\w*_UR[IL]$", name)
            else None
        )
        match = match or (
            re.search(r"(?:^|\.)(\w+)$", value) if re.search(r"(?:DB|DATABASE|SQL)_ENGINE$", name) else None
        )
        if match and match[1].lower() in ENGINES:
            return ENGINES[match[1].lower()], assignment_source(text_of(tree, path) or "", path, name)
    drivers = {
        engine: needs.source(name)
        for engine, (_, names) in reversed(tuple(DRIVERS.items()))
        for name in names
        if engine != "mariadb" and needs.has(name)
    }
    spare: tuple[str, str] = ("", "")
    for file in project.files:
        text = text_of(tree, file) or ""
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            for match in re.finditer(r"backends\.(\w+)['\"]|['\"](\w+)://", line):
                found = ENGINES.get((match[1] or match[2]).lower(), "")
                if found and found != "sqlite" and (not drivers or found in drivers):
                    return found, f"{file}:{number}"  # a default that nothing could reach says little
                if found and not spare[0]:
                    spare = found, f"{file}:{number}"
    return next(iter(drivers.items()), spare)


def _seed(tree: TreeReader, root: str, manage: str) -> tuple[str, tuple[Finding, ...]]:
    """A management command whose name says so and that needs no argument; else fixtures of such a name."""
    for path in tree.paths():
        match = _SEEDS.search(path)
        text = (text_of(tree, path) or "") if match else ""
        if match and not re.search(r"add_argument\(\s*['\"]\w", text):
            return f"{manage} {match[1]}", (
                Finding("seed", match[1], f"{path}:{line_of(text, r'^class Command')}"),
            )
    fixtures = [
        p for p in tree.paths()
        if re.search(r"(?:^|/)fixtures/[^/]+\.(?:json|ya?ml|xml)$", p) and "test" not in p.lower()
    ]  # fmt: skip
    named = [
        p for p in fixtures if re.search(r"(?:initial|demo|seed|sample|dev)\w*\.\w+$", p.rpartition("/")[2])
    ]
    chosen = named or (fixtures if len(fixtures) == 1 else [])
    if chosen:
        words = " ".join(shlex.quote("/work/" + p) for p in sorted(chosen))
        return f"{manage} loaddata {words}", (
            Finding("seed", "fixtures " + ", ".join(sorted(chosen)), f"{chosen[0]}:1"),
        )
    return "", (Finding("seed", "nothing: no command or fixture is named so", f"{root}manage.py:1"),)
