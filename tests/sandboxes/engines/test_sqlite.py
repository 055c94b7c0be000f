"""SQLite passes the engines' contract as far as that is about a database, and says where it is not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import IndexSpec, SentStatement, library, work
from bedev.sandboxes.engines.sqlite import ddl_text
from bedev.sandboxes.errors import DatabaseError, SandboxBroken
from bedev.sandboxes.process import ProcessSandbox
from bedev.sandboxes.sandbox import ImageSpec, PodSpec, Sandbox

from . import contract
from .contract import CITIES, DATABASE, ROWS, EngineContract, World, findings, nodes, refused


class SQLiteContract(EngineContract):
    """The contract's tests that are replaced here ask for what a library does not have: passwords, a port, a
    start that fails, counters of rows examined, sorted and of pages, digests of statements."""

    engine_name: ClassVar[str] = "sqlite"
    image: ClassVar[str] = ""

    @classmethod
    def open_sandbox(cls, run: str) -> Sandbox:
        return DockerSandbox(run=run, lifetime_seconds=900)

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> Iterator[World]:
        """No image for `db`: its box is the probe's, and DATA is shared with the application."""
        engine = engines.load(cls.engine_name)
        sandbox = cls.open_sandbox(f"contract-{contract.uuid.uuid4().hex[:8]}")
        template = f"contract-{contract.uuid.uuid4().hex}"
        try:
            image = sandbox.ensure_image(ImageSpec("debian:trixie-slim", packages=("python3",)), print)
            sandbox.new_template(template)
            pod = sandbox.open_pod(
                PodSpec(
                    app_image=image, tree="", templates=template, templates_writable=True, shared_data=True
                ),
                print,
            )
            main = engine.create(pod.db, pod.probe, "main", engine.port, DATABASE, contract.passwords())
            app = engine.connect(pod.probe, main, "application")
            contract.insert_customers(app)
            # No CONCAT before 3.44, and MOD is a floating point function: `city 7.0`.
            app.query(
                f"UPDATE customers SET city = 'city ' || (id % {CITIES}), score = 1 + id * 31 % 1000, "
                "name = 'customer ' || (id * 7919 % 50000) || ' of the shop'"
            )
            app.close()
            engine.stop(pod.db, main)
            engine.save_template(pod.db, main, "base")
            engine.start(pod.db, pod.probe, main)
            admin, app, reader = (
                engine.connect(pod.probe, main, role) for role in ("admin", "application", "reader")
            )
            engine.analyze(admin, ["customers"])
            yield World(engine, sandbox, pod, main, admin, app, reader)
        finally:
            sandbox.close()

    # -- the contract's, as far as they are about a library

    def test_a_role_with_another_password_is_refused(self, world: World) -> None:
        """A file has no passwords: who opens it is decided by which containers have its volume. What a role
        may do is the probe's to see to, and the other tests of roles hold."""
        assert replace(world.main, passwords={}).passwords == {}
        assert world.connect(replace(world.main, passwords={}), "reader").query("SELECT 1").scalar == 1

    def test_a_clone_has_the_templates_rows_and_passwords_of_its_own(self, world: World) -> None:
        """Rows only."""
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "own", 0, world.main)
        try:
            assert world.connect(clone, "application").query("SELECT COUNT(*) FROM customers").scalar == ROWS
        finally:
            world.engine.destroy(world.pod.db, clone)

    def test_a_server_that_cannot_start_says_why(self, world: World) -> None:
        """Nothing starts; a place that is taken is what can go wrong."""
        with pytest.raises(SandboxBroken) as caught:
            world.engine.create(world.pod.db, world.pod.probe, "main", 0, DATABASE, {})
        assert "main" in caught.value.where
        assert caught.value.next_step
        assert world.app.query("SELECT COUNT(*) FROM customers").scalar == ROWS

    def test_a_scan_reads_every_row_and_a_limit_ends_it(self, world: World) -> None:
        """Steps are counted, not rows examined and not pages."""
        scan = world.measure("SELECT COUNT(name) FROM customers WHERE score >= 0")
        assert (scan.rows_examined, scan.rows_sorted, scan.pages, scan.temp_pages) == (None,) * 4
        assert scan.rows_sent == 1
        assert scan.vm_steps is not None
        assert 3 * ROWS < scan.vm_steps < 10 * ROWS
        limited = world.measure("SELECT name FROM customers LIMIT 10")
        assert limited.rows_sent == 10
        assert limited.vm_steps is not None
        assert limited.vm_steps < 100

    def test_a_view_hides_no_rows(self, world: World) -> None:
        world.app.query("CREATE VIEW by_city AS SELECT city, COUNT(name) AS n FROM customers GROUP BY city")
        try:
            steps = world.measure("SELECT MAX(n) FROM by_city").vm_steps
            assert steps is not None
            assert steps > 3 * ROWS
        finally:
            world.app.query("DROP VIEW by_city")

    def test_counters_do_not_fall_when_a_connection_ends_or_a_table_is_dropped(self, world: World) -> None:
        other = world.connect(world.main, "application")
        other.query("CREATE TABLE short_lived AS SELECT * FROM customers")
        other.query("SELECT COUNT(name) FROM short_lived")
        before = world.engine.counters(world.admin)
        other.query("DROP TABLE short_lived")
        other.close()
        after = world.engine.counters(world.admin)
        for name in ("vm_steps", "rows_sent", "rows_written", "statements"):
            assert getattr(after, name) >= getattr(before, name), name

    def test_rows_sorted_and_written_are_counted(self, world: World) -> None:
        """A sort costs steps."""
        plain = world.measure("SELECT name FROM customers").vm_steps
        ordered = world.measure("SELECT name FROM customers ORDER BY name").vm_steps
        assert plain is not None
        assert ordered is not None
        assert ordered > plain + ROWS
        assert world.measure("UPDATE customers SET score = score + 1 WHERE id <= 20").rows_written == 20

    def test_statistics_of_statements_are_by_digest_and_can_be_reset(self, world: World) -> None:
        """SQLite keeps none; the workload is made of the captured statements alone."""
        world.app.query("SELECT score FROM customers WHERE name = 'nobody'")
        assert world.engine.statement_statistics(world.admin, reset=True) == ()

    # -- what the application sent from its own process

    def test_what_the_application_sent_is_counted_as_if_it_were_sent_here(self, world: World) -> None:
        """Reading statements to the step, with values and folded calls; and nothing is written."""
        sql = "SELECT COUNT(name) FROM customers WHERE score > ? AND city <> 'what?'"
        here = world.measure("SELECT COUNT(name) FROM customers WHERE score > 3 AND city <> 'what?'")
        counted = self._account(world, SentStatement(sql, (3,)))
        assert counted.vm_steps is not None
        assert here.vm_steps is not None
        assert abs(counted.vm_steps - here.vm_steps) <= 5  # a variable in place of a constant
        assert (counted.statements, counted.rows_sent) == (1, 1)
        folded = self._account(world, SentStatement(sql, (3,), calls=4))
        assert folded.vm_steps == 4 * counted.vm_steps
        assert folded.statements == 4
        rows = world.app.query("SELECT COUNT(*) FROM customers WHERE score = -5").scalar
        written = self._account(world, SentStatement("UPDATE customers SET score = -5 WHERE id <= ?", (7,)))
        assert written.rows_written == 7
        assert world.app.query("SELECT COUNT(*) FROM customers WHERE score = -5").scalar == rows

    def test_what_statements_read_from_the_file_is_told(self, world: World) -> None:
        """A scan reads the table, a lookup some pages, and what is remembered is told again."""
        lib = library(world.engine)
        assert lib is not None
        world.app.query("CREATE TABLE heavy AS SELECT id, hex(zeroblob(100)) AS filled FROM customers")
        try:
            scan = SentStatement("SELECT COUNT(filled) FROM heavy WHERE id <> ?", (4,))
            read = lib.account(world.admin, [scan])
            if not read:
                pytest.skip("this kernel does not count what a thread reads")
            assert 200 * ROWS < read < 300 * ROWS
            assert lib.account(world.admin, [scan]) == read
            assert lib.account(world.admin, [SentStatement("SELECT 1")]) < 100_000
        finally:
            world.clear("heavy")

    def test_remembered_costs_end_with_the_data_that_they_are_of(self, world: World) -> None:
        sent = SentStatement("SELECT name FROM customers WHERE city = ?", ("city 7",))
        scanned = self._account(world, sent)
        assert self._account(world, sent) == scanned
        index = IndexSpec("customers", ("city",), name="for_replay")
        world.app.query(world.engine.create_index_sql(index))
        try:
            found = self._account(world, sent)
            assert found.rows_sent == scanned.rows_sent == ROWS / CITIES
            assert work(found) * 5 < work(scanned)
        finally:
            world.app.query(world.engine.drop_index_sql(index))

    def test_a_later_statement_finds_what_an_earlier_one_wrote(self, world: World) -> None:
        counted = self._account(
            world,
            SentStatement("CREATE TEMPORARY TABLE mine (id INT)"),
            SentStatement("INSERT INTO mine VALUES (1), (2)"),
            SentStatement("SELECT * FROM mine"),
        )
        assert counted.rows_sent == 2
        assert self._account(world, SentStatement("SELECT 1")).rows_sent == 1

    def test_what_it_wrote_and_cannot_write_again_counts_as_written(self, world: World) -> None:
        world.engine.counters(world.admin)
        world.app.query("CREATE TABLE written (id INTEGER PRIMARY KEY)")
        try:
            world.pod.app.run(self._own(world, "INSERT INTO written VALUES (1)"))
            assert self._account(world, SentStatement("INSERT INTO written VALUES (1)")).rows_written == 1
            world.pod.app.run(self._own(world, "DELETE FROM written"))
            assert self._account(world, SentStatement("DELETE FROM written")).rows_written == 1
        finally:
            world.clear("written")

    def test_a_statement_that_cannot_be_counted_is_no_free_statement(self, world: World) -> None:
        lib = library(world.engine)
        assert lib is not None
        with pytest.raises(DatabaseError, match="nowhere"):
            lib.account(world.admin, [SentStatement("SELECT * FROM nowhere")])

    def test_a_function_of_the_applications_own_is_no_hindrance(self, world: World) -> None:
        sql = "SELECT django_date_trunc('month', name) FROM customers WHERE name REGEXP ? LIMIT 3"
        assert self._account(world, SentStatement(sql, ("customer",))).rows_sent == 3

    def test_what_it_sent_is_captured_with_its_values(self, world: World) -> None:
        lib = library(world.engine)
        assert lib is not None
        world.engine.start_capture(world.admin)
        lib.account(
            world.admin,
            [
                SentStatement("SELECT ? AS a, '?' AS b, \"name\" FROM customers WHERE id = ?", ("it's", 4)),
                SentStatement("SELECT %s AS a", (None,)),
            ],
        )
        heard = [statement.sql for statement in world.engine.stop_capture(world.admin)]
        assert heard == [
            "SELECT 'it''s' AS a, '?' AS b, \"name\" FROM customers WHERE id = 4",
            "SELECT NULL AS a",
        ]

    def test_the_application_writes_the_file_from_its_own_container(self, world: World) -> None:
        """In both journal modes; the probe sees it, and copies hold it."""
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "logged", 0, world.main)
        try:
            made = replace(world, main=clone)
            for mode, number in (("wal", 1), ("delete", 2)):
                result = world.pod.app.run(
                    self._own(
                        made, f"PRAGMA journal_mode = {mode}", f"DELETE FROM customers WHERE id = {number}"
                    )
                )
                assert result.ok, result.last_lines
                session = world.connect(clone, "reader")
                assert session.query("SELECT COUNT(*) FROM customers").scalar == ROWS - number
                session.close()
                copied = world.engine.copy(world.pod.db, world.pod.probe, clone, "again", 0)
                session = world.connect(copied, "application")
                assert session.query("SELECT COUNT(*) FROM customers").scalar == ROWS - number
                session.query("DELETE FROM customers WHERE id > 10")
                session.close()
                world.engine.destroy(world.pod.db, copied)
        finally:
            world.engine.destroy(world.pod.db, clone)

    # -- hardening (SECURITY 77)

    def test_s77_no_role_but_the_admin_reaches_another_file(self, world: World) -> None:
        for session in (world.app, world.reader):
            for sql in (
                "ATTACH '/tmp/canary' AS other",
                "VACUUM INTO '/tmp/canary'",
                "SELECT load_extension('/tmp/canary')",
                "PRAGMA temp_store_directory = '/tmp'",
                "PRAGMA writable_schema = ON",
                "SELECT writefile('/tmp/canary', 'x')",
                "SELECT 1; SELECT 2",
                "SELECT length(zeroblob(2000000000))",
                "SELECT bedev_capture(1)",
            ):
                refused(session, sql)
        assert not world.pod.db.run("[ -e /tmp/canary ]", cwd="/").ok
        for sql in ("PRAGMA query_only = OFF", "CREATE TEMPORARY TABLE t (a)", "REINDEX", "ANALYZE"):
            refused(world.reader, sql)
        lib = library(world.engine)
        assert lib is not None
        with pytest.raises(DatabaseError):
            lib.account(world.admin, [SentStatement("SELECT load_extension('x')")])

    def test_s77_what_does_not_end_is_ended(self, world: World) -> None:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
        with pytest.raises(DatabaseError, match="stopped after"):
            world.reader.query(endless, timeout=1.0)
        assert world.reader.query("SELECT 1").scalar == 1

    def test_a_file_that_is_a_link_is_refused(self, world: World) -> None:
        linked = f"{world.main.data_dir}/linked.sqlite"
        assert world.pod.app.run(f"ln -s /bedev/templates/base/{DATABASE}.sqlite {linked}").ok
        try:
            with pytest.raises(DatabaseError, match="link"):
                world.connect(replace(world.main, database="linked"), "application")
        finally:
            world.pod.app.run(f"rm {linked}")

    # -- plans

    def test_an_index_made_for_one_statement_is_a_finding(self, world: World) -> None:
        sql = "SELECT COUNT(*) FROM customers a JOIN customers b ON b.score = a.score WHERE a.id < 30"
        plan = world.engine.explain(world.reader, sql)
        assert ("automatic-index", "b") in findings(plan)

    def test_kinds_of_steps_are_told_apart(self, world: World) -> None:
        def accesses(sql: str) -> list[tuple[str, str]]:
            plan = world.engine.explain(world.reader, sql)
            return [(node.kind, node.access) for node in nodes(plan) if node.kind not in ("result",)]

        assert accesses("SELECT * FROM customers WHERE id = 3") == [("table", "unique-lookup")]
        assert accesses("SELECT * FROM customers WHERE id > 3 AND id < 9") == [("table", "index-range")]
        assert ("temporary", "") in accesses("SELECT DISTINCT city FROM customers")
        assert ("union", "") in accesses("SELECT 1 UNION ALL SELECT id FROM customers")
        assert accesses("SELECT id FROM customers ORDER BY id") == [("table", "index-scan")]

    def test_a_limit_ends_a_scan_where_it_does(self, world: World) -> None:
        def of(sql: str) -> tuple[float | None, set[str]]:
            plan = world.engine.explain(world.reader, sql)
            return nodes(plan)[-1].actual_rows, {name for name, _ in findings(plan)}

        world.app.query("CREATE TABLE numbered (id INTEGER PRIMARY KEY, city VARCHAR)")
        world.app.query("INSERT INTO numbered SELECT id, city FROM customers")
        try:
            assert of("SELECT * FROM numbered ORDER BY id LIMIT 26") == (26, set())
            assert of("SELECT city FROM numbered WHERE city = 'city 7' ORDER BY id DESC LIMIT 2") == (
                194,
                {"full-scan"},
            )
            assert of("SELECT * FROM numbered WHERE city = 'none' LIMIT 5") == (ROWS, {"full-scan"})
            assert of("SELECT * FROM numbered ORDER BY city LIMIT 5") == (ROWS, {"filesort", "full-scan"})
        finally:
            world.clear("numbered")

    # -- dumps

    def test_a_database_file_is_a_dump_too(self, world: World) -> None:
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "given", 0, world.main)
        made = world.engine.create(world.pod.db, world.pod.probe, "taking", 0, DATABASE, {})
        try:
            content = world.pod.db.read_file(f"{clone.data_dir}/{DATABASE}.sqlite")
            assert content is not None
            world.engine.restore(world.pod.db, made, content)
            session = world.connect(made, "application")
            assert session.query("SELECT COUNT(*) FROM customers").scalar == ROWS
            session.query("DELETE FROM customers WHERE id = 1")
            with pytest.raises(contract.UsageError):
                world.engine.restore(world.pod.db, made, content[: len(content) // 2])
        finally:
            world.engine.destroy(world.pod.db, clone)
            world.engine.destroy(world.pod.db, made)

    # -- schema

    def test_a_table_that_a_framework_rebuilt_has_the_same_dump(self, world: World) -> None:
        world.app.query('CREATE TABLE "notes" ("id" integer primary key autoincrement not null, "a" varchar)')
        before = world.engine.schema_dump(world.admin, DATABASE)
        world.app.query(
            "CREATE TABLE __temp__notes (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,\n  a VARCHAR )"
        )
        world.app.query("DROP TABLE notes")
        world.app.query("ALTER TABLE __temp__notes RENAME TO notes")
        try:
            assert world.engine.schema_dump(world.admin, DATABASE) == before
            table = world.engine.schema(world.admin, DATABASE).table("notes")
            assert table is not None
            assert table.columns[0].auto_increment
            assert not table.columns[0].nullable
            assert table.columns[1].length == 255
            assert table.primary_key == ("id",)
        finally:
            world.clear("notes")

    def _account(self, world: World, *sent: SentStatement) -> contract.Counters:
        lib = library(world.engine)
        assert lib is not None
        before = world.engine.counters(world.admin)
        lib.account(world.admin, sent)
        return world.engine.counters(world.admin).minus(before)

    def _own(self, world: World, *statements: str) -> str:
        """A command for `app` that runs statements there, as the application's own process would."""
        lib = library(world.engine)
        assert lib is not None
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)"
        code += "; [c.execute(s) for s in sys.argv[2:]]"
        words = " ".join(f"'{statement}'" for statement in statements)
        return f"python3 -c '{code}' {lib.address(world.main)} {words}"


@pytest.mark.docker
class TestSQLite(SQLiteContract):
    """In a pod of containers."""


class TestSQLiteWithoutContainers(SQLiteContract):
    """In the sandbox that isolates nothing, with the SQLite of bedev's own Python."""

    @classmethod
    def open_sandbox(cls, run: str) -> Sandbox:
        cls.state = tempfile.TemporaryDirectory()
        return ProcessSandbox(run, Path(cls.state.name))


def test_definitions_are_equal_whatever_their_quotes_and_spaces() -> None:
    one = 'CREATE TABLE "a b" ("Id" integer -- key\n not null, [x] text default \'A  b\')'
    other = "create table `a b`(id INTEGER NOT NULL , x TEXT DEFAULT 'A  b' )"
    assert ddl_text.normal(one) == ddl_text.normal(other)
    assert ddl_text.normal(one) != ddl_text.normal(other.replace("A  b", "A b"))


def test_checks_are_found_with_their_parentheses() -> None:
    sql = (
        """CREATE TABLE t (a varchar check ("a" in ('x)', 'y')) not null, b INT, CHECK ((b > 1) OR b = 0))"""
    )
    assert ddl_text.checks(sql) == ("\"a\" in ('x)', 'y')", "(b > 1) OR b = 0")
