"""Growth in SQLite: right by construction, deterministic, with rows on both sides.

The probe's session runs in this process: for a library that is the real thing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bedev.sandboxes.engines.engine import Schema
from bedev.sandboxes.engines.sqlite import ddl, growth
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.probe.sqlite_session import SqliteSession
from bedev.sandboxes.sandbox import Rows
from bedev.tools.database.growth import plan_growth
from bedev.tools.database.growth_sample import ColumnSampler

SHOP = """
CREATE TABLE tenants (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(50) NOT NULL);
CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(100) NOT NULL, currency CHAR(3) NOT NULL);
CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, tenant_id INTEGER NOT NULL,
  name VARCHAR NOT NULL, email VARCHAR(40) NOT NULL, slug VARCHAR(20) NOT NULL UNIQUE,
  uuid CHAR(36) NOT NULL UNIQUE, token CHAR(40) NULL UNIQUE, number VARCHAR(12) NOT NULL UNIQUE,
  password VARCHAR NOT NULL, country CHAR(2) NULL, currency CHAR(3) NOT NULL,
  status VARCHAR CHECK ("status" IN ('active','blocked','pending')) NOT NULL DEFAULT 'active',
  admin TINYINT(1) NOT NULL DEFAULT 0, age INTEGER NULL, settings TEXT NULL, manager_id INTEGER NULL,
  deleted_at DATETIME NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL,
  email_lower VARCHAR(40) GENERATED ALWAYS AS (lower(email)) STORED,
  UNIQUE (tenant_id, email), UNIQUE (tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id), FOREIGN KEY (country) REFERENCES countries (code),
  FOREIGN KEY (manager_id) REFERENCES users (id), CHECK (age is null or age >= 18 and age < 130));
CREATE TABLE orders (
  id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id INTEGER NOT NULL,
  user_id INTEGER NOT NULL, status VARCHAR(12) NOT NULL, total DECIMAL(9,2) NOT NULL,
  discount NUMERIC NOT NULL, paid_on DATE NULL, created_at DATETIME NOT NULL,
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
  CHECK (status in ('open','paid','void')), CHECK (total >= 0));
CREATE INDEX orders_user ON orders (user_id);
CREATE TABLE profiles (user_id INTEGER PRIMARY KEY, bio TEXT, FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE roles (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(20) NOT NULL UNIQUE);
CREATE TABLE role_user (role_id INTEGER NOT NULL, user_id INTEGER NOT NULL,
  PRIMARY KEY (role_id, user_id), FOREIGN KEY (role_id) REFERENCES roles (id),
  FOREIGN KEY (user_id) REFERENCES users (id)) WITHOUT ROWID;
CREATE TABLE visits (user_id INTEGER NOT NULL, day DATE NOT NULL, hits INTEGER NOT NULL,
  UNIQUE (user_id, day), FOREIGN KEY (user_id) REFERENCES users (id));
"""
LETTERS = ("DE", "FR", "US", "BR")
NAMES = ("O'Neill", "Müller 50%", "back\\slash", "Zoë _x", "Ana", "Ben")
WANTED = {"users": 5_000, "orders": 20_000, "profiles": 4_000, "role_user": 9_000, "visits": 30_000}


class Refused(Exception):
    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class Shop:
    """A database file and an administrator's session to it (a SqlSession)."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._session = SqliteSession({"user": "admin", "session": 1, "database": str(self.path)}, Refused)

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        try:
            answer = self._session.query(sql, list(params), max_rows)
        except Refused as error:
            raise DatabaseError(str(error), code=error.code, detail=sql[:3000]) from None
        rows = tuple(tuple(row) for row in answer["rows"])
        return Rows(tuple(answer["columns"]), rows, answer["affected"], answer["truncated"])

    def close(self) -> None:
        self._session.close()

    def script(self, text: str) -> None:
        for statement in re.split(r";\s*\n", text.strip() + "\n"):
            if statement.strip():
                self.query(statement)

    def schema(self) -> Schema:
        return ddl.schema(self, exact=True)

    def grow(self, wanted: dict[str, int], seed: int = 1) -> dict[str, int]:
        schema = self.schema()
        plan = plan_growth(schema, ColumnSampler(self, "sqlite"), wanted, seed)
        return dict(growth.grow(self, plan, schema))

    def number(self, sql: str) -> int:
        return int(self.query(sql).scalar)


def seeded(path: Path) -> Shop:
    shop = Shop(path)
    shop.script(SHOP)
    draw = random.Random(4)
    shop.query("INSERT INTO tenants (name) VALUES ('one'), ('two'), ('three')")
    shop.query(
        "INSERT INTO countries VALUES ('DE','Germany','EUR'),('FR','France','EUR'),('US','USA','USD')"
        ",('BR','Brazil','BRL')"
    )
    for n in range(1, 61):
        country = draw.choice(LETTERS)
        values = (
            1 + n % 3,
            f"{NAMES[n % 6]} {n}",
            f"someone.quite.long{n}@example.org",
            f"user-{n}",
            f"{draw.getrandbits(32):08x}-0000-4000-8000-{n:012x}",
            f"{draw.getrandbits(160):040x}",
            f"C-{n:05d}",
            country,
            {"US": "USD", "BR": "BRL"}.get(country, "EUR"),
            18 + n % 50 if n % 7 else None,
            '{"a": 1}',
            1 if n > 5 else None,
            f"2024-01-{1 + n % 28:02} 10:00:00",
            f"2024-02-{1 + n % 28:02} 10:00:00",
        )
        shop.query(
            "INSERT INTO users (tenant_id,name,email,slug,uuid,token,number,password,country,currency,age,"
            "settings,manager_id,created_at,updated_at)"
            " VALUES (%s,%s,%s,%s,%s,%s,%s,'$2y$10$x',%s,%s,%s,%s,%s,%s,%s)",
            values,
        )
    for n in range(1, 121):
        user = 1 + draw.randrange(60)
        shop.query(
            "INSERT INTO orders (tenant_id,user_id,status,total,discount,paid_on,created_at)"
            " VALUES (%s,%s,%s,%s,%s,%s,%s)",
            (
                1 + user % 3,
                user,
                draw.choice(["open", "paid", "paid"]),
                n + 0.5,
                1 + n / 100,
                "2024-05-01" if n % 3 else None,
                f"2024-04-{1 + n % 28:02} 00:00:00",
            ),
        )
    shop.query("INSERT INTO roles (name) VALUES ('admin'), ('editor'), ('reader'), ('guest')")
    shop.query("INSERT INTO role_user VALUES (1, 1), (2, 1), (3, 2)")
    shop.query("INSERT INTO profiles VALUES (3, 'hello'), (4, NULL)")
    shop.query("INSERT INTO visits VALUES (1, '2024-01-01', 3), (1, '2024-01-02', 5)")
    return shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = seeded(tmp_path_factory.mktemp("growth") / "app.sqlite")
    assert made.grow(WANTED) == WANTED
    return made


def test_keys_checks_and_indexes_hold(shop: Shop) -> None:
    assert shop.query("PRAGMA foreign_key_check").rows == ()
    assert shop.query("PRAGMA integrity_check").rows == (("ok",),)  # NOT NULL, CHECK and UNIQUE too
    for table in shop.schema().tables:
        for index in (i for i in table.indexes if i.unique):
            names = ", ".join(f'+"{c}"' for c in index.columns)
            filled = " AND ".join(f'"{c}" IS NOT NULL' for c in index.columns)
            twice = shop.query(
                f'SELECT {names} FROM "{table.name}" WHERE {filled} GROUP BY {names} HAVING COUNT(*) > 1'
            )
            assert not twice.rows, (table.name, index)


@pytest.mark.parametrize(
    "condition",
    [
        "deleted_at IS NULL", "country IS NULL", "age IS NULL", "token IS NULL", "settings IS NULL",
        "manager_id IS NULL", "status = 'active'", "status = 'blocked'", "status = 'pending'",
        "created_at = updated_at", "admin = 1",
    ],
)  # fmt: skip
def test_new_users_lie_on_both_sides_of_every_filter(shop: Shop, condition: str) -> None:
    assert 20 < shop.number(f"SELECT COUNT(*) FROM users WHERE id > 60 AND ({condition})") < 4_920


def test_values_keep_their_shape(shop: Shop) -> None:
    for table, column, pattern in (
        ("users", "email", r"someone\.quite\.[a-z0-9+]*\+[0-9]+@example\.org"),
        ("users", "slug", r"user-[0-9]+"),
        ("users", "uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("users", "number", r"C-[0-9]{5}"),
        ("users", "token", r"[0-9a-f]{40}|None"),
        ("users", "created_at", r"2024-0[12]-\d\d \d\d:\d\d:\d\d"),
        ("orders", "paid_on", r"2\d{3}-\d\d-\d\d|None"),
        ("orders", "discount", r"\d+(\.\d\d?)?"),
        ("orders", "total", r"\d+(\.\d\d?)?"),
    ):
        rows = shop.query(f"SELECT {column} FROM {table} WHERE id > 120", max_rows=30_000).rows
        odd = [row[0] for row in rows if not re.fullmatch(pattern, str(row[0]))]
        assert not odd, (column, odd[:3])
    for name in NAMES:
        assert sum(str(row[0]).startswith(name) for row in shop.query("SELECT name FROM users").rows) > 300


def test_what_belongs_together_stays_together(shop: Shop) -> None:
    pairs = shop.query("SELECT DISTINCT country, currency FROM users WHERE country <> ''").rows
    assert set(pairs) == {("DE", "EUR"), ("FR", "EUR"), ("US", "USD"), ("BR", "BRL")}
    joined = "orders o JOIN users u ON u.id = o.user_id"
    assert shop.number(f"SELECT COUNT(*) FROM {joined} WHERE o.tenant_id <> u.tenant_id") == 0


def test_few_parents_have_many_children_and_some_have_none(shop: Shop) -> None:
    rows = shop.query("SELECT COUNT(*) FROM orders GROUP BY user_id ORDER BY 1 DESC").rows
    assert sum(int(row[0]) for row in rows[: len(rows) // 100]) > 0.08 * 20_000
    assert shop.number("SELECT COUNT(*) FROM users WHERE id NOT IN (SELECT user_id FROM orders)") > 300
    assert shop.number("SELECT COUNT(*) FROM users WHERE manager_id >= id AND id > 60") == 0


def test_moments_tie_and_follow_each_other(shop: Shop) -> None:
    assert shop.number("SELECT COUNT(*) FROM users WHERE created_at > updated_at") == 0
    assert shop.number("SELECT COUNT(*) - COUNT(DISTINCT created_at) FROM users") > 500


def test_draws_of_two_columns_do_not_tell_each_other(shop: Shop) -> None:
    """A NULL in one column leaves the share of NULLs in another where it is."""
    rows = shop.query("SELECT deleted_at IS NULL, country IS NULL, admin FROM users WHERE id > 60").rows
    for first, second in ((0, 1), (1, 2)):
        share = sum(bool(row[second]) for row in rows) / len(rows)
        within = [bool(row[second]) for row in rows if row[first]]
        assert abs(sum(within) / len(within) - share) < 0.05


def test_the_same_seed_makes_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    made = []
    for number, seed in enumerate((1, 1, 2)):
        shop = seeded(tmp_path / f"{number}.sqlite")
        shop.grow(WANTED, seed)
        made.append([shop.query(f"SELECT * FROM {name}", max_rows=50_000).rows for name in WANTED])
        shop.close()
    assert made[0] == made[1]
    assert all(a != b for a, b in zip(made[0], made[2], strict=True))


def test_growing_twice_goes_on(tmp_path: Path) -> None:
    shop = seeded(tmp_path / "app.sqlite")
    shop.grow({"users": 3_000, "role_user": 500, "visits": 900})
    again = {"users": 5_000, "role_user": 3_000, "visits": 2_500}
    assert shop.grow(again) == again
    test_keys_checks_and_indexes_hold(shop)


def test_triggers_are_the_same_afterwards_and_fill_no_side_table(tmp_path: Path) -> None:
    shop = seeded(tmp_path / "app.sqlite")
    shop.query("CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)")
    shop.query(
        "CREATE TRIGGER noted AFTER INSERT ON users BEGIN INSERT INTO log (what) VALUES (NEW.name); END"
    )
    shop.query("CREATE TRIGGER guard BEFORE INSERT ON users BEGIN SELECT RAISE(IGNORE) WHERE NEW.id < 0; END")
    before = ddl.schema_dump(shop)
    shop.grow({"users": 500})
    assert ddl.schema_dump(shop) == before
    assert shop.number("SELECT COUNT(*) FROM log") == 0


def test_a_table_that_refuses_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    shop = seeded(tmp_path / "app.sqlite")
    shop.query("CREATE TRIGGER no BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'never'); END")
    with pytest.raises(DatabaseError, match="orders could not be grown: never"):
        shop.grow({"users": 500, "orders": 500})
    assert shop.number("SELECT COUNT(*) FROM users") == 60
    assert shop.query("PRAGMA foreign_keys").scalar == 1


def test_an_empty_schema_is_filled(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "app.sqlite")
    shop.script(SHOP)
    wanted = {"tenants": 10, "countries": 30, "users": 1_000, "orders": 3_000, "visits": 500}
    assert shop.grow(wanted) == wanted
    test_keys_checks_and_indexes_hold(shop)
