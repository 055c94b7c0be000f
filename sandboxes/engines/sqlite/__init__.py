"""SQLite 3, in the application's own process (tried: 3.46)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bedev.sandboxes.engines.engine import (
    Counters,
    Engine,
    GrowthPlan,
    IndexSize,
    IndexSpec,
    Instance,
    LibraryEngine,
    Plan,
    Role,
    Schema,
    SentStatement,
    Statement,
    StatementStatistics,
)
from bedev.sandboxes.engines.sqlite import counters, ddl, explain, files, growth, restore
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.sandbox import Box, ImageSpec, Probe, SqlSession


class SQLite:
    """See `engine.LibraryEngine`; what each method does is in the module of its subject."""

    name = "sqlite"
    title = "SQLite"
    driver: Literal["sqlite"] = "sqlite"
    port = 0
    dialect = "sqlite"
    users: Mapping[Role, str] = {"admin": "admin", "application": "application", "reader": "reader"}

    def image_spec(self, image: str) -> ImageSpec:
        raise UsageError(
            "SQLite has no image of its own: it is in the application's.",
            next_step="Leave `image` out of [database] in bedev.toml.",
        )

    def default_image(self, version: str = "") -> str:
        return ""

    def create(
        self, db: Box, probe: Probe, name: str, port: int, database: str, passwords: Mapping[Role, str]
    ) -> Instance:
        return files.create(db, name, port, database, passwords)

    def start(self, db: Box, probe: Probe, instance: Instance) -> None:
        """Nothing runs."""

    def stop(self, db: Box, instance: Instance) -> None:
        files.put_in_order(db, instance)

    def save_template(self, db: Box, instance: Instance, template: str) -> None:
        files.save_template(db, instance, template)

    def clone(self, db: Box, probe: Probe, template: str, name: str, port: int, like: Instance) -> Instance:
        return files.clone(db, template, name, port, like)

    def copy(self, db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
        return files.copy(db, source, name, port)

    def destroy(self, db: Box, instance: Instance) -> None:
        files.destroy(db, instance)

    def connect(self, probe: Probe, instance: Instance, role: Role) -> SqlSession:
        return files.connect(probe, instance, role)

    def address(self, instance: Instance) -> str:
        return files.path_of(instance)

    def create_database(self, admin: SqlSession, database: str) -> None:
        admin.query("SELECT bedev_database(%s)", (database,))

    def restore(self, db: Box, instance: Instance, dump: bytes, progress: Any = None) -> None:
        restore.restore(db, instance, dump, progress)

    def version(self, admin: SqlSession) -> str:
        """The probe's, which counts; the application brings its own."""
        library = admin.query("SELECT sqlite_version()").scalar
        return f"{library} (work counted by running again what the application's own tracer recorded)"

    def counters(self, admin: SqlSession) -> Counters:
        return counters.read(admin)

    def account(self, admin: SqlSession, sent: Sequence[SentStatement]) -> int:
        return counters.account(admin, sent)

    def settle(self, admin: SqlSession) -> None:
        """Nothing works in the background."""

    def start_capture(self, admin: SqlSession) -> None:
        counters.start_capture(admin)

    def stop_capture(self, admin: SqlSession) -> tuple[Statement, ...]:
        return counters.stop_capture(admin)

    def statement_statistics(self, admin: SqlSession, reset: bool = False) -> tuple[StatementStatistics, ...]:
        """None: SQLite keeps no digests, and its rows examined are not known."""
        return ()

    def explain(self, session: SqlSession, sql: str, analyze: bool = True) -> Plan:
        return explain.explain(session, sql, analyze)

    def schema(self, session: SqlSession, database: str, exact: bool = False) -> Schema:
        return ddl.schema(session, exact)

    def schema_dump(self, session: SqlSession, database: str) -> str:
        return ddl.schema_dump(session)

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


SQLITE: LibraryEngine = SQLite()
ENGINE: Engine = SQLITE
