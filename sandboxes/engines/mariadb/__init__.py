"""MariaDB, 10.6 and later (tried: 11.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bedev.sandboxes.engines import data_directory, mysql_family
from bedev.sandboxes.engines.engine import (
    Counters,
    Engine,
    GrowthPlan,
    IndexSize,
    IndexSpec,
    Instance,
    Plan,
    Role,
    Schema,
    Statement,
    StatementStatistics,
)
from bedev.sandboxes.engines.mariadb import counters, ddl, explain, growth, restore, server
from bedev.sandboxes.sandbox import Box, ImageSpec, Probe, SqlSession


class MariaDB:
    """See `engine.Engine`; what each method does is in the module of its subject."""

    name = "mariadb"
    title = "MariaDB"
    driver: Literal["mysql", "postgres"] = "mysql"
    port = 3306
    dialect = "mysql"
    users: Mapping[Role, str] = mysql_family.USERS

    def image_spec(self, image: str) -> ImageSpec:
        return server.image_spec(image)

    def default_image(self, version: str = "") -> str:
        return server.default_image(version)

    def create(
        self, db: Box, probe: Probe, name: str, port: int, database: str, passwords: Mapping[Role, str]
    ) -> Instance:
        return server.create(db, probe, name, port, database, passwords)

    def start(self, db: Box, probe: Probe, instance: Instance) -> None:
        server.start(db, probe, instance)

    def stop(self, db: Box, instance: Instance) -> None:
        server.stop(db, instance)

    def save_template(self, db: Box, instance: Instance, template: str) -> None:
        data_directory.save_template(db, instance, template)

    def clone(self, db: Box, probe: Probe, template: str, name: str, port: int, like: Instance) -> Instance:
        return server.clone(db, probe, template, name, port, like)

    def copy(self, db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
        return server.copy(db, probe, source, name, port)

    def destroy(self, db: Box, instance: Instance) -> None:
        data_directory.destroy(db, instance)

    def connect(self, probe: Probe, instance: Instance, role: Role) -> SqlSession:
        return mysql_family.connect(probe, instance, role)

    def create_database(self, admin: SqlSession, database: str) -> None:
        mysql_family.create_database(admin, database)

    def restore(self, db: Box, instance: Instance, dump: bytes, progress: Any = None) -> None:
        restore.restore(db, instance, dump, progress)

    def version(self, admin: SqlSession) -> str:
        return str(admin.query("SELECT VERSION()").scalar)

    def counters(self, admin: SqlSession) -> Counters:
        return counters.read(admin)

    def settle(self, admin: SqlSession) -> None:
        counters.settle(admin)

    def start_capture(self, admin: SqlSession) -> None:
        mysql_family.start_capture(admin)

    def stop_capture(self, admin: SqlSession) -> tuple[Statement, ...]:
        return mysql_family.stop_capture(admin)

    def statement_statistics(self, admin: SqlSession, reset: bool = False) -> tuple[StatementStatistics, ...]:
        return mysql_family.statement_statistics(admin, reset)

    def explain(self, session: SqlSession, sql: str, analyze: bool = True) -> Plan:
        return explain.explain(session, sql, analyze)

    def schema(self, session: SqlSession, database: str, exact: bool = False) -> Schema:
        return ddl.schema(session, database, exact)

    def schema_dump(self, session: SqlSession, database: str) -> str:
        return ddl.schema_dump(session, database)

    def create_index_sql(self, index: IndexSpec) -> str:
        return ddl.create_index_sql(index)

    def drop_index_sql(self, index: IndexSpec) -> str:
        return ddl.drop_index_sql(index)

    def index_sizes(self, session: SqlSession, database: str) -> tuple[IndexSize, ...]:
        return ddl.index_sizes(session, database)

    def analyze(self, session: SqlSession, tables: Sequence[str]) -> None:
        ddl.analyze(session, tables)

    def grow(
        self, admin: SqlSession, plan: GrowthPlan, schema: Schema, progress: Any = None
    ) -> Mapping[str, int]:
        return growth.grow(admin, plan, schema, progress)


ENGINE: Engine = MariaDB()
