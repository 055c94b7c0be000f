"""The tests of a Django application: their command, their files, and the settings that they run under."""

from __future__ import annotations

import configparser
import re
import shlex

from bedev.sandboxes.recipe import Finding, TreeReader
from bedev.sandboxes.stacks.django.dependencies import Dependencies
from bedev.sandboxes.stacks.tree_text import line_of, text_of

TEST_PATHS = ("**/tests/**", "tests/**", "**/tests.py", "**/test_*.py", "**/*_test.py")
TEST_CONFIG = ("pytest.ini", "tox.ini", "**/conftest.py", "**/pytest.ini", ".coveragerc")
_INI = (
    ("pytest.ini", "pytest"),
    (".pytest.ini", "pytest"),
    ("tox.ini", "pytest"),
    ("setup.cfg", "tool:pytest"),
)


def pytest_options(tree: TreeReader, root: str, dependencies: Dependencies) -> tuple[str, str, str]:
    """The settings module that pytest is told, its source, and the file with pytest's configuration (each
    empty where there is none)."""
    for folder in dict.fromkeys((root, "")):
        for name, section in _INI:
            text = text_of(tree, folder + name)
            if text is None or f"[{section}]" not in text:
                continue
            config = configparser.ConfigParser(interpolation=None, strict=False)
            try:
                config.read_string(text)
            except configparser.Error:
                continue
            options = {k.lower(): v for k, v in config.items(section)}
            module = options.get("django_settings_module", "") or _ds(options.get("addopts", ""))
            return (
                module,
                f"{folder}{name}:{line_of(text, re.escape(module) if module else section)}",
                folder + name,
            )
        text = text_of(tree, folder + "pyproject.toml")
        if text is not None and dependencies.pytest:
            addopts = dependencies.pytest.get("addopts", "")
            addopts = " ".join(map(str, addopts)) if isinstance(addopts, list) else str(addopts)
            module = str(dependencies.pytest.get("DJANGO_SETTINGS_MODULE", "")) or _ds(addopts)
            line = line_of(text, re.escape(module) if module else r"tool\.pytest")
            return module, f"{folder}pyproject.toml:{line}", f"{folder}pyproject.toml"
    return "", "", ""


def _ds(addopts: str) -> str:
    found = re.search(r"--ds[= ]([\w.]+)", addopts)
    return found[1] if found else ""


def test_command(
    tree: TreeReader, root: str, dependencies: Dependencies, manage: str
) -> tuple[str, tuple[Finding, ...]]:
    """With pytest where the application brings pytest-django, else with Django's own runner."""
    tests = [p for p in tree.paths() if re.search(r"(?:^|/)(?:tests?/.*|tests|test_\w+|\w+_test)\.py$", p)]
    if not tests:
        return "", (Finding("test", "nothing: there is no file of tests", f"{root}manage.py:1"),)
    module, source, configured = pytest_options(tree, root, dependencies)
    settings = f"BEDEV_SETTINGS_MODULE={shlex.quote(module)} " if module else ""
    if dependencies.has("pytest-django"):
        # Tests open files by paths from where their configuration lies.
        folder = configured.rpartition("/")[0] if configured else root.rstrip("/")
        inside = f"cd {shlex.quote(folder)} && " if folder else ""
        command = (
            f"{inside}{settings}python3 -m pytest -q -p no:cacheprovider --color=no "
            "--ds=bedev_django.settings --create-db -o junit_family=xunit1 --junitxml={junit}"
        )
        said = f"pytest with the settings {module}" if module else "pytest"
        return command, (Finding("test", said, source or dependencies.source("pytest-django")),)
    inside, _, program = manage.rpartition("&& ")
    inside = f"{inside}&& " if inside else ""
    command = f"{inside}BEDEV_JUNIT={{junit}} {program} test --noinput --testrunner=bedev_django.junit.Runner"
    return command, (Finding("test", "manage.py test", f"{root}manage.py:1"),)


def filtered(command: str, filter: str) -> str:
    """pytest takes an expression of words, Django's runner a part of `module.Class.test_name`."""
    if " pytest" in command:
        words = [w for w in re.findall(r"\w+", filter) if w not in ("and", "or", "not")]
        return f"{command} -k {shlex.quote(' and '.join(words))}"
    return f"{command} -k {shlex.quote(filter.strip().replace('::', '.').replace('/', '.'))}"


def test_databases(tree: TreeReader, files: tuple[str, ...]) -> tuple[str, ...]:
    """Databases that settings name for tests and that are not called `test_...`: the application's role may
    make those by itself."""
    found: dict[str, None] = {}
    for path in files:
        for match in re.finditer(
            r"['\"]TEST['\"]\s*:\s*\{[^}]*['\"]NAME['\"]\s*:\s*['\"](\w+)['\"]", text_of(tree, path) or ""
        ):
            if not match[1].startswith("test_"):
                found[match[1]] = None
    return tuple(found)
