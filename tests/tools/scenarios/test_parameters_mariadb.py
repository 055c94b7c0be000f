"""The queries for a parameter's values, asked of a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bedev.tools.scenarios.parameters import Parameter, absent_value, count_query, value_queries
from bedev.tools.scenarios.places import places
from bedev.tools.scenarios.scenario import Question

from ...sandboxes.engines.growth_server import Server
from ..database.shop_schema import column

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    try:
        running.query("CREATE DATABASE IF NOT EXISTS parameters CHARACTER SET utf8mb4")
        running.query("USE parameters")
        running.query(
            "CREATE TABLE `odd ``name` (id INT PRIMARY KEY AUTO_INCREMENT, email VARCHAR(60), n INT, d DATE)"
        )
        running.query(
            "INSERT INTO `odd ``name` (email, n, d) SELECT CASE WHEN seq % 3 = 0 THEN 'often@x.y'"
            " WHEN seq % 50 = 1 THEN NULL WHEN seq % 50 = 2 THEN '' ELSE CONCAT('it''s\\\\', seq, '@x.y')"
            " END, seq % 7, '2024-01-01' FROM seq_1_to_1000"
        )
        yield running
    finally:
        running.close()


def _parameter(value: str, name: str) -> Parameter:
    return Parameter(name, value, "odd `name", name, places(Question("http", f"GET /p?x={value}"))[-1])


def test_values_exist_and_depend_on_the_seed_alone(server: Server) -> None:
    parameter = _parameter("often@x.y", "email")
    drawn = [[row[0] for row in server.query(sql).rows] for sql in value_queries(parameter, 7)]
    assert drawn[0] == ["often@x.y"]
    assert drawn[1] != ["often@x.y"]
    assert len(set(drawn[2])) == 3
    assert all(drawn[2])
    assert drawn == [[row[0] for row in server.query(sql).rows] for sql in value_queries(parameter, 7)]
    assert drawn[2] != [row[0] for row in server.query(value_queries(parameter, 8)[2]).rows]
    for value in (*drawn[1], *drawn[2]):  # quotes and backslashes among them
        assert server.query(count_query(parameter, value)).scalar == 1
        assert server.query(count_query(parameter), (value,)).scalar == 1


def test_numbers_and_dates_are_drawn_too_zero_among_them(server: Server) -> None:
    for name, value in (("n", "3"), ("d", "2024-01-01")):
        for sql in value_queries(_parameter(value, name), 1):
            assert server.query(sql).rows
    zeros = server.query(value_queries(_parameter("3", "n"), 1)[2].replace("LIMIT 3", "LIMIT 9")).rows
    assert 0 in [row[0] for row in zeros]


@pytest.mark.parametrize(
    ("name", "value", "type_"), [("email", "often@x.y", "varchar(60)"), ("n", "3", "int(11)")]
)
def test_an_absent_value_is_absent(server: Server, name: str, value: str, type_: str) -> None:
    absent = absent_value(_parameter(value, name), column(name, type_), 3)
    assert server.query(count_query(_parameter(value, name), absent)).scalar == 0
