"""Laravel on PostgreSQL: the environment points to it; migrations build beside writers, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import IndexSpec, Instance, Role
from bedev.sandboxes.errors import DatabaseError, EnvironmentUnusable
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import Pod, Sandbox, SqlSession

from .contract import FilesTree
from .laravel_pod import EXAMPLE, LARAVEL, come_up, example_recipe, quiet

pytestmark = pytest.mark.docker

POSTGRES = engines.load("postgres")
PORT = 5433
INDEX = IndexSpec("orders", ("user_id", "placed_at"))


@dataclass
class Shop:
    pod: Pod
    recipe: Recipe
    tree: FilesTree
    database: Instance
    admin: SqlSession

    def artisan(self, command: str) -> str:
        result = self.pod.app.run(command, timeout=120)
        assert result.ok, result.last_lines
        return result.stdout.text

    def schema(self) -> str:
        return POSTGRES.schema_dump(self.admin, "shop")


@pytest.fixture(scope="module")
def shop(sandbox: Sandbox) -> Iterator[Shop]:
    tree = FilesTree.of(EXAMPLE)
    recipe = example_recipe(tree, "postgres")
    try:
        db_image = sandbox.ensure_image(POSTGRES.image_spec(POSTGRES.default_image()), quiet)
    except EnvironmentUnusable as error:
        pytest.skip(error.what)
    pod = come_up(sandbox, tree, recipe, db_image)
    try:
        passwords: dict[Role, str] = {"admin": "a" * 20, "application": "p" * 20, "reader": "r" * 20}
        database = POSTGRES.create(pod.db, pod.probe, "main", PORT, "shop", passwords)
        admin = POSTGRES.connect(pod.probe, database, "admin")
        user = POSTGRES.users["application"]
        dotenv = LARAVEL.dotenv(recipe, "127.0.0.1", PORT, "shop", user, passwords["application"])
        pod.app.write_file("/work/.env", dotenv)
        shop = Shop(pod, recipe, tree, database, admin)
        shop.artisan(recipe.migrate)
        yield shop
    finally:
        pod.close()


def test_the_environment_file_reaches_the_database(shop: Shop) -> None:
    assert shop.recipe.dotenv["DB_CONNECTION"] == "pgsql"
    assert "orders" in shop.schema()
    assert LARAVEL.pending_migrations(shop.pod.app, {}) == 0


def test_an_index_is_added_and_dropped_again_and_again(shop: Shop) -> None:
    base = shop.schema()
    schema = POSTGRES.schema(shop.admin, "shop")
    written = LARAVEL.write_migration(shop.tree, [INDEX], "2026-01-02 03:04:05", schema, "postgres")
    shop.pod.app.write_file(f"/work/{written.path}", written.content)
    try:
        for _ in range(2):
            shop.artisan(shop.recipe.migrate)
            assert "orders_user_id_placed_at_index" in shop.schema()
            shop.artisan(shop.recipe.rollback.replace("{steps}", "1"))
            assert shop.schema() == base
    finally:
        shop.pod.app.remove_file(f"/work/{written.path}")


def test_a_migration_that_failed_can_be_run_again(shop: Shop) -> None:
    """A build that failed leaves an index that serves nobody and keeps its name."""
    base = shop.schema()
    unique = IndexSpec("countries", ("name",), unique=True)
    shop.admin.query("INSERT INTO countries VALUES ('XX', 'Twice'), ('XY', 'Twice')")
    written = LARAVEL.write_migration(shop.tree, [unique], "2026-01-02 03:04:05", None, "postgres")
    shop.pod.app.write_file(f"/work/{written.path}", written.content)
    try:
        assert not shop.pod.app.run(shop.recipe.migrate).ok
        assert "INVALID" in shop.schema()
        shop.admin.query("DELETE FROM countries WHERE code = 'XY'")
        shop.artisan(shop.recipe.migrate)
        assert "INVALID" not in shop.schema()
        with pytest.raises(DatabaseError):
            shop.admin.query("INSERT INTO countries VALUES ('XY', 'Twice')")
        shop.artisan(shop.recipe.rollback.replace("{steps}", "1"))
        assert shop.schema() == base
    finally:
        shop.pod.app.remove_file(f"/work/{written.path}")


def test_an_application_that_wipes_its_database_leaves_what_measures_it(shop: Shop) -> None:
    shop.artisan("php artisan migrate:fresh --force")
    POSTGRES.settle(shop.admin)
    POSTGRES.counters(shop.admin)
    POSTGRES.start_capture(shop.admin)
    shop.artisan("php artisan users:show 1 || true")
    captured = POSTGRES.stop_capture(shop.admin)
    wanted = [s.sql for s in captured if '"users"."id" = \'1\'' in s.sql]
    assert wanted
    assert not any("deallocate" in s.sql.lower() for s in captured)
