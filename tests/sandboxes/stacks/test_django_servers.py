"""Django on real servers: the environment points there, and migrations can be undone there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import Engine, IndexSpec, Instance, Role
from bedev.sandboxes.errors import EnvironmentUnusable
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import Pod, Sandbox

from .contract import FilesTree
from .django_pod import DJANGO, EXAMPLE, come_up, example_recipe, quiet

pytestmark = pytest.mark.docker

MOMENT = "2026-01-02 03:04:05"


@dataclass
class Shop:
    pod: Pod
    recipe: Recipe
    tree: FilesTree
    engine: Engine
    database: Instance

    def manage(self, command: str) -> str:
        result = self.pod.app.run(command, timeout=120)
        assert result.ok, result.last_lines
        return result.stdout.text

    def schema(self) -> str:
        admin = self.engine.connect(self.pod.probe, self.database, "admin")
        try:
            return self.engine.schema_dump(admin, "shop")
        finally:
            admin.close()

    def put(self, *indexes: IndexSpec) -> dict[str, bytes]:
        admin = self.engine.connect(self.pod.probe, self.database, "admin")
        written = DJANGO.write_migration(
            self.tree, indexes, MOMENT, self.engine.schema(admin, "shop"), self.engine.name
        )
        admin.close()
        for path, content in written.files.items():
            self.pod.app.write_file(f"/work/{path}", content)
        return dict(written.files)

    def take_back(self, files: dict[str, bytes]) -> None:
        for path in files:
            content = self.tree.read(path)
            if content is None:
                self.pod.app.remove_file(f"/work/{path}")
            else:
                self.pod.app.write_file(f"/work/{path}", content)


@pytest.fixture(scope="module", params=["mariadb", "mysql", "postgres"])
def shop(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Shop]:
    engine = engines.load(request.param)
    tree = FilesTree.of(EXAMPLE)
    recipe = example_recipe(tree, engine.name)
    try:
        db_image = sandbox.ensure_image(engine.image_spec(engine.default_image()), quiet)
    except EnvironmentUnusable as error:
        pytest.skip(error.what)
    pod = come_up(sandbox, tree, recipe, db_image)
    try:
        passwords: dict[Role, str] = {"admin": "a" * 20, "application": "p" * 20, "reader": "r" * 20}
        database = engine.create(pod.db, pod.probe, "main", engine.port, "shop", passwords)
        dotenv = DJANGO.dotenv(
            recipe, "127.0.0.1", engine.port, "shop", engine.users["application"], passwords["application"]
        )
        pod.app.write_file("/work/.env", dotenv)
        made = Shop(pod, recipe, tree, engine, database)
        made.manage(recipe.migrate)
        yield made
    finally:
        pod.close()


def test_the_environment_file_reaches_the_database(shop: Shop) -> None:
    assert "orders" in shop.schema()
    assert DJANGO.pending_migrations(shop.pod.app, {}) == 0


def test_the_suite_makes_its_own_database(shop: Shop) -> None:
    env = DJANGO.test_environment(
        "127.0.0.1",
        shop.engine.port,
        shop.engine.users["application"],
        shop.database.passwords["application"],
    )
    command = shop.recipe.test.replace("{junit}", "/tmp/junit.xml")
    result = shop.pod.app.run(command, env=env, timeout=300)
    assert result.ok, result.last_lines
    cases = DJANGO.parse_tests(shop.pod.app.read_file("/tmp/junit.xml") or b"")
    assert (len(cases), {case.status for case in cases}) == (20, {"passed"})


def test_an_index_goes_up_and_down_again_and_again_and_models_agree(shop: Shop) -> None:
    """On MySQL and MariaDB it takes the place of the foreign key's own index."""
    base = shop.schema()
    files = shop.put(
        IndexSpec("orders", ("user_id", "placed_at")), IndexSpec("users", ("country_code", "email"))
    )
    try:
        shop.manage("python3 manage.py makemigrations --check --dry-run")
        for _ in range(3):
            shop.manage(shop.recipe.migrate)
            assert "orders_user_id_9be688_idx" in shop.schema()
            shop.manage(shop.recipe.rollback.replace("{steps}", "1"))
            assert shop.schema() == base
    finally:
        shop.take_back(files)


def test_a_unique_constraint_goes_up_and_down(shop: Shop) -> None:
    base = shop.schema()
    files = shop.put(IndexSpec("users", ("email",), unique=True))
    try:
        shop.manage("python3 manage.py makemigrations --check --dry-run")
        shop.manage(shop.recipe.migrate)
        assert shop.schema() != base
        shop.manage(shop.recipe.rollback.replace("{steps}", "1"))
        assert shop.schema() == base
    finally:
        shop.take_back(files)
