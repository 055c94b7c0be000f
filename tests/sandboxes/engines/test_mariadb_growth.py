"""Growth on a real MariaDB server: right by construction, deterministic, with rows on both sides."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from bedev.sandboxes.engines.engine import GrowthPlan, Schema
from bedev.sandboxes.engines.mariadb import growth as mariadb_growth
from bedev.sandboxes.engines.mariadb.growth import grow
from bedev.sandboxes.errors import DatabaseError, UsageError
from bedev.tools.database.growth import plan_growth
from bedev.tools.database.growth_sample import ColumnSampler

from .growth_server import Server

pytestmark = pytest.mark.docker

SHOP = """
CREATE TABLE tenants (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL);
CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(100) NOT NULL, currency CHAR(3) NOT NULL);
CREATE TABLE users (
  id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(60) NOT NULL, email VARCHAR(40) NOT NULL, slug VARCHAR(20) NOT NULL UNIQUE,
  uuid CHAR(36) NOT NULL UNIQUE, token CHAR(40) NULL UNIQUE, number VARCHAR(12) NOT NULL UNIQUE,
  password VARCHAR(255) NOT NULL, country CHAR(2) NULL, currency CHAR(3) NOT NULL,
  status ENUM('active','blocked','pending') NOT NULL DEFAULT 'active', admin TINYINT(1) NOT NULL DEFAULT 0,
  age TINYINT UNSIGNED NULL, settings JSON NULL, manager_id BIGINT UNSIGNED NULL,
  deleted_at TIMESTAMP NULL, created_at DATETIME(3) NOT NULL, updated_at DATETIME(3) NOT NULL,
  email_lower VARCHAR(40) GENERATED ALWAYS AS (lower(email)) STORED,
  UNIQUE (tenant_id, email), UNIQUE (tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id), FOREIGN KEY (country) REFERENCES countries (code),
  FOREIGN KEY (manager_id) REFERENCES users (id), CHECK (age is null or age >= 18 and age < 130));
CREATE TABLE orders (
  id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, tenant_id INT UNSIGNED NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL, status VARCHAR(12) NOT NULL, total DECIMAL(9,2) NOT NULL,
  discount DECIMAL(9,2) NOT NULL, paid_on DATE NULL, created_at TIMESTAMP NOT NULL,
  KEY (user_id), FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
  CHECK (status in ('open','paid','void')), CHECK (total >= 0), CHECK (discount <= total));
CREATE TABLE profiles (user_id BIGINT UNSIGNED PRIMARY KEY, bio TEXT,
  FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE roles (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20) NOT NULL UNIQUE);
CREATE TABLE role_user (role_id INT UNSIGNED NOT NULL, user_id BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (role_id, user_id), FOREIGN KEY (role_id) REFERENCES roles (id),
  FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE visits (user_id BIGINT UNSIGNED NOT NULL, day DATE NOT NULL, hits INT NOT NULL,
  UNIQUE (user_id, day), FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE comments (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, post_id BIGINT UNSIGNED NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL, body VARCHAR(200) NOT NULL);
"""
LETTERS = ("DE", "FR", "US", "BR")
NAMES = ("O'Neill", "Müller 50%", "back\\slash", "Zoë _x", "Ana", "Ben")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def seed_shop(server: Server) -> Schema:
    server.database(SHOP)
    draw = random.Random(4)
    server.query("INSERT INTO tenants (name) VALUES ('one'), ('two'), ('three')")
    server.query(
        "INSERT INTO countries VALUES ('DE','Germany','EUR'),('FR','France','EUR'),('US','USA','USD')"
        ",('BR','Brazil','BRL')"
    )
    for n in range(1, 61):
        country = draw.choice(LETTERS)
        currency = {"US": "USD", "BR": "BRL"}.get(country, "EUR")
        server.query(
            "INSERT INTO users (tenant_id,name,email,slug,uuid,token,number,password,country,currency,age,"
            "settings,manager_id,created_at,updated_at)"
            " VALUES (%s,%s,%s,%s,%s,%s,%s,'$2y$10$x',%s,%s,%s,%s,%s,%s,%s)",
            (
                1 + n % 3,
                f"{NAMES[n % 6]} {n}",
                f"someone.quite.long{n}@example.org",
                f"user-{n}",
                f"{draw.getrandbits(32):08x}-0000-4000-8000-{n:012x}",
                f"{draw.getrandbits(160):040x}",
                f"C-{n:05d}",
                country,
                currency,
                18 + n % 50 if n % 7 else None,
                '{"a": 1}',
                1 if n > 5 else None,
                f"2024-01-{1 + n % 28:02} 10:00:00.123",
                f"2024-02-{1 + n % 28:02} 10:00:00.5",
            ),
        )
    for n in range(1, 121):
        user = 1 + draw.randrange(60)
        server.query(
            "INSERT INTO orders (tenant_id,user_id,status,total,discount,paid_on,created_at)"
            " VALUES (%s,%s,%s,%s,%s,%s,%s)",
            (
                1 + user % 3,
                user,
                draw.choice(["open", "paid", "paid"]),
                f"{n}.50",
                "1.50",
                "2024-05-01" if n % 3 else None,
                f"2024-04-{1 + n % 28:02} 00:00:00",
            ),
        )
    server.query("INSERT INTO roles (name) VALUES ('admin'), ('editor'), ('reader'), ('guest')")
    server.query("INSERT INTO role_user VALUES (1, 1), (2, 1), (3, 2)")
    server.query("INSERT INTO profiles VALUES (3, 'hello'), (4, NULL)")
    server.query("INSERT INTO visits VALUES (1, '2024-01-01', 3), (1, '2024-01-02', 5)")
    return server.schema()


WANTED = {"users": 5_000, "orders": 20_000, "profiles": 4_000, "role_user": 9_000, "visits": 30_000}


def plan_for(server: Server, schema: Schema, wanted: dict[str, int], seed: int = 1) -> GrowthPlan:
    return plan_growth(schema, ColumnSampler(server, "mysql"), wanted, seed)


def grown(server: Server, schema: Schema, wanted: dict[str, int], seed: int = 1) -> dict[str, int]:
    return dict(grow(server, plan_for(server, schema, wanted, seed), schema))


def scalar(server: Server, sql: str) -> Any:
    value = server.query(sql).scalar
    return int(value) if value is not None else None


@pytest.fixture(scope="module")
def shop(server: Server) -> Server:
    counts = grown(server, seed_shop(server), WANTED)
    assert counts == WANTED
    return server


def test_every_foreign_key_holds_though_checks_were_off(shop: Server) -> None:
    for table in shop.schema().tables:
        for key in table.foreign_keys:
            on = " AND ".join(f"c.`{a}` = p.`{b}`" for a, b in zip(key.columns, key.referenced, strict=True))
            filled = " AND ".join(f"c.`{a}` IS NOT NULL" for a in key.columns)
            orphans = scalar(
                shop,
                f"SELECT COUNT(*) FROM `{table.name}` c LEFT JOIN `{key.table}` p ON {on}"
                f" WHERE {filled} AND p.`{key.referenced[0]}` IS NULL",
            )
            assert orphans == 0, (table.name, key)


def test_every_unique_index_holds_though_checks_were_off(shop: Server) -> None:
    for table in shop.schema().tables:
        for index in (i for i in table.indexes if i.unique):
            names = ", ".join(f"`{c}`" for c in index.columns)
            filled = " AND ".join(f"`{c}` IS NOT NULL" for c in index.columns)
            twice = shop.query(
                f"SELECT {names} FROM `{table.name}` IGNORE INDEX (`{index.name}`) WHERE {filled}"
                f" GROUP BY {names} HAVING COUNT(*) > 1 LIMIT 1"
            )
            assert not twice.rows, (table.name, index, twice.rows)


def test_indexes_and_tables_are_intact(shop: Server) -> None:
    for table in shop.schema().tables:
        assert shop.query(f"CHECK TABLE `{table.name}` EXTENDED").rows[-1][3] == "OK"


@pytest.mark.parametrize(
    "condition",
    [
        "deleted_at IS NULL", "country IS NULL", "age IS NULL", "token IS NULL", "settings IS NULL",
        "manager_id IS NULL", "admin = 1", "status = 'active'", "status = 'blocked'", "status = 'pending'",
        "created_at = updated_at",
    ],
)  # fmt: skip
def test_new_users_lie_on_both_sides_of_every_filter(shop: Server, condition: str) -> None:
    inside = scalar(shop, f"SELECT COUNT(*) FROM users WHERE id > 60 AND ({condition})")
    assert 20 < inside < 4_940 - 20


def test_values_keep_their_shape(shop: Server) -> None:
    for column, pattern in {
        "email": "^someone[.]quite[.][a-z0-9+]*[+][0-9]+@example[.]org$",
        "slug": "^user-[0-9]+$",
        "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        "number": "^C-[0-9]{5}$",
        "password": "^.2y.10.x$",
        "settings": "^.{8}$",
    }.items():
        odd = shop.query(
            f"SELECT {column} FROM users WHERE id > 60 AND {column} NOT REGEXP '{pattern}' LIMIT 3"
        )
        assert not odd.rows, (column, odd.rows)


def test_special_characters_are_copied_as_they_are(shop: Server) -> None:
    for name in NAMES:
        assert (
            scalar(
                shop,
                f"SELECT COUNT(*) FROM users WHERE id > 60 AND LEFT(name, {len(name)}) = "
                + "'"
                + name.replace("\\", "\\\\").replace("'", "''")
                + "'",
            )
            > 300
        )


def test_what_belongs_together_stays_together(shop: Server) -> None:
    pairs = {
        tuple(r) for r in shop.query("SELECT DISTINCT country, currency FROM users WHERE country <> ''").rows
    }
    assert pairs == {("DE", "EUR"), ("FR", "EUR"), ("US", "USD"), ("BR", "BRL")}
    assert (
        scalar(
            shop,
            "SELECT COUNT(*) FROM orders o JOIN users u ON u.id = o.user_id WHERE o.tenant_id <> u.tenant_id",
        )
        == 0
    )


def test_frequencies_of_a_status_are_kept(shop: Server) -> None:
    paid = scalar(shop, "SELECT COUNT(*) FROM orders WHERE id <= 120 AND status = 'paid'") / 120
    now = scalar(shop, "SELECT COUNT(*) FROM orders WHERE id > 120 AND status = 'paid'") / 19_880
    assert abs(paid - now) < 0.05
    assert scalar(shop, "SELECT COUNT(*) FROM orders WHERE status = 'void'") > 100  # allowed, never seeded


def test_few_parents_have_many_children_and_some_have_none(shop: Server) -> None:
    counts = [
        int(r[1]) for r in shop.query("SELECT user_id, COUNT(*) FROM orders GROUP BY 1 ORDER BY 2 DESC").rows
    ]
    assert sum(counts[: len(counts) // 100]) > 0.08 * 20_000
    assert (
        scalar(
            shop,
            "SELECT COUNT(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id)",
        )
        > 300
    )


def test_moments_tie_and_follow_each_other(shop: Server) -> None:
    assert scalar(shop, "SELECT COUNT(*) FROM users WHERE created_at > updated_at") == 0
    assert scalar(shop, "SELECT COUNT(*) - COUNT(DISTINCT created_at) FROM users") > 500
    assert (
        scalar(
            shop, "SELECT COUNT(*) FROM users WHERE created_at > '2024-03-01' OR created_at < '2024-01-01'"
        )
        == 0
    )


def test_managers_form_a_tree(shop: Server) -> None:
    assert scalar(shop, "SELECT COUNT(*) FROM users WHERE manager_id >= id AND id > 60") == 0
    assert scalar(shop, "SELECT COUNT(DISTINCT manager_id) FROM users") > 200


def test_the_same_seed_makes_the_same_rows_and_another_seed_others(server: Server) -> None:
    sums = []
    for seed in (1, 1, 2):
        grown(server, seed_shop(server), WANTED, seed)
        sums.append([r[1] for r in server.query(f"CHECKSUM TABLE {', '.join(WANTED)}").rows])
    assert sums[0] == sums[1]
    assert all(a != b for a, b in zip(sums[0], sums[2], strict=True))


def test_without_the_sequence_engine_the_rows_are_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = []
    for chunk in (100_000, 1_000):
        monkeypatch.setattr(mariadb_growth, "CHUNK", chunk)
        grown(server, seed_shop(server), WANTED)
        sums.append([r[1] for r in server.query(f"CHECKSUM TABLE {', '.join(WANTED)}").rows])
        monkeypatch.setattr(mariadb_growth, "has_sequences", lambda session: False)
    assert sums[0] == sums[1]


def test_growing_twice_goes_on(server: Server) -> None:
    grown(server, seed_shop(server), {"users": 3_000, "role_user": 500, "visits": 900})
    counts = grown(server, server.schema(), {"users": 5_000, "role_user": 3_000, "visits": 2_500}, seed=1)
    assert counts == {"users": 5_000, "role_user": 3_000, "visits": 2_500}
    test_every_unique_index_holds_though_checks_were_off(server)
    test_every_foreign_key_holds_though_checks_were_off(server)


def test_a_key_without_a_declared_constraint_is_followed_by_its_name(server: Server) -> None:
    schema = seed_shop(server)
    grown(server, schema, {"comments": 500})
    assert (
        scalar(
            server, "SELECT COUNT(*) FROM comments c LEFT JOIN users u ON u.id = c.user_id WHERE u.id IS NULL"
        )
        == 0
    )


EVERY_TYPE = """
CREATE TABLE everything (
  id BINARY(16) PRIMARY KEY, parent BINARY(16) NULL, code CHAR(2) NOT NULL UNIQUE,
  a TINYINT NOT NULL, b SMALLINT UNSIGNED NULL, c MEDIUMINT NOT NULL, d BIGINT UNSIGNED NOT NULL UNIQUE,
  e DECIMAL(12,4) UNSIGNED NOT NULL, f FLOAT NOT NULL, g DOUBLE NULL, h BIT(4) NOT NULL, i BIT(1) NOT NULL,
  j DATE NOT NULL, k DATETIME(6) NOT NULL, l TIMESTAMP NULL, m TIME NOT NULL, n YEAR NOT NULL,
  o ENUM('x','y''s','z') NOT NULL, p SET('r','w','d') NOT NULL, q VARCHAR(3) NOT NULL, r TINYTEXT NULL,
  s LONGTEXT NOT NULL, t BLOB NULL, u VARBINARY(20) NOT NULL UNIQUE, v JSON NOT NULL, w UUID NOT NULL,
  x INET6 NULL, y INET4 NOT NULL UNIQUE, z POINT NULL, url VARCHAR(80) NOT NULL, phone VARCHAR(20) NOT NULL,
  price DECIMAL(5,2) NOT NULL, qty INT NOT NULL, level TINYINT UNSIGNED NOT NULL, word VARCHAR(30) NOT NULL,
  password VARCHAR(255) NOT NULL, total INT GENERATED ALWAYS AS (qty * 2) VIRTUAL,
  created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL, day DATE NOT NULL UNIQUE,
  FOREIGN KEY (parent) REFERENCES everything (id),
  CHECK (price > 0 and price <= 9.99), CHECK (qty between 5 and 9), CHECK (level in (3, 5)),
  CHECK (char_length(word) >= 12), CHECK (json_valid(v)));
"""


def test_an_empty_table_with_every_type_is_filled_from_its_schema_and_grown_again(server: Server) -> None:
    schema = server.database(EVERY_TYPE)
    assert grown(server, schema, {"everything": 700}) == {"everything": 700}
    assert scalar(server, "SELECT COUNT(parent) FROM everything") > 200
    assert (
        scalar(
            server,
            "SELECT COUNT(*) FROM everything c LEFT JOIN everything p ON p.id = c.parent"
            " WHERE c.parent IS NOT NULL AND p.id IS NULL",
        )
        == 0
    )
    assert scalar(server, "SELECT COUNT(DISTINCT o) FROM everything") == 3
    assert scalar(server, "SELECT COUNT(*) FROM everything WHERE updated_at < created_at") == 0
    assert grown(server, server.schema(), {"everything": 1_296}) == {
        "everything": 1_296
    }  # all of 36 x 36 codes
    test_every_unique_index_holds_though_checks_were_off(server)
    with pytest.raises(UsageError, match=r"at most 1,296"):
        grown(server, server.schema(), {"everything": 1_297})


@pytest.mark.parametrize(
    ("definition", "most"),
    [
        ("flag TINYINT(1) NOT NULL UNIQUE", 2),
        ("small TINYINT UNSIGNED NOT NULL UNIQUE", 256),
        ("id TINYINT AUTO_INCREMENT PRIMARY KEY", 127),
        ("kind ENUM('a','b','c') NOT NULL UNIQUE", 3),
        ("price DECIMAL(3,1) NOT NULL UNIQUE, CHECK (price >= 0)", 100),
        ("flag TINYINT(1) NOT NULL, kind ENUM('a','b','c') NOT NULL, UNIQUE (flag, kind)", 6),
    ],
)
def test_a_type_too_small_for_so_many_unique_rows_says_how_many_can_exist(
    server: Server, definition: str, most: int
) -> None:
    schema = server.database(f"CREATE TABLE small ({definition});\n")
    with pytest.raises(UsageError, match=f"at most {most} "):
        plan_for(server, schema, {"small": most + 1})
    assert grown(server, schema, {"small": most}) == {"small": most}


def test_free_values_between_those_that_exist_are_found(server: Server) -> None:
    server.database(
        "CREATE TABLE small (n TINYINT UNSIGNED NOT NULL UNIQUE, code CHAR(2) PRIMARY KEY);\n"
        "INSERT INTO small VALUES (255, 'AA'), (0, '00'), (7, 'ZZ');\n"
    )
    assert grown(server, server.schema(), {"small": 256}) == {"small": 256}


def test_triggers_are_the_same_afterwards_and_fill_no_side_table(server: Server) -> None:
    server.database(
        "CREATE TABLE things (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40), upper_name VARCHAR(40));\n"
        "CREATE TABLE audit (id INT PRIMARY KEY AUTO_INCREMENT, thing INT, words VARCHAR(20));\n"
        "CREATE TRIGGER b BEFORE INSERT ON things FOR EACH ROW SET NEW.upper_name = upper(NEW.name);\n"
        "CREATE TRIGGER a2 AFTER INSERT ON things FOR EACH ROW"
        " INSERT INTO audit (thing, words) VALUES (NEW.id, 'it''s \\\\n');\n"
        "CREATE TRIGGER a1 AFTER INSERT ON things FOR EACH ROW FOLLOWS a2 SET @seen = NEW.id;\n"
        "INSERT INTO things (name) VALUES ('one'), ('two'), ('three');\n"
    )
    columns = (
        "trigger_name, event_manipulation, action_order, action_timing, action_statement, sql_mode, definer,"
        " character_set_client, collation_connection, database_collation"
    )
    shown = f"SELECT {columns} FROM information_schema.triggers WHERE trigger_schema = 'shop' ORDER BY 1"
    before = server.query(shown).rows
    mode = server.query("SELECT @@sql_mode, @@time_zone, @@foreign_key_checks, @@unique_checks").rows
    grown(server, server.schema(), {"things": 500})
    assert server.query(shown).rows == before
    assert len(before) == 3
    assert server.query("SELECT @@sql_mode, @@time_zone, @@foreign_key_checks, @@unique_checks").rows == mode
    assert scalar(server, "SELECT COUNT(*) FROM audit") == 3
    assert scalar(server, "SELECT COUNT(*) FROM things WHERE upper_name <> upper(name)") == 0
    assert scalar(server, "SELECT COUNT(upper_name) FROM things") > 450


def test_a_table_that_the_server_refuses_is_named_and_its_triggers_are_back(server: Server) -> None:
    server.database(
        "CREATE TABLE strict_one (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL,"
        " CHECK (name regexp '^[0-9]+$'));\n"
        "CREATE TRIGGER t AFTER INSERT ON strict_one FOR EACH ROW SET @x = 1;\n"
    )
    with pytest.raises(DatabaseError, match="strict_one could not be grown") as caught:
        grown(server, server.schema(), {"strict_one": 10})
    assert caught.value.next_step
    assert (
        scalar(server, "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'shop'") == 1
    )


def test_a_count_that_was_not_reached_is_an_error_that_names_the_table(server: Server) -> None:
    server.database("CREATE TABLE things (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40));\n")
    schema = server.schema()
    plan = plan_for(server, schema, {"things": 50})
    server.query("INSERT INTO things (name) VALUES ('somebody else wrote this')")
    with pytest.raises(DatabaseError, match="things has 51 rows after growth where 50 were wanted"):
        grow(server, plan, schema)


def test_tables_that_refer_to_each_other_are_filled(server: Server) -> None:
    server.database(
        "CREATE TABLE teams (id INT PRIMARY KEY AUTO_INCREMENT, owner_id INT NOT NULL,"
        " name VARCHAR(30) NOT NULL);\n"
        "CREATE TABLE people (id INT PRIMARY KEY AUTO_INCREMENT, team_id INT NULL, name VARCHAR(30) NOT NULL,"
        " FOREIGN KEY (team_id) REFERENCES teams (id));\n"
        "ALTER TABLE teams ADD FOREIGN KEY (owner_id) REFERENCES people (id);\n"
    )
    assert grown(server, server.schema(), {"teams": 100, "people": 1000}) == {"people": 1000, "teams": 100}
    test_every_foreign_key_holds_though_checks_were_off(server)


ODD = """
CREATE TABLE teams (id CHAR(36) PRIMARY KEY, name VARCHAR(30) NOT NULL);
CREATE TABLE members (id INT PRIMARY KEY AUTO_INCREMENT, team_id CHAR(36) NOT NULL, position INT NOT NULL,
  boss_id INT NOT NULL,
  UNIQUE (team_id, position), FOREIGN KEY (team_id) REFERENCES teams (id),
  FOREIGN KEY (boss_id) REFERENCES members (id));
CREATE TABLE texts (locale VARCHAR(5) NOT NULL, name VARCHAR(80) NOT NULL, words TEXT NULL,
  PRIMARY KEY (locale, name));
CREATE TABLE pictures (id INT PRIMARY KEY AUTO_INCREMENT, owner_type VARCHAR(40) NOT NULL,
  owner_id INT NOT NULL, team_id CHAR(36) NULL, `select` VARCHAR(9) NULL, `a``b 'c` INT NULL,
  KEY (owner_type, owner_id));
CREATE TABLE badges (member_id INT NULL UNIQUE, code VARCHAR(5) NOT NULL UNIQUE, `i` INT,
  FOREIGN KEY (member_id) REFERENCES members (id) ON DELETE SET NULL);
CREATE TABLE pairs (a INT NOT NULL, b INT NOT NULL, c ENUM('x','y') NOT NULL, PRIMARY KEY (a, b, c),
  FOREIGN KEY (a) REFERENCES members (id), FOREIGN KEY (b) REFERENCES members (id));
"""


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("both_sides", [False, True])
def test_odd_tables_grow_with_all_keys_intact(server: Server, seeded: bool, both_sides: bool) -> None:
    server.database(ODD)
    if seeded:
        for statement in (
            "INSERT INTO teams VALUES ('9c5b94b1-35ad-49bb-b118-8e8fc24abf80', 'one'),"
            " ('7c5b94b1-35ad-49bb-b118-8e8fc24abf80', 'two')",
            "SET foreign_key_checks = 0",
            "INSERT INTO members VALUES (1, '9c5b94b1-35ad-49bb-b118-8e8fc24abf80', 1, 1),"
            " (5, '9c5b94b1-35ad-49bb-b118-8e8fc24abf80', 2, 1),"
            " (9, '7c5b94b1-35ad-49bb-b118-8e8fc24abf80', 1, 5)",
            "SET foreign_key_checks = 1",
            "INSERT INTO texts VALUES ('en', 'hello', 'Hello'), ('de', 'hello', 'Hallo'),"
            " ('de', 'bye', NULL)",
            "INSERT INTO pictures VALUES (1, 'Team', 7, NULL, 'x', 3), (2, 'User', 9, NULL, NULL, 4)",
            "INSERT INTO badges VALUES (5, 'AAAAA', 1), (NULL, '00000', 2)",
            "INSERT INTO pairs VALUES (1, 1, 'x'), (1, 5, 'y')",
        ):
            server.query(statement)
    schema = server.schema()
    wanted = {"teams": 40, "members": 300, "texts": 200, "pictures": 400, "badges": 500, "pairs": 5_000}
    plan = plan_growth(schema, ColumnSampler(server, "mysql"), wanted, 3, both_sides)
    assert grow(server, plan, schema) == wanted
    test_every_unique_index_holds_though_checks_were_off(server)
    test_every_foreign_key_holds_though_checks_were_off(server)
