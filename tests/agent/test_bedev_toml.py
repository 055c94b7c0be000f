"""What a repository that no stack knows may say in its bedev.toml, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from bedev.agent.bedev_toml import RepositorySettings
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.stacks.stack import load

SHOP = Path(__file__).parents[1] / "sandboxes" / "stacks" / "generic_shop" / "bedev.toml"


class OneFile:
    """A tree that holds bedev.toml alone."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def paths(self) -> tuple[str, ...]:
        return ("bedev.toml",)

    def read(self, path: str) -> bytes | None:
        return self.content if path == "bedev.toml" else None


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        RepositorySettings.parse(text.encode())
    return caught.value


def test_applied_to_the_generic_stack_it_changes_nothing_but_names_its_lines() -> None:
    content = SHOP.read_bytes()
    before = load("generic").detect(OneFile(content))
    assert before is not None
    after = RepositorySettings.parse(content).apply(before)
    assert {k: v for k, v in vars(after).items() if k != "findings"} == {
        k: v for k, v in vars(before).items() if k != "findings"
    }
    lines = content.decode().splitlines()
    said = {f.key: f for f in after.findings}
    for key, starts in (
        ("migrate", "migrate ="),
        ("services", "[services]"),
        ("database_environment", "[database.environment]"),
        ("engine", "engine ="),
    ):
        assert lines[int(said[key].source.rpartition(":")[2]) - 1].startswith(starts)


def test_services_and_addresses_add_to_what_a_stack_says() -> None:
    own = RepositorySettings.parse(
        b'[services]\nredis = "redis:8"\n[database.environment]\nREPORTS_DB = "{database}"\n'
    )
    recipe = own.apply(
        Recipe("laravel", "php:8.3-cli", image_lines=("RUN x",), services={"memcached": "m:1"})
    )
    assert recipe.services == {"memcached": "m:1", "redis": "redis:8"}
    assert recipe.database_environment == {"REPORTS_DB": "{database}"}
    assert recipe.image_lines == ("RUN x",)


def test_the_images_of_services_are_the_users_to_confirm() -> None:
    own = RepositorySettings.parse(b'[services]\nredis = "example.org/evil/redis:8"\n')
    assert own.images == ("example.org/evil/redis:8",)


@pytest.mark.parametrize("report", ["{junit}", "{tap}"])
def test_a_report_may_be_junit_or_tap(report: str) -> None:
    RepositorySettings.parse(f'[recipe]\ntest = "run > {report}"\n'.encode())


@pytest.mark.parametrize(
    ("text", "where", "next_step"),
    [
        ('[recipe]\ntest = "make test"', "bedev.toml:2, recipe.test", "{junit} or {tap}"),
        ('[services]\nredis = "redis:8"\nmongo = "mongo:7"', "bedev.toml:3, services.mongo", "memcached"),
        ('[services]\nredis = "redis:8; rm"', "bedev.toml:2, services.redis", "php:8.3-cli"),
        ('[services]\nredis = "redis:8"\nvalkey = "valkey:8"', "bedev.toml:3, services.valkey", "Leave one"),
        ("[services]\nredis = 7", "bedev.toml:1, services", "table of texts"),
        ('[recipe]\nmigration_style = "xml"', "bedev.toml:2, recipe.migration_style", '"sql"'),
        ('[recipe]\ngenerated = ["../x"]', "bedev.toml:2, recipe.generated", "tests/**"),
        ('[recipe]\nmigration_paths = ["/etc/*"]', "bedev.toml:2, recipe.migration_paths", "tests/**"),
        ('[recipe]\ntest_databases = ["a; DROP"]', "bedev.toml:2, recipe.test_databases", "letters"),
        ('[database.environment]\nBEDEV_A = "x"', "bedev.toml:2, database.environment.BEDEV_A", "BEDEV_*"),
        ('[database.environment]\n"A B" = "x"', "database.environment.A B", "letters"),
        ('[services]\nports = "x"', "bedev.toml:2, services.ports", "Remove it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line_and_what_to_write(text: str, where: str, next_step: str) -> None:
    error = refused(text)
    assert where in error.where
    assert next_step in error.next_step


def test_names_in_the_address_are_the_applications_own() -> None:
    own = RepositorySettings.parse(b'[database.environment]\nPASSWORD = "{password}"\nuser = "{user}"\n')
    assert own.recipe["database_environment"] == {"PASSWORD": "{password}", "user": "{user}"}
