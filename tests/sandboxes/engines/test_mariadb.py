"""MariaDB passes the engines' contract, and counts what its modules say that it counts."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from bedev.sandboxes.engines.engine import PlanNode, work
from bedev.sandboxes.engines.mariadb import ddl, explain, server
from bedev.sandboxes.errors import UsageError

from .contract import DATABASE, ROWS, World, findings, nodes, refused
from .mysql_family_contract import MySqlFamilyContract


@pytest.mark.docker
class TestMariaDB(MySqlFamilyContract):
    engine_name: ClassVar[str] = "mariadb"
    image: ClassVar[str] = "debian:trixie-slim"
    app_packages: ClassVar[tuple[str, ...]] = ("python3-pymysql",)
    client: ClassVar[str] = "mariadb --no-defaults --skip-ssl"
    set_password: ClassVar[str] = "SET PASSWORD = PASSWORD('canary')"

    # -- what the counters see

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

    # -- capture

    def test_bytes_that_are_no_text_are_captured_readably(self, world: World) -> None:
        world.engine.start_capture(world.admin)
        world.app.query("SELECT %s AS a", (b"\x00\xff'\n",))
        captured = world.engine.stop_capture(world.admin)
        assert len(captured) == 1
        assert captured[0].sql == "SELECT _binary'\\0\\xFF\\'\\n' AS a"

    # -- hardening (SECURITY 75, 76, 78)

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

    # -- plans

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

    def test_a_locking_read_has_a_plan(self, world: World) -> None:
        plan = world.engine.explain(world.app, "SELECT id FROM customers WHERE id = 3 FOR UPDATE")
        assert not plan.analyzed
        assert any(node.table == "customers" for node in nodes(plan))


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
    node = PlanNode("table", "b", "index-lookup", "k", ("x",), 200.0, 100_000.0, 200.0, estimated_loops=200.0)
    assert inner == node
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
