"""One running copy of a repository's application, in a pod, with a database of its own.

This is where stack, engine and sandbox meet (set_up.py and data.py make what
copies share). The gate opens one for base and one for the patch; the
agent's tools work in another. Nothing here judges.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from bedev.sandboxes.engines.engine import (
    Counters,
    Instance,
    Role,
    SentStatement,
    Statement,
    library,
)
from bedev.sandboxes.errors import BedevError, DatabaseError, SetUpFailed
from bedev.sandboxes.full_disk import FullDisk, naming_full_disks, said_in
from bedev.sandboxes.ports import TEST_PORT_OFFSET, port_taken
from bedev.sandboxes.repair import cause_of_red, explain, likely
from bedev.sandboxes.sandbox import (
    DATA,
    WORKSPACE,
    CommandResult,
    HttpRequest,
    HttpResponse,
    Pod,
    PodSpec,
    Progress,
    Service,
    SqlSession,
)
from bedev.sandboxes.set_up import Brought
from bedev.sandboxes.stacks.stack import TestCase, TracedQuery

DATABASE = "app"
SERVER_START_SECONDS = 60.0
TRACE_FILE = "/tmp/bedev-trace.jsonl"
TRACE_END_SECONDS = 1.0
TRACE_BYTES = 64 << 20
READ_SHARE = 1.15
READ_BYTES = 16 << 20
READ_BYTES_A_REQUEST = 8 << 20
"""A server that read more than its share of what the traced statements read, and so many bytes for its own
files, read untraced. Hiding a sixth of the work, which `less_work` would take for a gain, reads 1.2 times."""
WHOLE_TRACE: Mapping[str, str] = {"BEDEV_TRACE_WHOLE": "1"}
"""Where the trace is what is counted: no statement may be cut short."""


def new_passwords() -> Mapping[Role, str]:
    return {
        "admin": secrets.token_hex(16),
        "application": secrets.token_hex(16),
        "reader": secrets.token_hex(16),
    }


def address_environment(brought: Brought, instance: Instance) -> dict[str, str]:
    """What the recipe alone puts into the environment, so that the application finds `instance`."""
    own = library(brought.engine)
    return brought.recipe.address(
        "127.0.0.1",
        instance.port,
        own.address(instance) if own is not None else instance.database,
        brought.engine.users["application"],
        instance.passwords["application"],
    )


def put_files(pod: Pod, files: Mapping[str, bytes | None]) -> None:
    """Write each path below /work, or remove it where its content is None."""
    for path, content in files.items():
        if content is None:
            pod.app.remove_file(f"{WORKSPACE}/{path}")
        else:
            pod.app.write_file(f"{WORKSPACE}/{path}", content)


class Application:
    """One copy of the application, running in one pod with its own database.

    Not safe for two threads at once; the gate uses one for each side.
    """

    def __init__(self, brought: Brought, pod: Pod, database: Instance) -> None:
        self.brought, self.pod, self.database = brought, pod, database
        self.stack, self.engine, self.recipe = brought.stack, brought.engine, brought.recipe
        self._library = library(brought.engine)
        self._server: Service | None = None
        self._admin: SqlSession | None = None
        self._accounted = 0  # bytes of the trace that are counted, where the engine is a library
        self._requests = 0  # since the trace was last read
        self._bytes_read: int | None = None  # by the server until then
        self._tells_ends: bool | None = None  # whether the tracer writes a line at a request's end
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
        like = Instance("main", f"{DATA}/main", engine.port, DATABASE, new_passwords())
        pod = brought.sandbox.open_pod(
            PodSpec(
                brought.app_image,
                brought.tree_key,
                brought.db_image or None,
                templates=template,
                shared_data=library(engine) is not None,
                services=brought.services,
                environment={**brought.recipe.environment, **address_environment(brought, like)},
                scenario_files=scenario_files or {},
            ),
            progress,
        )
        try:
            with naming_full_disks(pod):
                with ThreadPoolExecutor(2) as pool:
                    clone = pool.submit(engine.clone, pod.db, pod.probe, data, "main", engine.port, like)
                    put_files(pod, edits or {})
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

    def write_dotenv(self, instance: Instance | None = None) -> None:
        """The environment file that points the application at `instance`, else at its own database."""
        if not self.recipe.dotenv_path:
            return
        database = instance or self.database
        content = self.stack.dotenv(
            self.recipe,
            "127.0.0.1",
            database.port,
            self._address(database),
            self.engine.users["application"],
            database.passwords["application"],
        )
        self.pod.app.write_file(f"/work/{self.recipe.dotenv_path}", content, 0o600)

    def _address(self, instance: Instance) -> str:
        return self._library.address(instance) if self._library is not None else instance.database

    def database_environment(self, instance: Instance) -> Mapping[str, str]:
        of_stack = self.stack.database_environment(
            "127.0.0.1",
            instance.port,
            self._address(instance),
            self.engine.users["application"],
            instance.passwords["application"],
        )
        return {**of_stack, **address_environment(self.brought, instance)}

    def run(
        self, command: str, *, env: Mapping[str, str] | None = None, timeout: float = 600.0
    ) -> CommandResult:
        """Raises DiskFull where it did not end well and a disk of the pod is full: whoever reads the result
        would take that for the application's fault. Where the engine is a library, a command with an `env`
        (what `Stack.command_environment` gave, so somebody measures) is traced."""
        if self._library is not None and env is not None:
            env = {**self.stack.command_environment(TRACE_FILE), **WHOLE_TRACE, **env}
        return self._run(command, env, timeout)

    def _run(self, command: str, env: Mapping[str, str] | None, timeout: float) -> CommandResult:
        result = self.pod.app.run(command, env=env, timeout=timeout)
        if not result.ok:
            self._look_at_disks(f"the command ended with {result.exit_code}: {command}", result.last_lines)
        return result

    def _look_at_disks(self, doing: str, words: str = "") -> None:
        full = self.pod.full_disk()
        if full is not None:
            raise full.error(doing, words)

    def must(self, command: str, step: str, timeout: float = 1800.0) -> CommandResult:
        """Run a step of the recipe. Raises SetUpFailed with its last lines."""
        result = self.run(command, timeout=timeout)
        if not result.ok:
            if said_in(result.last_lines):
                # What it had written is gone again, so that the disk is no longer full.
                raise FullDisk(self.pod.app.name).error(f"the recipe's step '{step}'", result.last_lines)
            how = "took too long" if result.timed_out else f"ended with {result.exit_code}"
            error = SetUpFailed(
                f"The recipe's step '{step}' {how}.",
                where=command,
                next_step="Correct the command."
                if step.startswith("--")
                else f"Correct it in the base commit's bedev.toml: [recipe] {step} = ...",
                detail=result.last_lines,
                output=result.words,
            )
            explain(error, self.recipe)
            raise error
        return result

    # the database

    @property
    def admin(self) -> SqlSession:
        if self._admin is None:
            self._admin = self.engine.connect(self.pod.probe, self.database, "admin")
        return self._admin

    def counters(self) -> Counters:
        """Raises DatabaseError where the engine is a library and what the application sent is not known."""
        self._account()
        return self.engine.counters(self.admin)

    def reader(self) -> SqlSession:
        return self.engine.connect(self.pod.probe, self.database, "reader")

    def migrate(self) -> CommandResult:
        return self.run(self.recipe.migrate, timeout=1800)

    def rollback(self, steps: int) -> CommandResult:
        return self.run(self.recipe.rollback.replace("{steps}", str(steps)), timeout=1800)

    def schema_dump(self) -> str:
        return self.engine.schema_dump(self.admin, DATABASE)

    def fresh_database(self, template: str = "grown") -> None:
        """A new clone of the template in place of the database, which may be broken; the server keeps its
        port and passwords, so that the application's configuration still holds."""
        with contextlib.suppress(BedevError):
            if self._admin is not None:
                self._admin.close()
        self._admin = None
        engine, old = self.engine, self.database
        self._skip_trace()
        engine.destroy(self.pod.db, old)
        self.database = engine.clone(self.pod.db, self.pod.probe, template, old.name, old.port, old)

    # requests

    def serve(self, as_user: str = "", trace: bool = False) -> None:
        """Start (or restart) the framework's own server; ready when it accepts connections."""
        self.stop_serving()
        if self.pod.probe.wait_for_port(self.recipe.served_port, 0):
            raise port_taken(self.recipe, self.engine)
        trace_file = TRACE_FILE if trace or self._library is not None else ""
        self._server = self.pod.app.start(
            "serve",
            self.stack.serve_command(self.recipe),
            env={
                **self.stack.serve_environment(as_user, trace_file),
                **(WHOLE_TRACE if self._library is not None else {}),
            },
        )
        self._serving = (as_user, trace_file)
        if not self.pod.probe.wait_for_port(self.recipe.served_port, SERVER_START_SECONDS):
            error = SetUpFailed(
                "The application's server did not start listening.",
                where=self.stack.serve_command(self.recipe),
                next_step="Correct [recipe] serve and served_port in bedev.toml.",
                detail=self._server.log(),
            )
            explain(error, self.recipe)
            raise error
        if not self._server.alive():
            raise port_taken(self.recipe, self.engine, self._server.log())

    def stop_serving(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def server_log(self) -> str:
        return self._server.log() if self._server is not None else ""

    def request(self, request: HttpRequest, timeout: float = 120.0) -> HttpResponse:
        if self._server is None or not self._server.alive():
            self.serve(*(self._serving[0], bool(self._serving[1])))
        if self._library is not None and self._server is not None and not self._requests:
            self._bytes_read = self._server.bytes_read()
        self._requests += 1
        answer = self.pod.probe.http(self.recipe.served_port, request, timeout=timeout)
        if answer.status >= 500:
            self._look_at_disks(f"the application answered {request.path} with {answer.status}")
        return answer

    def capture(self, act: Callable[[], Any]) -> tuple[Any, tuple[Statement, ...], tuple[TracedQuery, ...]]:
        """Run `act` while the server records statements and, where serving with a trace, the application
        writes its call sites."""
        self._account()
        self.pod.app.remove_file(TRACE_FILE)
        self._accounted = 0
        self.engine.start_capture(self.admin)
        try:
            result = act()
            self._account()
        finally:
            statements = self.engine.stop_capture(self.admin)
        text = self.pod.app.read_file(TRACE_FILE, TRACE_BYTES) or b""
        return result, statements, self.stack.parse_trace(text)

    # what the application sent, where no server counts it

    def _account(self) -> None:
        """Let the library's engine count what the trace has anew. Raises DatabaseError."""
        if self._library is None:
            return
        text = self._new_trace()
        asked, self._requests = self._requests, 0
        now = self._server.bytes_read() if asked and self._server is not None else None
        if asked and not text:
            raise DatabaseError(
                "The application's statements are not known: its tracer wrote nothing for a request.",
                where=f"{self.engine.title} is counted by the tracer of {self.stack.title}",
                next_step="Look whether the application switches off what loads it (docs/proof.md).",
            )
        sent = [
            SentStatement(query.sql, query.bindings, query.calls, query.request)
            for query in self.stack.parse_trace(text)
        ]
        needed = self._library.account(self.admin, sent) if sent else 0
        if now is not None and self._bytes_read is not None:
            self._compare_reading(now - self._bytes_read, needed, asked)

    def _compare_reading(self, read: int, needed: int, asked: int) -> None:
        """The kernel counts what the server reads, whatever a tracer says. Only much more than the traced
        statements need tells something: a server reads its own files too. Raises DatabaseError."""
        if read > READ_SHARE * needed + READ_BYTES + asked * READ_BYTES_A_REQUEST:
            raise DatabaseError(
                f"The application read {read / 2**20:,.0f} MB where the statements that its tracer recorded "
                f"read {needed / 2**20:,.0f} MB: something reads the database untraced, or large files.",
                where=f"{asked} requests; {self.engine.title} is counted by the tracer of {self.stack.title}",
                next_step="Look for a connection beside the framework's own, or measure on a database server "
                "(--engine).",
            )

    def _new_trace(self) -> bytes:
        """What was written since the last reading. A request is answered before its last line is written:
        wait for the end of what began, where this tracer tells ends."""
        deadline = time.monotonic() + TRACE_END_SECONDS
        while True:
            text = (self.pod.app.read_file(TRACE_FILE, TRACE_BYTES) or b"")[self._accounted :]
            if b'"kind":"end"' in text:
                self._tells_ends = True
            late = time.monotonic() > deadline
            if self._tells_ends is False or late or not unfinished(text):
                if late and self._tells_ends is None:
                    self._tells_ends = False
                self._accounted += len(text)
                return text
            time.sleep(0.01)

    def _skip_trace(self) -> None:
        if self._library is not None:
            self._new_trace()
            self._requests = 0

    # tests

    def run_tests(
        self, base_files: Mapping[str, bytes | None], timeout: float = 1800.0, command: str = ""
    ) -> TestRun:
        """The suite on a clone of the *seeded* database, under base's test files (`base_files`: path ->
        content, None removes); `command` in place of the recipe's. Leaves the workspace changed: call it last
        in a pod."""
        test = command or self.recipe.test
        if not test:
            return TestRun((), None, "the recipe has no test command")
        put_files(self.pod, base_files)
        port = self.engine.port + TEST_PORT_OFFSET
        like = Instance("tests", f"{DATA}/tests", port, DATABASE, new_passwords())
        with naming_full_disks(self.pod):
            instance = self.engine.clone(self.pod.db, self.pod.probe, "seeded", "tests", port, like)
        try:
            admin = self.engine.connect(self.pod.probe, instance, "admin")
            for name in self.recipe.test_databases:
                self.engine.create_database(admin, name)
            admin.close()
            report_file = f"/tmp/bedev-{secrets.token_hex(8)}.report"
            own = replace(instance, database=next(iter(self.recipe.test_databases), instance.database))
            environment = {
                **address_environment(self.brought, own),
                **self.stack.test_environment(
                    "127.0.0.1",
                    instance.port,
                    self.engine.users["application"],
                    instance.passwords["application"],
                ),
            }
            if self._library is not None:
                self.write_dotenv(instance)
            command = test.replace("{junit}", report_file).replace("{tap}", report_file)
            result = self._run(command, environment, timeout)
            report = self.pod.app.read_file(report_file)
        finally:
            if self._library is not None:
                self.write_dotenv()
            self.engine.destroy(self.pod.db, instance)
        if report is None:
            cause = likely(result.words, self.recipe)
            return TestRun((), result, "the suite wrote no report", cause)
        cases = self.stack.parse_tests(report)
        red = [c.message for c in cases if c.status in ("failed", "error")]
        return TestRun(cases, result, "", cause_of_red(red, len(cases), result.words, self.recipe))


def unfinished(trace: bytes) -> set[str]:
    """Requests and commands that have begun and not ended in this part of a trace."""
    begun: set[str] = set()
    ended: set[str] = set()
    for line in trace.splitlines():
        if b'"kind":"begin"' in line[:40] or b'"kind":"end"' in line[:40]:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                (begun if said["kind"] == "begin" else ended).add(str(said.get("id", "")))
    return begun - ended


@dataclass(frozen=True)
class TestRun:
    """`problem` says why there are no cases, where there are none; `cause` why that is, or why so many are
    red, where a rule knows it."""

    cases: tuple[TestCase, ...]
    result: CommandResult | None
    problem: str
    cause: str = ""

    @property
    def passed(self) -> frozenset[str]:
        return frozenset(c.id for c in self.cases if c.status == "passed")
