"""What a failed step says is recognised, and the lines of bedev.toml that settle it are valid ones."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from bedev.agent.bedev_toml import RepositorySettings
from bedev.agent.report.terminal import error_text
from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.repair import cause_of_red, corrected, diagnose, explain

RECIPE = Recipe(stack="django", image="python:3.13-slim", packages=("libmagic1",), install=("pip install .",))

PACKAGES = [
    (
        "      Error: pg_config executable not found.\n\n      pg_config is required to build psycopg2",
        ("libpq-dev", "gcc", "libc6-dev"),
    ),
    (
        "src/lxml/includes/etree_defs.h:14:10: fatal error: libxml/xmlversion.h: No such file or directory",
        ("libxml2-dev", "libxslt1-dev", "gcc", "libc6-dev"),
    ),
    ("Exception: Can not find valid pkg-config name.", ("default-libmysqlclient-dev", "pkg-config")),
    ("  error: command 'gcc' failed: No such file or directory", ("gcc", "libc6-dev")),
    ("sh: 1: gcc: not found", ("gcc", "libc6-dev")),
    ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", ("gcc", "libc6-dev")),
    ("c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory", ("libffi-dev",)),
    ("In file included from Modules/LDAPObject.c:3:\n fatal error: lber.h: No such file", ("libldap-dev",)),
    ("ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?", ("git",)),
    ("OSError: cannot load library 'libpango-1.0-0': libpango-1.0-0: cannot open", ("libpango-1.0-0",)),
    ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", ("libgl1",)),
    ("CommandError: Can't find msgfmt. Make sure you have GNU gettext tools 0.19", ("gettext",)),
    ("bash: line 1: make: command not found", ("make", "gcc", "libc6-dev")),
]

OTHERS = [
    ("ERROR: Package 'app' requires a different Python: 3.13.5 not in '<3.12,>=3.9'", "python:3.11-slim"),
    ("    import distutils.core\nModuleNotFoundError: No module named 'distutils'", "python:3.11-slim"),
    ("  File \"x.py\", line 1\nModuleNotFoundError: No module named 'rest_framework'", "djangorestframework"),
    ("/work/.venv/bin/python3: No module named pytest", "python3 -m pip install 'pytest'"),
    ("bash: line 1: phpunit: command not found", "composer install"),
    ('1) ATest::testName\nError: Class "Vendor\\Clock\\Clock" not found', "composer install"),
    ("sh: 1: jest: not found", "npm ci --include=dev"),
    ("Error: Cannot find module 'knex'\nRequire stack:", "npm install --no-save knex"),
    ("  File \"<frozen os>\", line 714, in __getitem__\nKeyError: 'STRIPE_KEY'", 'STRIPE_KEY = "..."'),
    ("ImproperlyConfigured: Set the SITE_URL environment variable", 'SITE_URL = "..."'),
    ("decouple.UndefinedValueError: API_ROOT not found. Declare it as envvar", 'API_ROOT = "..."'),
    (
        "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
        'redis = "redis:8"',
    ),
    ("Error: connect ECONNREFUSED 127.0.0.1:5672", 'rabbitmq = "rabbitmq:4"'),
    ("Error -2 connecting to redis:6379. Name or service not known.", 'redis = "redis:8"'),
    ('ERROR:  extension "postgis" is not available', "postgis/postgis"),
    (
        "ERROR: Could not find a version that satisfies the requirement tool==9.9 (from versions: 1.0)\n"
        "ERROR: No matching distribution found for tool==9.9",
        "tool",
    ),
    (
        "ImportError: cannot import name 'url_quote' from 'werkzeug.urls' "
        "(/work/.venv/lib/python3.11/site-packages/werkzeug/urls.py)",
        "werkzeug<",
    ),
    (
        "django.db.utils.OperationalError: (1366, \"Incorrect string value: '\\\\xF0\\\\x9F' for c\")",
        "utf8mb4",
    ),
    ("E: Unable to locate package libmagic1", "packages = []"),
    ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "install = "),
]


@pytest.mark.parametrize(("output", "packages"), PACKAGES)
def test_a_missing_library_or_tool_is_added_to_the_recipe(output: str, packages: tuple[str, ...]) -> None:
    found = diagnose(output, RECIPE)
    better = corrected(RECIPE, found)
    assert found is not None
    assert better is not None
    assert set(packages) <= set(better.packages)
    assert "libmagic1" in better.packages
    assert found.said in better.substitutions[-1]
    assert found.said in " ".join(output.split())
    assert tomllib.loads(found.toml)["recipe"]["packages"] == list(better.packages)


@pytest.mark.parametrize(("output", "line"), OTHERS)
def test_what_only_a_person_may_correct_is_named_with_its_line(output: str, line: str) -> None:
    found = diagnose(output, RECIPE)
    assert found is not None
    assert line in found.toml
    assert corrected(RECIPE, found) is None


@pytest.mark.parametrize(
    ("output", "line"), [o for o in OTHERS if "..., " not in str(diagnose(o[0], RECIPE))]
)
def test_the_lines_are_ones_that_bedev_toml_takes(output: str, line: str) -> None:
    found = diagnose(output, RECIPE)
    assert found is not None
    RepositorySettings.parse(found.toml.encode())


@pytest.mark.parametrize(
    "output",
    [
        "AssertionError: 3 != 2",
        "KeyError: 'name'",
        "django.db.utils.OperationalError: no such table: users",
        "Collecting Django\n  Downloading gcc_helper-1.0.whl\nKilled",
    ],
)
def test_what_no_rule_knows_gets_no_cause(output: str) -> None:
    assert diagnose(output, RECIPE) is None


def test_a_header_that_no_entry_has_is_still_named() -> None:
    found = diagnose("x.c:3:10: fatal error: obscure/thing.h: No such file or directory", RECIPE)
    assert found is not None
    assert "obscure/thing.h" in found.cause
    assert corrected(RECIPE, found) is None


def test_a_package_that_is_there_already_is_not_added_again() -> None:
    full = replace(RECIPE, packages=("gcc", "libc6-dev", "libpq-dev"))
    assert diagnose("Error: pg_config executable not found.", full) is None


def test_a_certificate_is_the_users_setting_and_no_line_of_the_repository() -> None:
    found = diagnose("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] failed", RECIPE)
    assert found is not None
    assert "ca_file" in found.cause
    assert found.toml == ""


def test_an_error_says_its_cause_and_its_lines_on_one_screen() -> None:
    said = "\n".join(f"line {n}" for n in range(300)) + "\nKeyError: 'STRIPE_KEY'"
    error = SetUpFailed("The recipe's step 'migrate' ended with 1.", where="migrate", detail=said)
    explain(error, RECIPE)
    text = error_text(error.what, error.where, error.next_step, error.detail, error.cause, error.toml)
    assert "likely: " in text
    assert 'STRIPE_KEY = "..."' in text
    assert "KeyError: 'STRIPE_KEY'" in text
    assert len(text.splitlines()) <= 30


def test_a_server_whose_absence_turns_much_of_a_suite_red_is_named() -> None:
    message = "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused."
    assert 'In bedev.toml: [services] redis = "redis:8"' in cause_of_red([message] * 40, 118, "", RECIPE)
    assert cause_of_red([message] * 3, 118, "", RECIPE) == ""
    assert cause_of_red(["AssertionError"] * 40, 118, "40 failed", RECIPE) == ""
