"""A real MariaDB server in a container of its own, for the tests of growth."""

from __future__ import annotations

import json
import re
import subprocess
import time
import uuid
from collections.abc import Sequence
from typing import Any

from bedev.sandboxes.engines.engine import Column, ForeignKey, Index, Schema, Table
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import Rows

IMAGE = "bedev-test-growth"
DOCKERFILE = """FROM debian:trixie-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
    mariadb-server python3-pymysql && rm -rf /var/lib/apt/lists/*
"""
SERVER = (
    "mkdir -p /run/mysqld && chown mysql /run/mysqld; exec mariadbd --user=mysql --skip-networking"
    " --innodb-buffer-pool-size=512M --innodb-flush-log-at-trx-commit=0 --skip-log-bin"
    " --innodb-log-file-size=512M"
)
CLIENT = """
import base64, datetime, decimal, json, sys, time
import pymysql
for _ in range(300):
    try:
        c = pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root", autocommit=True,
                            charset="utf8mb4")
        break
    except pymysql.Error:
        time.sleep(0.1)
def plain(v):
    if isinstance(v, (bytes, bytearray)):
        return {"base64": base64.b64encode(v).decode()}
    if v is None or isinstance(v, (bool, int, float, str)):
        return v
    return str(v)
for line in sys.stdin:
    sql, params = json.loads(line)
    try:
        with c.cursor() as k:
            n = k.execute(sql, params or None)
            names = [d[0] for d in k.description] if k.description else []
            rows = [[plain(v) for v in r] for r in k.fetchall()] if names else []
        print(json.dumps([names, rows, n]), flush=True)
    except pymysql.Error as e:
        print(json.dumps({"error": str(e.args[-1]), "code": str(e.args[0])}), flush=True)
"""


class Server:
    """One server and one administrator's session to it (a SqlSession)."""

    def __init__(self) -> None:
        subprocess.run(
            ["docker", "build", "-q", "-t", IMAGE, "-"],
            input=DOCKERFILE.encode(),
            check=True,
            capture_output=True,
        )
        self.name = f"bedev-test-growth-{uuid.uuid4().hex[:8]}"
        subprocess.run(
            [
                "docker",
                "run",
                "-d",
                "--rm",
                "--network",
                "none",
                "--name",
                self.name,
                IMAGE,
                "bash",
                "-c",
                SERVER,
            ],
            check=True,
            capture_output=True,
        )
        self._client = subprocess.Popen(
            ["docker", "exec", "-i", self.name, "python3", "-c", CLIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(json.dumps([sql, list(params)]).encode() + b"\n")
        self._client.stdin.flush()
        started = time.monotonic()
        answer = json.loads(self._client.stdout.readline())
        if isinstance(answer, dict):
            raise DatabaseError(answer["error"], code=answer["code"], detail=sql[:3000])
        names, rows, affected = answer
        return Rows(
            tuple(names),
            tuple(tuple(r) for r in rows[:max_rows]),
            affected,
            seconds=time.monotonic() - started,
        )

    def close(self) -> None:
        self._client.kill()
        self._client.wait()
        subprocess.run(["docker", "rm", "-fv", self.name], check=False, capture_output=True)

    def database(self, script: str) -> Schema:
        """A new database made by `script` (statements that end with `;` and a line's end)."""
        self.query("DROP DATABASE IF EXISTS shop")
        self.query("CREATE DATABASE shop CHARACTER SET utf8mb4")
        self.query("USE shop")
        for statement in re.split(r";\s*\n", script.strip() + "\n"):
            if statement.strip():
                self.query(statement)
        return self.schema()

    def schema(self) -> Schema:
        return Schema(
            tuple(
                self._table(str(r[0]))
                for r in self.query(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
                    " AND table_type = 'BASE TABLE' ORDER BY 1"
                ).rows
            )
        )

    def _table(self, name: str) -> Table:
        columns = []
        for r in self.query(
            "SELECT * FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = %s"
            " ORDER BY ordinal_position",
            (name,),
        ).dicts():
            kind = str(r["COLUMN_TYPE"])
            extra = str(r["EXTRA"]).lower()
            columns.append(
                Column(
                    str(r["COLUMN_NAME"]),
                    kind,
                    str(r["DATA_TYPE"]).lower(),
                    r["IS_NULLABLE"] == "YES",
                    r["COLUMN_DEFAULT"],
                    r["CHARACTER_MAXIMUM_LENGTH"],
                    r["NUMERIC_PRECISION"],
                    r["NUMERIC_SCALE"],
                    "unsigned" in kind,
                    "auto_increment" in extra,
                    "generated" in extra or bool(r["GENERATION_EXPRESSION"]),
                    tuple(v.replace("''", "'") for v in re.findall(r"'((?:[^']|'')*)'", kind))
                    if kind.startswith(("enum", "set"))
                    else (),
                )
            )
        indexes: dict[str, list[Any]] = {}
        for r in self.query(f"SHOW INDEX FROM `{name}`").dicts():
            indexes.setdefault(str(r["Key_name"]), [not r["Non_unique"], []])[1].append(str(r["Column_name"]))
        keys: dict[str, list[Any]] = {}
        for r in self.query(
            "SELECT constraint_name n, column_name c, referenced_table_name t, referenced_column_name r"
            " FROM information_schema.key_column_usage WHERE table_schema = DATABASE() AND table_name = %s"
            " AND referenced_table_name IS NOT NULL ORDER BY ordinal_position",
            (name,),
        ).dicts():
            keys.setdefault(str(r["n"]), []).append((r["c"], r["t"], r["r"]))
        checks = self.query(
            "SELECT check_clause FROM information_schema.check_constraints"
            " WHERE constraint_schema = DATABASE() AND table_name = %s",
            (name,),
        )
        return Table(
            name,
            tuple(columns),
            tuple(Index(n, tuple(c), bool(u), n == "PRIMARY") for n, (u, c) in indexes.items()),
            tuple(
                ForeignKey(n, tuple(p[0] for p in v), v[0][1], tuple(p[2] for p in v))
                for n, v in keys.items()
            ),
            tuple(str(r[0]) for r in checks.rows),
            int(self.query(f"SELECT COUNT(*) FROM `{name}`").scalar),
        )
