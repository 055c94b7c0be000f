"""A repository that says everything itself, as data: what is read, written, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from bedev.sandboxes.engines.engine import IndexSpec
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.stacks import stack as stacks
from bedev.sandboxes.stacks.stack import load

from . import contract
from .contract import FilesTree

GENERIC = load("generic")
SHOP = FilesTree.of(Path(__file__).parent / "generic_shop")
EXAMPLES = Path(__file__).parents[3] / "examples"


def described(text: str, **files: str) -> FilesTree:
    return FilesTree({"bedev.toml": text, **files})


def detected(tree: FilesTree) -> Recipe:
    recipe = GENERIC.detect(tree)
    assert recipe is not None
    return recipe


def test_it_passes_the_contract_as_far_as_that_is_not_about_a_framework() -> None:
    contract.assert_is_found_by_name(GENERIC)
    recipe = contract.assert_detects(GENERIC, SHOP)
    contract.assert_knows_nothing_of_other_repositories(GENERIC)
    contract.assert_installs_with_network_and_builds_without(GENERIC, recipe)
    contract.assert_writes_migrations_that_sort_last(GENERIC, SHOP, recipe)
    assert GENERIC.serve_environment("", "/tmp/trace") == {}
    assert GENERIC.command_environment("/tmp/trace") == {}
    assert GENERIC.parse_trace(b'{"kind":"query","sql":"SELECT 1"}') == ()


def test_the_recipe_is_what_the_file_says() -> None:
    recipe = detected(SHOP)
    assert recipe.packages == ("nodejs", "node-express", "node-mysql", "node-redis")
    assert recipe.services == {"redis": "redis:8"}
    assert recipe.engine == "mariadb"
    assert recipe.served_port == 3000
    assert recipe.migration_style == "sql"
    assert recipe.environment == {"REDIS_URL": "redis://127.0.0.1:6379", "NODE_ENV": "production"}


def test_the_databases_address_reaches_the_application_in_its_own_variables() -> None:
    recipe = Recipe(
        "generic",
        "x",
        database_environment={
            "DATABASE_URL": "mysql://{user}:{password}@{host}:{port}/{database}?charset={charset}",
            "PGHOST": "{host}",
        },
    )
    assert recipe.address("127.0.0.1", 3307, "app", "me", "{host}") == {
        "DATABASE_URL": "mysql://me:{host}@127.0.0.1:3307/app?charset={charset}",
        "PGHOST": "127.0.0.1",
    }


def test_a_framework_that_is_recognised_comes_before_it() -> None:
    tree = FilesTree.of(EXAMPLES / "django-slow-users").with_files(
        {"bedev.toml": '[recipe]\nimage = "debian:12"\n'}
    )
    assert stacks.detect(tree)[0].name == "django"
    assert stacks.detect(tree, only="generic")[0].name == "generic"


def test_a_repository_that_nothing_describes_is_told_how_to_describe_itself() -> None:
    with pytest.raises(UsageError) as caught:
        stacks.detect(FilesTree({"main.zig": "pub fn main() void {}"}))
    assert "bedev init" in caught.value.next_step
    assert "generic" not in caught.value.next_step


def test_without_an_image_it_says_the_line_to_write() -> None:
    with pytest.raises(UsageError, match="names none") as caught:
        GENERIC.detect(described('# ours\n[recipe]\nstack = "generic"\n'))
    assert caught.value.where == "bedev.toml:2"
    assert GENERIC.detect(described('[database]\nengine = "mariadb"\n')) is None


def test_sqlite_is_refused_because_nothing_would_count() -> None:
    with pytest.raises(UsageError, match="SQLite counts nothing") as caught:
        GENERIC.detect(described('[recipe]\nimage = "a"\n[database]\nengine = "sqlite"\n'))
    assert caught.value.where == "bedev.toml:4"
    assert GENERIC.detect(described('[recipe]\nimage = "a"\n'), "mysql") is not None


def test_the_engine_of_a_compose_file_is_taken_where_the_file_says_none() -> None:
    tree = described('[recipe]\nimage = "a"\n').with_files(
        {"compose.yaml": "services:\n  db:\n    image: postgres:16\n"}
    )
    recipe = detected(tree)
    assert (recipe.engine, recipe.engine_image) == ("postgres", "postgres:16")
    assert ("database", "compose.yaml:3") in {(f.key, f.source) for f in recipe.findings}


@pytest.mark.parametrize(
    ("act", "next_step"),
    [
        (lambda: GENERIC.serve_environment("users:1", ""), "--header"),
        (lambda: GENERIC.pending_migrations(None, {}), "[recipe] migrate"),  # type: ignore[arg-type]
        (lambda: GENERIC.filtered_tests("make test", "a"), "all tests"),
        (lambda: GENERIC.serve_command(Recipe("generic", "a")), "serve ="),
    ],
)
def test_what_needs_a_framework_is_refused_with_what_to_do_instead(act: object, next_step: str) -> None:
    with pytest.raises(UsageError) as caught:
        act()  # type: ignore[operator]
    assert next_step in caught.value.next_step


def test_reports_are_told_apart_by_their_first_character() -> None:
    junit = (
        b'\xef\xbb\xbf\n<testsuites><testsuite><testcase classname="a" name="b"/></testsuite></testsuites>'
    )
    assert [(c.id, c.status) for c in GENERIC.parse_tests(junit)] == [("a::b", "passed")]
    assert [(c.id, c.status) for c in GENERIC.parse_tests(b"1..1\nnot ok 1 - b\n")] == [("b", "failed")]


# migrations that are SQL files

INDEX = IndexSpec("orders", ("customer_id", "placed_at"))
MOMENT = "2031-02-03 04:05:06"


def migrated(patterns: str, files: dict[str, str]) -> dict[str, str]:
    """What is written for these files, as text."""
    recipe = f'[recipe]\nimage = "a"\nmigration_style = "sql"\nmigration_paths = ["{patterns}"]\n'
    tree = FilesTree({"bedev.toml": recipe, **files})
    written = GENERIC.write_migration(tree, [INDEX], MOMENT, engine="postgres")
    return {path: content.decode() for path, content in written.files.items()}


@pytest.mark.parametrize(
    ("pattern", "there", "expected"),
    [
        (
            "migrations/*.up.sql",
            ("migrations/0009_a.up.sql", "migrations/0009_a.down.sql"),
            ("migrations/0010_add_index_on_orders_customer_id_placed_at.up.sql",
             "migrations/0010_add_index_on_orders_customer_id_placed_at.down.sql"),
        ),
        (
            "db/*-up.sql",
            ("db/20240301120000-a-up.sql", "db/20240301120000-a-down.sql"),
            ("db/20310203040506-add_index_on_orders_customer_id_placed_at-up.sql",
             "db/20310203040506-add_index_on_orders_customer_id_placed_at-down.sql"),
        ),
        (
            "migrations/**/up.sql",
            ("migrations/2024-03-01-120000_a/up.sql", "migrations/2024-03-01-120000_a/down.sql"),
            ("migrations/2031-02-03-040506_add_index_on_orders_customer_id_placed_at/up.sql",
             "migrations/2031-02-03-040506_add_index_on_orders_customer_id_placed_at/down.sql"),
        ),
        (
            "migrations/*.up.sql",
            ("migrations/1700000000_a.up.sql", "migrations/1700000000_a.down.sql"),
            ("migrations/1927857906_add_index_on_orders_customer_id_placed_at.up.sql",
             "migrations/1927857906_add_index_on_orders_customer_id_placed_at.down.sql"),
        ),
    ],
)  # fmt: skip
def test_the_next_migration_is_called_as_the_last_one_is(
    pattern: str, there: tuple[str, str], expected: tuple[str, str]
) -> None:
    written = migrated(pattern, dict.fromkeys(there, "SELECT 1;"))
    assert tuple(written) == expected
    up, down = written.values()
    assert up.startswith('CREATE INDEX "idx_orders_customer_id_placed_at" ON "orders"')
    assert down.startswith("DROP INDEX")


def test_one_file_is_divided_by_the_comments_of_its_tool() -> None:
    old = "-- +goose Up\nCREATE TABLE a (b int);\n\n-- +goose Down\nDROP TABLE a;\n"
    ((path, text),) = migrated("sql/*.sql", {"sql/00007_a.sql": old}).items()
    assert path == "sql/00008_add_index_on_orders_customer_id_placed_at.sql"
    assert text.index("-- +goose Up") < text.index("CREATE INDEX") < text.index("-- +goose Down")
    assert text.index("-- +goose Down") < text.index("DROP INDEX")


def test_a_migration_that_nobody_could_undo_is_not_written() -> None:
    with pytest.raises(UsageError, match="numbered and undone"):
        migrated("sql/*.sql", {"sql/V7__a.sql": "SELECT 1;"})


def test_migrations_in_another_form_are_for_a_model_or_a_person() -> None:
    tree = described('[recipe]\nimage = "a"\nmigration_paths = ["migrations/*.js"]\n')
    with pytest.raises(UsageError, match="cannot write a migration") as caught:
        GENERIC.write_migration(tree, [INDEX], MOMENT)
    assert "A model or a person" in caught.value.next_step
