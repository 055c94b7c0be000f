"""Growth on a real MySQL server: MariaDB's tests again (imported, so collected here with the server below),
over MySQL's own catalogue."""

# ruff: noqa: F401

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import Schema
from bedev.sandboxes.errors import EnvironmentUnusable
from bedev.sandboxes.sandbox import ImageSpec, PodSpec, Rows

from . import test_mariadb_growth as shared
from .contract import passwords
from .test_mariadb_growth import (
    test_a_count_that_was_not_reached_is_an_error_that_names_the_table,
    test_a_key_without_a_declared_constraint_is_followed_by_its_name,
    test_a_table_that_the_server_refuses_is_named_and_its_triggers_are_back,
    test_a_type_too_small_for_so_many_unique_rows_says_how_many_can_exist,
    test_every_foreign_key_holds_though_checks_were_off,
    test_every_unique_index_holds_though_checks_were_off,
    test_few_parents_have_many_children_and_some_have_none,
    test_free_values_between_those_that_exist_are_found,
    test_frequencies_of_a_status_are_kept,
    test_growing_twice_goes_on,
    test_indexes_and_tables_are_intact,
    test_managers_form_a_tree,
    test_moments_tie_and_follow_each_other,
    test_new_users_lie_on_both_sides_of_every_filter,
    test_odd_tables_grow_with_all_keys_intact,
    test_special_characters_are_copied_as_they_are,
    test_tables_that_refer_to_each_other_are_filled,
    test_the_same_seed_makes_the_same_rows_and_another_seed_others,
    test_triggers_are_the_same_afterwards_and_fill_no_side_table,
    test_values_keep_their_shape,
    test_what_belongs_together_stays_together,
)

pytestmark = pytest.mark.docker

# What MySQL has no type for.
EVERY_TYPE = (
    shared.EVERY_TYPE.replace("w UUID NOT NULL", "w CHAR(36) NOT NULL")
    .replace("x INET6 NULL", "x VARBINARY(16) NULL")
    .replace("y INET4 NOT NULL UNIQUE", "y INT UNSIGNED NOT NULL UNIQUE")
)


class MySqlServer:
    """The admin's session to a server of the engine's own, in a pod."""

    def __init__(self) -> None:
        self.script = ""
        engine = self._engine = engines.load("mysql")
        self._sandbox = DockerSandbox(run=f"growth-{uuid.uuid4().hex[:8]}", lifetime_seconds=1800)
        try:
            db_image = self._sandbox.ensure_image(engine.image_spec(engine.default_image()), print)
            app_image = self._sandbox.ensure_image(ImageSpec("debian:trixie-slim"), print)
            pod = self._sandbox.open_pod(PodSpec(app_image=app_image, tree="", db_image=db_image), print)
            instance = engine.create(pod.db, pod.probe, "main", engine.port, "shop", passwords())
            self._session = engine.connect(pod.probe, instance, "admin")
        except BaseException:
            self.close()
            raise

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        return self._session.query(sql, params, max_rows=max_rows, timeout=timeout)

    def database(self, script: str) -> Schema:
        self.script = script
        self.query("DROP DATABASE IF EXISTS shop")
        self.query("CREATE DATABASE shop CHARACTER SET utf8mb4")
        self.query("USE shop")
        for statement in re.split(r";\s*\n", script.strip() + "\n"):
            if statement.strip():
                self.query(statement)
        return self.schema()

    def schema(self) -> Schema:
        return self._engine.schema(self._session, "shop", exact=True)

    def close(self) -> None:
        self._sandbox.close()


@pytest.fixture(scope="module")
def server() -> Iterator[MySqlServer]:
    try:
        running = MySqlServer()
    except EnvironmentUnusable as error:
        pytest.skip(error.what)
    yield running
    running.close()


@pytest.fixture
def shop(server: Any) -> Any:
    """The grown shop, made again where another test has made another database."""
    if server.script != shared.SHOP or shared.scalar(server, "SELECT COUNT(*) FROM visits") != 30_000:
        assert shared.grown(server, shared.seed_shop(server), shared.WANTED) == shared.WANTED
    return server


def test_an_empty_table_with_every_type_is_filled_from_its_schema_and_grown_again(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "EVERY_TYPE", EVERY_TYPE)
    shared.test_an_empty_table_with_every_type_is_filled_from_its_schema_and_grown_again(server)
