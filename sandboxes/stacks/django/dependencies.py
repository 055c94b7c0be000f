"""What an application depends on: lock files, requirements and manifests of Python's managers, as data."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.tree_text import line_of, mapping, text_of

LOCKS = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile.lock": "pipenv"}
"""Lock files and their managers, in the order in which they are looked for."""
DEVELOPMENT = r"(?:dev|develop|development|local|test|tests|testing|ci)"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;#)]*)")


def normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass
class Dependencies:
    """`packages`: name to (version or constraint, `file:line`); `manager` is how they are installed, `files`
    from what; `requirements` are the lines themselves where there is neither lock nor requirements file;
    `by_uv` says that uv resolved the requirements files: pip refuses hashes of some that it reads otherwise;
    `pythons` are constraints on Python with their sources, the most exact first."""

    manager: str = ""
    files: tuple[str, ...] = ()
    packages: dict[str, tuple[str, str]] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    by_uv: bool = False
    pythons: list[tuple[str, str]] = field(default_factory=list)
    pytest: Mapping[str, Any] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        return any(name in self.packages for name in names)

    def version(self, name: str) -> tuple[int, int] | None:
        """(major, minor) of the lowest version that a constraint allows, None where nothing is said."""
        numbers = re.search(r"(\d+)(?:\.(\d+))?", self.packages.get(name, ("", ""))[0])
        return (int(numbers[1]), int(numbers[2] or 0)) if numbers else None

    def source(self, name: str) -> str:
        return self.packages[name][1]

    def add(self, name: str, version: str, source: str) -> None:
        key = normal(name)
        if key not in self.packages or (not self.packages[key][0] and version):
            self.packages[key] = (version.partition(" --hash")[0].strip(" \\"), source)


def read(tree: TreeReader, root: str) -> Dependencies:
    """Everything that is said in the folder of manage.py and at the top. Raises UsageError for a manifest
    that is no TOML or JSON."""
    found = Dependencies()
    folders = tuple(dict.fromkeys((root, "")))
    _pinned_python(tree, folders, found)
    for folder in folders:
        for name, manager in LOCKS.items():
            text = text_of(tree, folder + name)
            if text is None or found.manager:
                continue
            found.manager, found.files = manager, (folder + name,)
            (_pipfile if manager == "pipenv" else _toml_lock)(text, folder + name, found)
    _requirements(tree, folders, found)
    for folder in folders:
        _pyproject(tree, folder + "pyproject.toml", found)
        _setup_cfg(tree, folder + "setup.cfg", found)
    if not found.manager and found.requirements:
        found.manager = "pip"
    return found


def _pinned_python(tree: TreeReader, folders: tuple[str, ...], into: Dependencies) -> None:
    for folder in folders:
        for name in (".python-version", "runtime.txt"):
            text = text_of(tree, folder + name) or ""
            version = re.search(r"^\s*(?:python-|cpython-)?(\d+\.\d+)", text, re.MULTILINE)
            if version:
                into.pythons.append(
                    (f"=={version[1]}.*", f"{folder}{name}:{line_of(text, re.escape(version[0]))}")
                )
    for folder in folders:
        text = text_of(tree, folder + "Dockerfile") or ""
        version = re.search(r"^FROM\s+(?:[\w./-]*/)?python:(\d+\.\d+)", text, re.MULTILINE | re.IGNORECASE)
        if version:
            line = line_of(text, re.escape(version[0]))
            into.pythons.append((f"=={version[1]}.*", f"{folder}Dockerfile:{line}"))


def _toml_lock(text: str, path: str, into: Dependencies) -> None:
    data = parse_toml(text, path)
    for package in data.get("package") or ():
        if isinstance(package, dict) and "name" in package:
            name = str(package["name"])
            line = line_of(text, rf'^name\s*=\s*"{re.escape(name)}"')
            into.add(name, str(package.get("version", "")), f"{path}:{line}")
    metadata = mapping(data.get("metadata"))
    python = data.get("requires-python") or metadata.get("python-versions") or metadata.get("requires_python")
    if isinstance(python, str):
        into.pythons.append((python, f"{path}:{line_of(text, re.escape(python))}"))


def _pipfile(text: str, path: str, into: Dependencies) -> None:
    try:
        data = mapping(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not valid JSON.", where=f"{path}:1", next_step="Correct and commit it."
        ) from error
    for section in ("default", "develop"):
        for name, entry in mapping(data.get(section)).items():
            version = str(mapping(entry).get("version", ""))
            into.add(name, version, f"{path}:{line_of(text, re.escape(json.dumps(name)))}")
    requires = mapping(mapping(data.get("_meta")).get("requires"))
    python = requires.get("python_version") or requires.get("python_full_version")
    if isinstance(python, str) and (version_found := re.match(r"\d+\.\d+", python)):
        into.pythons.append(
            (f"=={version_found[0]}.*", f"{path}:{line_of(text, 'python_(?:full_)?version')}")
        )


def _requirements(tree: TreeReader, folders: tuple[str, ...], into: Dependencies) -> None:
    chosen: list[str] = []
    for folder in folders:
        own = [p[len(folder) :] for p in tree.paths() if p.startswith(folder) and p.endswith(".txt")]
        base = [n for n in ("requirements.txt", "requirements/base.txt", "requirements/common.txt",
                            "requirements/requirements.txt") if n in own][:1]  # fmt: skip
        extra = [
            n for n in own
            if re.fullmatch(rf"(?:requirements?[-_./])?{DEVELOPMENT}[-_]?(?:requirements)?\.txt", n)
            and "requirements" in n
        ]  # fmt: skip
        chosen = [folder + n for n in (*base, *extra)]
        if chosen:
            break
    seen: set[str] = set()
    for path in chosen:
        _requirements_file(tree, path, into, seen)
    if chosen and not into.manager:
        into.manager, into.files = "pip", tuple(chosen)


def _requirements_file(tree: TreeReader, path: str, into: Dependencies, seen: set[str]) -> None:
    text = text_of(tree, path)
    if text is None or path in seen:
        return
    seen.add(path)
    into.by_uv = into.by_uv or re.search(r"^#.* by uv\b", text[:400], re.MULTILINE) is not None
    for number, line in enumerate(text.splitlines(), 1):
        included = re.match(r"\s*(?:-r|--requirement|-c|--constraint)[ =]+(\S+)", line)
        if included:
            import posixpath

            _requirements_file(
                tree, posixpath.normpath(posixpath.join(posixpath.dirname(path), included[1])), into, seen
            )
            continue
        named = _REQUIREMENT.match(line)
        if named and not line.lstrip().startswith(("-", "#")):
            into.add(named[1], named[2], f"{path}:{number}")


def _pyproject(tree: TreeReader, path: str, into: Dependencies) -> None:
    text = text_of(tree, path)
    if text is None:
        return
    data = parse_toml(text, path)
    project, tool = mapping(data.get("project")), mapping(data.get("tool"))
    poetry = mapping(tool.get("poetry"))
    into.pytest = into.pytest or mapping(mapping(tool.get("pytest")).get("ini_options"))
    python = project.get("requires-python") or mapping(poetry.get("dependencies")).get("python")
    if isinstance(python, str):
        line = line_of(text, r"^(?:requires-)?python\s*=")
        into.pythons.append((python, f"{path}:{line}"))
    lines: list[str] = []
    for group in (project.get("dependencies"), *mapping(project.get("optional-dependencies")).values(),
                  *mapping(data.get("dependency-groups")).values()):  # fmt: skip
        lines += [entry for entry in group or () if isinstance(entry, str)]
    for entry in lines:
        named = _REQUIREMENT.match(entry)
        if named:
            into.add(named[1], named[2], f"{path}:{line_of(text, re.escape(entry))}")
    groups = [poetry.get("dependencies"), poetry.get("dev-dependencies")]
    groups += [mapping(g).get("dependencies") for g in mapping(poetry.get("group")).values()]
    for group in groups:
        for name, constraint in mapping(group).items():
            if name != "python":
                version = (
                    constraint if isinstance(constraint, str) else str(mapping(constraint).get("version", ""))
                )
                line = line_of(text, rf"^{re.escape(name)}\s*=")
                into.add(name, version, f"{path}:{line}")
    if not into.manager and lines:
        into.files, into.requirements = (path,), tuple(dict.fromkeys(lines))
    elif not into.manager and any(mapping(g) for g in groups):
        into.manager, into.files = "poetry", (path,)


def _setup_cfg(tree: TreeReader, path: str, into: Dependencies) -> None:
    text = text_of(tree, path)
    if text is None:
        return
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(text)
    except configparser.Error:
        return  # a file of other tools' settings too; the one that reads it will say what is wrong
    python = config.get("options", "python_requires", fallback="")
    if python:
        line = line_of(text, r"^\s*python_requires")
        into.pythons.append((python, f"{path}:{line}"))
    lines = list(_lines(config, "options", "install_requires"))
    if config.has_section("options.extras_require"):
        for extra in config.options("options.extras_require"):
            lines += _lines(config, "options.extras_require", extra)
    for entry in lines:
        named = _REQUIREMENT.match(entry)
        if named:
            into.add(named[1], named[2], f"{path}:{line_of(text, re.escape(entry))}")
    if not into.manager and not into.requirements and lines:
        into.files, into.requirements = (path,), tuple(dict.fromkeys(lines))


def _lines(config: configparser.ConfigParser, section: str, option: str) -> Iterator[str]:
    text = config.get(section, option, fallback="")
    return (line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def parse_toml(text: str, path: str) -> Mapping[str, Any]:
    """Raises UsageError with the line, where the file is no TOML."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = re.search(r"line (\d+)", str(error))
        raise UsageError(
            f"{path} is not valid TOML: {error}.",
            where=f"{path}:{line[1] if line else 1}",
            next_step=f"Correct {path} and commit it.",
        ) from error
