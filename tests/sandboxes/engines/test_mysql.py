"""MySQL passes the engines' contract, and counts what its modules say that it counts."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from bedev.sandboxes.engines.engine import work
from bedev.sandboxes.engines.mysql import ddl, explain, server
from bedev.sandboxes.errors import UsageError

from .contract import DATABASE, ROWS, World, findings, nodes, refused
from .mysql_family_contract import MySqlFamilyContract


@pytest.mark.docker
class TestMySQL(MySqlFamilyContract):
    engine_name: ClassVar[str] = "mysql"
    image: ClassVar[str] = "mysql:9.7"
    app_packages: ClassVar[tuple[str, ...]] = ("python3-cryptography", "python3-pymysql")
    optional_image: ClassVar[bool] = True
    client: ClassVar[str] = "mysql --no-defaults --ssl-mode=DISABLED"
    set_password: ClassVar[str] = "SET PASSWORD = 'canary'"
    own_pages: ClassVar[int] = 40

    # -- what the counters see

    def test_a_count_of_a_whole_table_is_seen_by_the_pages_alone(self, world: World) -> None:
        world.measure("SELECT COUNT(*) FROM customers")
        counted = [world.measure("SELECT COUNT(*) FROM customers") for _ in range(3)]
        assert {spent.rows_examined for spent in counted} == {0}
        assert counted[0].pages is not None
        assert counted[0].pages > 100
        assert len({spent.pages for spent in counted}) == 1

    def test_the_rows_of_a_cascade_are_counted(self, world: World) -> None:
        """By 9.6 and later, which delete them in the server; before, the pages alone see them."""
        world.app.query("CREATE TABLE parents (id INT PRIMARY KEY)")
        world.app.query(
            "CREATE TABLE children (id INT PRIMARY KEY, parent_id INT NOT NULL, "
            "FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE)"
        )
        try:
            world.app.query("INSERT INTO parents SELECT id FROM customers WHERE id <= 100")
            world.app.query(
                "INSERT INTO children SELECT id, 1 + id % 100 FROM customers WHERE id % 100 <> 50"
            )
            many = world.measure("DELETE FROM parents WHERE id = 3")
            none = world.measure("DELETE FROM parents WHERE id = 51")
            assert many.pages is not None
            assert none.pages is not None
            assert many.pages > none.pages + 2 * ROWS / 100
            assert work(many) > 10 * work(none)
            assert (many.rows_examined, none.rows_examined) == (1 + ROWS / 100, 1)
        finally:
            world.clear("children", "parents")

    def test_a_temporary_table_on_disk_counts_its_pages_with_the_others(self, world: World) -> None:
        sql = "SELECT COUNT(*) FROM (SELECT DISTINCT name, REPEAT(name, 30) AS n FROM customers) t"
        world.measure(sql)
        on_disk = world.measure(sql)
        world.app.query("SET SESSION tmp_table_size = 536870912")
        try:
            in_memory = world.measure(sql)
        finally:
            world.app.query("SET SESSION tmp_table_size = DEFAULT")
        assert on_disk.temp_pages is None
        assert on_disk.pages is not None
        assert in_memory.pages is not None
        assert on_disk.pages > in_memory.pages + 1000
        assert in_memory.rows_examined == ROWS
        assert on_disk.rows_examined is not None
        assert on_disk.rows_examined > ROWS  # what is read back from the disk

    def test_the_application_cannot_reset_what_is_counted(self, world: World) -> None:
        before = world.engine.counters(world.admin)
        for sql in (
            "FLUSH STATUS",
            "FLUSH TABLES",
            "SET GLOBAL innodb_monitor_reset_all = all",
            "SET GLOBAL innodb_monitor_disable = all",
            "SET GLOBAL general_log = 0",
            "SET SESSION sql_log_off = 1",
            "TRUNCATE TABLE performance_schema.events_statements_summary_by_digest",
            "TRUNCATE TABLE performance_schema.events_statements_summary_by_user_by_event_name",
            "UPDATE performance_schema.setup_instruments SET ENABLED = 'NO'",
            "UPDATE performance_schema.threads SET INSTRUMENTED = 'NO'",
            "SELECT * FROM mysql.general_log",
        ):
            refused(world.app, sql)
        after = world.engine.counters(world.admin)
        for name in ("rows_examined", "rows_sorted", "rows_sent", "pages", "statements"):
            assert getattr(after, name) >= getattr(before, name), name

    # -- capture

    def test_bytes_that_are_no_text_are_captured_readably(self, world: World) -> None:
        world.engine.start_capture(world.admin)
        world.app.query("SELECT %s AS a", (b"\x00\xff'\n",))
        captured = world.engine.stop_capture(world.admin)
        assert len(captured) == 1
        assert captured[0].sql == "SELECT _binary'\\0\\xFF\\'\\n' AS a"

    # -- hardening (SECURITY 76)

    def test_s76_neither_role_reaches_files_programs_or_other_peoples_sessions(self, world: World) -> None:
        for session in (world.app, world.reader):
            for sql in (
                "LOAD DATA INFILE '/etc/passwd' INTO TABLE customers",
                "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE customers",
                "SELECT 1 INTO OUTFILE '/tmp/canary'",
                "SELECT 1 INTO DUMPFILE '/tmp/canary'",
                "CREATE FUNCTION sys_exec RETURNS INT SONAME 'lib_mysqludf_sys.so'",
                "INSTALL PLUGIN canary SONAME 'mysql_clone.so'",
                "INSTALL COMPONENT 'file://component_classic_hashing'",
                "SET GLOBAL local_infile = 1",
                "SET PERSIST max_connections = 10",
                "SET GLOBAL log_output = 'FILE'",
                "CREATE USER canary",
                "SELECT * FROM mysql.user",
                "SHUTDOWN",
                "RESTART",
                "GRANT FILE ON *.* TO CURRENT_USER()",
                "SET PASSWORD FOR bedev_admin@127.0.0.1 = 'x'",
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

    def test_a_select_of_the_reader_does_not_run_for_ever(self, world: World) -> None:
        assert world.reader.query("SELECT @@max_execution_time").scalar == server.READER_SECONDS * 1000

    # -- dumps

    def test_what_mysqldump_writes_is_loaded_into_an_equal_schema(self, world: World) -> None:
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
                "mysqldump --no-defaults --ssl-mode=DISABLED --get-server-public-key --host=127.0.0.1 "
                f"--routines --databases --port={world.main.port} --user={world.engine.users['admin']} "
                f"{DATABASE} > /tmp/own.sql",
                cwd="/",
                env={"MYSQL_PWD": world.main.passwords["admin"]},
            )
            assert dumped.ok, dumped.last_lines
            dump = world.pod.db.read_file("/tmp/own.sql")
            assert dump is not None
            assert b"GTID_PURGED" in dump or b"CREATE DATABASE" in dump
            world.app.query("DROP PROCEDURE p")
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

    def test_the_columns_of_mysql_are_read(self, world: World) -> None:
        world.app.query(
            "CREATE TABLE wide (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
            "state ENUM('new', 'it''s', 'a,b') NOT NULL DEFAULT 'new', "
            "tags SET('x', 'y'), data JSON, body TEXT, "
            "lower_state VARCHAR(20) GENERATED ALWAYS AS (LOWER(state)) STORED, "
            "at TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3), size INT DEFAULT 3 COMMENT 'in cm', "
            "title VARCHAR(50) CHARACTER SET latin1 DEFAULT 'it''s', token CHAR(36) DEFAULT (UUID()), "
            "CONSTRAINT known CHECK (title IN ('it''s', 'b') AND size > 2), "
            "KEY shouted ((UPPER(title)), size))"
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
            assert (of("title").default, of("token").default) == ("'it''s'", "uuid()")
            assert of("at").default == "CURRENT_TIMESTAMP(3)"
            assert of("tags").enum_values == ("x", "y")
            assert of("data").base_type == "json"
            assert (of("lower_state").generated, of("state").generated) == (True, False)
            assert (of("at").precision, of("at").nullable) == (3, True)
            assert of("size").comment == "in cm"
            assert of("title").collation.startswith("latin1")
            assert of("body").length == 65535
            assert len(table.checks) == 1
            assert "_latin1" not in table.checks[0]
            assert "_utf8mb4" not in table.checks[0]
            shouted = next(index for index in table.indexes if index.name == "shouted")
            assert shouted.columns[1] == "size"
            assert table.column(shouted.columns[0]) is None
        finally:
            world.clear("wide")

    # -- plans

    def test_a_write_with_a_join_has_its_tables_and_findings(self, world: World) -> None:
        plan = world.engine.explain(
            world.app,
            "UPDATE customers a JOIN customers b ON b.id = a.score SET a.name = 'x' WHERE a.city = 'c'",
        )
        inner = next(node for node in nodes(plan) if node.table == "b")
        assert inner.access == "unique-lookup"
        assert ("full-scan", "a") in findings(plan)

    def test_a_locking_read_is_explained_and_locks_nothing_afterwards(self, world: World) -> None:
        plan = world.engine.explain(world.app, "SELECT id FROM customers WHERE id = 3 FOR UPDATE")
        assert [(n.table, n.access) for n in nodes(plan) if n.kind == "table"] == [("customers", "const")]
        other = world.connect(world.main, "application")
        other.query("SET SESSION innodb_lock_wait_timeout = 1")
        other.query("UPDATE customers SET name = name WHERE id = 3")
        other.close()

    def test_a_filter_belongs_to_its_table(self, world: World) -> None:
        plan = world.engine.explain(world.app, "SELECT id FROM customers WHERE city = 'city 7'")
        table = next(node for node in nodes(plan) if node.table == "customers")
        assert table.filtered_percent == 1.0
        assert "city" in table.condition
        assert any("1 % of them are kept" in finding.words for finding in plan.findings)

    def test_a_server_without_version_2_of_plans_is_read_in_version_1(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As MySQL 8.0: estimates alone."""

        def unknown(session: Any, version: int) -> bool:
            session.query("SET SESSION explain_json_format_version = 1")
            return version == 1

        monkeypatch.setattr(explain, "_version", unknown)
        for sql, found in (
            ("SELECT name FROM customers WHERE city = 'city 7'", ("full-scan", "customers")),
            ("SELECT name FROM customers ORDER BY name LIMIT 5", ("filesort", "customers")),
            ("SELECT city, COUNT(*) FROM customers GROUP BY city", ("temporary-table", "customers")),
            ("SELECT a.id FROM customers a JOIN customers b ON a.name = b.city", ("join-buffer", "b")),
        ):
            plan = world.engine.explain(world.app, sql)
            assert not plan.analyzed
            assert found in findings(plan), sql
        plan = world.engine.explain(
            world.app,
            "SELECT COUNT(b.name) FROM customers a STRAIGHT_JOIN customers b ON b.id = a.score "
            "WHERE a.id <= 300",
        )
        inner = next(n for n in nodes(plan) if n.table == "b")
        assert (inner.access, inner.estimated_rows, inner.actual_rows) == ("unique-lookup", 300, None)


def test_rows_are_multiplied_by_loops() -> None:
    raw = {
        "query_plan": {
            "access_type": "join",
            "join_algorithm": "nested_loop",
            "inputs": [
                {
                    "access_type": "table",
                    "table_name": "customers",
                    "alias": "a",
                    "actual_rows": 200.0,
                    "actual_loops": 1,
                    "estimated_rows": 200.0,
                },
                {
                    "access_type": "index",
                    "index_access_type": "index_lookup",
                    "table_name": "orders",
                    "index_name": "k",
                    "key_columns": ["x"],
                    "actual_rows": 500.0,
                    "actual_loops": 200,
                    "estimated_rows": 1.0,
                },
            ],
        }
    }
    plan = explain.plan("SELECT ...", raw, True)
    inner = next(node for node in nodes(plan) if node.table == "orders")
    assert (inner.actual_rows, inner.estimated_rows, inner.access) == (100_000, 200, "index-lookup")
    assert findings(plan) == {("full-scan", "a"), ("bad-estimate", "orders")}


def test_a_check_is_read_without_character_sets_and_second_quotes() -> None:
    clause = r"(`status` in (_utf8mb4\'open\',_utf8mb4\'it\\\'s\'))"
    assert ddl.CATALOGUE.check(clause) == r"(`status` in ('open','it\'s'))"


def test_the_image_is_the_official_one_with_the_tools_that_it_lacks() -> None:
    assert server.default_image() == "mysql:9.7"
    assert server.default_image("8.4") == "mysql:8.4"
    spec = server.image_spec("mysql:8.4")
    assert (spec.base, spec.packages) == ("mysql:8.4", ())
    assert "microdnf install -y tar" in spec.lines[0]


def test_a_password_that_could_end_its_quotes_is_refused() -> None:
    for bad in ("", "short", "with'quote-and-more", "line\nbreak-and-more"):
        with pytest.raises(UsageError):
            server.role_statements("shop", {"admin": "a" * 20, "application": "b" * 20, "reader": bad})


def test_root_without_a_password_is_the_first_to_go() -> None:
    statements = server.role_statements(
        "shop", {"admin": "a" * 20, "application": "b" * 20, "reader": "c" * 20}
    )
    assert statements[0] == "DROP USER IF EXISTS 'root'@'localhost'"
