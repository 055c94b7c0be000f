"""PostgreSQL passes the contract of all engines, and what is its own."""

from __future__ import annotations

import gzip
import time
from dataclasses import replace
from typing import ClassVar

import pytest
from bedev.sandboxes.engines.engine import PlanNode
from bedev.sandboxes.engines.postgres import capture, ddl, explain, server
from bedev.sandboxes.errors import DatabaseError, UsageError

from .contract import CITIES, DATABASE, ROWS, EngineContract, World, findings, nodes, refused

pytestmark = pytest.mark.docker

# As an application's driver does it: statements prepared at the server, on a connection that stays open.
PREPARED = """
import psycopg, sys, time
c = psycopg.connect(host="127.0.0.1", port=int(sys.argv[1]), user=sys.argv[2], password=sys.argv[3],
                    dbname="shop", autocommit=True)
c.prepare_threshold = 0
for city in ("city 7", "O'Hara \\U0001F600", None):
    c.execute("SELECT name, '$1' FROM customers WHERE id = %s AND city <> %s", (77, city)).fetchall()
c.execute("DEALLOCATE ALL")
for _ in range(3):
    c.execute("SELECT COUNT(name) FROM customers WHERE score >= 0").fetchall()
print("sent", flush=True)
time.sleep(float(sys.argv[4]))
"""


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
        for setting in ("hashjoin", "mergejoin", "memoize"):
            world.app.query(f"SET enable_{setting} = off")
        try:
            super().test_rows_of_an_inner_step_are_totals(world)
        finally:
            world.app.query("RESET ALL")

    # -- what the counters see

    def test_what_triggers_functions_and_procedures_read_is_counted(self, world: World) -> None:
        world.app.query(
            "CREATE FUNCTION total() RETURNS BIGINT LANGUAGE plpgsql AS "
            "'BEGIN RETURN (SELECT COUNT(name) FROM customers WHERE score >= 0); END'"
        )
        world.app.query(
            "CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM total(); RETURN NULL; END'"
        )
        world.app.query("CREATE PROCEDURE twice() LANGUAGE sql AS 'SELECT total(); SELECT total()'")
        world.app.query("CREATE TABLE fired (id INT PRIMARY KEY)")
        world.app.query("CREATE TRIGGER t AFTER INSERT ON fired FOR EACH ROW EXECUTE FUNCTION fire()")
        try:
            for sql, times in (
                ("SELECT total()", 1),
                ("CALL twice()", 2),
                ("INSERT INTO fired VALUES (1)", 1),
                ("INSERT INTO fired VALUES (2), (3)", 2),
            ):
                spent = world.measure(sql)
                assert spent.rows_examined == times * ROWS, sql
                assert spent.statements == 1
                assert spent.pages is not None
                assert spent.pages > times * 300, sql
        finally:
            world.clear("fired")
            world.app.query("DROP PROCEDURE twice; ".strip("; "))
            world.app.query("DROP FUNCTION fire")
            world.app.query("DROP FUNCTION total")

    def test_rows_of_a_cascade_are_counted(self, world: World) -> None:
        world.app.query("CREATE TABLE parents (id INT PRIMARY KEY)")
        world.app.query(
            "CREATE TABLE children (id INT, parent INT REFERENCES parents (id) ON DELETE CASCADE)"
        )
        try:
            world.app.query("INSERT INTO parents SELECT generate_series(1, 10)")
            world.app.query("INSERT INTO children SELECT n, 1 + n % 10 FROM generate_series(1, 5000) n")
            spent = world.measure("DELETE FROM parents WHERE id = 3")
            assert spent.rows_examined is not None
            assert spent.rows_examined >= 5_000
            assert spent.rows_written == 501
        finally:
            world.clear("children", "parents")

    def test_an_index_only_scan_and_a_bitmap_count_their_entries(self, world: World) -> None:
        world.app.query("CREATE INDEX by_city ON customers (city)")
        try:
            world.engine.analyze(world.admin, ["customers"])
            for sql in (
                "SELECT COUNT(*) FROM customers WHERE city = 'city 7'",
                "SELECT SUM(score) FROM customers WHERE city = 'city 7'",
            ):
                spent = world.measure(sql)
                assert spent.rows_examined == ROWS / CITIES, sql
            plan = world.engine.explain(world.app, "SELECT COUNT(*) FROM customers WHERE city = 'city 7'")
            assert plan.raw["Plan"]["Plans"][0]["Node Type"] == "Index Only Scan"
            assert plan.raw["Plan"]["Plans"][0]["Heap Fetches"] == 0
        finally:
            world.app.query("DROP INDEX by_city")
            world.engine.analyze(world.admin, ["customers"])

    def test_a_sort_that_spills_shows_in_temporary_pages(self, world: World) -> None:
        world.app.query("SET work_mem = '64kB'")
        try:
            assert (world.measure("SELECT name FROM customers ORDER BY name").temp_pages or 0) > 100
            plan = world.engine.explain(world.app, "SELECT name FROM customers ORDER BY name")
            words = next(f.words for f in plan.findings if f.id == "filesort")
            assert "on disk" in words
            plan = world.engine.explain(
                world.app, "SELECT COUNT(*) FROM customers a JOIN customers b ON a.name = b.city"
            )
            assert any(f.id == "temporary-table" for f in plan.findings)
        finally:
            world.app.query("RESET work_mem")
        assert world.measure("SELECT name FROM customers WHERE id = 4").temp_pages == 0

    def test_counts_of_a_connection_that_stays_open_are_waited_for(self, world: World) -> None:
        """It keeps what it counted to itself for ten seconds."""
        world.engine.settle(world.admin)
        before = world.engine.counters(world.admin)
        world.pod.app.write_file("/tmp/prepared.py", PREPARED.encode())
        service = world.pod.app.start("pool", self._prepared(world, 60), cwd="/tmp")
        try:
            deadline = time.monotonic() + 20
            while "sent" not in service.log() and time.monotonic() < deadline:
                time.sleep(0.05)
            began = time.monotonic()
            spent = world.engine.counters(world.admin).minus(before)
            assert time.monotonic() - began > 5
            assert spent.rows_examined is not None
            assert 3 * ROWS <= spent.rows_examined <= 3 * ROWS + 10
        finally:
            service.stop()

    def test_what_was_written_is_vacuumed_before_it_is_read(self, world: World) -> None:
        world.app.query("CREATE TABLE fresh (id INT PRIMARY KEY, a INT)")
        try:
            world.app.query("INSERT INTO fresh SELECT n, n FROM generate_series(1, 5000) n")
            world.app.query("DELETE FROM fresh WHERE id > 1000")
            world.engine.settle(world.admin)
            dead = "SELECT pg_stat_get_dead_tuples('fresh'::regclass)"
            assert world.admin.query(dead).scalar == 0
        finally:
            world.clear("fresh")

    def test_what_was_analyzed_is_left_as_it_is(self, world: World) -> None:
        """Another VACUUM would estimate the rows anew, from the pages that it looks at."""
        world.app.query("CREATE TABLE filled (id INT PRIMARY KEY, a TEXT)")
        rows = "SELECT reltuples FROM pg_class WHERE relname = 'filled'"
        written = "SELECT pg_stat_get_ins_since_vacuum('filled'::regclass)"
        try:
            world.admin.query("INSERT INTO filled SELECT n, repeat('x', 80) FROM generate_series(1, 3456) n")
            world.engine.analyze(world.admin, ["filled"])
            time.sleep(1.1)  # a session hands over once a second at most, unless it is told to
            world.admin.query("SELECT 1")
            assert world.admin.query(written).scalar == 0
            world.engine.settle(world.admin)
            assert world.admin.query(rows).scalar == 3456
        finally:
            world.clear("filled")

    def test_reading_the_counters_takes_milliseconds(self, world: World) -> None:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            world.engine.counters(world.admin)
            times.append(time.perf_counter() - began)
        assert sorted(times)[len(times) // 4] < 0.02

    def test_resetting_the_statistics_moves_no_counter(self, world: World) -> None:
        world.app.query("SELECT COUNT(*) FROM customers")
        world.engine.settle(world.admin)
        before = world.engine.counters(world.admin)
        world.engine.statement_statistics(world.admin, reset=True)
        assert world.engine.counters(world.admin) == before
        assert world.engine.statement_statistics(world.admin) == ()

    # -- capture

    def _prepared(self, world: World, seconds: float) -> str:
        user, password = world.engine.users["application"], world.main.passwords["application"]
        return f"python3 /tmp/prepared.py {world.main.port} {user} {password} {seconds}"

    def test_a_prepared_statement_is_captured_with_its_values(self, world: World) -> None:
        world.pod.app.write_file("/tmp/prepared.py", PREPARED.encode())
        before = world.engine.counters(world.admin)
        world.engine.start_capture(world.admin)
        result = world.pod.app.run(self._prepared(world, 0), cwd="/tmp")
        assert result.ok, result.last_lines
        captured = [s.sql for s in world.engine.stop_capture(world.admin)]
        assert captured[:3] == [
            "SELECT name, '$1' FROM customers WHERE id = '77' AND city <> 'city 7'",
            "SELECT name, '$1' FROM customers WHERE id = '77' AND city <> 'O''Hara 😀'",
            "SELECT name, '$1' FROM customers WHERE id = '77' AND city <> NULL",
        ]
        assert len(captured) == 6
        assert world.engine.counters(world.admin).minus(before).statements == 6
        for sql in captured:
            assert world.engine.explain(world.reader, sql).analyzed

    def test_a_log_of_several_pages_is_captured_in_order(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(capture, "PAGE", 1_000)
        world.engine.start_capture(world.admin)
        sent = [f"SELECT {number}, '😀{'é' * number}'" for number in range(60)]
        for sql in sent:
            world.app.query(sql)
        assert [s.sql for s in world.engine.stop_capture(world.admin)] == sent

    # -- hardening (SECURITY 70, 75, 76, 78)

    def test_s75_there_is_no_way_in_but_loopback_with_a_password(self, world: World) -> None:
        found = world.pod.db.run("ls -A /tmp /var/run/postgresql; find / -xdev -name '.s.PGSQL*'", cwd="/")
        assert ".s.PGSQL" not in found.stdout.text
        for user in ("postgres", "bedev_admin", "bedev_app", ""):
            with pytest.raises(DatabaseError):
                world.pod.probe.connect("postgres", port=world.main.port, user=user, password="")

    def test_s76_the_application_cannot_read_files_or_touch_what_is_measured(self, world: World) -> None:
        for sql in (
            "SELECT pg_read_file('/etc/passwd')",
            "COPY customers TO PROGRAM 'cat'",
            "COPY customers FROM '/etc/passwd'",
            "SET track_counts = off",
            "SET log_statement = 'none'",
            "SET pg_stat_statements.track = 'none'",
            "SELECT pg_stat_reset()",
            "SELECT bedev.pg_stat_statements_reset()",
            "ALTER ROLE bedev_reader SUPERUSER",
            "SET ROLE bedev_admin",
            "ALTER SYSTEM SET jit = on",
            "CREATE EXTENSION file_fdw",
        ):
            refused(world.app, sql)

    def test_the_readers_transactions_are_read_only(self, world: World) -> None:
        """A view may call a function that writes as whoever made it."""
        world.app.query("CREATE TABLE touched (id INT)")
        world.app.query(
            "CREATE FUNCTION touch() RETURNS INT LANGUAGE plpgsql SECURITY DEFINER AS "
            "'BEGIN INSERT INTO touched VALUES (1); RETURN 1; END'"
        )
        world.app.query("CREATE VIEW looks_harmless AS SELECT touch() AS t")
        try:
            refused(world.reader, "SELECT * FROM looks_harmless")
            assert not world.engine.explain(world.app, "SELECT * FROM looks_harmless").analyzed
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
            world.connect(clone, "application").query("ALTER ROLE bedev_app PASSWORD 'canary'")
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
            assert world.pod.db.run(f"kill -9 $(cat {clone.data_dir}/pid); sleep 0.5", cwd="/").ok
            world.engine.stop(world.pod.db, clone)
            world.engine.start(world.pod.db, world.pod.probe, clone)
            left = world.connect(clone, "application").query("SELECT COUNT(*) FROM customers").scalar
            assert left in (ROWS, ROWS - 100)
        finally:
            world.engine.destroy(world.pod.db, clone)

    def test_a_server_with_clients_stops_in_seconds(self, world: World) -> None:
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "busy", 4414, world.main)
        try:
            world.connect(clone, "application").query("SELECT 1")
            began = time.monotonic()
            world.engine.stop(world.pod.db, clone)
            assert time.monotonic() - began < 5
        finally:
            world.engine.destroy(world.pod.db, clone)

    # -- dumps

    def test_a_dump_of_pg_dump_comes_back_in_either_format(self, world: World) -> None:
        world.app.query("CREATE TABLE dumped (id SERIAL PRIMARY KEY, name TEXT)")
        world.app.query(r"INSERT INTO dumped (name) VALUES ('Zoë'), (E'\\! touch x\nGRANT ALL;'), (NULL)")
        try:
            before = world.engine.schema_dump(world.admin, DATABASE)
            for form in ("plain", "custom"):
                made = world.pod.db.run(
                    f'{server.FIND}"$bin/pg_dump" -h 127.0.0.1 -p {world.main.port} -U bedev_admin '
                    f"-t dumped -F {form} -f /tmp/own.dump shop",
                    cwd="/",
                    env={"PGPASSWORD": world.main.passwords["admin"]},
                )
                assert made.ok, made.last_lines
                dump = world.pod.db.read_file("/tmp/own.dump")
                assert dump is not None
                world.clear("dumped")
                world.engine.restore(
                    world.pod.db, world.main, gzip.compress(dump) if form == "plain" else dump
                )
                rows = world.app.query("SELECT name FROM dumped ORDER BY id").rows
                assert rows == (("Zoë",), ("\\! touch x\nGRANT ALL;",), (None,))
                assert world.app.query("INSERT INTO dumped DEFAULT VALUES RETURNING id").scalar == 4
                world.app.query("DELETE FROM dumped WHERE id = 4")
                world.app.query("SELECT setval('dumped_id_seq', 3)")
                assert world.engine.schema_dump(world.admin, DATABASE) == before
        finally:
            world.clear("dumped")

    # -- schema

    def test_the_dump_sees_what_decides_a_plan_or_a_lock(self, world: World) -> None:
        before = world.engine.schema_dump(world.admin, DATABASE)
        for make, undo in (
            ("CREATE INDEX i ON customers (lower(name))", "DROP INDEX i"),
            ("CREATE INDEX i ON customers (name text_pattern_ops)", "DROP INDEX i"),
            ("CREATE INDEX i ON customers (name) WHERE score > 5", "DROP INDEX i"),
            ("CREATE INDEX i ON customers (name DESC NULLS LAST) INCLUDE (score)", "DROP INDEX i"),
            ("CREATE STATISTICS s ON city, score FROM customers", "DROP STATISTICS s"),
            ("CREATE TYPE e AS ENUM ('a', 'b')", "DROP TYPE e"),
            ("CREATE DOMAIN d AS INT CHECK (VALUE > 0)", "DROP DOMAIN d"),
            ("CREATE VIEW v AS SELECT id FROM customers", "DROP VIEW v"),
            ("CREATE MATERIALIZED VIEW v AS SELECT id FROM customers", "DROP MATERIALIZED VIEW v"),
            ("CREATE FUNCTION f() RETURNS INT LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f"),
            ("CREATE SEQUENCE q INCREMENT 5", "DROP SEQUENCE q"),
            ("CREATE EXTENSION citext", "DROP EXTENSION citext"),
            ("CREATE SCHEMA other", "DROP SCHEMA other"),
            ("ALTER TABLE customers ALTER score SET DEFAULT 4",
             "ALTER TABLE customers ALTER score DROP DEFAULT"),
            ("ALTER TABLE customers ADD CHECK (score > -9) NOT VALID",
             "ALTER TABLE customers DROP CONSTRAINT customers_score_check"),
            ("ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
             "ALTER TABLE customers DISABLE ROW LEVEL SECURITY"),
            ("COMMENT ON TABLE customers IS 'x'", "COMMENT ON TABLE customers IS NULL"),
        ):  # fmt: skip
            world.app.query(make)
            changed = world.engine.schema_dump(world.admin, DATABASE)
            world.app.query(undo)
            assert changed != before, make
            assert world.engine.schema_dump(world.admin, DATABASE) == before, undo

    def test_an_index_that_a_failed_migration_left_is_seen(self, world: World) -> None:
        before = world.engine.schema_dump(world.admin, DATABASE)
        refused(world.app, "CREATE UNIQUE INDEX CONCURRENTLY broken ON customers (city)")
        assert "INVALID" in world.engine.schema_dump(world.admin, DATABASE)
        world.app.query("DROP INDEX broken")
        assert world.engine.schema_dump(world.admin, DATABASE) == before

    def test_types_have_the_names_that_engines_share(self, world: World) -> None:
        world.app.query("CREATE TYPE mood AS ENUM ('x', 'y''s')")
        world.app.query(
            "CREATE TABLE typed (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n SERIAL, at "
            "TIMESTAMPTZ, "
            "m mood NOT NULL DEFAULT 'x', j JSONB, a INT[], t VARCHAR(9) DEFAULT 'it''s', "
            "g INT GENERATED ALWAYS AS (n * 2) STORED)"
        )
        world.app.query("CREATE UNIQUE INDEX partial ON typed (n) WHERE t = 'x'")
        world.app.query("CREATE INDEX by_lower ON typed (lower(t), n)")
        try:
            typed = world.engine.schema(world.reader, DATABASE).table("typed")
            assert typed is not None
            kinds = {c.name: c.base_type for c in typed.columns}
            assert kinds == {
                "id": "bigint", "n": "int", "at": "timestamp", "m": "enum", "j": "jsonb", "a": "array",
                "t": "varchar", "g": "int",
            }  # fmt: skip
            assert [c.name for c in typed.columns if c.auto_increment] == ["id", "n"]
            assert [c.name for c in typed.columns if c.generated] == ["g"]
            mood, text = typed.column("m"), typed.column("t")
            assert mood is not None
            assert (mood.enum_values, mood.default) == (("x", "y's"), "'x'")
            assert text is not None
            assert (text.length, text.default) == (9, "'it''s'")
            assert {i.name: i.unique for i in typed.indexes}["partial"] is False
            assert next(i.columns for i in typed.indexes if i.name == "by_lower") == ("lower((t)::text)", "n")
        finally:
            world.clear("typed")
            world.app.query("DROP TYPE mood")

    # -- plans

    def test_findings_of_a_join_without_an_index(self, world: World) -> None:
        world.app.query("SET enable_hashjoin = off")
        world.app.query("SET enable_mergejoin = off")
        try:
            plan = world.engine.explain(
                world.app,
                "SELECT a.id FROM customers a LEFT JOIN customers b ON a.name = b.city WHERE a.id <= 5",
            )
            assert ("join-buffer", "b") in findings(plan)
        finally:
            world.app.query("RESET ALL")

    def test_a_bad_estimate_is_found_on_either_side(self, world: World) -> None:
        world.app.query("CREATE TABLE skewed (id INT PRIMARY KEY, a INT, b INT)")
        try:
            world.app.query("INSERT INTO skewed SELECT n, n % 100, n % 100 FROM generate_series(1, 20000) n")
            world.engine.analyze(world.admin, ["skewed"])
            plan = world.engine.explain(world.app, "SELECT * FROM skewed WHERE a = 7 AND b = 7")
            assert ("bad-estimate", "skewed") in findings(plan)
            good = world.engine.explain(world.app, "SELECT * FROM skewed WHERE a = 7")
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
            "SELECT DISTINCT city FROM customers WHERE id < 100 AND name <> 'update into'",
            "VALUES (1), (2)",
            "TABLE customers",
        ):
            plan = world.engine.explain(world.app, sql)
            assert plan.analyzed, sql
            assert plan.root.children, sql

    def test_a_locking_read_has_a_plan_and_no_transaction_stays_open(self, world: World) -> None:
        plan = world.engine.explain(world.app, "SELECT id FROM customers WHERE id = 3 FOR UPDATE")
        assert not plan.analyzed
        assert any(node.table == "customers" for node in nodes(plan))
        states = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert world.admin.query(states).scalar == 0


def test_rows_are_multiplied_by_loops_and_removed_rows_are_read() -> None:
    inner = {
        "Node Type": "Index Scan", "Index Name": "k", "Relation Name": "b", "Alias": "b", "Plan Rows": 1,
        "Index Cond": "(x = a.id)", "Filter": "(y > 0)", "Actual Rows": 500, "Actual Loops": 200,
        "Rows Removed by Filter": 100, "Actual Total Time": 0.5,
    }  # fmt: skip
    outer = {
        "Node Type": "Seq Scan", "Relation Name": "a", "Alias": "a", "Plan Rows": 200, "Actual Rows": 200,
        "Actual Loops": 1, "Actual Total Time": 1.0,
    }  # fmt: skip
    raw = {"Plan": {"Node Type": "Nested Loop", "Plan Rows": 200, "Plans": [outer, inner]}}
    plan = explain.plan("SELECT ...", raw, True, explain.Facts({"a": 200.0}, {"k": (False, ("x",))}))
    found = next(node for node in nodes(plan) if node.table == "b")
    assert found == PlanNode(
        "table", "b", "index-lookup", "k", ("x",), 200.0, 120_000.0, 200.0,
        filtered_percent=pytest.approx(83.3, abs=0.1), milliseconds=100.0, condition="(x = a.id) AND (y > 0)",
    )  # fmt: skip
    assert findings(plan) == {("full-scan", "a"), ("bad-estimate", "b")}


def test_parameters_are_put_where_they_stand_and_nowhere_else() -> None:
    sql = "SELECT '$1', \"$1\", $1, $$ $1 $$, E'\\'$1' /* $1 */ -- $1\n, $2, $10 FROM t"
    values = "Parameters: $1 = 'a''b, $2 = 9', $2 = NULL, $10 = '7'"
    assert capture.with_values(sql, values) == (
        "SELECT '$1', \"$1\", 'a''b, $2 = 9', $$ $1 $$, E'\\'$1' /* $1 */ -- $1\n, NULL, '7' FROM t"
    )


def test_checks_and_defaults_are_read_as_people_write_them() -> None:
    for written, plain in {
        "(status = ANY (ARRAY['a::b'::text, 'c'::text]))": "(status IN ('a::b', 'c'))",
        "((kind)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[]))":
            "((kind) IN ('x', 'y'))",
        "(price > (0)::numeric(8,2))": "(price > (0))",
    }.items():  # fmt: skip
        assert ddl.plain_check(written) == plain
    assert ddl.plain_default("'it''s'::character varying") == "'it''s'"
    assert ddl.plain_default("nextval('t_id_seq'::regclass)") == "nextval('t_id_seq'::regclass)"


def test_an_image_brings_its_server_and_a_bare_one_gets_it() -> None:
    assert server.image_spec("postgres:17").packages == ()
    assert "postgresql" in server.image_spec("registry.example:5000/debian:trixie-slim").packages
    assert server.default_image() == "postgres:17"
    assert server.default_image("16") == "postgres:16"


def test_a_password_that_could_end_its_quotes_is_refused() -> None:
    for bad in ("", "short", "with'quote-and-more", "line\nbreak-and-more"):
        with pytest.raises(UsageError):
            server.role_statements({"admin": "a" * 20, "application": "b" * 20, "reader": bad})


def test_a_name_that_the_server_would_cut_is_refused() -> None:
    from bedev.sandboxes.engines.engine import IndexSpec

    index = IndexSpec("customers", ("name",), name="x" * 63)
    assert "x" * 63 in ddl.create_index_sql(index)
    with pytest.raises(UsageError, match="longer than 63"):
        ddl.create_index_sql(replace(index, name="é" * 32))
