"""PostgreSQL, 15 and later (tried: 17 and 18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bedev.sandboxes.engines import data_directory
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
from bedev.sandboxes.engines.postgres import (
    capture,
    counters,
    ddl,
    explain,
    growth,
    restore,
    schema_dump,
    server,
    sessions,
)
from bedev.sandboxes.engines.roles import USERS
from bedev.sandboxes.sandbox import Box, ImageSpec, Probe, SqlSession


class PostgreSQL:
    """See `engine.Engine`; what each method does is in the module of its subject."""

    name = "postgres"
    title = "PostgreSQL"
    driver: Literal["mysql", "postgres"] = "postgres"
    port = 5432
    dialect = "postgres"
    users: Mapping[Role, str] = USERS

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
        return data_directory.clone(db, probe, template, name, port, like, server.start)

    def copy(self, db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
        return server.copy(db, probe, source, name, port)

    def destroy(self, db: Box, instance: Instance) -> None:
        server.destroy(db, instance)

    def connect(self, probe: Probe, instance: Instance, role: Role) -> SqlSession:
        return sessions.connect(probe, instance, role)

    def create_database(self, admin: SqlSession, database: str) -> None:
        server.create_database(admin, database)

    def restore(self, db: Box, instance: Instance, dump: bytes, progress: Any = None) -> None:
        restore.restore(db, instance, dump, progress)

    def version(self, admin: SqlSession) -> str:
        return str(admin.query("SHOW server_version").scalar)

    def counters(self, admin: SqlSession) -> Counters:
        return counters.read(admin)

    def settle(self, admin: SqlSession) -> None:
        counters.settle(admin)

    def start_capture(self, admin: SqlSession) -> None:
        capture.start(admin)

    def stop_capture(self, admin: SqlSession) -> tuple[Statement, ...]:
        return capture.stop(admin)

    def statement_statistics(self, admin: SqlSession, reset: bool = False) -> tuple[StatementStatistics, ...]:
        return counters.statement_statistics(admin, reset)

    def explain(self, session: SqlSession, sql: str, analyze: bool = True) -> Plan:
        return explain.explain(session, sql, analyze)

    def schema(self, session: SqlSession, database: str, exact: bool = False) -> Schema:
        return ddl.schema(session, exact)

    def schema_dump(self, session: SqlSession, database: str) -> str:
        return schema_dump.schema_dump(session)

    def create_index_sql(self, index: IndexSpec) -> str:
        return ddl.create_index_sql(index)

    def drop_index_sql(self, index: IndexSpec) -> str:
        return ddl.drop_index_sql(index)

    def index_sizes(self, session: SqlSession, database: str) -> tuple[IndexSize, ...]:
        return ddl.index_sizes(session)

    def analyze(self, session: SqlSession, tables: Sequence[str]) -> None:
        ddl.analyze(session, tables)

    def grow(
        self, admin: SqlSession, plan: GrowthPlan, schema: Schema, progress: Any = None
    ) -> Mapping[str, int]:
        return growth.grow(admin, plan, schema, progress)


ENGINE: Engine = PostgreSQL()
