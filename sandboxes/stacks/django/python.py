"""Which Python an application runs on, what its image needs besides, how dependencies are installed."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedev.sandboxes.recipe import Finding
from bedev.sandboxes.stacks.django.dependencies import Dependencies

VERSIONS = ((3, 14), (3, 13), (3, 12), (3, 11), (3, 10), (3, 9), (3, 8))
"""The official images that there are, newest first."""
SUPPORTED: Mapping[tuple[int, int], tuple[tuple[int, int], tuple[int, int]]] = {
    (2, 2): ((3, 8), (3, 9)),
    (3, 2): ((3, 9), (3, 10)),
    (4, 0): ((3, 10), (3, 10)),
    (4, 1): ((3, 10), (3, 11)),
    (4, 2): ((3, 11), (3, 12)),
    (5, 0): ((3, 12), (3, 12)),
    (5, 1): ((3, 12), (3, 13)),
    (5, 2): ((3, 13), (3, 14)),
    (6, 0): ((3, 13), (3, 14)),
}
"""By Django's version: the Python of its time, which old pins have wheels for, and the newest that it
supports (docs.djangoproject.com, "What Python version can I use with Django?")."""
ENVIRONMENT = "/work/.venv"
TOOLS = "/tmp/bedev-tools"
DRIVERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "mysql": ("PyMySQL[rsa]", ("mysqlclient", "pymysql", "mysql-connector-python")),
    "mariadb": ("PyMySQL[rsa]", ("mysqlclient", "pymysql", "mysql-connector-python")),
    "postgres": ("psycopg[binary]", ("psycopg", "psycopg2", "psycopg2-binary", "psycopg-binary")),
}
"""By engine: the driver that is added where the application depends on none of those that serve it."""


def allows(constraint: str, version: tuple[int, int]) -> bool:
    """Whether some release of Python `version` satisfies a constraint (PEP 440's, or poetry's `^` and `~`;
    alternatives with `|` or `||`)."""
    return any(
        all(_fits(part, version) for part in re.split(r"[,\s]+(?=[<>=!~^\d*])", alternative.strip()) if part)
        for alternative in re.split(r"\|\|?", re.sub(r"([<>=!~^])\s+", r"\1", constraint))
    )


def _fits(part: str, version: tuple[int, int]) -> bool:
    found = re.fullmatch(r"(===?|!=|>=|<=|~=|[<>^~])?v?(\d+)(?:\.(\d+|\*))?((?:\.[\w*]+)*)", part.strip(" ,"))
    if found is None or found[3] == "*":
        return found is None or version[0] == int(found[2])
    major, minor = int(found[2]), int(found[3] or 0)
    exact = bool(found[4]) and "*" not in found[4] and not re.fullmatch(r"(?:\.0)+", found[4])
    operator = found[1] or "=="
    named = (major, minor)
    if operator == "^" or (operator == "~=" and not found[4]):
        return version[0] == major and version >= named
    if operator in ("~", "~=", "==", "==="):
        return version == named if found[3] is not None else version[0] == major
    if operator == ">=":
        return version >= named
    if operator == ">":
        return version > named or (exact and version == named)
    if operator == "<=":
        return version <= named
    if operator == "<":
        return version < named or (exact and version == named)
    return version != named or "*" not in found[4]


@dataclass(frozen=True)
class PythonChoice:
    version: tuple[int, int]
    finding: Finding

    @property
    def image(self) -> str:
        return f"python:{self.version[0]}.{self.version[1]}-slim"


def choose_python(dependencies: Dependencies, fallback: str) -> PythonChoice:
    """A pinned version; else the Python of Django's time where the constraints allow it, else the newest
    that they and Django allow. `fallback` is the source where nothing is said."""
    fitting = [v for v in VERSIONS if all(allows(c, v) for c, _ in dependencies.pythons)]
    first = dependencies.pythons[0] if dependencies.pythons else ("", fallback)
    fitting = fitting or [v for v in VERSIONS if allows(first[0], v)] or list(VERSIONS)
    django = dependencies.version("django")
    known = [key for key in SUPPORTED if django is not None and key <= django]
    usual, newest = SUPPORTED[max(known)] if known else ((3, 12), VERSIONS[0])
    able = [v for v in fitting if v <= newest] or fitting
    best = usual if usual in able else able[0]
    if first[0].startswith("==") and able:
        best = able[0]
    others = ", ".join(_text(v) for v in able if v != best)
    words = f"{_text(best)}" + (f" ({first[0]})" if first[0] else "")
    if others:
        words += f"; where python:{_text(best)}-slim cannot be had, [recipe] image may name {others}"
    return PythonChoice(best, Finding("python", words, first[1]))


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def system_packages(dependencies: Dependencies) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """Debian packages that packages of the application are built with or load."""
    known: Mapping[str, Mapping[str, Any]] = tomllib.loads(
        Path(__file__).with_name("packages.toml").read_text(encoding="utf-8")
    )
    wanted: set[str] = set()
    findings = []
    for name, entry in known.items():
        if dependencies.has(name):
            wanted.update(entry["packages"])
            findings.append(
                Finding("packages", f"{' '.join(entry['packages'])} for {name}", dependencies.source(name))
            )
    if any("git+" in line for line in dependencies.requirements) or any(
        "git+" in version for version, _ in dependencies.packages.values()
    ):
        wanted.add("git")
    return tuple(sorted(wanted)), tuple(findings)


def install_steps(dependencies: Dependencies, engine: str) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """Commands with network that make /work/.venv; development and test dependencies are in it."""
    python = f"{ENVIRONMENT}/bin/python"
    file = dependencies.files[0] if dependencies.files else ""
    folder = file.rpartition("/")[0]
    inside = f"cd {shlex.quote(folder)} && " if folder and dependencies.manager != "pip" else ""
    venv, quiet = "python3 -m venv", "--disable-pip-version-check --no-input -q"
    pip = f"{venv} {ENVIRONMENT} && {python} -m pip install {quiet}"
    tool = f"{inside}{venv} {TOOLS} && {TOOLS}/bin/pip install {quiet}"
    if dependencies.manager == "uv":
        command = (
            f"{tool} uv && UV_PROJECT_ENVIRONMENT={ENVIRONMENT} UV_PYTHON_DOWNLOADS=never "
            f"{TOOLS}/bin/uv sync "
            '--frozen --all-extras --all-groups --no-install-project --python "$(command -v python3)"'
        )
    elif dependencies.manager == "poetry":
        command = (
            f"{tool} poetry && {venv} {ENVIRONMENT} && VIRTUAL_ENV={ENVIRONMENT} "
            f'PATH="{ENVIRONMENT}/bin:$PATH" {TOOLS}/bin/poetry install --no-root --no-interaction '
            "--all-extras --all-groups"
        )
    elif dependencies.manager == "pdm":
        command = (
            f"{tool} 'pdm[locked]' && {venv} {ENVIRONMENT} && PDM_IGNORE_SAVED_PYTHON=1 "
            f"VIRTUAL_ENV={ENVIRONMENT} {TOOLS}/bin/pdm sync --no-self -G :all"
        )
    elif dependencies.manager == "pipenv":
        command = (
            f"{tool} pipenv && {venv} {ENVIRONMENT} && VIRTUAL_ENV={ENVIRONMENT} PIPENV_VERBOSITY=-1 "
            f"{TOOLS}/bin/pipenv sync --dev"
        )
    elif dependencies.requirements:
        command = f"{pip} {' '.join(shlex.quote(line) for line in dependencies.requirements)}"
    elif dependencies.files and dependencies.by_uv:
        files = " ".join(f"-r {shlex.quote(path)}" for path in dependencies.files)
        uv = f"{TOOLS}/bin/uv pip install -q --python {python}"
        command = f"{tool} uv && {venv} {ENVIRONMENT} && {uv} {files}"
    elif dependencies.files:
        command = f"{pip} {' '.join(f'-r {shlex.quote(path)}' for path in dependencies.files)}"
    else:
        return (), ()
    by = "uv pip" if dependencies.by_uv and dependencies.manager == "pip" else dependencies.manager
    what = f"{by} from {', '.join(dependencies.files)}"
    findings = [Finding("install", what, f"{file}:1")]
    steps = [command]
    driver = _driver(dependencies, engine)
    if driver:
        steps.append(
            f"python3 -m pip --python {python} install --disable-pip-version-check -q {shlex.quote(driver)}"
        )
        findings.append(Finding("install", f"{driver} besides, for {engine}", f"{file}:1"))
    return tuple(steps), tuple(findings)


def _driver(dependencies: Dependencies, engine: str) -> str:
    """What serves the engine and is not among the dependencies, empty where nothing is missing."""
    if engine not in DRIVERS:
        return ""
    driver, serving = DRIVERS[engine]
    if dependencies.has(*serving):
        # MySQL's own way to check a password needs it where the connection is not encrypted.
        alone = dependencies.has("pymysql") and not dependencies.has("mysqlclient", "cryptography")
        return "cryptography" if engine == "mysql" and alone else ""
    django = dependencies.version("django")
    if engine == "postgres" and django is not None and django < (4, 2):
        return "psycopg2-binary"  # psycopg 3 came with Django 4.2
    return driver
