"""Laravel on MariaDB: the environment points to it, and migrations can be undone there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import IndexSpec, Instance, Role
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import Pod, Sandbox

from .contract import FilesTree
from .laravel_pod import EXAMPLE, LARAVEL, come_up, example_recipe, quiet

pytestmark = pytest.mark.docker

MARIADB = engines.load("mariadb")


@dataclass
class Shop:
    pod: Pod
    recipe: Recipe
    tree: FilesTree
    database: Instance

    def artisan(self, command: str) -> str:
        result = self.pod.app.run(command, timeout=120)
        assert result.ok, result.last_lines
        return result.stdout.text

    def schema(self) -> str:
        return MARIADB.schema_dump(MARIADB.connect(self.pod.probe, self.database, "admin"), "shop")


@pytest.fixture(scope="module")
def shop(sandbox: Sandbox) -> Iterator[Shop]:
    tree = FilesTree.of(EXAMPLE)
    recipe = example_recipe(tree, "mariadb")
    db_image = sandbox.ensure_image(MARIADB.image_spec(MARIADB.default_image()), quiet)
    pod = come_up(sandbox, tree, recipe, db_image)
    try:
        passwords: dict[Role, str] = {"admin": "a" * 20, "application": "p" * 20, "reader": "r" * 20}
        database = MARIADB.create(pod.db, pod.probe, "main", 3307, "shop", passwords)
        dotenv = LARAVEL.dotenv(
            recipe, "127.0.0.1", 3307, "shop", MARIADB.users["application"], passwords["application"]
        )
        pod.app.write_file("/work/.env", dotenv)
        shop = Shop(pod, recipe, tree, database)
        shop.artisan(recipe.migrate)
        yield shop
    finally:
        pod.close()


def test_the_environment_file_reaches_the_database(shop: Shop) -> None:
    assert "orders" in shop.schema()
    assert LARAVEL.pending_migrations(shop.pod.app, {}) == 0


def test_an_index_that_takes_a_foreign_key_s_place_can_be_dropped_again_and_again(shop: Shop) -> None:
    base = shop.schema()
    session = MARIADB.connect(shop.pod.probe, shop.database, "admin")
    indexes = [IndexSpec("orders", ("user_id", "placed_at")), IndexSpec("users", ("country_code", "email"))]
    written = LARAVEL.write_migration(
        shop.tree, indexes, "2026-01-02 03:04:05", MARIADB.schema(session, "shop")
    )
    shop.pod.app.write_file(f"/work/{written.path}", written.content)
    for _ in range(3):
        shop.artisan(shop.recipe.migrate)
        assert "orders_user_id_placed_at_index" in shop.schema()
        shop.artisan(shop.recipe.rollback.replace("{steps}", "1"))
        assert shop.schema() == base
    shop.pod.app.remove_file(f"/work/{written.path}")


def test_without_the_schema_the_server_refuses(shop: Shop) -> None:
    written = LARAVEL.write_migration(
        shop.tree, [IndexSpec("orders", ("user_id", "placed_at"))], "2026-01-02 03:04:05"
    )
    session = MARIADB.connect(shop.pod.probe, shop.database, "admin")
    session.query("ALTER TABLE shop.orders DROP FOREIGN KEY orders_user_id_foreign")
    session.query("ALTER TABLE shop.orders DROP INDEX orders_user_id_foreign")
    session.query(
        "ALTER TABLE shop.orders ADD CONSTRAINT orders_user_id_foreign FOREIGN KEY (user_id)"
        " REFERENCES shop.users (id)"
    )
    shop.pod.app.write_file(f"/work/{written.path}", written.content)
    shop.artisan(shop.recipe.migrate)
    refused = shop.pod.app.run(shop.recipe.rollback.replace("{steps}", "1"))
    assert not refused.ok
    assert "1553" in refused.stdout.text + refused.stderr.text
