"""Data of a realistic size: the template that every database of a run is copied from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bedev.sandboxes.application import DATABASE, Application, address_environment, new_passwords
from bedev.sandboxes.engines.engine import Engine, Instance, library
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.full_disk import naming_full_disks
from bedev.sandboxes.sandbox import DATA, Pod, PodSpec, Progress, SqlSession
from bedev.sandboxes.set_up import Brought, key_of


@dataclass(frozen=True)
class DataWish:
    """How much data, from what. `rows` are wanted counts by table (empty: the sensible default); `dump`
    replaces seeding; `command` (`--data`) runs after seeding with `files` in /scenario."""

    rows: Mapping[str, int] = field(default_factory=dict)
    seed: int = 1
    dump: bytes | None = None
    command: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    grow: bool = True


@dataclass(frozen=True)
class DataFacts:
    """What the template holds: exact `rows` by table, `realism`, the server's version, seconds it took."""

    key: str
    rows: Mapping[str, int]
    realism: str
    server: str
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()


Grow = Callable[[Engine, SqlSession, str, Mapping[str, int], int, Progress], Mapping[str, int]]
"""Grows the application's database; tools/database/growth.py has it (this layer knows no growth rules)."""


def make_data(brought: Brought, wish: DataWish, grow: Grow, progress: Progress) -> DataFacts:
    """The template volume with `seeded` and `grown` (cached). Raises SetUpFailed naming the step."""
    recipe, sandbox = brought.recipe, brought.sandbox
    key = key_of(
        brought.tree_key,
        brought.db_image,
        dict(wish.rows),
        wish.seed,
        wish.dump or b"",
        wish.command,
        dict(wish.files),
        wish.grow,
        [recipe.migrate, recipe.seed, dict(recipe.dotenv), dict(recipe.environment)],
        [dict(brought.services), dict(recipe.database_environment)],
    )
    if sandbox.has_template(key):
        return _facts(key, sandbox.template_facts(key))
    sandbox.new_template(key)
    engine = brought.engine
    like = Instance("main", f"{DATA}/main", engine.port, DATABASE, new_passwords())
    try:
        spec = PodSpec(
            brought.app_image,
            brought.tree_key,
            brought.db_image or None,
            templates=key,
            templates_writable=True,
            shared_data=library(brought.engine) is not None,
            services=brought.services,
            environment={**recipe.environment, **address_environment(brought, like)},
            scenario_files=wish.files,
            kind="template",
        )
        pod = sandbox.open_pod(spec, progress)
        try:
            with naming_full_disks(pod):
                facts = _fill(key, brought, pod, like, wish, grow, progress)
        finally:
            pod.close()
        sandbox.seal_template(key, asdict(facts))
        return facts
    except BaseException:
        sandbox.drop_template(key)
        raise


def _fill(
    key: str, brought: Brought, pod: Pod, like: Instance, wish: DataWish, grow: Grow, progress: Progress
) -> DataFacts:
    """Make `seeded` and `grown` in the pod's template volume, by a server with name, port and passwords of
    `like`."""
    engine = brought.engine
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    instance = engine.create(pod.db, pod.probe, like.name, like.port, like.database, like.passwords)
    application = Application(brought, pod, instance)
    application.write_dotenv()
    _seed(application, wish, clock, progress)
    engine.stop(pod.db, instance)
    engine.save_template(pod.db, instance, "seeded")
    engine.start(pod.db, pod.probe, instance)
    admin = engine.connect(pod.probe, instance, "admin")
    server = f"{engine.title} {engine.version(admin)}"
    realism = "copy" if wish.dump is not None else "seeded"
    if wish.grow and wish.dump is None:
        with clock("grow"):
            counts = grow(engine, admin, DATABASE, wish.rows, wish.seed, progress)
        realism = "grown" if counts else "seeded"
    with clock("analyze"):
        progress("making the optimizer's statistics")
        tables = [t.name for t in engine.schema(admin, DATABASE).tables]
        engine.analyze(admin, tables)
    rows = {t.name: t.rows for t in engine.schema(admin, DATABASE, exact=True).tables}
    admin.close()
    with clock("save"):
        engine.stop(pod.db, instance)
        engine.save_template(pod.db, instance, "grown")
    return DataFacts(key, rows, realism, server, seconds)


def _seed(application: Application, wish: DataWish, clock: _Clock, progress: Progress) -> None:
    """Restore the dump, or migrate and seed; then what `--data` says."""
    recipe, database = application.recipe, application.database
    if wish.dump is not None:
        with clock("restore"):
            progress("restoring the dump")
            application.engine.restore(application.pod.db, database, wish.dump, progress)
    else:
        with clock("migrate"):
            progress("migrating")
            application.must(recipe.migrate, "migrate")
        if wish.rows and not wish.command:  # which may make tables too
            _check_tables(application, wish.rows)
        if recipe.seed:
            with clock("seed"):
                progress("seeding")
                application.must(recipe.seed, "seed")
    if wish.command:
        with clock("data"):
            progress(f"running {wish.command}")
            application.must(wish.command, "--data")


def _check_tables(application: Application, rows: Mapping[str, int]) -> None:
    """Raises UsageError for a wanted table that the migrations did not make."""
    schema = application.engine.schema(application.admin, DATABASE)
    for name in rows:
        if schema.tables and schema.table(name) is None:
            names = sorted(table.name for table in schema.tables)
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            raise UsageError(
                f"There is no table named {name!r}.",
                where="--rows, or [database.rows] in bedev.toml",
                next_step=f"The migrations make {', '.join(names[:20])}{more}.",
            )


def _facts(key: str, data: Mapping[str, Any]) -> DataFacts:
    return DataFacts(
        key, dict(data["rows"]), data["realism"], data["server"], dict(data["seconds"]), tuple(data["notes"])
    )


class _Clock:
    """`with clock("migrate"):` adds the seconds that passed under that name."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.name = ""

    def __call__(self, name: str) -> _Clock:
        self.name, self.began = name, time.monotonic()
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = round(time.monotonic() - self.began, 2)
