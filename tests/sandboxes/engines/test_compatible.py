"""Where the server that an application expects cannot be had, another may stand in if the user says so."""

from __future__ import annotations

import uuid

import pytest
from bedev.agent.bedev_toml import RepositorySettings
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.errors import EnvironmentUnusable
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess
from bedev.sandboxes.set_up import bring_up
from bedev.sandboxes.stacks import stack as stacks


def test_servers_of_one_dialect_may_stand_in_for_each_other() -> None:
    for name, other in (("mysql", "mariadb"), ("mariadb", "mysql")):
        assert other in {engine.name for engine in engines.compatible(engines.load(name))}
        assert name not in {engine.name for engine in engines.compatible(engines.load(name))}


@pytest.mark.docker
def test_an_image_that_cannot_be_had_is_named_with_the_engine_that_may_stand_in() -> None:
    sandbox = DockerSandbox(run=f"standin-{uuid.uuid4().hex[:8]}", lifetime_seconds=300)
    recipe = Recipe("laravel", "debian:trixie-slim", engine="mysql", engine_image="mysql:0.0-nowhere")
    try:
        with pytest.raises(EnvironmentUnusable) as caught:
            bring_up(
                sandbox,
                stacks.load("laravel"),
                engines.load("mysql"),
                recipe,
                "none",
                lambda: (),
                HostAccess(),
                print,
            )
    finally:
        sandbox.close()
    assert "mysql:0.0-nowhere" in caught.value.what
    assert "docker pull mysql:0.0-nowhere" in caught.value.next_step
    assert "MariaDB" in caught.value.next_step
    assert "--engine mariadb" in caught.value.next_step


def test_a_user_who_chooses_another_engine_does_not_get_the_repositorys_image_for_it() -> None:
    own = RepositorySettings.parse(b'[database]\nengine = "mariadb"\nimage = "mariadb:11.8"\n')
    other = own.without_database_server()
    recipe = other.apply(Recipe("laravel", "php:8.4-cli", engine="mysql"))
    assert (other.engine, other.images) == ("", ())
    assert (recipe.engine, recipe.engine_image, recipe.findings) == ("mysql", "", ())
    alone = RepositorySettings.parse(b'[database]\nimage = "mysql:8.4"\n').without_database_server()
    assert alone.images == ("mysql:8.4",)
