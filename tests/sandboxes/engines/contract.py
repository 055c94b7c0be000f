"""What every database engine has to do. A new engine subclasses `EngineContract` in its own test file, with
its name and an image, and adds tests of what is its own. SQL here is what all of them understand.
"""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from bedev.sandboxes.docker_pod import DockerPod, DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import (
    WEIGHTS,
    Counters,
    Engine,
    IndexSpec,
    Instance,
    Plan,
    PlanNode,
    Role,
    work,
)
from bedev.sandboxes.errors import BedevError, DatabaseError, EnvironmentUnusable, SandboxBroken, UsageError
from bedev.sandboxes.sandbox import ImageSpec, PodSpec, SqlSession

ROWS = 50_000
CITIES = 100
DATABASE = "shop"


def passwords() -> dict[Role, str]:
    return {"admin": uuid.uuid4().hex, "application": uuid.uuid4().hex, "reader": uuid.uuid4().hex}


@dataclass
class World:
    """A pod with a running server: `customers` has ROWS rows, CITIES cities, and no index but its key."""

    engine: Engine
    sandbox: DockerSandbox
    pod: DockerPod
    main: Instance
    admin: SqlSession
    app: SqlSession
    reader: SqlSession

    def measure(self, *statements: str) -> Counters:
        """What the statements cost, as the application."""
        self.engine.settle(self.admin)
        before = self.engine.counters(self.admin)
        for sql in statements:
            self.app.query(sql, max_rows=100_000)
        self.engine.settle(self.admin)
        return self.engine.counters(self.admin).minus(before)

    def connect(self, instance: Instance, role: Role) -> SqlSession:
        return self.engine.connect(self.pod.probe, instance, role)

    def clear(self, *tables: str) -> None:
        for table in tables:
            self.app.query(f"DROP TABLE IF EXISTS {table}")


def nodes(plan: Plan) -> list[PlanNode]:
    found: list[PlanNode] = []

    def walk(node: PlanNode) -> None:
        found.append(node)
        for child in node.children:
            walk(child)

    walk(plan.root)
    return found


def findings(plan: Plan) -> set[tuple[str, str]]:
    return {(found.id, found.table) for found in plan.findings}


def refused(session: SqlSession, sql: str) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        session.query(sql)
    return caught.value


class EngineContract:
    """Tests share one server and leave it as they found it."""

    engine_name: ClassVar[str]
    image: ClassVar[str]
    app_packages: ClassVar[tuple[str, ...]] = ()
    counts_sorted_rows: ClassVar[bool] = True
    counts_rows_of_statements: ClassVar[bool] = True
    optional_image: ClassVar[bool] = False
    """Whether the image may be missing: then the tests are skipped, with the reason."""
    own_pages: ClassVar[int] = 0
    """How many pages the server may read of its own, more or less each time."""
    write_share: ClassVar[float] = 0.01
    """By how much of it the work of a write may differ that is done again on what it has written itself."""

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> Iterator[World]:
        engine = engines.load(cls.engine_name)
        sandbox = DockerSandbox(run=f"contract-{uuid.uuid4().hex[:8]}", lifetime_seconds=900)
        template = f"contract-{uuid.uuid4().hex}"
        try:
            try:
                db_image = sandbox.ensure_image(engine.image_spec(cls.image), print)
            except EnvironmentUnusable as error:
                if not cls.optional_image:
                    raise
                pytest.skip(error.what)
            app_image = sandbox.ensure_image(
                ImageSpec("debian:trixie-slim", packages=cls.app_packages), print
            )
            sandbox.new_template(template)
            pod = sandbox.open_pod(
                PodSpec(
                    app_image=app_image,
                    tree="",
                    db_image=db_image,
                    templates=template,
                    templates_writable=True,
                ),
                print,
            )
            main = engine.create(pod.db, pod.probe, "main", engine.port, DATABASE, passwords())
            # The template is made first: saving it later would end the sessions that all tests share.
            app = engine.connect(pod.probe, main, "application")
            _fill(app)
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

    # -- the server

    def test_the_server_says_its_version(self, world: World) -> None:
        assert any(character.isdigit() for character in world.engine.version(world.admin))

    def test_a_role_with_another_password_is_refused(self, world: World) -> None:
        for role in world.engine.users:
            with pytest.raises(DatabaseError):
                world.connect(replace(world.main, passwords=passwords()), role)

    def test_the_reader_reads_and_cannot_write(self, world: World) -> None:
        assert world.reader.query("SELECT COUNT(*) FROM customers").scalar == ROWS
        for sql in (
            "INSERT INTO customers (id, city, name, score) VALUES (0, 'x', 'x', 1)",
            "DELETE FROM customers",
            "UPDATE customers SET score = 0",
            "CREATE TABLE own (id INT)",
            "DROP TABLE customers",
        ):
            refused(world.reader, sql)
        assert world.app.query("SELECT COUNT(*) FROM customers").scalar == ROWS

    def test_the_reader_reads_tables_made_after_it(self, world: World) -> None:
        world.app.query("CREATE TABLE later (id INT)")
        try:
            assert world.reader.query("SELECT COUNT(*) FROM later").scalar == 0
        finally:
            world.clear("later")

    def test_another_database_is_the_applications_own_too(self, world: World) -> None:
        world.engine.create_database(world.admin, "shop_test")
        other = world.connect(replace(world.main, database="shop_test"), "application")
        other.query("CREATE TABLE t (id INT PRIMARY KEY)")
        other.query("INSERT INTO t VALUES (1)")
        assert other.query("SELECT id FROM t").scalar == 1
        other.query("DROP TABLE t")
        other.close()

    def test_a_copy_is_independent_of_its_source(self, world: World) -> None:
        with self._copied(world) as (source, copied):
            mine, other = world.connect(source, "application"), world.connect(copied, "application")
            other.query("DELETE FROM customers WHERE id <= 10")
            assert other.query("SELECT COUNT(*) FROM customers").scalar == ROWS - 10
            assert mine.query("SELECT COUNT(*) FROM customers").scalar == ROWS

    def test_a_clone_has_the_templates_rows_and_passwords_of_its_own(self, world: World) -> None:
        like = replace(world.main, passwords=passwords())
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "own", 4407, like)
        try:
            assert world.connect(clone, "application").query("SELECT COUNT(*) FROM customers").scalar == ROWS
            with pytest.raises(DatabaseError):
                world.connect(replace(clone, passwords=world.main.passwords), "admin")
        finally:
            world.engine.destroy(world.pod.db, clone)

    def test_a_stopped_server_starts_again_with_its_rows(self, world: World) -> None:
        clone = world.engine.clone(world.pod.db, world.pod.probe, "base", "again", 4408, world.main)
        try:
            world.connect(clone, "application").query("DELETE FROM customers WHERE id = 1")
            world.engine.stop(world.pod.db, clone)
            world.engine.stop(world.pod.db, clone)
            assert not world.pod.probe.wait_for_port(clone.port, 0.1)
            world.engine.start(world.pod.db, world.pod.probe, clone)
            rows = world.connect(clone, "application").query("SELECT COUNT(*) FROM customers")
            assert rows.scalar == ROWS - 1
        finally:
            world.engine.destroy(world.pod.db, clone)
            world.engine.destroy(world.pod.db, clone)
        assert not world.pod.db.run(f"[ -e {clone.data_dir} ]", cwd="/").ok

    def test_a_server_that_cannot_start_says_why(self, world: World) -> None:
        with pytest.raises(SandboxBroken) as caught:
            world.engine.create(
                world.pod.db, world.pod.probe, "taken", world.main.port, DATABASE, passwords()
            )
        assert str(world.main.port) in f"{caught.value.what} {caught.value.where}"
        assert caught.value.detail or caught.value.next_step
        assert world.app.query("SELECT COUNT(*) FROM customers").scalar == ROWS

    def test_a_name_that_is_taken_is_refused_and_left_alone(self, world: World) -> None:
        with pytest.raises(SandboxBroken):
            world.engine.clone(world.pod.db, world.pod.probe, "base", "main", 4409, world.main)
        assert world.app.query("SELECT COUNT(*) FROM customers").scalar == ROWS
        with pytest.raises(UsageError):
            world.engine.clone(world.pod.db, world.pod.probe, "base", "../main", 4409, world.main)

    # -- a user's dump

    def test_a_dump_is_loaded_plain_and_gzipped(self, world: World) -> None:
        for number, packed in enumerate((False, True)):
            dump = (
                f"CREATE TABLE restored{number} (id INT PRIMARY KEY, name VARCHAR(20));\n"
                f"INSERT INTO restored{number} VALUES (1, 'Zoë'), (2, 'a;\nb');\n"
            ).encode()
            world.engine.restore(world.pod.db, world.main, gzip.compress(dump) if packed else dump)
            rows = world.app.query(f"SELECT name FROM restored{number} ORDER BY id").rows
            assert rows == (("Zoë",), ("a;\nb",))
            world.clear(f"restored{number}")

    def test_a_broken_dump_says_which_line(self, world: World) -> None:
        dump = b"CREATE TABLE half (id INT);\n\nINSERT INTO half VALUES (1);\nINSERT INTO nowhere SELECT 1;\n"
        with pytest.raises(DatabaseError) as caught:
            world.engine.restore(world.pod.db, world.main, dump)
        assert "line 4" in f"{caught.value.what} {caught.value.where}"
        assert "nowhere" in caught.value.what
        world.clear("half")

    def test_a_cut_archive_is_refused(self, world: World) -> None:
        packed = gzip.compress(b"CREATE TABLE cut (id INT);\n" * 50)
        with pytest.raises(BedevError) as caught:
            world.engine.restore(world.pod.db, world.main, packed[:-10])
        assert caught.value.next_step

    def test_s78_commands_of_the_client_in_a_dump_do_not_run(self, world: World) -> None:
        """The control: the same command, given to the box itself, leaves its mark."""
        mark = "/tmp/canary"
        for line in (f"\\! touch {mark}", f"system touch {mark}", f"SELECT 1; \\! touch {mark}"):
            with pytest.raises(DatabaseError, match="line 2"):
                world.engine.restore(world.pod.db, world.main, f"SELECT 1;\n{line}\nSELECT 2;\n".encode())
            assert not world.pod.db.run(f"[ -e {mark} ]", cwd="/").ok, line
        assert world.pod.db.run(f"touch {mark}; [ -e {mark} ]; s=$?; rm -f {mark}; exit $s", cwd="/").ok

    # -- counters

    def test_reading_the_counters_moves_none_of_them(self, world: World) -> None:
        world.engine.settle(world.admin)
        first = world.engine.counters(world.admin)
        for _ in range(5):
            assert world.engine.counters(world.admin) == first

    def test_the_same_query_does_the_same_work(self, world: World) -> None:
        for sql in (
            "SELECT COUNT(name) FROM customers WHERE score > 10",
            "SELECT name FROM customers ORDER BY name",
            "SELECT city, COUNT(*) FROM customers GROUP BY city",
            "SELECT COUNT(*) FROM customers a JOIN customers b ON b.id = a.id + 1",
            "UPDATE customers SET score = 1001 - score WHERE city = 'city 7'",
            "UPDATE customers SET score = 1001 - score WHERE id = 5",
        ):
            world.measure(sql)
            first, second = work(world.measure(sql)), work(world.measure(sql))
            share = self.write_share if sql.startswith("UPDATE") else 0.01
            assert abs(first - second) <= max(share * first, WEIGHTS["pages"] * self.own_pages), sql

    def test_a_scan_reads_every_row_and_a_limit_ends_it(self, world: World) -> None:
        scan = world.measure("SELECT COUNT(name) FROM customers WHERE score >= 0")
        assert scan.rows_examined == ROWS
        assert scan.rows_sent == 1
        assert scan.pages is not None
        assert scan.pages > 0
        limited = world.measure("SELECT name FROM customers LIMIT 10")
        assert limited.rows_examined is not None
        assert 10 <= limited.rows_examined <= 100
        assert limited.rows_sent == 10

    def test_a_view_hides_no_rows(self, world: World) -> None:
        world.app.query("CREATE VIEW by_city AS SELECT city, COUNT(name) AS n FROM customers GROUP BY city")
        try:
            assert world.measure("SELECT MAX(n) FROM by_city").rows_examined == ROWS
        finally:
            world.app.query("DROP VIEW by_city")

    def test_statements_are_those_of_the_application(self, world: World) -> None:
        world.engine.settle(world.admin)
        before = world.engine.counters(world.admin)
        for number in range(7):
            world.app.query(f"SELECT name FROM customers WHERE id = {number}")
        world.reader.query("SELECT 1")
        world.admin.query("SELECT 1")
        assert world.engine.counters(world.admin).minus(before).statements == 7

    def test_counters_do_not_fall_when_a_connection_ends_or_a_table_is_dropped(self, world: World) -> None:
        other = world.connect(world.main, "application")
        other.query("CREATE TABLE short_lived AS SELECT * FROM customers")
        other.query("SELECT COUNT(name) FROM short_lived")
        before = world.engine.counters(world.admin)
        other.query("DROP TABLE short_lived")
        other.close()
        after = world.engine.counters(world.admin)
        for name in ("rows_examined", "rows_sent", "rows_written", "rows_sorted", "statements", "pages"):
            if name != "rows_sorted" or self.counts_sorted_rows:
                assert getattr(after, name) >= getattr(before, name), name

    def test_rows_sorted_and_written_are_counted(self, world: World) -> None:
        expected = ROWS if self.counts_sorted_rows else None
        assert world.measure("SELECT name FROM customers ORDER BY name").rows_sorted == expected
        assert world.measure("UPDATE customers SET score = score + 1 WHERE id <= 20").rows_written == 20

    # -- capture

    def test_capture_keeps_order_literals_and_line_breaks(self, world: World) -> None:
        sent = [
            "SELECT name FROM customers WHERE id = 41",
            "SELECT 'several\nlines -- 7 Query SELECT 2' AS a",
            "SELECT 'Zoë 😀, \"quoted\", a\ttab' AS b",
            "UPDATE customers SET score = 12 WHERE id = 42",
            "SELECT name FROM customers WHERE id = 41",
        ]
        world.engine.start_capture(world.admin)
        for sql in sent:
            world.app.query(sql)
            world.admin.query("SELECT 'not the application'")
            world.reader.query("SELECT 'nor this'")
        captured = world.engine.stop_capture(world.admin)
        world.app.query("SELECT 'too late'")
        assert [statement.sql for statement in captured] == sent
        assert len({statement.connection for statement in captured}) == 1
        assert [s.at for s in captured] == sorted(s.at for s in captured)

    def test_capture_tells_connections_apart_and_starts_empty(self, world: World) -> None:
        other = world.connect(world.main, "application")
        world.engine.start_capture(world.admin)
        world.app.query("SELECT 1")
        other.query("SELECT 2")
        captured = [s for s in world.engine.stop_capture(world.admin) if s.sql in ("SELECT 1", "SELECT 2")]
        assert [statement.sql for statement in captured] == ["SELECT 1", "SELECT 2"]
        assert captured[0].connection != captured[1].connection
        world.engine.start_capture(world.admin)
        assert world.engine.stop_capture(world.admin) == ()
        other.close()

    def test_capture_does_not_disturb_what_work_is_made_of(self, world: World) -> None:
        sql = "SELECT COUNT(name) FROM customers WHERE score > 3"
        world.measure(sql)
        plain = work(world.measure(sql))
        world.engine.start_capture(world.admin)
        recorded = work(world.measure(sql))
        world.engine.stop_capture(world.admin)
        assert abs(plain - recorded) <= 0.01 * plain

    def test_statistics_of_statements_are_by_digest_and_can_be_reset(self, world: World) -> None:
        world.engine.statement_statistics(world.admin, reset=True)
        for number in range(5):
            world.app.query(f"SELECT score FROM customers WHERE name = 'nobody {number}'")
        found = [
            s for s in world.engine.statement_statistics(world.admin) if "score" in s.digest_text.lower()
        ]
        assert len(found) == 1
        assert found[0].calls == 5
        assert found[0].rows_examined == (5 * ROWS if self.counts_rows_of_statements else None)
        assert found[0].rows_sent == 0
        assert found[0].seconds > 0

    # -- plans

    def test_a_full_scan_is_found_and_an_index_takes_it_away(self, world: World) -> None:
        sql = "SELECT name FROM customers WHERE city = 'city 7'"
        plan = world.engine.explain(world.reader, sql)
        assert plan.analyzed
        scan = next(node for node in nodes(plan) if node.table == "customers")
        assert scan.access == "full-scan"
        assert scan.actual_rows == ROWS
        assert ("full-scan", "customers") in findings(plan)
        index = IndexSpec("customers", ("city",), name="by_city_index")
        world.app.query(world.engine.create_index_sql(index))
        try:
            world.engine.analyze(world.admin, ["customers"])
            plan = world.engine.explain(world.reader, sql)
            lookup = next(node for node in nodes(plan) if node.table == "customers")
            assert (lookup.access, lookup.index) == ("index-lookup", "by_city_index")
            assert lookup.actual_rows == ROWS / CITIES
            assert findings(plan) == set()
        finally:
            world.app.query(world.engine.drop_index_sql(index))
            world.engine.analyze(world.admin, ["customers"])

    def test_rows_of_an_inner_step_are_totals(self, world: World) -> None:
        sql = "SELECT COUNT(b.name) FROM customers a JOIN customers b ON b.id = a.score WHERE a.id <= 300"
        plan = world.engine.explain(world.app, sql)
        inner = next(node for node in nodes(plan) if node.table == "b")
        assert inner.loops == 300
        assert inner.actual_rows == 300

    def test_a_sort_without_an_index_is_found(self, world: World) -> None:
        plan = world.engine.explain(world.app, "SELECT name FROM customers ORDER BY name LIMIT 5")
        assert ("filesort", "customers") in findings(plan)
        assert any(node.kind == "sort" for node in nodes(plan))

    def test_explaining_a_write_writes_nothing(self, world: World) -> None:
        for sql in (
            "UPDATE customers SET score = -1 WHERE city = 'city 7'",
            "DELETE FROM customers WHERE score > 0",
        ):
            plan = world.engine.explain(world.app, sql)
            assert not plan.analyzed
            assert any(node.table == "customers" for node in nodes(plan))
        assert world.app.query("SELECT COUNT(*) FROM customers WHERE score >= 0").scalar == ROWS

    def test_a_query_that_is_wrong_is_refused_in_the_servers_words(self, world: World) -> None:
        with pytest.raises(DatabaseError, match="nowhere"):
            world.engine.explain(world.app, "SELECT * FROM nowhere")

    # -- schema, indexes, statistics

    def test_the_schema_is_read_whole(self, world: World) -> None:
        world.app.query(
            "CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, customer_id INT NOT NULL, total DECIMAL(8,2), "
            "code VARCHAR(12) NOT NULL, CONSTRAINT orders_code UNIQUE (code), "
            "CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id), "
            "CONSTRAINT orders_positive CHECK (total >= 0))"
        )
        try:
            orders = world.engine.schema(world.admin, DATABASE, exact=True).table("orders")
            assert orders is not None
            assert [c.name for c in orders.columns] == ["id", "customer_id", "total", "code"]
            code, total = orders.column("code"), orders.column("total")
            assert code is not None
            assert (code.base_type, code.length, code.nullable) == ("varchar", 12, False)
            assert total is not None
            assert (total.base_type, total.precision, total.scale, total.nullable) == ("decimal", 8, 2, True)
            assert orders.primary_key == ("id",)
            assert any(i.columns == ("code",) and i.unique and not i.primary for i in orders.indexes)
            key = orders.foreign_keys[0]
            assert (key.columns, key.table, key.referenced) == (("customer_id",), "customers", ("id",))
            assert any("total" in check for check in orders.checks)
            assert orders.rows == 0
        finally:
            world.clear("orders")
        customers = world.engine.schema(world.admin, DATABASE, exact=True).table("customers")
        assert customers is not None
        assert customers.rows == ROWS

    def test_the_dump_of_a_schema_is_equal_exactly_when_the_schema_is(self, world: World) -> None:
        before = world.engine.schema_dump(world.admin, DATABASE)
        assert "customers" in before
        index = IndexSpec("customers", ("city", "score"), name="for_a_moment")
        world.app.query(world.engine.create_index_sql(index))
        assert world.engine.schema_dump(world.admin, DATABASE) != before
        world.app.query(world.engine.drop_index_sql(index))
        assert world.engine.schema_dump(world.admin, DATABASE) == before

    def test_names_of_an_index_are_quoted(self, world: World) -> None:
        index = IndexSpec("customers", ("city",), unique=False, name='odd name; DROP TABLE "x"')
        world.app.query(world.engine.create_index_sql(index))
        try:
            sizes = world.engine.index_sizes(world.admin, DATABASE)
            assert index.name in {size.name for size in sizes}
        finally:
            world.app.query(world.engine.drop_index_sql(index))

    def test_a_unique_index_is_one(self, world: World) -> None:
        refused(
            world.app,
            world.engine.create_index_sql(IndexSpec("customers", ("city",), unique=True, name="no")),
        )

    def test_an_index_has_a_size(self, world: World) -> None:
        index = IndexSpec("customers", ("name",), name="sized")
        world.app.query(world.engine.create_index_sql(index))
        try:
            world.engine.analyze(world.admin, ["customers"])
            size = next(s for s in world.engine.index_sizes(world.admin, DATABASE) if s.name == "sized")
            assert size.columns == ("name",)
            # Some 30 bytes an entry, in pages that are not full.
            assert 20 * ROWS < size.bytes < 200 * ROWS
        finally:
            world.app.query(world.engine.drop_index_sql(index))
            world.engine.analyze(world.admin, ["customers"])

    def test_statistics_are_the_same_however_often_they_are_made(self, world: World) -> None:
        sql = "SELECT name FROM customers WHERE city = 'city 7' AND score > 5"
        seen = set()
        for _ in range(3):
            world.engine.analyze(world.admin, ["customers"])
            plan = world.engine.explain(world.app, sql, analyze=False)
            seen.add(next(node.estimated_rows for node in nodes(plan) if node.table == "customers"))
        assert len(seen) == 1

    def _copied(self, world: World) -> _Copies:
        return _Copies(world)


class _Copies:
    """A clone of the template and a copy of that clone, so that the shared server keeps its sessions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: list[Instance] = []

    def __enter__(self) -> tuple[Instance, Instance]:
        world = self._world
        source = world.engine.clone(world.pod.db, world.pod.probe, "base", "source", 4410, world.main)
        self._made.append(source)
        copied = world.engine.copy(world.pod.db, world.pod.probe, source, "copied", 4411)
        self._made.append(copied)
        return source, copied

    def __exit__(self, *_: object) -> None:
        for instance in self._made:
            self._world.engine.destroy(self._world.pod.db, instance)


def _fill(app: SqlSession) -> None:
    insert_customers(app)
    app.query(
        f"UPDATE customers SET city = CONCAT('city ', MOD(id, {CITIES})), "
        "name = CONCAT('customer ', MOD(id * 7919, 50000), ' of the shop'), score = 1 + MOD(id * 31, 1000)"
    )


def insert_customers(app: SqlSession) -> None:
    """ROWS customers with ids from 1 and nothing else, by doubling, which every engine can."""
    app.query(
        "CREATE TABLE customers (id INT NOT NULL PRIMARY KEY, city VARCHAR(40) NOT NULL, "
        "name VARCHAR(60) NOT NULL, score INT NOT NULL)"
    )
    app.query("INSERT INTO customers VALUES (1, '', '', 0)")
    rows = 1
    while rows < ROWS:
        app.query(
            f"INSERT INTO customers SELECT id + {rows}, '', '', 0 FROM customers "
            f"WHERE id + {rows} <= {ROWS} ORDER BY id"
        )
        rows *= 2
