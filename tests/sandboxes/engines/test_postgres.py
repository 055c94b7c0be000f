"""PostgreSQL passes the contract of all engines, and what is its own."""

from __future__ import annotations

from typing import ClassVar

import pytest

from .contract import EngineContract, World

pytestmark = pytest.mark.docker


class TestPostgreSQL(EngineContract):
    engine_name = "postgres"
    image = "postgres:17"
    optional_image = True
    app_packages = ("python3", "python3-psycopg")
    counts_sorted_rows: ClassVar[bool] = False
    counts_rows_of_statements: ClassVar[bool] = False
    # A row's new version goes where the page has room, and then no index is touched, or to another page.
    write_share: ClassVar[float] = 0.05

    def test_rows_of_an_inner_step_are_totals(self, world: World) -> None:
        """The planner would hash: a nested loop is asked for."""
        world.app.query("SET enable_hashjoin = off")
        world.app.query("SET enable_mergejoin = off")
        world.app.query("SET enable_memoize = off")
        try:
            super().test_rows_of_an_inner_step_are_totals(world)
        finally:
            world.app.query("RESET ALL")
