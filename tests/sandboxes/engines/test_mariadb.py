"""MariaDB passes the engines' contract, and counts what its modules say that it counts."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest
from bedev.sandboxes.engines import mysql_family
from bedev.sandboxes.engines.engine import ColumnGrowth, GrowthPlan, PlanNode, TableGrowth, work
from bedev.sandboxes.engines.mariadb import ddl, explain, server
from bedev.sandboxes.errors import DatabaseError, UsageError

from .contract import CITIES, DATABASE, ROWS, EngineContract, World, findings, nodes, refused

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


@pytest.mark.docker
class TestMariaDB(EngineContract):
    engine_name: ClassVar[str] = "mariadb"
    image: ClassVar[str] = "debian:trixie-slim"
    app_packages: ClassVar[tuple[str, ...]] = ("python3-pymysql",)

    # -- what the counters see

    def test_what_a_trigger_reads_is_counted_and_its_statements_are_not(self, world: World) -> None:
        world.app.query("CREATE TABLE fired (id INT PRIMARY KEY, n INT)")
        world.app.query(
            "CREATE TRIGGER count_all BEFORE INSERT ON fired FOR EACH ROW "
            "SET NEW.n = (SELECT COUNT(name) FROM customers)"
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
            "CREATE FUNCTION total() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(name) FROM customers)"
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
            "CREATE PROCEDURE twice() BEGIN SELECT COUNT(name) FROM customers INTO @a; "
            "SELECT COUNT(name) FROM customers INTO @b; END"
        )
        try:
            spent = world.measure("CALL twice()")
            assert spent.rows_examined is not None
            assert 2 * ROWS <= spent.rows_examined <= 2 * ROWS + 5
            assert spent.statements == 1
        finally:
            world.app.query("DROP PROCEDURE twice")

    def test_a_cascade_is_seen_by_the_pages(self, world: World) -> None:
        world.app.query("CREATE TABLE parents (id INT PRIMARY KEY)")
        world.app.query(
            "CREATE TABLE children (id INT PRIMARY KEY, parent_id INT NOT NULL, "
            "FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE)"
        )
        try:
            world.app.query("INSERT INTO parents SELECT seq FROM seq_1_to_100")
            world.app.query(
                "INSERT INTO children SELECT id, 1 + id % 100 FROM customers WHERE id % 100 <> 50"
            )
            many = world.measure("DELETE FROM parents WHERE id = 3")
            none = world.measure("DELETE FROM parents WHERE id = 51")
            assert many.pages is not None
            assert none.pages is not None
            assert many.pages > none.pages + 2 * ROWS / 100
            assert work(many) > 10 * work(none)
        finally:
            world.clear("children", "parents")

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
        pages = set()
        for _ in range(3):
            world.engine.settle(world.admin)
            before = world.engine.counters(world.admin)
            world.app.query(sql)
            time.sleep(1.1)
            pages.add(world.engine.counters(world.admin).minus(before).pages)
        assert len(pages) == 1
        assert pages.pop() in range(1, 60)

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

    def test_a_temporary_table_on_disk_counts_its_pages(self, world: World) -> None:
        on_disk = world.measure("SELECT REPEAT(name, 8) AS n, COUNT(*) FROM customers GROUP BY n")
        in_memory = world.measure("SELECT city, COUNT(*) FROM customers GROUP BY city")
        assert on_disk.temp_pages is not None
        assert on_disk.temp_pages > 1000
        assert in_memory.temp_pages == 0

    def test_the_application_cannot_reset_what_is_counted(self, world: World) -> None:
        before = world.engine.counters(world.admin)
        for sql in (
            "FLUSH USER_STATISTICS",
            "FLUSH TABLE_STATISTICS",
            "SET GLOBAL userstat = 0",
            "SET GLOBAL general_log = 0",
            "SET SESSION sql_log_off = 1",
            "TRUNCATE TABLE performance_schema.events_statements_summary_by_digest",
            "TRUNCATE TABLE performance_schema.events_statements_summary_by_user_by_event_name",
            "UPDATE performance_schema.setup_instruments SET ENABLED = 'NO'",
            "SELECT * FROM mysql.general_log",
        ):
            refused(world.app, sql)
        world.app.query("FLUSH STATUS")  # its own session's; totals stay
        after = world.engine.counters(world.admin)
        for name in ("rows_examined", "rows_sorted", "rows_sent", "pages", "statements"):
            assert getattr(after, name) >= getattr(before, name), name

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

    def test_bytes_that_are_no_text_are_captured_readably(self, world: World) -> None:
        world.engine.start_capture(world.admin)
        world.app.query("SELECT %s AS a", (b"\x00\xff'\n",))
        captured = world.engine.stop_capture(world.admin)
        assert len(captured) == 1
        assert captured[0].sql == "SELECT _binary'\\0\\xFF\\'\\n' AS a"

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
                f"mariadb --no-defaults --skip-ssl --socket={socket} --user='{user}' -e 'SELECT 1'",
                cwd="/",
                env={"MYSQL_PWD": world.main.passwords["admin"]},
            )
            assert not result.ok, user
        for user in ("root", "mysql"):
            with pytest.raises(DatabaseError):
                world.pod.probe.connect("mysql", port=world.main.port, user=user, password="")

    def test_s76_neither_role_reaches_files_programs_or_other_peoples_sessions(self, world: World) -> None:
        for session in (world.app, world.reader):
            for sql in (
                "LOAD DATA INFILE '/etc/passwd' INTO TABLE customers",
                "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE customers",
                "SELECT 1 INTO OUTFILE '/tmp/canary'",
                "SELECT 1 INTO DUMPFILE '/tmp/canary'",
                "CREATE FUNCTION sys_exec RETURNS INT SONAME 'lib_mysqludf_sys.so'",
                "INSTALL SONAME 'ha_spider'",
                "SET GLOBAL local_infile = 1",
                "SET GLOBAL log_output = 'FILE'",
                "CREATE USER canary",
                "SELECT * FROM mysql.global_priv",
                "SHUTDOWN",
                "GRANT FILE ON *.* TO CURRENT_USER()",
                "SET PASSWORD FOR bedev_admin@127.0.0.1 = PASSWORD('x')",
                "CREATE DEFINER = bedev_admin@127.0.0.1 FUNCTION f() RETURNS INT RETURN 1",
                "SELECT 1; SELECT 2",
            ):
                refused(session, sql)
            assert session.query("SELECT LOAD_FILE('/etc/passwd')").scalar is None
            assert len(session.query("SHOW PROCESSLIST").rows) < len(
                world.admin.query("SHOW PROCESSLIST").rows
            )
        assert not world.pod.db.run("[ -e /tmp/canary ]", cwd="/").ok
        assert world.admin.query("SELECT @@local_infile").scalar == 0

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
            world.connect(clone, "application").query("SET PASSWORD = PASSWORD('canary')")
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

    def test_a_dump_of_mysql_8_is_loaded(self, world: World) -> None:
        world.engine.restore(world.pod.db, world.main, MYSQL_8.encode())
        try:
            assert world.app.query("SELECT name, note FROM posts ORDER BY id").rows == (
                ("one", "DEFINER=`root`@`%` stays in data\nUSE `other`;\nCREATE DATABASE x;"),
                ("TWO", "set by the trigger"),
            )
            assert world.app.query("SELECT COUNT(*) FROM loud").scalar == 2
            assert world.app.query("SELECT shout('a')").scalar == "A"
        finally:
            world.app.query("DROP VIEW loud")
            world.app.query("DROP FUNCTION shout")
            world.clear("posts")

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

    def test_what_mariadb_dump_writes_is_loaded_into_an_equal_schema(self, world: World) -> None:
        """With triggers, routines and a view: through the server's own dump and back."""
        world.app.query("CREATE TABLE logged (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME, raw BLOB)")
        world.app.query(
            "CREATE TRIGGER stamp BEFORE INSERT ON logged FOR EACH ROW SET NEW.at = '2020-01-02 03:04:05'"
        )
        world.app.query("CREATE VIEW recent AS SELECT id, at FROM logged")
        world.app.query("CREATE PROCEDURE p() BEGIN SELECT ';' AS a; END")
        world.app.query("INSERT INTO logged (raw) VALUES (%s)", (bytes(range(256)),))
        try:
            before = world.engine.schema_dump(world.admin, DATABASE)
            rows = world.app.query("SELECT id, at, raw FROM logged").rows
            dumped = world.pod.db.run(
                "mariadb-dump --no-defaults --skip-ssl --host=127.0.0.1 --routines --databases "
                f"--port={world.main.port} --user={world.engine.users['admin']} {DATABASE} > /tmp/own.sql",
                cwd="/",
                env={"MYSQL_PWD": world.main.passwords["admin"]},
            )
            assert dumped.ok, dumped.last_lines
            dump = world.pod.db.read_file("/tmp/own.sql")
            assert dump is not None
            world.app.query("DROP PROCEDURE p")  # mariadb-dump does not drop what it did not lock
            world.engine.restore(world.pod.db, world.main, dump)
            assert world.engine.schema_dump(world.admin, DATABASE) == before
            assert world.app.query("SELECT id, at, raw FROM logged").rows == rows
        finally:
            world.app.query("DROP VIEW recent")
            world.app.query("DROP PROCEDURE p")
            world.clear("logged")
            world.pod.db.remove_file("/tmp/own.sql")
            world.engine.analyze(world.admin, ["customers"])

    # -- schema

    def test_the_columns_of_mariadb_are_read(self, world: World) -> None:
        world.app.query(
            "CREATE TABLE wide (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
            "state ENUM('new', 'it''s', 'a,b') NOT NULL DEFAULT 'new', "
            "tags SET('x', 'y'), data JSON, body TEXT, "
            "lower_state VARCHAR(20) GENERATED ALWAYS AS (LOWER(state)) STORED, "
            "at TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3), size INT DEFAULT 3 COMMENT 'in cm', "
            "title VARCHAR(50) CHARACTER SET latin1)"
        )
        try:
            table = world.engine.schema(world.reader, DATABASE).table("wide")
            assert table is not None

            def of(name: str) -> Any:
                found = table.column(name)
                assert found is not None
                return found

            assert (of("id").unsigned, of("id").auto_increment, of("id").base_type) == (True, True, "bigint")
            assert of("state").enum_values == ("new", "it's", "a,b")
            assert (of("state").default, of("size").default, of("tags").default) == ("'new'", "3", None)
            assert of("tags").enum_values == ("x", "y")
            assert of("data").base_type == "longtext"
            assert any("json_valid" in check and "data" in check for check in table.checks)
            assert (of("lower_state").generated, of("state").generated) == (True, False)
            assert (of("at").precision, of("at").nullable) == (3, True)
            assert of("size").comment == "in cm"
            assert of("title").collation.startswith("latin1")
            assert of("body").length == 65535
        finally:
            world.clear("wide")

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

    def test_a_bad_estimate_is_found_on_either_side(self, world: World) -> None:
        world.app.query("CREATE TABLE skewed (id INT PRIMARY KEY, a INT, KEY a (a))")
        try:
            world.app.query("INSERT INTO skewed SELECT seq, IF(seq <= 4000, 0, seq) FROM seq_1_to_8000")
            world.engine.analyze(world.admin, ["skewed"])
            plan = world.engine.explain(
                world.app,
                "SELECT COUNT(*) FROM (SELECT 0 AS z UNION ALL SELECT 0) t "
                "STRAIGHT_JOIN skewed FORCE INDEX (a) ON skewed.a = t.z",
            )
            assert ("bad-estimate", "skewed") in findings(plan)
            good = world.engine.explain(world.app, "SELECT COUNT(*) FROM skewed WHERE a = 0")
            assert ("bad-estimate", "skewed") not in findings(good)
        finally:
            world.clear("skewed")

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

    def test_a_locking_read_has_a_plan(self, world: World) -> None:
        plan = world.engine.explain(world.app, "SELECT id FROM customers WHERE id = 3 FOR UPDATE")
        assert not plan.analyzed
        assert any(node.table == "customers" for node in nodes(plan))

    def test_a_select_into_a_variable_is_not_analyzed(self, world: World) -> None:
        assert not explain.explain(world.app, "SELECT id FROM customers WHERE id = 1 INTO @a", True).analyzed


def test_rows_are_multiplied_by_loops() -> None:
    raw = {
        "query_block": {
            "nested_loop": [
                {
                    "table": {
                        "table_name": "a",
                        "access_type": "ALL",
                        "rows": 200,
                        "r_rows": 200,
                        "r_loops": 1,
                    }
                },
                {
                    "table": {
                        "table_name": "b",
                        "access_type": "ref",
                        "key": "k",
                        "used_key_parts": ["x"],
                        "loops": 200,
                        "rows": 1,
                        "r_rows": 500,
                        "r_loops": 200,
                    }
                },
            ]
        }
    }
    plan = explain.plan("SELECT ...", raw, True)
    inner = next(node for node in nodes(plan) if node.table == "b")
    assert (inner.actual_rows, inner.estimated_rows) == (100_000, 200)
    assert inner == PlanNode("table", "b", "index-lookup", "k", ("x",), 200.0, 100_000.0, 200.0)
    assert findings(plan) == {("full-scan", "a"), ("bad-estimate", "b")}


def test_values_of_an_enum_are_read_with_their_quotes() -> None:
    assert ddl.enum_values("enum('a','it''s','x,y','')") == ("a", "it's", "x,y", "")


def test_an_image_brings_its_server_and_a_bare_one_gets_it() -> None:
    assert server.image_spec("mariadb:11.8").packages == ()
    assert server.image_spec("registry.example:5000/debian:trixie-slim").packages == ("mariadb-server",)
    assert server.image_spec("ubuntu@sha256:abc").packages == ("mariadb-server",)
    assert server.default_image() == "mariadb:11.8"
    assert server.default_image("10.11") == "mariadb:10.11"


def test_a_password_that_could_end_its_quotes_is_refused() -> None:
    for bad in ("", "short", "with'quote-and-more", "line\nbreak-and-more"):
        with pytest.raises(UsageError):
            server.role_statements("shop", {"admin": "a" * 20, "application": "b" * 20, "reader": bad})


def test_a_database_name_is_quoted_and_its_wildcards_are_not() -> None:
    statements = server.role_statements(
        "my_shop%`", {"admin": "a" * 20, "application": "b" * 20, "reader": "c" * 20}
    )
    assert "GRANT ALL PRIVILEGES ON `my\\_shop\\%```.* TO 'bedev_app'@'127.0.0.1'" in statements
    assert "CREATE DATABASE IF NOT EXISTS `my_shop%```" in statements


MYSQL_8 = r"""-- MySQL dump 10.13  Distrib 8.4.0, for Linux (x86_64)
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50503 SET NAMES utf8mb4 */;
SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;
SET @@SESSION.SQL_LOG_BIN= 0;
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5,
4E11FA47-71CA-11E1-9E33-C80AA9429562:1-9';
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `prod` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
USE `prod`;
DROP TABLE IF EXISTS `posts`;
/*!50503 SET character_set_client = utf8mb4 */;
CREATE TABLE `posts` (
  `id` int NOT NULL AUTO_INCREMENT,
  `name` varchar(20) COLLATE utf8mb4_0900_ai_ci DEFAULT NULL,
  `note` text,
  `extra` json DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
LOCK TABLES `posts` WRITE;
/*!40000 ALTER TABLE `posts` DISABLE KEYS */;
INSERT INTO `posts` VALUES (1,'one','DEFINER=`root`@`%` stays in data\nUSE `other`;\nCREATE DATABASE x;','1');
/*!40000 ALTER TABLE `posts` ENABLE KEYS */;
UNLOCK TABLES;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `noted` BEFORE INSERT ON `posts`
FOR EACH ROW BEGIN
  SET NEW.note = 'set by the trigger';
END */;;
CREATE DEFINER=`deploy`@`%` FUNCTION `shout`(a VARCHAR(20)) RETURNS varchar(20)
    DETERMINISTIC
BEGIN
  RETURN UPPER(a);
END ;;
DELIMITER ;
INSERT INTO `posts` (`name`) VALUES (shout('two'));
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `loud` AS select shout(`posts`.`name`) AS `n` from `posts` */;
SET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;
"""
