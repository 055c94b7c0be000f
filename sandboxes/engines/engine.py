"""What bedev knows of a database server, and the types that every engine speaks.

The contract tests (tests/sandboxes/engines/contract.py) are what a new engine has to pass. An engine is
one folder: server, counters, explain, ddl, growth. It is found by its folder's name; see `load`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.sandbox import Box, ImageSpec, Probe, SqlSession

Role = Literal["admin", "application", "reader"]


@dataclass(frozen=True)
class Instance:
    """One running (or startable) database server in a pod's `db` box, or the folder of a library's files.

    `data_dir` lies below DATA; `passwords` by role, made by the host for this pod or template; only the
    application's is ever seen by `app`. `database` is the application's database name. A library has no use
    for `port` and `passwords`.
    """

    name: str
    data_dir: str
    port: int
    database: str
    passwords: Mapping[Role, str] = field(repr=False)


@dataclass(frozen=True)
class Counters:
    """What the server counted while something ran; None where this engine has no such counter.

    rows_examined: rows read from tables by anybody (triggers, cascades, functions included)
    rows_sorted, rows_sent, rows_written: rows
    pages: logical page reads; temp_pages: pages of temporary tables and sort spill
    statements: statements from the application's connections
    vm_steps: instructions of the engine's virtual machine, where they are what there is to count (SQLite)
    """

    rows_examined: int | None = None
    rows_sorted: int | None = None
    rows_sent: int | None = None
    rows_written: int | None = None
    pages: int | None = None
    temp_pages: int | None = None
    statements: int | None = None
    vm_steps: int | None = None

    def minus(self, earlier: Counters) -> Counters:
        def difference(name: str) -> int | None:
            now, then = getattr(self, name), getattr(earlier, name)
            return None if now is None or then is None else max(0, now - then)

        return Counters(**{name: difference(name) for name in self.__dataclass_fields__})


WEIGHTS: Mapping[str, float] = {
    "rows_examined": 1,
    "rows_sorted": 1,
    "rows_sent": 1,
    "pages": 10,
    "temp_pages": 10,
    "statements": 100,
    "vm_steps": 0.1,
}
"""The documented weights of `work` (docs/proof.md). On patches of nine real applications this sum gave the
right verdict where each single counter was wrong at least once."""


def work(counters: Counters, other: Counters | None = None) -> int:
    """One number for what a database did. A counter that is None in `counters` or in `other` (the other
    side of a comparison) is left out."""
    total = 0.0
    for name, weight in WEIGHTS.items():
        value = getattr(counters, name)
        if value is None or (other is not None and getattr(other, name) is None):
            continue
        total += weight * value
    return round(total)


@dataclass(frozen=True)
class Statement:
    """A statement as the server received it: full text with literal values, in order of arrival."""

    sql: str
    connection: int
    at: float = 0.0


@dataclass(frozen=True)
class SentStatement:
    """A statement as the application's tracer says that it was sent, `calls` times with these values or
    others of the same kind. `process` tells what asked (a request, a command)."""

    sql: str
    bindings: tuple[object, ...] = ()
    calls: int = 1
    process: str = ""


@dataclass(frozen=True)
class StatementStatistics:
    """The server's own digest of a statement: calls, rows and time in total. `rows_examined` is None where
    the server does not count them by statement."""

    digest_text: str
    calls: int
    rows_examined: int | None
    rows_sent: int
    seconds: float


@dataclass(frozen=True)
class PlanFinding:
    """Something in a plan that costs: `id` is stable (`full-scan`, `filesort`, `temporary-table`,
    `bad-estimate`, `full-index-scan`, `join-buffer`), `table` where it happens, `words` for people."""

    id: str
    table: str
    words: str
    rows: int = 0


@dataclass(frozen=True)
class PlanNode:
    """One step of a plan in bedev's normal form. Rows are totals (loops multiplied), None where unknown.

    kind: `table` | `sort` | `temporary` | `group` | `join` | `subquery` | `union` | `result`
    access: `full-scan` | `index-range` | `index-lookup` | `index-scan` | `unique-lookup` | `const` | ``
    """

    kind: str
    table: str = ""
    access: str = ""
    index: str = ""
    key_columns: tuple[str, ...] = ()
    estimated_rows: float | None = None
    actual_rows: float | None = None
    loops: float | None = None
    filtered_percent: float | None = None
    milliseconds: float | None = None
    condition: str = ""
    children: tuple[PlanNode, ...] = ()
    estimated_loops: float | None = None


@dataclass(frozen=True)
class Plan:
    engine: str
    sql: str
    root: PlanNode
    findings: tuple[PlanFinding, ...]
    analyzed: bool
    raw: Any = field(repr=False, default=None)


@dataclass(frozen=True)
class Column:
    """`type` is the server's full type text (`varchar(255)`), `base_type` its first word, lower case.
    `generated` columns are computed by the server. `checks` name-free CHECK expressions on this column."""

    name: str
    type: str
    base_type: str
    nullable: bool
    default: str | None = None
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    unsigned: bool = False
    auto_increment: bool = False
    generated: bool = False
    enum_values: tuple[str, ...] = ()
    collation: str | None = None
    comment: str = ""


@dataclass(frozen=True)
class Index:
    name: str
    columns: tuple[str, ...]
    unique: bool
    primary: bool = False


@dataclass(frozen=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    table: str
    referenced: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    foreign_keys: tuple[ForeignKey, ...]
    checks: tuple[str, ...] = ()
    rows: int = 0

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name.lower() == name.lower()), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        return next((i.columns for i in self.indexes if i.primary), ())


@dataclass(frozen=True)
class Schema:
    """`rows` of tables are exact counts when read with `exact=True`, else the server's estimates."""

    tables: tuple[Table, ...]

    def table(self, name: str) -> Table | None:
        return next((t for t in self.tables if t.name.lower() == name.lower()), None)


@dataclass(frozen=True)
class IndexSpec:
    """An index that somebody might add. `name` is the stack's to choose where it is empty."""

    table: str
    columns: tuple[str, ...]
    unique: bool = False
    name: str = ""


@dataclass(frozen=True)
class IndexSize:
    table: str
    name: str
    columns: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class ColumnGrowth:
    """How one column of new rows is filled (rendered into SQL by the engine, computed in the server).

    kind:
      `auto`         left to the server (auto increment, generated, default)
      `sequence`     a whole number or zero-padded text (`length` characters) that counts on from what is
                     there, unique; `values[0]` stands before the number
      `copy`         the value of an existing row chosen by hash; all copied columns of a new row come from
                     one and the same row, so that what belongs together (country, currency) stays together
      `copy_unique`  an existing value (of `values` where there is no row) made unique by a number that
                     keeps its shape (e-mail, slug, name) within `length` characters
      `copy_varied`  the same with numbers from 1 to `high`, so that values repeat as often as they did
      `foreign_key`  column `referenced` of a row of `table`, skewed so that few parents have many children
                     and some have none; `unique`: no parent twice
      `between`      a number, date or time spread over [low, high], with ties
      `after`        a date or time from that of column `referenced` up to `high`, often equal to it
      `constant`     `values[0]`
      `choice`       one of `values` by `weights` (evenly where there are none)
      `pool`         unique: a whole number of [low, high], or a code of `length` characters, not yet taken
      `uuid`, `hex`  derived from the seed and the row's number, `length` characters, after `values[0]`
    `null_share` in 0..1 is the share of new rows with NULL (0 where not nullable); for `copy`,
    `copy_unique` and `copy_varied` it comes on top of the copied NULLs. `added_share` in 0..1 is the share
    of copied rows that take one of `values` instead. Columns of one `group` take their values from one and
    the same referenced row.
    """

    column: str
    kind: str
    null_share: float = 0.0
    low: Any = None
    high: Any = None
    values: tuple[Any, ...] = ()
    weights: tuple[float, ...] = ()
    table: str = ""
    referenced: str = ""
    length: int = 0
    group: str = ""
    added_share: float = 0.0
    unique: bool = False


@dataclass(frozen=True)
class TableGrowth:
    """New rows for one table: from `present` rows to `wanted`.

    `distinct` names columns of which no combination may occur twice though each of them may (the two keys
    of a pivot table); one column stands for its whole `group`.
    """

    table: str
    present: int
    wanted: int
    columns: tuple[ColumnGrowth, ...]
    source: str = "rows"  # `rows`: sampled from what is there; `schema`: the table was empty
    distinct: tuple[str, ...] = ()


@dataclass(frozen=True)
class GrowthPlan:
    """Tables in the order in which they can be filled (parents first), deterministic for `seed`."""

    tables: tuple[TableGrowth, ...]
    seed: int


@dataclass(frozen=True)
class Trial:
    """What creating an index cost: `seconds` to build and its size in `bytes`."""

    index: IndexSpec
    seconds: float
    bytes: int


class Engine(Protocol):
    """One database server. Methods raise DatabaseError with the server's words, SandboxBroken when the
    server cannot be started (with the last lines of its log)."""

    name: str
    title: str  # "MariaDB"

    @property
    def driver(self) -> Literal["mysql", "postgres", "sqlite"]:
        """What the probe connects with."""
        ...

    port: int  # the port that applications expect, 0 where there is none
    dialect: str  # sqlglot's name of its SQL
    users: Mapping[Role, str]  # who each role is called at the server

    def image_spec(self, image: str) -> ImageSpec:
        """The database image `image` (official or any other with the server's binaries) plus what our
        start script needs."""
        ...

    def default_image(self, version: str = "") -> str: ...

    # server.py
    def create(
        self, db: Box, probe: Probe, name: str, port: int, database: str, passwords: Mapping[Role, str]
    ) -> Instance:
        """A new empty server with the application's database and the three roles, running and ready."""
        ...

    def start(self, db: Box, probe: Probe, instance: Instance) -> None: ...

    def stop(self, db: Box, instance: Instance) -> None:
        """A clean shutdown; idempotent."""
        ...

    def save_template(self, db: Box, instance: Instance, template: str) -> None:
        """Copy the stopped `instance` to TEMPLATES/template."""
        ...

    def clone(self, db: Box, probe: Probe, template: str, name: str, port: int, like: Instance) -> Instance:
        """A running copy of TEMPLATES/template with the passwords and database of `like`."""
        ...

    def copy(self, db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
        """A running copy of a running instance (stopped for the moment of the copy), e.g. to try an index."""
        ...

    def destroy(self, db: Box, instance: Instance) -> None:
        """Stop it and remove its data directory; idempotent."""
        ...

    def connect(self, probe: Probe, instance: Instance, role: Role) -> SqlSession: ...

    def create_database(self, admin: SqlSession, database: str) -> None:
        """Another database that the application's role may use (a test configuration names one)."""
        ...

    def restore(self, db: Box, instance: Instance, dump: bytes, progress: Any = None) -> None:
        """Load a user's SQL dump (gzipped or not) into the application's database, as its role."""
        ...

    def version(self, admin: SqlSession) -> str: ...

    # counters.py
    def counters(self, admin: SqlSession) -> Counters:
        """Running totals; the difference of two readings is what happened between them. Reading moves none
        of them, and none of them falls while the server runs. Read with one session, and `settle` with it
        before each reading, so that a write's background work is not counted, or not by chance."""
        ...

    def settle(self, admin: SqlSession) -> None:
        """Wait until the server's background work (purge, flush of statistics) no longer moves counters."""
        ...

    def start_capture(self, admin: SqlSession) -> None:
        """From now on the statements of all connections are recorded by the server."""
        ...

    def stop_capture(self, admin: SqlSession) -> tuple[Statement, ...]:
        """What the application's role sent since `start_capture`, in order, with literal values."""
        ...

    def statement_statistics(self, admin: SqlSession, reset: bool = False) -> tuple[StatementStatistics, ...]:
        """Digests of the application's database since the last reset."""
        ...

    # explain.py
    def explain(self, session: SqlSession, sql: str, analyze: bool = True) -> Plan: ...

    # ddl.py
    def schema(self, session: SqlSession, database: str, exact: bool = False) -> Schema: ...

    def schema_dump(self, session: SqlSession, database: str) -> str:
        """All tables, views, triggers and routines as text that is equal for equal schemas."""
        ...

    def create_index_sql(self, index: IndexSpec) -> str: ...

    def drop_index_sql(self, index: IndexSpec) -> str: ...

    def index_sizes(self, session: SqlSession, database: str) -> tuple[IndexSize, ...]: ...

    def analyze(self, session: SqlSession, tables: Sequence[str]) -> None:
        """Make the optimizer's statistics for these tables, once and deterministically."""
        ...

    # growth.py
    def grow(
        self, admin: SqlSession, plan: GrowthPlan, schema: Schema, progress: Any = None
    ) -> Mapping[str, int]:
        """Insert the plan's rows inside the server (INSERT ... SELECT); returns exact row counts read
        back for every table of the plan. A table that did not reach its count raises DatabaseError."""
        ...


@runtime_checkable
class LibraryEngine(Engine, Protocol):
    """An engine without a server: a library in the application's own process, and files that `app` and the
    probe share (PodSpec.shared_data). Its pods need no image of their own for `db`.

    Nobody counts for it: what the application sent is known from the stack's tracer, which is therefore on
    whenever something is measured, and `account` finds out what that costs.
    """

    def address(self, instance: Instance) -> str:
        """What the application's configuration names as its database: a path in `app`."""
        ...

    def account(self, admin: SqlSession, sent: Sequence[SentStatement]) -> int:
        """Count these statements of the application, and capture them where a capture runs. Gives the bytes
        that they read from files. Raises DatabaseError where one cannot be counted: the counters then say
        too little."""
        ...


def library(engine: Engine) -> LibraryEngine | None:
    """The engine as a library, None where it is a server."""
    return engine if isinstance(engine, LibraryEngine) else None


def names() -> tuple[str, ...]:
    """The engines that exist: the folders beside this file."""
    import bedev.sandboxes.engines as package

    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg))


def load(name: str) -> Engine:
    """The engine in the folder `name` (its `ENGINE`). Raises UsageError for a name that is not there."""
    if name not in names():
        raise UsageError(
            f"There is no database engine named {name!r}.", next_step=f"Use one of: {', '.join(names())}."
        )
    module = importlib.import_module(f"bedev.sandboxes.engines.{name}")
    engine: Engine = module.ENGINE
    return engine


def compatible(engine: Engine) -> tuple[Engine, ...]:
    """The other engines that speak the same dialect of SQL: they may stand in where the user says so."""
    others = (load(name) for name in names() if name != engine.name)
    return tuple(other for other in others if other.dialect == engine.dialect)
