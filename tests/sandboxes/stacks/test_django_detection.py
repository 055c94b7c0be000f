"""Django's recipe comes from files that are read as data."""

from __future__ import annotations

import json

import pytest
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.stacks.django.python import allows
from bedev.sandboxes.stacks.stack import load

from . import contract
from .contract import FilesTree

DJANGO = load("django")
MANAGE = """import os, sys
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
POSTGRES = 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}}\n'


def application(files: dict[str, str], module: str = "config.settings") -> FilesTree:
    return FilesTree({"manage.py": MANAGE.format(module), "config/settings.py": POSTGRES, **files})


def detected(files: dict[str, str], module: str = "config.settings", engine: str = "") -> Recipe:
    return contract.assert_detects(DJANGO, application(files, module), engine)


def said(recipe: Recipe, key: str) -> list[tuple[str, str]]:
    return [(f.value, f.source) for f in recipe.findings if f.key == key]


UV = """version = 1
requires-python = ">=3.11"

[[package]]
name = "django"
version = "5.2.4"

[[package]]
name = "psycopg"
version = "3.2.9"
"""
POETRY = """[[package]]
name = "django"
version = "4.2.11"

[[package]]
name = "mysqlclient"
version = "2.2.4"

[metadata]
lock-version = "2.0"
python-versions = "^3.10"
"""
PDM = """[metadata]
requires_python = "==3.12.*"

[[package]]
name = "django"
version = "5.1"
"""
PIPFILE = json.dumps(
    {
        "_meta": {"requires": {"python_version": "3.10"}},
        "default": {"django": {"version": "==3.2.25"}},
        "develop": {"pytest-django": {"version": "==4.8.0"}},
    },
    indent=4,
)
PYPROJECT = """[project]
name = "shop"
requires-python = ">=3.10,<3.13"
dependencies = ["Django>=5.1,<5.2", "psycopg[binary]"]

[project.optional-dependencies]
s3 = ["django-storages"]

[dependency-groups]
dev = ["pytest-django"]

[tool.pytest.ini_options]
DJANGO_SETTINGS_MODULE = "config.test_settings"
"""
SETUP_CFG = """[options]
python_requires = >=3.9
install_requires =
    Django~=4.2
    psycopg2-binary

[options.extras_require]
test =
    pytest-django

[tool:pytest]
addopts = --ds=config.settings_test --reuse-db
"""


@pytest.mark.parametrize(
    ("files", "image", "manager", "framework"),
    [
        ({"uv.lock": UV}, "python:3.13-slim", "uv sync --frozen", ("Django 5.2.4", "uv.lock:5")),
        ({"poetry.lock": POETRY}, "python:3.11-slim", "poetry install", ("Django 4.2.11", "poetry.lock:2")),
        ({"pdm.lock": PDM}, "python:3.12-slim", "pdm sync", ("Django 5.1", "pdm.lock:5")),
        ({"Pipfile.lock": PIPFILE}, "python:3.10-slim", "pipenv sync --dev",
         ("Django ==3.2.25", "Pipfile.lock:8")),
        ({"requirements.txt": "Django==4.2.9\n"}, "python:3.11-slim", "-r requirements.txt",
         ("Django ==4.2.9", "requirements.txt:1")),
        ({"pyproject.toml": PYPROJECT}, "python:3.12-slim",
         "'Django>=5.1,<5.2' 'psycopg[binary]' django-storages",
         ("Django >=5.1,<5.2", "pyproject.toml:4")),
        ({"setup.cfg": SETUP_CFG}, "python:3.11-slim", "Django~=4.2", ("Django ~=4.2", "setup.cfg:4")),
    ],
)  # fmt: skip
def test_lock_files_and_manifests_choose_python_and_how_to_install(
    files: dict[str, str], image: str, manager: str, framework: tuple[str, str]
) -> None:
    recipe = detected(files)
    assert recipe.image == image
    assert manager in recipe.install[0]
    assert said(recipe, "framework") == [framework]


def test_a_lock_file_counts_before_requirements() -> None:
    recipe = detected({"uv.lock": UV, "requirements.txt": "Django==3.2\n", "pyproject.toml": PYPROJECT})
    assert "uv sync" in recipe.install[0]
    assert said(recipe, "framework")[0][0] == "Django 5.2.4"


def test_development_requirements_are_installed_and_production_s_are_not() -> None:
    recipe = detected(
        {
            "requirements/base.txt": "Django==5.2\n",
            "requirements/local.txt": "-r base.txt\npytest-django==4.9\n",
            "requirements/production.txt": "-r base.txt\ngunicorn\n",
            "shop/tests.py": "",
        }
    )
    assert recipe.install[0].endswith("-r requirements/base.txt -r requirements/local.txt")
    assert "pytest" in recipe.test


@pytest.mark.parametrize(
    ("files", "image"),
    [
        ({".python-version": "3.12.4\n"}, "python:3.12-slim"),
        ({"runtime.txt": "python-3.10.13"}, "python:3.10-slim"),
        ({"Dockerfile": "FROM python:3.12-slim-bookworm AS base\n"}, "python:3.12-slim"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.11"\n'}, "python:3.11-slim"),
        ({}, "python:3.12-slim"),
    ],
)  # fmt: skip
def test_python_is_the_pinned_one_or_that_of_django_s_time(files: dict[str, str], image: str) -> None:
    recipe = detected(files)
    assert recipe.image == image


def test_other_pythons_that_would_do_are_named() -> None:
    (words, source), = said(detected({"uv.lock": UV}), "python")  # fmt: skip
    assert words.endswith("where python:3.13-slim cannot be had, [recipe] image may name 3.14, 3.12, 3.11")
    assert source == "uv.lock:2"


@pytest.mark.parametrize(
    ("constraint", "fits", "fits_not"),
    [
        (">=3.10,<4", [(3, 10), (3, 14)], [(3, 9)]),
        (">=3.10, <3.13", [(3, 12)], [(3, 13)]),
        ("^3.11", [(3, 11), (3, 14)], [(3, 10)]),
        ("~3.11", [(3, 11)], [(3, 12)]),
        ("~=3.11", [(3, 11), (3, 13)], [(3, 10)]),
        ("~=3.11.2", [(3, 11)], [(3, 12)]),
        ("==3.12.*", [(3, 12)], [(3, 13)]),
        (">3.10", [(3, 11)], [(3, 10)]),
        ("<3.12.5", [(3, 12)], [(3, 13)]),
        (">=3.9,!=3.10.*", [(3, 9), (3, 11)], [(3, 10)]),
        ("<3.10 || >=3.12", [(3, 9), (3, 12)], [(3, 11)]),
        ("*", [(3, 8), (3, 14)], []),
    ],
)
def test_constraints_choose_versions(
    constraint: str, fits: list[tuple[int, int]], fits_not: list[tuple[int, int]]
) -> None:
    assert all(allows(constraint, version) for version in fits)
    assert not any(allows(constraint, version) for version in fits_not)


def test_packages_that_are_compiled_bring_what_they_need() -> None:
    recipe = detected({"requirements.txt": "Django\nmysqlclient==2.2\npsycopg2\n"})
    assert {"gcc", "default-libmysqlclient-dev", "libpq-dev"} <= set(recipe.packages)
    assert any(
        "for mysqlclient" in words and at == "requirements.txt:2" for words, at in said(recipe, "packages")
    )


def test_a_driver_is_added_where_none_serves_the_engine() -> None:
    recipe = detected({"requirements.txt": "Django==5.2\npsycopg[binary]\n"}, engine="mariadb")
    assert len(recipe.install) == 2
    assert recipe.install[1].endswith("'PyMySQL[rsa]'")
    alone = detected({"requirements.txt": "Django\nPyMySQL\n"}, engine="mysql")
    assert alone.install[1].endswith(" cryptography")
    assert len(detected({"requirements.txt": "Django\nmysqlclient\n"}, engine="mysql").install) == 1
    assert len(detected({"requirements.txt": "Django\npsycopg[binary]\n"}).install) == 1
    assert "psycopg2-binary" in detected({"requirements.txt": "Django==3.2\n"}).install[1]


def test_the_settings_module_is_where_manage_py_or_the_example_says() -> None:
    files = {"config/settings/base.py": POSTGRES, "config/settings/local.py": "from .base import *\n"}
    recipe = detected(files, "config.settings.local")
    assert recipe.environment["BEDEV_SETTINGS_MODULE"] == "config.settings.local"
    assert said(recipe, "settings") == [("config.settings.local", "manage.py:3")]
    assert said(recipe, "database") == [("postgres", "config/settings/base.py:1")]
    missing = detected(
        {**files, ".env.example": "DJANGO_SETTINGS_MODULE=config.settings.base\n"}, "config.secret"
    )
    assert said(missing, "settings") == [("config.settings.base", ".env.example:1")]


def test_a_project_in_a_sub_folder_is_run_from_there() -> None:
    tree = FilesTree(
        {
            "backend/manage.py": MANAGE.format("shop.settings"),
            "backend/shop/settings.py": POSTGRES,
            "backend/requirements.txt": "Django==5.2\n",
            "backend/shop/tests.py": "",
        }
    )
    recipe = contract.assert_detects(DJANGO, tree)
    assert recipe.migrate == "cd backend && python3 manage.py migrate --noinput"
    assert recipe.serve == "cd backend && exec python3 manage.py bedev_serve 8000"
    assert "-r backend/requirements.txt" in recipe.install[0]
    assert "/work/backend" in recipe.environment["PYTHONPATH"].split(":")


SETTINGS = """import os
import environ
import dj_database_url
from decouple import config

env = environ.Env(DEBUG=(bool, False))
SECRET_KEY = env("DJANGO_SECRET_KEY")
DEBUG = env.bool("DEBUG")
DATABASES = {"default": env.db("DATABASE_URL")}
REPLICA = dj_database_url.config(env="READ_DATABASE_URL", conn_max_age=600)
PAGE = config("PAGE_SIZE", cast=int)
TITLE = config("TITLE", default="Shop")
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")
REDIS = os.environ["REDIS_URL"]
BUCKET = os.getenv("BUCKET")
REGION = os.environ["REGION"]
# SECRET = os.environ["COMMENTED_OUT"]
SENTRY = env.str("SENTRY_DSN")
SITE = env("SITE_URL")
"""


def test_variables_that_settings_read_get_values_each_with_its_line() -> None:
    recipe = detected(
        {
            "config/settings.py": SETTINGS,
            ".env.example": "DATABASE_URL=postgres://u:p@db/shop\nREGION=eu-1\nEXTRA=1\n",
        }
    )
    values = dict(recipe.dotenv)
    assert len(values.pop("DJANGO_SECRET_KEY")) == 64
    url = "postgres://${BEDEV_DATABASE_USER}:${BEDEV_DATABASE_PASSWORD}@${BEDEV_DATABASE_HOST}"
    url += ":${BEDEV_DATABASE_PORT}/${BEDEV_DATABASE_NAME}"
    assert values == {
        "DATABASE_URL": url,
        "READ_DATABASE_URL": url,
        "REGION": "eu-1",
        "EXTRA": "1",
        "DEBUG": "False",
        "PAGE_SIZE": "1",
        "ALLOWED_HOSTS": "*",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "SENTRY_DSN": "",
        "SITE_URL": "http://127.0.0.1:8000",
    }
    assert ("DJANGO_SECRET_KEY=generated", "config/settings.py:7") in said(recipe, "environment")
    assert "DATABASE_URL: postgres://u:p@db/shop -> the pod's" in recipe.substitutions
    assert said(recipe, "database") == [("postgres", ".env.example:1")]
    written = DJANGO.dotenv(recipe, "127.0.0.1", 5433, "app", "somebody", "secret").decode()
    assert "DATABASE_URL=postgres://somebody:secret@127.0.0.1:5433/app\n" in written


@pytest.mark.parametrize(
    ("files", "engine", "source"),
    [
        ({"config/settings.py": 'X = config(default="mysql://u@h/n")\n'}, "mysql", "config/settings.py:1"),
        ({"config/settings.py": "", "requirements.txt": "a\nmysqlclient\n"}, "mysql", "requirements.txt:2"),
        ({"config/settings.py": 'ENGINE = "django.db.backends.sqlite3"\n'}, "sqlite", "config/settings.py:1"),
        (
            {
                "config/settings.py": 'X = config(default="mysql://u@h/n")\n',
                "requirements.txt": "Django\npsycopg2==2.9.10 \\\n    --hash=sha256:0\n",
            },
            "postgres",
            "requirements.txt:2",
        ),
        (
            {
                "config/settings.py": 'A = "django.db.backends.sqlite3"\nB = "django.db.backends.mysql"\n',
                "compose.yaml": "services:\n  db:\n    image: mariadb:11.4\n",
            },
            "mariadb",
            "compose.yaml:3",
        ),
        ({"config/settings.py": "", "compose.yaml": "\n image: postgres\n"}, "postgres", "compose.yaml:2"),
    ],
)  # fmt: skip
def test_the_engine_is_what_settings_dependencies_or_a_compose_file_say(
    files: dict[str, str], engine: str, source: str
) -> None:
    recipe = detected(files)
    assert recipe.engine == engine
    assert said(recipe, "database")[0] == (engine, source)


def test_the_version_of_a_compose_file_is_the_server_s() -> None:
    assert detected({"compose.yaml": "a:\n  image: postgres:16-alpine\n"}).engine_image == "postgres:16"
    assert detected({"compose.yaml": "a:\n  image: postgres:16\n"}, engine="mariadb").engine_image == ""


def test_pytest_is_used_where_it_is_installed_with_the_settings_that_it_names() -> None:
    files = {"shop/tests/test_a.py": "", "requirements.txt": "Django\npytest-django\n"}
    ini = "[pytest]\nDJANGO_SETTINGS_MODULE = config.test\n"
    recipe = detected({**files, "pytest.ini": ini, "config/test.py": ""})
    assert recipe.test.startswith("BEDEV_SETTINGS_MODULE=config.test python3 -m pytest")
    assert said(recipe, "test") == [("pytest with the settings config.test", "pytest.ini:2")]
    assert "config/test.py" in recipe.test_config
    assert "config.settings_test" in detected({**files, "setup.cfg": SETUP_CFG}).test
    assert "config.test_settings" in detected({"shop/tests/test_a.py": "", "pyproject.toml": PYPROJECT}).test
    assert "manage.py test" in detected({"shop/tests.py": "", "requirements.txt": "Django\n"}).test
    assert detected({"requirements.txt": "Django\n"}).test == ""


def test_a_filter_is_never_more_than_a_filter() -> None:
    pytest_command, own = "python3 -m pytest -q", "python3 manage.py test"
    assert DJANGO.filtered_tests(pytest_command, "shop.tests.UserTest::test_a; rm -rf /") == (
        "python3 -m pytest -q -k 'shop and tests and UserTest and test_a and rm and rf'"
    )
    assert (
        DJANGO.filtered_tests(own, "UserTest::test_a'$(x)")
        == "python3 manage.py test -k 'UserTest.test_a'\"'\"'$(x)'"
    )


def test_a_command_or_fixtures_of_such_a_name_seed() -> None:
    command = {"shop/management/commands/seed_demo.py": "class Command(BaseCommand):\n    pass\n"}
    fixtures = {"shop/fixtures/demo.json": "[]", "shop/fixtures/other.json": "[]"}
    assert detected({**command, **fixtures}).seed == "python3 manage.py seed_demo"
    assert detected(fixtures).seed == "python3 manage.py loaddata /work/shop/fixtures/demo.json"
    assert detected({"a/fixtures/x.json": "[]", "a/fixtures/y.json": "[]"}).seed == ""
    asks = {"shop/management/commands/seed.py": "class Command:\n    p.add_argument('count')\n"}
    assert detected(asks).seed == ""


def test_databases_of_tests_with_a_name_of_their_own_are_made() -> None:
    settings = (
        'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "TEST": {"NAME": "ci_shop"}}}\n'
    )
    assert detected({"config/settings.py": settings}).test_databases == ("ci_shop",)


@pytest.mark.parametrize(("name", "content", "where"), [
    ("pyproject.toml", "[project]\nname = \n", "pyproject.toml:2"),
    ("uv.lock", "[[package]\n", "uv.lock:1"),
    ("Pipfile.lock", "{", "Pipfile.lock:1"),
])  # fmt: skip
def test_a_broken_manifest_is_named_with_its_line(name: str, content: str, where: str) -> None:
    with pytest.raises(UsageError) as raised:
        DJANGO.detect(application({name: content}))
    assert raised.value.where == where
