"""Two servers that want one port of a pod: refused when it is read, said when it is found, never measured."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from bedev.agent.bedev_toml import RepositorySettings
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataWish, make_data
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.ports import check_ports
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess, HttpRequest, Sandbox
from bedev.sandboxes.set_up import Brought
from bedev.sandboxes.stacks.stack import load

MARIADB = engines.load("mariadb")
SERVE = "exec python3 -m http.server --bind 127.0.0.1 "
TOML = b"""[recipe]
image = "php:8.3-cli"
serve = "php -S 127.0.0.1:%d"
served_port = %d
"""


def read(port: int) -> Recipe:
    recipe = Recipe("laravel", "php:8.3-cli", serve="php artisan serve")
    return RepositorySettings.parse(TOML % (port, port)).apply(recipe)


@pytest.mark.parametrize(("port", "whose"), [(3306, "MariaDB in the pod"), (3307, "copy for the tests")])
def test_a_port_of_the_databases_is_refused_when_it_is_read(port: int, whose: str) -> None:
    with pytest.raises(UsageError, match=f"port {port}.*{whose}") as caught:
        check_ports(read(port), MARIADB)
    assert caught.value.where == "bedev.toml:4: served_port"
    assert "[recipe] served_port = 8000" in caught.value.next_step


def test_other_ports_are_free() -> None:
    check_ports(read(8000), MARIADB)
    check_ports(read(3308), MARIADB)
    check_ports(Recipe("laravel", "php:8.3-cli"), MARIADB)


# -- what only shows in the pod


@pytest.fixture(scope="module")
def application(sandbox: Sandbox, image: str) -> Iterator[Application]:
    database = sandbox.ensure_image(MARIADB.image_spec("debian:trixie-slim"), lambda _: None)
    stack = load("laravel")
    recipe = Recipe(stack.name, image, migrate="true", serve=f"{SERVE}8000", engine="mariadb")
    key = sandbox.prepare_tree(secrets.token_hex(8), lambda: (), image, (), HostAccess(), lambda _: None)
    brought = Brought(sandbox, stack, MARIADB, recipe, image, database, key, 0.0)
    facts = make_data(brought, DataWish(), lambda *_: {}, lambda _: None)
    opened = Application.open(brought, facts.key, lambda _: None)
    yield opened
    opened.close()
    sandbox.drop_template(facts.key)


def served(application: Application, port: int, command: str = "") -> Application:
    recipe = replace(application.recipe, served_port=port, serve=command or f"{SERVE}{port}")
    return Application(replace(application.brought, recipe=recipe), application.pod, application.database)


@pytest.mark.docker
def test_a_free_port_is_served_again_and_again(application: Application) -> None:
    app = served(application, 8000)
    for _ in range(3):
        app.serve()
        assert app.request(HttpRequest("GET", "/")).status == 200
    app.stop_serving()


@pytest.mark.docker
def test_the_database_is_not_taken_for_the_application(application: Application) -> None:
    """Somebody answers on that port, so waiting for it would be over at once."""
    with pytest.raises(SetUpFailed, match="port 3306: it is the port of MariaDB in the pod") as caught:
        served(application, 3306, "exec sleep 60").serve()
    assert "served_port" in caught.value.where


@pytest.mark.docker
def test_another_program_is_not_taken_for_the_application(application: Application) -> None:
    squatter = application.pod.app.start("squatter", f"{SERVE}8001")
    assert application.pod.probe.wait_for_port(8001, 20)
    try:
        with pytest.raises(SetUpFailed, match="port 8001: it is taken by another program"):
            served(application, 8001).serve()
    finally:
        squatter.stop()


@pytest.mark.docker
def test_a_server_that_leaves_its_port_to_another_is_not_measured(application: Application) -> None:
    """The recipe itself starts what takes the port, and the server ends."""
    command = f"(sleep 1; {SERVE}8002) & echo address in use; exit 1"
    with pytest.raises(SetUpFailed, match="8002") as caught:
        served(application, 8002, command).serve()
    assert caught.value.where.startswith("served_port")
    assert "address in use" in caught.value.detail
