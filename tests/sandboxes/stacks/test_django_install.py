"""Dependencies for real on the official image's name, with every package manager.

A lock file is made by its manager's own command just before the recipe's: it holds what the index has today.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from bedev.sandboxes.errors import EnvironmentUnusable, SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess, Sandbox

from .contract import FilesTree
from .django_pod import DJANGO, come_up

pytestmark = pytest.mark.docker

MANAGE = """import os, sys
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
SETTINGS = """SECRET_KEY = "x"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
INSTALLED_APPS = ["django.contrib.contenttypes"]
ROOT_URLCONF = "urls"
USE_TZ = True
"""
TEST = """import pytest
from django.contrib.contenttypes.models import ContentType

@pytest.mark.django_db
@pytest.mark.parametrize("number", [1, 2])
def test_database(number):
    assert ContentType.objects.count() >= number - 1

@pytest.mark.skip("not now")
def test_skipped():
    pass
"""
APPLICATION = {
    ".python-version": "3.13\n",
    "manage.py": MANAGE,
    "settings.py": SETTINGS,
    "urls.py": "urlpatterns = []\n",
    "test_shop.py": TEST,
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\naddopts = --ds=settings\n",
}
PROJECT = """[project]
name = "shop"
version = "1"
requires-python = ">=3.13"
dependencies = ["Django>=5.2,<5.3"]

[dependency-groups]
dev = ["pytest-django"]
"""
POETRY = """[tool.poetry]
package-mode = false

[tool.poetry.dependencies]
python = "^3.13"
Django = "~5.2"

[tool.poetry.group.dev.dependencies]
pytest-django = "*"
"""
PIPFILE = (
    '[packages]\nDjango = "~=5.2.0"\n\n[dev-packages]\npytest-django = "*"\n\n'
    '[requires]\npython_version = "3.13"\n'
)
LOCK = (
    '[[package]]\nname = "django"\nversion = "5.2"\n\n[[package]]\nname = "pytest-django"\nversion = "4.11"\n'
)
PIPLOCK = '{"default": {"django": {"version": "==5.2"}}, "develop": {"pytest-django": {"version": "==4.11"}}}'


def tools(name: str) -> str:
    return (
        f"python3 -m venv /tmp/bedev-tools && /tmp/bedev-tools/bin/pip install -q {name} && rm -f *.lock && "
    )


# Poetry asks an index's JSON interface, which mirrors may lack; as a named source it takes the plain one.
POETRY_LOCK = (
    "/tmp/bedev-tools/bin/poetry source add -q --priority=primary plain "
    "$(python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)') "
    "&& /tmp/bedev-tools/bin/poetry lock -q"
)
WAYS = {
    "pip": ({"requirements.txt": "Django~=5.2.0\n", "requirements-dev.txt": "pytest-django\n"}, ""),
    "uv": ({"pyproject.toml": PROJECT, "uv.lock": LOCK}, tools("uv") + "/tmp/bedev-tools/bin/uv lock -q"),
    "poetry": ({"pyproject.toml": POETRY, "poetry.lock": LOCK}, tools("poetry") + POETRY_LOCK),
    "pdm": (
        {"pyproject.toml": PROJECT, "pdm.lock": LOCK},
        tools("'pdm[locked]'") + "/tmp/bedev-tools/bin/pdm lock -q -G :all",
    ),
    "pipenv": (
        {"Pipfile": PIPFILE, "Pipfile.lock": PIPLOCK},
        tools("pipenv") + "/tmp/bedev-tools/bin/pipenv lock -q",
    ),
    "lines of pyproject.toml": ({"pyproject.toml": PROJECT}, ""),
}


def access() -> HostAccess:
    """The machine's clients may need a CA of their own; the containers' then need it too."""
    file = next((os.environ[n] for n in ("PIP_CERT", "SSL_CERT_FILE") if os.environ.get(n)), None)
    return HostAccess(ca_file=file)


@pytest.fixture(scope="module")
def index(sandbox: Sandbox) -> None:
    recipe = Recipe(
        "django", "python:3.13-slim", install=("python3 -m pip download -q --no-deps -d /tmp asgiref",)
    )
    try:
        come_up(sandbox, FilesTree({}), recipe, access=access()).close()
    except (SetUpFailed, EnvironmentUnusable) as error:
        pytest.skip(f"no image or no index of packages: {error.what} {error.detail[-200:]}")


@pytest.mark.parametrize("way", WAYS)
def test_dependencies_come_with_those_for_tests_and_pytest_runs(
    sandbox: Sandbox, index: None, way: str
) -> None:
    files, lock = WAYS[way]
    tree = FilesTree({**APPLICATION, **files})
    recipe = DJANGO.detect(tree)
    assert recipe is not None
    assert recipe.image == "python:3.13-slim"
    pod = come_up(
        sandbox, tree, replace(recipe, install=(*((lock,) if lock else ()), *recipe.install)), access=access()
    )
    try:
        pod.app.write_file("/work/.env", DJANGO.dotenv(recipe, "", 0, "/work/shop.sqlite3", "", ""))
        migrated = pod.app.run(recipe.migrate)
        assert migrated.ok, migrated.last_lines
        version = pod.app.run("python3 -c 'import django, sys; print(django.__version__, sys.prefix)'")
        assert version.stdout.text.startswith("5.2")
        assert version.stdout.text.strip().endswith("/work/.venv")
        result = pod.app.run(
            recipe.test.replace("{junit}", "/tmp/junit.xml"),
            env=DJANGO.test_environment("", 0, "", ""),
            timeout=120,
        )
        assert result.ok, result.stdout.text
        cases = DJANGO.parse_tests(pod.app.read_file("/tmp/junit.xml") or b"")
        assert [(c.id, c.status) for c in cases] == [
            ("test_shop::test_database[1]", "passed"),
            ("test_shop::test_database[2]", "passed"),
            ("test_shop::test_skipped", "skipped"),
        ]
        command = DJANGO.filtered_tests(
            recipe.test.replace("{junit}", "/tmp/one.xml"), "test_shop::test_database"
        )
        assert pod.app.run(command, env=DJANGO.test_environment("", 0, "", ""), timeout=120).ok
        assert len(DJANGO.parse_tests(pod.app.read_file("/tmp/one.xml") or b"")) == 2
    finally:
        pod.close()
