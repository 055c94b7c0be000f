"""Growth beside the server's own bulk loads of the very same rows: rows per second and their ratio.

    python benchmarks/growth.py [--users 200000] [--orders 1000000] [--rounds 3]

Three ways fill the same two tables (primary key, unique e-mail, foreign keys, five secondary indexes) on one
server: `grow` makes the rows; `insert-select` copies them from a ready table; `load-data` reads them from a
file on the server's disk. Foreign key and unique checks are off in all three. Prints one table; `--json`
prints one object.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "sandboxes" / "engines"))

SHOP = """
CREATE TABLE countries (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, code CHAR(2) NOT NULL UNIQUE,
  name VARCHAR(100) NOT NULL);
CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(255) NOT NULL,
  email VARCHAR(255) NOT NULL UNIQUE, password VARCHAR(255) NOT NULL, remember_token VARCHAR(100) NULL,
  country_id INT UNSIGNED NULL, status ENUM('active','blocked','pending') NOT NULL DEFAULT 'active',
  deleted_at TIMESTAMP NULL, created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL, KEY (country_id),
  FOREIGN KEY (country_id) REFERENCES countries (id));
CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, user_id BIGINT UNSIGNED NOT NULL,
  status VARCHAR(20) NOT NULL, total DECIMAL(10,2) NOT NULL CHECK (total >= 0), created_at TIMESTAMP NULL,
  updated_at TIMESTAMP NULL, KEY (user_id), KEY (status), KEY (created_at),
  FOREIGN KEY (user_id) REFERENCES users (id));
"""
TABLES = ("users", "orders")


def seed(server: object) -> None:
    """Ten countries, 200 users, 1,000 orders."""
    draw = random.Random(1)
    query = server.query  # type: ignore[attr-defined]
    query("INSERT INTO countries (code, name) VALUES " + ",".join(f"('C{n}','Land {n}')" for n in range(10)))
    for n in range(200):
        query(
            "INSERT INTO users (name, email, password, remember_token, country_id, created_at, updated_at)"
            " VALUES (%s, %s, '$2y$10$x', %s, %s, %s, %s)",
            (f"User {n}", f"user{n}@example.org", f"{draw.getrandbits(160):040x}", 1 + draw.randrange(10),
             f"2024-01-{1 + n % 28:02} 10:00:00", f"2024-02-{1 + n % 28:02} 10:00:00"),
        )  # fmt: skip
    for n in range(1000):
        query(
            "INSERT INTO orders (user_id, status, total, created_at, updated_at) VALUES (%s, %s, %s, %s, %s)",
            (1 + draw.randrange(200), draw.choice(["paid", "paid", "open"]), n + 0.5,
             f"2024-03-{1 + n % 28:02} 10:00:00", f"2024-03-{1 + n % 28:02} 10:00:00"),
        )  # fmt: skip


def main() -> None:
    from bedev.sandboxes.engines.mariadb.growth import grow
    from bedev.tools.database.growth import plan_growth
    from bedev.tools.database.growth_sample import ColumnSampler
    from growth_server import Server

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--users", type=int, default=200_000)
    options.add_argument("--orders", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    seconds: dict[str, list[float]] = {"grow": [], "insert-select": [], "load-data": []}
    rows = asked.users + asked.orders
    server = Server()
    try:
        for _ in range(asked.rounds):
            server.database(SHOP)
            seed(server)
            schema = server.schema()
            started = time.monotonic()
            plan = plan_growth(
                schema, ColumnSampler(server, "mysql"), {"users": asked.users, "orders": asked.orders}, 1
            )
            grow(server, plan, schema)
            seconds["grow"].append(time.monotonic() - started)
            server.query("SET SESSION foreign_key_checks = 0, unique_checks = 0")
            for table in TABLES:
                server.query(f"CREATE TABLE ready_{table} AS SELECT * FROM {table}", timeout=600)
                server.query(
                    f"SELECT * FROM {table} INTO OUTFILE '/tmp/{table}-{len(seconds['grow'])}.txt'",
                    timeout=600,
                )
            for way in ("insert-select", "load-data"):
                taken = 0.0
                for table in TABLES:
                    # The first rows stay, as they do for growth: an empty table has a fast path of its own.
                    kept = {"users": 200, "orders": 1000}[table]
                    server.query(f"DELETE FROM {table} WHERE id > {kept}", timeout=600)
                    server.query(f"OPTIMIZE TABLE {table}", timeout=600)
                    columns = f"SELECT * FROM ready_{table} WHERE id > {kept} ORDER BY id"
                    started = time.monotonic()
                    if way == "insert-select":
                        server.query(f"INSERT INTO {table} {columns}", timeout=600)
                    else:
                        path = f"/tmp/{table}-{len(seconds['grow'])}.txt"
                        server.query(f"LOAD DATA INFILE '{path}' IGNORE INTO TABLE {table}", timeout=600)
                    taken += time.monotonic() - started
                seconds[way].append(taken)
            server.query("SET SESSION foreign_key_checks = 1, unique_checks = 1")
    finally:
        server.close()
    typical = {way: statistics.median(times) for way, times in seconds.items()}
    if asked.json:
        answer = {"rows": rows, "rounds": asked.rounds, "seconds": typical}
        sys.stdout.write(json.dumps(answer) + "\n")
        return
    sys.stdout.write(f"{rows:,} rows, median of {asked.rounds}\n")
    for way, spent in typical.items():
        against = typical["grow"] / spent
        sys.stdout.write(f"{way:15}{spent:8.2f} s {rows / spent:12,.0f} rows/s   grow takes {against:.2f}x\n")


if __name__ == "__main__":
    main()
