"""A repository's application, brought up by its recipe: images, prepared tree, data, one running copy.

This is where stack, engine and sandbox meet. The gate opens one for base and one for the patch; the
agent's tools work in another. Nothing here judges.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from bedev.sandboxes.engines.engine import Counters, Engine, Instance, Role, Statement
from bedev.sandboxes.errors import DatabaseError, SandboxBroken, SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import (
    DATA,
    STACK_FILES,
    CommandResult,
    HostAccess,
    HttpRequest,
    HttpResponse,
    ImageSpec,
    Pod,
    PodSpec,
    Progress,
    Sandbox,
    Service,
    SqlSession,
    TreeFile,
)
from bedev.sandboxes.stacks.stack import Stack, TestCase, TracedQuery

DATABASE = "app"
TEST_PORT_OFFSET = 1
SERVER_START_SECONDS = 60.0
TRACE_FILE = "/tmp/bedev-trace.jsonl"


@dataclass(frozen=True)
class Brought:
    """What set-up made out of one tree, shared by every pod of it: stack, engine, recipe, images, files."""

    sandbox: Sandbox
    stack: Stack
    engine: Engine
    recipe: Recipe
    app_image: str
    db_image: str
    tree_key: str
    seconds: float


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


def bring_up(
    sandbox: Sandbox,
    stack: Stack,
    engine: Engine,
    recipe: Recipe,
    tree_id: str,
    files: Callable[[], Iterable[TreeFile]],
    access: HostAccess,
    progress: Progress,
) -> Brought:
    """Build the images and prepare the tree (cached). Raises SetUpFailed, EnvironmentUnusable."""
    started = time.monotonic()
    stack_files = {f"{STACK_FILES}/{name}": content for name, content in stack.files().items()}
    app_image = sandbox.ensure_image(
        ImageSpec(recipe.image, recipe.packages, recipe.image_lines, stack_files), progress
    )
    db_image = sandbox.ensure_image(
        engine.image_spec(recipe.engine_image or engine.default_image()), progress
    )
    steps = stack.set_up_steps(recipe)
    key = _key(tree_id, app_image, [(s.command, s.network, dict(s.env)) for s in steps])
    tree_key = sandbox.prepare_tree(key, files, app_image, steps, access, progress)
    return Brought(sandbox, stack, engine, recipe, app_image, db_image, tree_key, time.monotonic() - started)


def _key(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=lambda v: hashlib.sha256(v).hexdigest())
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def make_data(brought: Brought, wish: DataWish, grow: Grow, progress: Progress) -> DataFacts:
    """The template volume with `seeded` and `grown` (cached). Raises SetUpFailed naming the step."""
    recipe, sandbox, engine = brought.recipe, brought.sandbox, brought.engine
    key = _key(
        brought.tree_key,
        brought.db_image,
        dict(wish.rows),
        wish.seed,
        wish.dump or b"",
        wish.command,
        dict(wish.files),
        wish.grow,
        [recipe.migrate, recipe.seed, dict(recipe.dotenv), dict(recipe.environment)],
    )
    if sandbox.has_template(key):
        return _facts(key, sandbox.template_facts(key))
    sandbox.new_template(key)
    seconds: dict[str, float] = {}
    notes: list[str] = []
    try:
        spec = PodSpec(
            brought.app_image,
            brought.tree_key,
            brought.db_image,
            templates=key,
            templates_writable=True,
            environment=recipe.environment,
            scenario_files=wish.files,
            kind="template",
        )
        pod = sandbox.open_pod(spec, progress)
        try:
            instance = engine.create(pod.db, pod.probe, "main", engine.port, DATABASE, new_passwords())
            application = Application(brought, pod, instance)
            application.write_dotenv()
            clock = _Clock(seconds)
            if wish.dump is not None:
                with clock("restore"):
                    progress("restoring the dump")
                    engine.restore(pod.db, instance, wish.dump, progress)
            else:
                with clock("migrate"):
                    progress("migrating")
                    application.must(recipe.migrate, "migrate")
                if recipe.seed:
                    with clock("seed"):
                        progress("seeding")
                        application.must(recipe.seed, "seed")
            if wish.command:
                with clock("data"):
                    progress(f"running {wish.command}")
                    application.must(wish.command, "--data")
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
        finally:
            pod.close()
        facts = DataFacts(key, rows, realism, server, seconds, tuple(notes))
        sandbox.seal_template(key, asdict(facts))
        return facts
    except BaseException:
        sandbox.drop_template(key)
        raise


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


def new_passwords() -> Mapping[Role, str]:
    return {
        "admin": secrets.token_hex(16),
        "application": secrets.token_hex(16),
        "reader": secrets.token_hex(16),
    }


class Application:
    """One copy of the application, running in one pod with its own database.

    Not safe for two threads at once; the gate uses one for each side.
    """

    def __init__(self, brought: Brought, pod: Pod, database: Instance) -> None:
        self.brought, self.pod, self.database = brought, pod, database
        self.stack, self.engine, self.recipe = brought.stack, brought.engine, brought.recipe
        self._server: Service | None = None
        self._admin: SqlSession | None = None
        self._serving: tuple[str, str] = ("", "")

    @classmethod
    def open(
        cls,
        brought: Brought,
        template: str,
        progress: Progress,
        *,
        data: str = "grown",
        edits: Mapping[str, bytes | None] | None = None,
        scenario_files: Mapping[str, bytes] | None = None,
    ) -> Application:
        """A fresh pod whose database is a clone of the template and whose files are the prepared tree with
        `edits` (path -> content, None deletes). Built output is built again where the recipe builds."""
        engine = brought.engine
        pod = brought.sandbox.open_pod(
            PodSpec(
                brought.app_image,
                brought.tree_key,
                brought.db_image,
                templates=template,
                environment=brought.recipe.environment,
                scenario_files=scenario_files or {},
            ),
            progress,
        )
        try:
            like = Instance("main", f"{DATA}/main", engine.port, DATABASE, new_passwords())
            with ThreadPoolExecutor(2) as pool:
                clone = pool.submit(engine.clone, pod.db, pod.probe, data, "main", engine.port, like)
                for path, content in (edits or {}).items():
                    if content is None:
                        pod.app.remove_file(f"/work/{path}")
                    else:
                        pod.app.write_file(f"/work/{path}", content)
                application = cls(brought, pod, clone.result())
            application.write_dotenv()
            if edits:
                for command in brought.recipe.build:
                    application.must(command, "build")
            return application
        except BaseException:
            pod.close()
            raise

    def close(self) -> None:
        self.pod.close()

    # files and commands

    def write_dotenv(self) -> None:
        if not self.recipe.dotenv_path:
            return
        content = self.stack.dotenv(
            self.recipe,
            "127.0.0.1",
            self.database.port,
            DATABASE,
            self.engine.users["application"],
            self.database.passwords["application"],
        )
        self.pod.app.write_file(f"/work/{self.recipe.dotenv_path}", content, 0o600)

    def database_environment(self, instance: Instance) -> Mapping[str, str]:
        return self.stack.database_environment(
            "127.0.0.1",
            instance.port,
            instance.database,
            self.engine.users["application"],
            instance.passwords["application"],
        )

    def run(
        self, command: str, *, env: Mapping[str, str] | None = None, timeout: float = 600.0
    ) -> CommandResult:
        return self.pod.app.run(command, env=env, timeout=timeout)

    def must(self, command: str, step: str, timeout: float = 1800.0) -> CommandResult:
        """Run a step of the recipe. Raises SetUpFailed with its last lines."""
        result = self.run(command, timeout=timeout)
        if not result.ok:
            how = "took too long" if result.timed_out else f"ended with {result.exit_code}"
            raise SetUpFailed(
                f"The recipe's step '{step}' {how}.",
                where=command,
                next_step=f"Correct it in the base commit's bedev.toml: [recipe] {step} = ...",
                detail=result.last_lines,
            )
        return result

    # the database

    @property
    def admin(self) -> SqlSession:
        if self._admin is None:
            self._admin = self.engine.connect(self.pod.probe, self.database, "admin")
        return self._admin

    def counters(self) -> Counters:
        return self.engine.counters(self.admin)

    def reader(self) -> SqlSession:
        return self.engine.connect(self.pod.probe, self.database, "reader")

    def migrate(self) -> CommandResult:
        return self.run(self.recipe.migrate, timeout=1800)

    def rollback(self, steps: int) -> CommandResult:
        return self.run(self.recipe.rollback.replace("{steps}", str(steps)), timeout=1800)

    def schema_dump(self) -> str:
        return self.engine.schema_dump(self.admin, DATABASE)

    # requests

    def serve(self, as_user: str = "", trace: bool = False) -> None:
        """Start (or restart) the framework's own server; ready when it accepts connections."""
        self.stop_serving()
        trace_file = TRACE_FILE if trace else ""
        self._server = self.pod.app.start(
            "serve",
            self.stack.serve_command(self.recipe),
            env=dict(self.stack.serve_environment(as_user, trace_file)),
        )
        self._serving = (as_user, trace_file)
        if not self.pod.probe.wait_for_port(self.recipe.served_port, SERVER_START_SECONDS):
            raise SetUpFailed(
                "The application's server did not start listening.",
                where=self.stack.serve_command(self.recipe),
                next_step="Correct [recipe] serve and served_port in bedev.toml.",
                detail=self._server.log(),
            )

    def stop_serving(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def server_log(self) -> str:
        return self._server.log() if self._server is not None else ""

    def request(self, request: HttpRequest, timeout: float = 120.0) -> HttpResponse:
        if self._server is None or not self._server.alive():
            self.serve(*(self._serving[0], bool(self._serving[1])))
        return self.pod.probe.http(self.recipe.served_port, request, timeout=timeout)

    def capture(self, act: Callable[[], Any]) -> tuple[Any, tuple[Statement, ...], tuple[TracedQuery, ...]]:
        """Run `act` while the server records statements and, where serving with a trace, the application
        writes its call sites."""
        self.pod.app.remove_file(TRACE_FILE)
        self.engine.start_capture(self.admin)
        try:
            result = act()
        finally:
            statements = self.engine.stop_capture(self.admin)
        text = self.pod.app.read_file(TRACE_FILE) or b""
        return result, statements, self.stack.parse_trace(text)

    # tests

    def run_tests(self, base_files: Mapping[str, bytes | None], timeout: float = 1800.0) -> TestRun:
        """The suite on a clone of the *seeded* database, under base's test files (`base_files`: path ->
        content, None removes). Leaves the workspace changed: call it last in a pod."""
        if not self.recipe.test:
            return TestRun((), None, "the recipe has no test command")
        for path, content in base_files.items():
            if content is None:
                self.pod.app.remove_file(f"/work/{path}")
            else:
                self.pod.app.write_file(f"/work/{path}", content)
        port = self.engine.port + TEST_PORT_OFFSET
        like = Instance("tests", f"{DATA}/tests", port, DATABASE, new_passwords())
        instance = self.engine.clone(self.pod.db, self.pod.probe, "seeded", "tests", port, like)
        try:
            admin = self.engine.connect(self.pod.probe, instance, "admin")
            for name in self.recipe.test_databases:
                self.engine.create_database(admin, name)
            admin.close()
            junit = f"/tmp/bedev-{secrets.token_hex(8)}.xml"
            environment = self.stack.test_environment(
                "127.0.0.1",
                instance.port,
                self.engine.users["application"],
                instance.passwords["application"],
            )
            result = self.run(self.recipe.test.replace("{junit}", junit), env=environment, timeout=timeout)
            report = self.pod.app.read_file(junit)
        finally:
            self.engine.destroy(self.pod.db, instance)
        if report is None:
            return TestRun((), result, "the suite wrote no report")
        return TestRun(self.stack.parse_tests(report), result, "")


@dataclass(frozen=True)
class TestRun:
    """`problem` says why there are no cases, where there are none."""

    cases: tuple[TestCase, ...]
    result: CommandResult | None
    problem: str

    @property
    def passed(self) -> frozenset[str]:
        return frozenset(c.id for c in self.cases if c.status == "passed")


__all__ = [
    "Application",
    "Brought",
    "DataFacts",
    "DataWish",
    "DatabaseError",
    "SandboxBroken",
    "TestRun",
    "bring_up",
    "make_data",
]
