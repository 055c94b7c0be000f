"""What MariaDB and MySQL both have to do, beyond the contract of all engines."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest
from bedev.sandboxes.engines import mysql_family
from bedev.sandboxes.engines.engine import ColumnGrowth, GrowthPlan, TableGrowth
from bedev.sandboxes.errors import DatabaseError, UsageError

from .contract import CITIES, DATABASE, ROWS, EngineContract, World, findings, refused

# A statement as a driver with server-side prepared statements sends it; PyMySQL has no such API of its own.
PREPARED = """
import sys, pymysql
c = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user=sys.argv[2], password=sys.argv[3],
                    database="shop", charset="utf8mb4", autocommit=True)
c._execute_command(0x16, "SELECT name FROM customers WHERE id = ? AND city <> ?")
statement = c._read_packet().read_all()[1:5]
for packet in range(5):  # two parameters, their end, one column, its end
    c._read_packet()
text = "O'Hara \\U0001F600".encode()
body = statement + b"\\0" + (1).to_bytes(4, "little") + b"\\0" + b"\\x01" + b"\\x03\\x00" + b"\\xfd\\x00"
c._execute_command(0x17, body + (77).to_bytes(4, "little") + bytes([len(text)]) + text)
c._read_packet()
"""


class MySqlFamilyContract(EngineContract):
    client: ClassVar[str]
    """The command line client in the `db` box, with what it needs to connect."""
    set_password: ClassVar[str]
    """The statement by which a user changes its own password to `canary`."""

    # -- what the counters see

    def test_what_a_trigger_reads_is_counted_and_its_statements_are_not(self, world: World) -> None:
        world.app.query("CREATE TABLE fired (id INT PRIMARY KEY, n INT)")
        world.app.query(
            "CREATE TRIGGER count_all BEFORE INSERT ON fired FOR EACH ROW "
            "SET NEW.n = (SELECT COUNT(name) FROM customers WHERE score >= 0)"
        )
        try:
            spent = world.measure("INSERT INTO fired (id) VALUES (1)")
            assert spent.rows_examined == ROWS
            assert spent.statements == 1
            assert spent.rows_written == 1
        finally:
            world.clear("fired")

    def test_what_a_stored_function_reads_is_counted(self, world: World) -> None:
        world.app.query(
            "CREATE FUNCTION total() RETURNS INT READS SQL DATA "
            "RETURN (SELECT COUNT(name) FROM customers WHERE score >= 0)"
        )
        try:
            spent = world.measure("SELECT total()")
            assert spent.rows_examined is not None
            assert ROWS <= spent.rows_examined <= ROWS + 5  # the function's own row in mysql.proc
            assert spent.statements == 1
        finally:
            world.app.query("DROP FUNCTION total")

    def test_what_a_procedure_reads_is_counted(self, world: World) -> None:
        world.app.query(
            "CREATE PROCEDURE twice() BEGIN SELECT COUNT(name) FROM customers WHERE score >= 0 INTO @a; "
            "SELECT COUNT(name) FROM customers WHERE score >= 0 INTO @b; END"
        )
        try:
            spent = world.measure("CALL twice()")
            assert spent.rows_examined is not None
            assert 2 * ROWS <= spent.rows_examined <= 2 * ROWS + 5
            assert spent.statements == 1
        finally:
            world.app.query("DROP PROCEDURE twice")

    def test_rows_dropped_by_a_pushed_condition_count_as_examined(self, world: World) -> None:
        """They reach no row counter of the server: ROWS_READ has the matches only."""
        world.app.query("CREATE INDEX pushed ON customers (city, name)")
        try:
            spent = world.measure(
                "SELECT id, score FROM customers FORCE INDEX (pushed) "
                "WHERE city = 'city 7' AND name LIKE '%11 of%'"
            )
            assert spent.rows_sent is not None
            assert spent.rows_sent < ROWS / CITIES / 5
            assert spent.rows_examined == ROWS / CITIES
        finally:
            world.app.query("DROP INDEX pushed ON customers")
            world.engine.analyze(world.admin, ["customers"])

    def test_the_pages_of_purge_are_no_work_of_the_statement(self, world: World) -> None:
        """It begins within a second, and reads 128 rollback segments where the statement takes 10 pages."""
        sql = "UPDATE customers SET score = 1001 - score WHERE id = 5"
        world.measure(sql)  # the first after a change of the table reads its definition and statistics
        pages = []
        for _ in range(3):
            world.engine.settle(world.admin)
            before = world.engine.counters(world.admin)
            world.app.query(sql)
            time.sleep(1.1)
            pages.append(world.engine.counters(world.admin).minus(before).pages or 0)
        assert max(pages) - min(pages) <= self.own_pages
        assert all(0 < read < 60 + self.own_pages for read in pages)

    def test_after_settling_the_admin_sees_the_present_and_blocks_nobody(self, world: World) -> None:
        world.app.query("CREATE TABLE present (id INT)")
        try:
            world.engine.settle(world.admin)
            world.app.query("INSERT INTO present VALUES (1)")
            world.engine.counters(world.admin)
            assert world.admin.query("SELECT COUNT(*) FROM present").scalar == 1
            world.app.query("ALTER TABLE present ADD COLUMN a INT", timeout=5.0)
        finally:
            world.clear("present")

    def test_a_sort_counts_its_rows(self, world: World) -> None:
        assert world.measure("SELECT id FROM customers ORDER BY name").rows_sorted == ROWS
        assert world.measure("SELECT id FROM customers ORDER BY id").rows_sorted == 0

    def test_reading_the_counters_takes_milliseconds(self, world: World) -> None:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            world.engine.counters(world.admin)
            times.append(time.perf_counter() - began)
        assert sorted(times)[len(times) // 4] < 0.02

    # -- capture

    def test_a_prepared_statement_is_captured_with_its_values(self, world: World) -> None:
        world.pod.app.write_file("/tmp/prepared.py", PREPARED.encode())
        world.engine.start_capture(world.admin)
        before = world.engine.counters(world.admin)
        result = world.pod.app.run(
            f"python3 /tmp/prepared.py {world.main.port} {world.engine.users['application']} "
            f"{world.main.passwords['application']}",
            cwd="/tmp",
        )
        assert result.ok, result.last_lines
        spent = world.engine.counters(world.admin).minus(before)
        captured = [s.sql for s in world.engine.stop_capture(world.admin) if "customers" in s.sql]
        assert len(captured) == 1
        assert captured[0].startswith("SELECT name FROM customers WHERE id = 77 AND city <> 'O")
        assert "Hara 😀" in captured[0]
        # The driver's own SET statements on connecting, and the one execution.
        assert spent.statements is not None
        assert 1 <= spent.statements <= 3

    def test_more_statements_than_a_page_are_captured_in_order(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mysql_family, "PAGE", 50)
        world.engine.start_capture(world.admin)
        for number in range(120):
            world.app.query(f"DO {number}")
        captured = world.engine.stop_capture(world.admin)
        assert [s.sql for s in captured] == [f"DO {n}" for n in range(120)]

    # -- hardening (SECURITY 75, 76, 78)

    def test_s75_the_socket_lets_nobody_in(self, world: World) -> None:
        socket = f"{world.main.data_dir}/socket"
        assert world.pod.db.run(f"[ -S {socket} ]", cwd="/").ok
        for user in ("root", "mysql", "", *world.engine.users.values()):
            result = world.pod.db.run(
                f"{self.client} --socket={socket} --user='{user}' -e 'SELECT 1'",
                cwd="/",
                env={"MYSQL_PWD": world.main.passwords["admin"]},
            )
            assert not result.ok, user
        for user in ("root", "mysql"):
            with pytest.raises(DatabaseError):
                world.pod.probe.connect("mysql", port=world.main.port, user=user, password="")

    def test_the_readers_transactions_are_read_only(self, world: World) -> None:
        """A view may call a function that writes as whoever made it."""
        world.app.query("CREATE TABLE touched (id INT)")
        world.app.query(
            "CREATE FUNCTION touch() RETURNS INT MODIFIES SQL DATA "
            "BEGIN INSERT INTO touched VALUES (1); RETURN 1; END"
        )
        world.app.query("CREATE VIEW looks_harmless AS SELECT touch() AS t")
        try:
            refused(world.reader, "SELECT * FROM looks_harmless")
            assert world.app.query("SELECT COUNT(*) FROM touched").scalar == 0
            world.app.query("SELECT * FROM looks_harmless")
            assert world.app.query("SELECT COUNT(*) FROM touched").scalar == 1
        finally:
            world.app.query("DROP VIEW looks_harmless")
            world.app.query("DROP FUNCTION touch")
            world.clear("touched")

    def test_a_password_that_the_application_changed_is_set_back_by_a_start(self, world: World) -> None:
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "changed", 4412, world.main)
        try:
            world.connect(clone, "application").query(self.set_password)
            with pytest.raises(DatabaseError):
                world.connect(clone, "application")
            world.engine.stop(world.pod.db, clone)
            world.engine.start(world.pod.db, world.pod.probe, clone)
            world.connect(clone, "application")
            assert not world.pod.db.run(f"grep -r {clone.passwords['admin']} {clone.data_dir}", cwd="/").ok
        finally:
            world.engine.destroy(world.pod.db, clone)

    def test_a_killed_server_recovers(self, world: World) -> None:
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "killed", 4413, world.main)
        try:
            world.connect(clone, "application").query("DELETE FROM customers WHERE id <= 100")
            assert world.pod.db.run(f"kill -9 $(cat {clone.data_dir}/pid); sleep 0.2", cwd="/").ok
            world.engine.stop(world.pod.db, clone)
            world.engine.start(world.pod.db, world.pod.probe, clone)
            left = world.connect(clone, "application").query("SELECT COUNT(*) FROM customers").scalar
            # Redo is written once a second: what a transaction did is there whole, or not at all.
            assert left in (ROWS, ROWS - 100)
        finally:
            world.engine.destroy(world.pod.db, clone)

    # -- dumps

    def test_a_dump_of_several_databases_is_refused(self, world: World) -> None:
        with pytest.raises(UsageError, match="one, two"):
            world.engine.restore(world.pod.db, world.main, b"USE `one`;\nSELECT 1;\nUSE `two`;\n")

    def test_an_unknown_collation_says_which_line(self, world: World) -> None:
        with pytest.raises(DatabaseError) as caught:
            world.engine.restore(
                world.pod.db, world.main, b"SELECT 1;\nCREATE TABLE c (a CHAR(1)) COLLATE utf8mb4_nowhere_ci;"
            )
        assert caught.value.code == "1273"
        assert "line 2" in caught.value.where

    # -- schema

    def test_the_dump_leaves_out_what_is_volatile(self, world: World) -> None:
        create = (
            "CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b INT, "
            "t VARCHAR(40) DEFAULT ') AUTO_INCREMENT=5'%s)"
        )
        dumps = []
        for keys in (", KEY x (a), KEY y (b)", ", KEY y (b), KEY x (a)"):
            world.app.query(create % keys)
            world.app.query("INSERT INTO counted (a) VALUES (1), (2), (3)")
            dumps.append(world.engine.schema_dump(world.admin, DATABASE))
            world.clear("counted")
        assert dumps[0] == dumps[1]
        assert "AUTO_INCREMENT=4" not in dumps[0]
        assert "') AUTO_INCREMENT=5'" in dumps[0]

    def test_views_triggers_and_routines_are_in_the_dump(self, world: World) -> None:
        before = world.engine.schema_dump(world.admin, DATABASE)
        for make, drop in (
            ("CREATE VIEW v AS SELECT id FROM customers", "DROP VIEW v"),
            ("CREATE TRIGGER g AFTER INSERT ON customers FOR EACH ROW SET @a = 1", "DROP TRIGGER g"),
            ("CREATE FUNCTION f() RETURNS INT RETURN 1", "DROP FUNCTION f"),
            ("CREATE PROCEDURE r() SELECT 1", "DROP PROCEDURE r"),
            (
                "ALTER TABLE customers ALTER score SET DEFAULT 4",
                "ALTER TABLE customers ALTER score DROP DEFAULT",
            ),
        ):
            world.app.query(make)
            changed = world.engine.schema_dump(world.admin, DATABASE)
            world.app.query(drop)
            assert changed != before, make
        assert world.engine.schema_dump(world.admin, DATABASE) == before

    def test_growth_is_part_of_the_engine(self, world: World) -> None:
        world.app.query("CREATE TABLE grown (id INT PRIMARY KEY, state VARCHAR(10))")
        try:
            schema = world.engine.schema(world.admin, DATABASE)
            plan = GrowthPlan(
                (
                    TableGrowth(
                        "grown",
                        0,
                        3000,
                        (
                            ColumnGrowth("id", "sequence"),
                            ColumnGrowth("state", "choice", values=("a", "b")),
                        ),
                        source="schema",
                    ),
                ),
                seed=1,
            )
            assert world.engine.grow(world.admin, plan, schema) == {"grown": 3000}
            assert world.app.query("SELECT COUNT(DISTINCT state) FROM grown").scalar == 2
        finally:
            world.clear("grown")

    # -- plans

    def test_findings_of_a_join_without_an_index(self, world: World) -> None:
        plan = world.engine.explain(
            world.app, "SELECT a.id FROM customers a JOIN customers b ON a.name = b.city WHERE a.id <= 20"
        )
        assert any(finding.id == "join-buffer" for finding in plan.findings)

    def test_findings_of_a_grouping(self, world: World) -> None:
        plan = world.engine.explain(world.app, "SELECT city, COUNT(*) FROM customers GROUP BY 1 ORDER BY 2")
        assert {("temporary-table", "customers"), ("filesort", "customers")} <= findings(plan)

    def test_a_full_index_scan_is_told_from_a_table_scan(self, world: World) -> None:
        world.app.query("CREATE INDEX scores ON customers (score)")
        try:
            plan = world.engine.explain(world.app, "SELECT SUM(score) FROM customers")
            assert ("full-index-scan", "customers") in findings(plan)
            assert ("full-scan", "customers") not in findings(plan)
        finally:
            world.app.query("DROP INDEX scores ON customers")
            world.engine.analyze(world.admin, ["customers"])

    def test_every_kind_of_select_has_a_plan(self, world: World) -> None:
        for sql in (
            "SELECT 1",
            "(SELECT id FROM customers WHERE id = 3) UNION (SELECT id FROM customers WHERE city = 'city 7')",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
            "/* a comment */ SELECT * FROM customers WHERE id = -5;",
            "SELECT (SELECT COUNT(*) FROM customers b WHERE b.city = a.city) FROM customers a WHERE id < 3",
            "SELECT id, ROW_NUMBER() OVER (PARTITION BY city ORDER BY id) FROM customers LIMIT 3",
            "SELECT * FROM customers WHERE id IN (SELECT MAX(id) FROM customers GROUP BY city)",
            "SELECT DISTINCT city FROM customers WHERE id < 100",
        ):
            plan = world.engine.explain(world.app, sql)
            assert plan.analyzed, sql
            assert plan.root.children, sql

    def test_s70_a_select_that_calls_what_writes_is_not_run_to_be_explained(self, world: World) -> None:
        world.app.query("CREATE TABLE touched (id INT)")
        world.app.query(
            "CREATE FUNCTION touch() RETURNS INT MODIFIES SQL DATA "
            "BEGIN INSERT INTO touched VALUES (1); RETURN 1; END"
        )
        try:
            assert not world.engine.explain(world.app, "SELECT touch()").analyzed
            assert world.app.query("SELECT COUNT(*) FROM touched").scalar == 0
            world.app.query("SELECT touch()")
            assert world.app.query("SELECT COUNT(*) FROM touched").scalar == 1
        finally:
            world.app.query("DROP FUNCTION touch")
            world.clear("touched")

    def test_a_select_into_a_variable_is_not_analyzed(self, world: World) -> None:
        assert not world.engine.explain(world.app, "SELECT id FROM customers WHERE id = 1 INTO @a").analyzed
