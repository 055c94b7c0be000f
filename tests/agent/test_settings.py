"""Whose word counts, and what a repository may not say."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from bedev.agent.commands.options import parse_out
from bedev.agent.settings import (
    REFUSED,
    RepositorySettings,
    Settings,
    UserSettings,
    configuration_file,
    load,
)
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Finding, Recipe
from hypothesis import given
from hypothesis import strategies as st

EXAMPLE = Path(__file__).parents[2] / "examples" / "laravel-slow-users" / "bedev.toml"


def error(content: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        RepositorySettings.parse(content.encode())
    return caught.value


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bedev").mkdir()
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def configure(home: dict[str, str], text: str) -> None:
    configuration_file(home).write_text(text)


def test_flags_win_over_the_environment_over_the_users_file_over_the_repository(home: dict[str, str]) -> None:
    configure(home, 'engine = "one"\nmax_minutes = 5\nmodel = "one"\npass_env = ["A"]\n')
    environ = {**home, "BEDEV_MODEL": "two", "BEDEV_MAX_MINUTES": "6"}
    settings = load({"max_minutes": 7.0, "rows": {}}, environ).with_repository(
        RepositorySettings.parse(b'[database]\nengine = "three"\nrows = { users = 9 }')
    )
    assert settings.engine == "one"
    assert settings.model == "two"
    assert settings.max_minutes == 7.0
    assert settings.rows == {"users": 9}
    assert settings.pass_env == ("A",)
    assert settings.sources == {
        "engine": "config.toml",
        "model": "BEDEV_MODEL",
        "max_minutes": "flag",
        "pass_env": "config.toml",
        "rows": "bedev.toml",
    }


def test_without_any_setting_there_are_defaults(home: dict[str, str]) -> None:
    assert load({}, home) == Settings()


def test_the_repository_fills_in_what_the_user_did_not_say(home: dict[str, str]) -> None:
    repository = RepositorySettings.parse(b'[database]\nengine = "mariadb"')
    assert load({}, home).with_repository(repository).engine == "mariadb"
    assert load({"engine": "postgresql"}, home).with_repository(repository).engine == "postgresql"


def test_images_of_flags_and_configuration_add_up(home: dict[str, str]) -> None:
    configure(home, 'allow_images = ["php:8.3-cli"]')
    assert load({"allow_images": ("mariadb:11",)}, home).allow_images == ("php:8.3-cli", "mariadb:11")


def test_a_relative_configuration_folder_counts_as_unset() -> None:
    found = configuration_file({"XDG_CONFIG_HOME": "here", "HOME": "/home/a"})
    assert found == Path("/home/a/.config/bedev/config.toml")


def test_a_variable_that_is_nearly_right_is_an_error_and_a_foreign_one_is_not() -> None:
    with pytest.raises(UsageError, match="BEDEV_MODLE") as caught:
        UserSettings.from_environment({"BEDEV_MODLE": "x"})
    assert caught.value.next_step == "Did you mean BEDEV_MODEL?"
    assert UserSettings.from_environment({"BEDEV_FAILPOINT": "x", "BEDEV_PASS_ENV": "A, B"}).pass_env == (
        "A",
        "B",
    )


@pytest.mark.parametrize(
    "text",
    [
        'pass_env = ["A=B"]',
        'proxy = "ftp://x"',
        'ca_file = "relative.pem"',
        'sandbox = "none"',
        "max_minutes = 0",
        'max_minutes = "ten"',
        'allow_images = ["-v"]',
        'modle = "x"',
        "model = true",
        "= 3",
    ],
)
def test_a_wrong_user_configuration_names_its_place(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        UserSettings.parse(text.encode(), "config.toml")
    assert "config.toml" in caught.value.where
    assert caught.value.next_step


def test_the_examples_file_is_read_whole() -> None:
    found = RepositorySettings.parse(EXAMPLE.read_bytes())
    assert found.stack == "laravel"
    assert found.engine == "mariadb"
    assert found.rows == {"users": 200_000, "orders": 1_000_000}
    assert found.images == ("debian:trixie-slim",)
    assert "phpunit" in found.recipe["packages"]


def test_overrides_are_applied_and_recorded_with_their_line() -> None:
    recipe = Recipe(
        "laravel",
        "php:8.3-cli",
        image_lines=("RUN x",),
        environment={"A": "1", "B": "1"},
        findings=(Finding("image", "php:8.3-cli", "composer.json:4"),),
    )
    found = RepositorySettings.parse(
        b'[recipe]\nimage = "debian:trixie-slim"\nserved_port = 9000\n\n[recipe.environment]\nB = "2"\n'
        b'[database]\nimage = "mariadb:11"\n'
    ).apply(recipe)
    assert found.image == "debian:trixie-slim"
    assert found.image_lines == ()
    assert found.environment == {"A": "1", "B": "2"}
    assert found.served_port == 9000
    assert found.engine_image == "mariadb:11"
    assert found.findings == (
        Finding("image", "php:8.3-cli", "composer.json:4"),
        Finding("image", "debian:trixie-slim", "bedev.toml:2"),
        Finding("served_port", "9000", "bedev.toml:3"),
        Finding("environment", "B=2", "bedev.toml:5"),
        Finding("engine_image", "mariadb:11", "bedev.toml:8"),
    )


def test_image_lines_of_the_stack_stay_where_the_image_is_the_stacks() -> None:
    recipe = Recipe("laravel", "php:8.3-cli", image_lines=("RUN x",))
    assert RepositorySettings.parse(b'[recipe]\nseed = ""').apply(recipe).image_lines == ("RUN x",)
    assert RepositorySettings().apply(recipe) is recipe


def test_a_scenario_of_the_repository_says_that_it_is_the_repositorys() -> None:
    found = RepositorySettings.parse(b'[scenario]\nhttp = ["/api/users"]\nas = "users:1"')
    assert found.scenario is not None
    assert found.scenario.brought_by == "bedev.toml"
    assert found.scenario.questions[0].text == "GET /api/users"


@pytest.mark.parametrize("key", sorted(REFUSED))
@pytest.mark.parametrize(
    "place", ["{key} = 1", "[recipe]\n{key} = 1", "[database]\n{key} = 1", "[x.y]\n{key} = 1"]
)
def test_what_could_weaken_isolation_is_refused_by_name_wherever_it_stands(key: str, place: str) -> None:
    found = error(place.format(key=key))
    assert key in found.what
    assert REFUSED[key] in found.what
    assert "bedev.toml:" in found.where


def test_a_dash_or_a_capital_is_no_way_around() -> None:
    assert "secrets" in error('[recipe]\nPass-Env = ["HOME"]').what


def test_names_of_the_repositorys_own_tables_and_variables_are_free() -> None:
    found = RepositorySettings.parse(b'[database.rows]\nmodel = 5\n[recipe.environment]\ntoken = "x"')
    assert found.rows == {"model": 5}
    assert found.recipe["environment"] == {"token": "x"}


@pytest.mark.parametrize(
    ("content", "where", "says"),
    [
        ('[recipe]\n\nimag = "php:8.3-cli"', "bedev.toml:3, recipe.imag", "Did you mean 'image'?"),
        ('[recipes]\nimage = "x"', "bedev.toml:1, recipes", "Did you mean 'recipe'?"),
        ("[recipe]\nimage = 3", "bedev.toml:2, recipe.image", "a text in quotes"),
        ('[recipe]\npackages = "a"', "bedev.toml:2, recipe.packages", "a list of texts"),
        ('[recipe]\npackages = ["a b"]', "bedev.toml:2, recipe.packages", "Names are"),
        ('[recipe]\npackages = ["-y"]', "bedev.toml:2, recipe.packages", "Names are"),
        ('[recipe]\nimage = "a b"', "bedev.toml:2, recipe.image", "php:8.3-cli"),
        ('[recipe]\nimage = "a\\nRUN x"', "bedev.toml:2, recipe.image", "php:8.3-cli"),
        ('[recipe]\ntest = "phpunit"', "bedev.toml:2, recipe.test", "{junit}"),
        ('[recipe]\nrollback = "undo"', "bedev.toml:2, recipe.rollback", "{steps}"),
        ('[recipe]\ntest_paths = ["../x"]', "bedev.toml:2, recipe.test_paths", "tests/**"),
        ("[recipe]\nserved_port = 99999", "bedev.toml:2, recipe.served_port", "65535"),
        ('[recipe]\nstack = "../x"', "bedev.toml:2, recipe.stack", "small letters"),
        ('[recipe.environment]\nBEDEV_X = "1"', "bedev.toml:2, recipe.environment.BEDEV_X", "reserved"),
        ('[recipe]\nseed = "a\\u0000b"', "bedev.toml:2, recipe.seed", "Remove"),
        ("[database.rows]\nusers = 0", "bedev.toml:2, database.rows.users", "sandbox"),
        ("[database]\nrows = 3", "bedev.toml:2, database.rows", "whole numbers"),
        ("recipe = 3", "bedev.toml:1, recipe", "[recipe]"),
        ('[scenario]\nas = "users:1"', "bedev.toml:1, scenario", "GET /api/users"),
        ("[recipe\n", "bedev.toml", "toml.io"),
    ],
)
def test_an_error_names_line_and_key_and_says_what_is_allowed(content: str, where: str, says: str) -> None:
    found = error(content)
    assert found.where == where
    assert says in found.next_step


@given(st.text(max_size=400) | st.text(st.sampled_from('[]{}"=.\n recipemag'), max_size=200))
def test_no_content_raises_anything_but_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        RepositorySettings.parse(text.encode("utf-8", "surrogatepass"))


def test_nesting_without_end_and_great_size_are_refused() -> None:
    assert "not TOML" in error("a = " + "[" * 20_000).what
    assert "larger" in error("#" * 300_000).what


def test_reports_of_kinds_that_are_not_there_yet_are_refused_plainly(tmp_path: Path) -> None:
    assert parse_out([f"markdown={tmp_path}/a.md"]) == {"markdown": tmp_path / "a.md"}
    for text in ("html=x", "markdown", "pdf=x", f"markdown={tmp_path}", f"markdown={tmp_path}/no/x"):
        with pytest.raises(UsageError):
            parse_out([text])
