"""Growth on a real PostgreSQL server: right by construction, deterministic, with rows on both sides."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import Schema
from bedev.sandboxes.engines.postgres.growth import grow
from bedev.sandboxes.errors import DatabaseError, EnvironmentUnusable, UsageError
from bedev.sandboxes.sandbox import ImageSpec, PodSpec, Rows
from bedev.tools.database.growth import plan_growth
from bedev.tools.database.growth_sample import ColumnSampler

from .contract import passwords

pytestmark = pytest.mark.docker

SHOP = """
CREATE TYPE state AS ENUM ('active', 'blocked', 'it''s pending');
CREATE DOMAIN percentage AS INT CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE tenants (id SERIAL PRIMARY KEY, name VARCHAR(50) NOT NULL);
CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(100) NOT NULL, currency CHAR(3) NOT NULL);
CREATE TABLE users (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id INT NOT NULL REFERENCES tenants (id),
  name TEXT NOT NULL, email CITEXT NOT NULL UNIQUE, slug VARCHAR(20) NOT NULL UNIQUE,
  key UUID NOT NULL UNIQUE DEFAULT gen_random_uuid(), token CHAR(40) UNIQUE,
  number VARCHAR(12) NOT NULL UNIQUE,
  country CHAR(2) REFERENCES countries (code), currency CHAR(3) NOT NULL,
  status state NOT NULL DEFAULT 'active',
  admin BOOLEAN NOT NULL DEFAULT FALSE, age SMALLINT CHECK (age IS NULL OR age >= 18 AND age < 130),
  settings JSONB, tags TEXT[] NOT NULL DEFAULT '{}', address INET, manager_id BIGINT REFERENCES users (id),
  kind VARCHAR(255) NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'company', 'robot')),
  deleted_at TIMESTAMP(0), created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMPTZ NOT NULL,
  email_lower TEXT GENERATED ALWAYS AS (lower(email::text)) STORED, UNIQUE (tenant_id, id));
CREATE UNIQUE INDEX one_active_name ON users (name) WHERE status = 'blocked' AND deleted_at > '2030-01-01';
CREATE INDEX lower_names ON users (lower(name) text_pattern_ops);
CREATE TABLE orders (
  id BIGSERIAL PRIMARY KEY, tenant_id INT NOT NULL, user_id BIGINT NOT NULL, status VARCHAR(12) NOT NULL,
  total NUMERIC(9,2) NOT NULL CHECK (total >= 0), weight NUMERIC, paid_on DATE, created_at TIMESTAMP NOT NULL,
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
  CHECK (status IN ('open', 'paid', 'void')));
CREATE TABLE profiles (user_id BIGINT PRIMARY KEY REFERENCES users (id), bio TEXT, done percentage NOT NULL);
CREATE TABLE roles (id SERIAL PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
CREATE TABLE role_user (role_id INT NOT NULL REFERENCES roles (id),
  user_id BIGINT NOT NULL REFERENCES users (id),
  PRIMARY KEY (role_id, user_id));
CREATE TABLE visits (user_id BIGINT NOT NULL REFERENCES users (id), day DATE NOT NULL, hits INT NOT NULL,
  UNIQUE (user_id, day));
"""
SEED = """
INSERT INTO tenants (name) VALUES ('one'), ('two'), ('three');
INSERT INTO countries VALUES ('DE','Germany','EUR'), ('FR','France','EUR'), ('US','USA','USD'),
  ('BR','Brazil','BRL');
INSERT INTO users (tenant_id, name, email, slug, key, token, number, country, currency, age, settings,
  tags, address,
  manager_id, created_at, updated_at)
  SELECT 1 + n % 3, (ARRAY['O''Neill', 'Müller 50%', 'back\\slash', 'Zoë _x', 'Ana',
  'Ben'])[1 + n % 6] || ' ' || n,
  'Someone' || n || '@example.org', 'user-' || n, md5(n::text)::uuid, md5(n::text) || '01234567',
  'C-' || lpad(n::text, 5, '0'), c.code, c.currency, CASE WHEN n % 7 > 0 THEN 18 + n % 50 END,
  '{"a": 1}', '{x,y}',
  '10.0.0.1'::inet + n, CASE WHEN n > 5 THEN 1 END, '2024-01-01 10:00Z'::timestamptz + n * interval '1 hour',
  '2024-02-01 10:00:00.5Z'::timestamptz + n * interval '1 hour'
  FROM generate_series(1,
  60) n JOIN countries c ON c.code = (ARRAY['DE','FR','US','BR'])[1 + n % 4] ORDER BY n;
INSERT INTO orders (tenant_id, user_id, status, total, weight, paid_on, created_at)
  SELECT u.tenant_id, u.id, CASE WHEN n % 3 = 0 THEN 'open' ELSE 'paid' END, n + 0.5, n * 1.125,
  CASE WHEN n % 3 > 0 THEN DATE '2024-05-01' END, TIMESTAMP '2024-04-01' + n * interval '1 day'
  FROM generate_series(1, 120) n JOIN users u ON u.id = 1 + n % 60 ORDER BY n;
INSERT INTO roles (name) VALUES ('admin'), ('editor'), ('reader'), ('guest');
INSERT INTO role_user VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO profiles VALUES (3, 'hello', 5), (4, NULL, 100);
INSERT INTO visits VALUES (1, '2024-01-01', 3), (1, '2024-01-02', 5);
"""
WANTED = {"users": 5_000, "orders": 20_000, "profiles": 4_000, "role_user": 9_000, "visits": 30_000}


class Server:
    """The admin's session to a server of the engine's own, in a pod."""

    def __init__(self) -> None:
        self.engine = engines.load("postgres")
        self._sandbox = DockerSandbox(run=f"growth-{uuid.uuid4().hex[:8]}", lifetime_seconds=1800)
        try:
            image = self.engine.image_spec(self.engine.default_image())
            db_image = self._sandbox.ensure_image(image, print)
            app_image = self._sandbox.ensure_image(ImageSpec("debian:trixie-slim"), print)
            pod = self._sandbox.open_pod(PodSpec(app_image=app_image, tree="", db_image=db_image), print)
            instance = self.engine.create(pod.db, pod.probe, "main", self.engine.port, "shop", passwords())
            self.session = self.engine.connect(pod.probe, instance, "admin")
        except BaseException:
            self.close()
            raise

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        return self.session.query(sql, params, max_rows=max_rows, timeout=timeout)

    def database(self, script: str) -> Schema:
        self.query("DROP SCHEMA public CASCADE")
        self.query("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        self.query("CREATE EXTENSION citext")
        self.query("CREATE EXTENSION btree_gist")
        for statement in re.split(r";\s*\n", script.strip() + "\n"):
            if statement.strip():
                self.query(statement)
        return self.schema()

    def schema(self) -> Schema:
        return self.engine.schema(self.session, "shop", exact=True)

    def scalar(self, sql: str) -> Any:
        return self.query(sql).scalar

    def close(self) -> None:
        self._sandbox.close()


def grown(server: Server, wanted: Mapping[str, int], seed: int = 1) -> dict[str, int]:
    schema = server.schema()
    plan = plan_growth(schema, ColumnSampler(server, "postgres"), wanted, seed)
    return dict(grow(server, plan, schema))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        running = Server()
    except EnvironmentUnusable as error:
        pytest.skip(error.what)
    yield running
    running.close()


@pytest.fixture(scope="module")
def shop(server: Server) -> Server:
    server.database(SHOP + SEED)
    before = server.engine.schema_dump(server.session, "shop")
    assert grown(server, WANTED) == WANTED
    assert server.engine.schema_dump(server.session, "shop") == before
    return server


def check_keys(server: Server) -> None:
    """Foreign keys were off; unique indexes are read past their index."""
    for table in server.schema().tables:
        for key in table.foreign_keys:
            on = " AND ".join(f'c."{a}" = p."{b}"' for a, b in zip(key.columns, key.referenced, strict=True))
            filled = " AND ".join(f'c."{a}" IS NOT NULL' for a in key.columns)
            orphans = server.scalar(
                f'SELECT COUNT(*) FROM "{table.name}" c LEFT JOIN "{key.table}" p ON {on}'
                f' WHERE {filled} AND p."{key.referenced[0]}" IS NULL'
            )
            assert orphans == 0, (table.name, key)


# These stand before the tests that make other databases in the same server.


def test_every_foreign_key_holds_though_its_triggers_were_off(shop: Server) -> None:
    assert sum(len(t.foreign_keys) for t in shop.schema().tables) == 8
    check_keys(shop)
    assert shop.scalar("SELECT COUNT(*) FROM pg_trigger WHERE tgenabled <> 'O'") == 0


@pytest.mark.parametrize(
    "condition",
    [
        "deleted_at IS NULL", "country IS NULL", "age IS NULL", "token IS NULL", "settings IS NULL",
        "address IS NULL", "manager_id IS NULL", "admin", "status = 'active'", "status = 'it''s pending'",
        "kind = 'robot'", "created_at = updated_at",
    ],
)  # fmt: skip
def test_new_users_lie_on_both_sides_of_every_filter(shop: Server, condition: str) -> None:
    inside = shop.scalar(f"SELECT COUNT(*) FROM users WHERE id > 60 AND ({condition})")
    assert 20 < inside < 4_940 - 20


def test_values_keep_their_shape(shop: Server) -> None:
    for column, pattern in {
        "email": "^Someone.*[+][0-9]+@example[.]org$",
        "slug": "^user-[0-9]+$",
        "key": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        "token": "^[0-9a-f]{40}$",
        "number": "^C-[0-9]{5}$",
        "settings": '^{"a": 1}$',
        "tags": "^{x,y}$",
    }.items():
        odd = shop.query(
            f"SELECT {column} FROM users WHERE id > 60 AND {column}::text !~ '{pattern}' LIMIT 3"
        )
        assert not odd.rows, (column, odd.rows)
    for name in ("O'Neill", "Müller 50%", "back\\slash", "Zoë _x"):
        quoted = name.replace("'", "''")
        assert (
            shop.scalar(f"SELECT COUNT(*) FROM users WHERE id > 60 AND left(name, {len(name)}) = '{quoted}'")
            > 300
        )


def test_what_belongs_together_stays_together(shop: Server) -> None:
    pairs = {
        tuple(r) for r in shop.query("SELECT DISTINCT country, currency FROM users WHERE country <> ''").rows
    }
    assert pairs == {("DE", "EUR"), ("FR", "EUR"), ("US", "USD"), ("BR", "BRL")}
    crossed = (
        "SELECT COUNT(*) FROM orders o JOIN users u ON u.id = o.user_id WHERE o.tenant_id <> u.tenant_id"
    )
    assert shop.scalar(crossed) == 0


def test_numbers_keep_their_scale_and_moments_their_order(shop: Server) -> None:
    assert shop.scalar("SELECT COUNT(*) FROM users WHERE created_at > updated_at") == 0
    assert shop.scalar("SELECT COUNT(*) - COUNT(DISTINCT created_at) FROM users") > 500
    assert shop.scalar("SELECT COUNT(*) FROM orders WHERE weight <> round(weight, 1)") > 1_000
    assert shop.scalar("SELECT COUNT(DISTINCT status) FROM orders") == 3
    assert shop.scalar("SELECT COUNT(*) FROM profiles WHERE done NOT BETWEEN 0 AND 100") == 0


def test_few_parents_have_many_children_and_some_have_none(shop: Server) -> None:
    counts = [
        r[1] for r in shop.query("SELECT user_id, COUNT(*) FROM orders GROUP BY 1 ORDER BY 2 DESC").rows
    ]
    assert sum(counts[: len(counts) // 100]) > 0.08 * 20_000
    without = "SELECT COUNT(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id)"
    assert shop.scalar(without) > 300
    assert shop.scalar("SELECT COUNT(*) FROM users WHERE manager_id >= id AND id > 60") == 0


def test_the_next_row_of_the_application_gets_the_next_number(shop: Server) -> None:
    made = shop.query(
        "INSERT INTO users (tenant_id, name, email, slug, number, currency, created_at, updated_at) "
        "VALUES (1, 'new', 'new', 'new', 'new', 'EUR', now(), now()) RETURNING id"
    )
    assert made.scalar == 5_001
    assert shop.query("INSERT INTO roles (name) VALUES ('fifth') RETURNING id").scalar == 5
    assert (
        shop.query(
            "INSERT INTO orders (tenant_id, user_id, status, total, created_at) "
            "SELECT tenant_id, id, 'open', 1, now() FROM users WHERE id = 1 RETURNING id"
        ).scalar
        == 20_001
    )


def test_the_same_seed_makes_the_same_rows_and_another_seed_others(server: Server) -> None:
    sums = []
    for seed in (1, 1, 2):
        server.database(SHOP + SEED)
        grown(server, WANTED, seed)
        sums.append(
            [
                server.scalar(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {n} t")
                for n in WANTED
            ]
        )
    assert sums[0] == sums[1]
    assert all(a != b for a, b in zip(sums[0], sums[2], strict=True))


def test_growing_twice_goes_on(server: Server) -> None:
    server.database(SHOP + SEED)
    grown(server, {"users": 3_000, "role_user": 500, "visits": 900})
    wanted = {"users": 5_000, "role_user": 3_000, "visits": 2_500}
    assert grown(server, wanted) == wanted
    check_keys(server)


EVERY_TYPE = """
CREATE TYPE mood AS ENUM ('x', 'y''s', 'z');
CREATE TABLE everything (
  id UUID PRIMARY KEY, parent UUID REFERENCES everything (id), code CHAR(2) NOT NULL UNIQUE,
  a SMALLINT NOT NULL, c INT NOT NULL, d BIGINT NOT NULL UNIQUE, e NUMERIC(12,4) NOT NULL, f REAL NOT NULL,
  g DOUBLE PRECISION, i BOOLEAN NOT NULL, j DATE NOT NULL, k TIMESTAMP NOT NULL, l TIMESTAMPTZ,
  m TIME NOT NULL,
  o mood NOT NULL, q VARCHAR(3) NOT NULL, r TEXT, s TEXT NOT NULL, t BYTEA, u BYTEA NOT NULL UNIQUE,
  v JSONB NOT NULL, w JSON NOT NULL, x INET, y INET NOT NULL UNIQUE, z POINT, aa INT[], ab INTERVAL,
  ac TSVECTOR, ad CITEXT NOT NULL UNIQUE, ae INT4RANGE, url VARCHAR(80) NOT NULL, phone VARCHAR(20) NOT NULL,
  price NUMERIC(5,2) NOT NULL CHECK (price > 0 AND price <= 9.99),
  qty INT NOT NULL CHECK (qty BETWEEN 5 AND 9),
  level SMALLINT NOT NULL CHECK (level IN (3, 5)), word VARCHAR(30) NOT NULL CHECK (char_length(word) >= 12),
  total INT GENERATED ALWAYS AS (qty * 2) STORED, created_at TIMESTAMP(0), updated_at TIMESTAMP(0),
  day DATE NOT NULL UNIQUE, "select" VARCHAR(9), "a""b 'c" INT,
  EXCLUDE USING gist (d WITH =));
"""


def test_an_empty_table_with_every_type_is_filled_from_its_schema_and_grown_again(server: Server) -> None:
    server.database(EVERY_TYPE)
    assert grown(server, {"everything": 700}) == {"everything": 700}
    assert server.scalar("SELECT COUNT(parent) FROM everything") > 200
    assert server.scalar("SELECT COUNT(DISTINCT o) FROM everything") == 3
    assert server.scalar("SELECT COUNT(*) FROM everything WHERE updated_at < created_at") == 0
    check_keys(server)
    assert grown(server, {"everything": 1_296}) == {"everything": 1_296}  # all of 36 x 36 codes
    check_keys(server)
    with pytest.raises(UsageError, match=r"at most 1,296"):
        grown(server, {"everything": 1_297})


@pytest.mark.parametrize(
    ("definition", "most"),
    [
        ("flag BOOLEAN NOT NULL UNIQUE", 2),
        ("id SMALLSERIAL PRIMARY KEY, kind INT", 32_767),
        ("kind VARCHAR(9) NOT NULL UNIQUE CHECK (kind IN ('a','b','c'))", 3),
        ("price NUMERIC(3,1) NOT NULL UNIQUE CHECK (price >= 0)", 100),
        (
            "flag BOOLEAN NOT NULL, kind VARCHAR(9) NOT NULL CHECK (kind IN ('a','b','c')), UNIQUE (flag, "
            "kind)",
            6,
        ),
    ],
)
def test_a_type_too_small_for_so_many_unique_rows_says_how_many_can_exist(
    server: Server, definition: str, most: int
) -> None:
    server.database(f"CREATE TABLE small ({definition});\n")
    with pytest.raises(UsageError, match=f"at most {most:,} "):
        grown(server, {"small": most + 1})
    assert grown(server, {"small": most}) == {"small": most}


def test_triggers_are_the_same_afterwards_and_fill_no_side_table(server: Server) -> None:
    server.database(
        "CREATE TABLE things (id SERIAL PRIMARY KEY, name VARCHAR(40), upper_name VARCHAR(40));\n"
        "CREATE TABLE audit (id SERIAL PRIMARY KEY, thing INT);\n"
        "CREATE FUNCTION complete() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.upper_name = upper(NEW.name); RETURN NEW; END';\n"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO audit (thing) VALUES (NEW.id); RETURN NULL; END';\n"
        "CREATE TRIGGER b BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION complete();\n"
        "CREATE TRIGGER a1 AFTER INSERT ON things FOR EACH ROW EXECUTE FUNCTION note();\n"
        "CREATE TRIGGER a2 AFTER INSERT ON things FOR EACH ROW EXECUTE FUNCTION note();\n"
        "ALTER TABLE things DISABLE TRIGGER a2;\n"
        "INSERT INTO things (name) VALUES ('one'), ('two'), ('three');\n"
    )
    before = server.engine.schema_dump(server.session, "shop")
    grown(server, {"things": 500})
    assert server.engine.schema_dump(server.session, "shop") == before
    assert server.scalar("SELECT COUNT(*) FROM audit") == 3
    assert server.scalar("SELECT COUNT(*) FROM things WHERE upper_name <> upper(name)") == 0
    assert server.scalar("SELECT COUNT(upper_name) FROM things") > 450


def test_a_table_that_the_server_refuses_is_named_and_its_triggers_are_back(server: Server) -> None:
    server.database(
        "CREATE TABLE parents (id SERIAL PRIMARY KEY);\n"
        "CREATE TABLE strict_one (id SERIAL PRIMARY KEY, parent_id INT REFERENCES parents (id), "
        "name VARCHAR(40) NOT NULL CHECK (name ~ '^[0-9]+$'));\n"
    )
    with pytest.raises(DatabaseError, match="strict_one could not be grown") as caught:
        grown(server, {"strict_one": 10})
    assert caught.value.next_step
    assert server.scalar("SELECT COUNT(*) FROM pg_trigger WHERE tgenabled <> 'O'") == 0


def test_a_count_that_was_not_reached_is_an_error_that_names_the_table(server: Server) -> None:
    schema = server.database("CREATE TABLE things (id SERIAL PRIMARY KEY, name VARCHAR(40));\n")
    plan = plan_growth(schema, ColumnSampler(server, "postgres"), {"things": 50}, 1)
    server.query("INSERT INTO things (name) VALUES ('somebody else wrote this')")
    server.query("UPDATE things SET id = 1000")
    with pytest.raises(DatabaseError, match="things has 51 rows after growth where 50 were wanted"):
        grow(server, plan, schema)


def test_dates_without_end_are_no_model_for_new_ones(server: Server) -> None:
    server.database(
        "CREATE TABLE prices (id SERIAL PRIMARY KEY, until TIMESTAMPTZ NOT NULL, since DATE NOT NULL);\n"
        "INSERT INTO prices (until, since) SELECT CASE WHEN n % 3 = 0 THEN 'infinity' "
        "ELSE '2024-01-01'::timestamptz + n * interval '1 day' END, '-infinity' FROM generate_series(1, "
        "40) n;\n"
    )
    assert grown(server, {"prices": 1_000}) == {"prices": 1_000}
    assert (
        str(server.scalar("SELECT MAX(until) FROM prices WHERE id > 40 AND until < 'infinity'"))[:4] == "2024"
    )


def test_partitions_are_filled_through_their_table(server: Server) -> None:
    server.database(
        "CREATE TABLE events (id BIGINT GENERATED BY DEFAULT AS IDENTITY, day DATE NOT NULL, kind TEXT, "
        "PRIMARY KEY (id, day)) PARTITION BY RANGE (day);\n"
        "CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2024-01-01');\n"
        "CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);\n"
        "INSERT INTO events (day, kind) SELECT DATE '2023-06-01' + n, 'k' FROM generate_series(1, 400) n;\n"
    )
    assert [t.name for t in server.schema().tables] == ["events"]
    assert grown(server, {"events": 5_000}) == {"events": 5_000}
    for part in ("events_old", "events_new"):
        assert server.scalar(f"SELECT COUNT(*) FROM {part}") > 1_000


def test_tables_that_refer_to_each_other_are_filled(server: Server) -> None:
    server.database(
        "CREATE TABLE teams (id SERIAL PRIMARY KEY, owner_id INT NOT NULL, name VARCHAR(30) NOT NULL);\n"
        "CREATE TABLE people (id SERIAL PRIMARY KEY, team_id INT REFERENCES teams (id), "
        "name VARCHAR(30) NOT NULL);\n"
        "ALTER TABLE teams ADD FOREIGN KEY (owner_id) REFERENCES people (id);\n"
    )
    assert grown(server, {"teams": 100, "people": 1000}) == {"people": 1000, "teams": 100}
    check_keys(server)


def test_a_pair_that_is_there_is_left_out_where_a_key_brings_an_empty_column_along(server: Server) -> None:
    server.database(
        """
        CREATE TABLE groups (id SERIAL PRIMARY KEY, name VARCHAR(40) NOT NULL);
        CREATE TABLE locales (id SERIAL PRIMARY KEY, name VARCHAR(40) NOT NULL,
          group_id INT REFERENCES groups (id));
        CREATE TABLE projects (id SERIAL PRIMARY KEY, name VARCHAR(40) NOT NULL);
        CREATE TABLE project_locales (id SERIAL PRIMARY KEY, locale_id INT NOT NULL REFERENCES locales (id),
          project_id INT NOT NULL REFERENCES projects (id), group_id INT REFERENCES groups (id),
          UNIQUE (project_id, locale_id));
        INSERT INTO groups (name) SELECT 'group ' || n FROM generate_series(1, 30) n;
        INSERT INTO locales (name, group_id) SELECT 'locale ' || n, n FROM generate_series(1, 30) n;
        INSERT INTO projects (name) VALUES ('one'), ('two');
        INSERT INTO project_locales (locale_id, project_id) SELECT l.id, p.id FROM locales l, projects p;
        """
    )
    counts = grown(server, {"projects": 20, "project_locales": 400})
    assert counts["project_locales"] == 400
