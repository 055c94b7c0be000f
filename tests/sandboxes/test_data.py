"""What is wished of the data is checked as soon as the tables are known."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from bedev.sandboxes.data import DataWish, make_data
from bedev.sandboxes.docker_engine import RUN_LABEL, engine
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess
from bedev.sandboxes.set_up import Brought
from bedev.sandboxes.stacks.stack import load

pytestmark = pytest.mark.docker

MARIADB = engines.load("mariadb")
CLIENT = (
    '. ./.env; mariadb --skip-ssl -h127.0.0.1 -P$DB_PORT -u$DB_USERNAME -p"$DB_PASSWORD" $DB_DATABASE -e '
)
MIGRATE = f"{CLIENT}'CREATE TABLE users (id INT); CREATE TABLE orders (id INT)'"


@pytest.fixture(scope="module")
def brought() -> Iterator[Brought]:
    """An application without a framework, whose seeder always fails."""
    sandbox = DockerSandbox(f"data-{secrets.token_hex(4)}", lifetime_seconds=600)
    image = sandbox.ensure_image(MARIADB.image_spec("debian:trixie-slim"), lambda _: None)
    stack = load("laravel")
    recipe = Recipe(stack.name, image, migrate=MIGRATE, seed="exit 3", dotenv_path=".env", engine="mariadb")
    key = sandbox.prepare_tree(secrets.token_hex(8), lambda: (), image, (), HostAccess(), lambda _: None)
    yield Brought(sandbox, stack, MARIADB, recipe, image, image, key, 0.0)
    sandbox.close()
    for volume in engine().volumes(filters={"label": f"{RUN_LABEL}={sandbox.run}"}).get("Volumes") or ():
        engine().remove_volume(volume["Name"])


def nothing(*_: object) -> Mapping[str, int]:
    return {}


def test_a_table_that_no_migration_makes_is_refused_before_seeding(brought: Brought) -> None:
    with pytest.raises(UsageError, match="no table named 'nosuchtable'") as caught:
        make_data(brought, DataWish(rows={"users": 9, "nosuchtable": 5}), nothing, lambda _: None)
    assert "orders, users" in caught.value.next_step
    assert "--rows" in caught.value.where


def test_tables_that_are_there_pass(brought: Brought) -> None:
    with pytest.raises(SetUpFailed, match="'seed' ended with 3"):
        make_data(brought, DataWish(rows={"users": 9, "ORDERS": 5}), nothing, lambda _: None)


def test_a_table_that_the_users_own_command_makes_is_known_only_after_it(brought: Brought) -> None:
    wish = DataWish(rows={"more": 5}, command=f"{CLIENT}'CREATE TABLE more (id INT)'")
    seeded = replace(brought, recipe=replace(brought.recipe, seed=""))
    facts = make_data(seeded, wish, nothing, lambda _: None)
    assert set(facts.rows) == {"users", "orders", "more"}
    brought.sandbox.drop_template(facts.key)
