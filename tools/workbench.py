"""What a model works at: a copy of the application whose files it edits, and a clone of the database.

Two copies stand side by side. `app` is the workspace: base's files with the edits made so far, its
database a clone with the workspace's own migrations applied (`ready` sees to that before a tool looks at
the database, and takes a fresh clone when a migration changed or the server died). `base_app` is base,
untouched, opened when something is to be compared with it. What a model breaks here, it breaks here only:
a proposal is judged in other pods, from git objects alone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import posixpath
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pathspec
from bedev.sandboxes.application import Application
from bedev.sandboxes.engines.engine import IndexSpec, Schema
from bedev.sandboxes.errors import BedevError, DatabaseError, SandboxBroken
from bedev.sandboxes.patterns import matches
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.sandbox import WORKSPACE, Progress
from bedev.tools.database.workload import Workload
from bedev.tools.edits import Edited, below, digest
from bedev.tools.masking import Mask, words_of_code
from bedev.tools.outputs import SHOWN_CHARACTERS, Outputs
from bedev.tools.scenarios.compare import Answer
from bedev.tools.scenarios.measured import Measured
from bedev.tools.scenarios.scenario import Question, Scenario
from bedev.tools.tool import ToolFailed, ToolResult

MOST_FILE_BYTES = 1 << 20
MOST_FILES = 200
MOST_CHARACTERS = 20_000
"""Of any tool's whole answer."""
WORTH_SAYING = 2.0
"""Seconds of a build from which on the model is told of it."""


@dataclass(frozen=True)
class Known:
    """What base did for one question of the scenario, measured before the first edit. `statements` and
    `workload` are empty where nobody kept them: then they are not compared."""

    question: Question
    answer: Answer
    queries: int
    work: int
    seconds: float
    statements: int | None = None
    workload: Workload = ()

    @staticmethod
    def of(measured: Measured) -> Known:
        """What `measure_question` found on base."""
        return Known(
            measured.question,
            measured.answer,
            measured.queries,
            measured.work,
            measured.seconds,
            measured.counters.statements,
            measured.workload,
        )


class OpenApplication(Protocol):
    """Opens a copy of the application from base's tree, with edits on top."""

    def __call__(self, edits: Mapping[str, bytes | None]) -> Application: ...


@dataclass
class Workbench(Outputs):
    """`base` reads base's files as data. `edits` is what the workspace changes of them: path -> content,
    None where it deletes. `refuse` gives the reason why a path must not be edited, or nothing.
    `known` is base's own behaviour by question; `seed` that of the grown data. `base_tests` are the ids of
    the tests that pass on base, None where nobody has run them. `mask_key`: secret and the same for all of a
    run, so that marks of masked values are the same after a resume; random where it is empty."""

    open_application: OpenApplication
    base: TreeReader
    scenario: Scenario
    known: Sequence[Known] = ()
    seed: int = 1
    show_values: bool = False
    refuse: Callable[[str], str] = lambda path: ""
    progress: Progress = lambda text: None
    base_tests: frozenset[str] | None = None
    edits: dict[str, bytes | None] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    mask_key: bytes = b""

    advised: dict[str, tuple[IndexSpec, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._app: Application | None = None
        self._base_app: Application | None = None
        self._since = ""
        self._opened: frozenset[str] = frozenset()
        self._came: frozenset[str] = frozenset()
        self._migrated: str = digest({})
        self._built: str = digest({})
        self._failed: tuple[str, ToolFailed] | None = None
        self._served: tuple[str, str] | None = None
        self._base_served: str | None = None
        self._base_schema: Schema | None = None
        self._schema_seen: Schema | None = None
        self.touched = ""
        """Why the workspace's database no longer holds what base's does; `ready` takes a fresh clone then."""
        Outputs.__init__(self)
        self._ignored: pathspec.GitIgnoreSpec | None = None
        self._queries: dict[str, str] = {}
        self._query_names: dict[str, str] = {}
        self._mask: Mask | None = None
        self.told: set[str] = set()
        """What the model was told once and need not hear again."""

    @property
    def mask(self) -> Mask:
        """Masks values; words that the code holds in any case (the names of states) stay."""
        if self._mask is None:
            plain = frozenset() if self.show_values else words_of_code(self.base)
            self._mask = Mask(self.show_values, plain, self.mask_key)
        return self._mask

    def state_key(self, *parts: str) -> str:
        """A key for what was measured with the workspace as it is now."""
        return "\0".join((*parts, digest(self.edits)))

    # the two copies

    @property
    def app(self) -> Application:
        """The workspace's copy; opened with the edits made so far where there is none."""
        if self._app is None:
            self._app = self.open_application(self.edits)
            listing = self._files()
            self._since = max((when for _, when in listing.values()), default="0")
            self._opened = frozenset(listing)
            self._came = frozenset(p for p in self.base.paths() if p in listing or p in self.edits)
            self._migrated, self._built, self._served = digest({}), digest(self.edits), None
            self._failed, self.touched, self._schema_seen = None, "", None
        return self._app

    @property
    def base_app(self) -> Application:
        """Base, to compare with."""
        if self._base_app is None:
            self.progress("opening a copy of base to compare with")
            self._base_app, self._base_served = self.open_application({}), None
        return self._base_app

    def rest(self) -> None:
        """Close what can be opened again (base's copy), for instance while the gate needs the memory."""
        if self._base_app is not None:
            self._base_app.close()
            self._base_app = None

    def revive(self) -> str:
        """Close copies whose boxes no longer run, so that the next use opens them again. Returns words for
        the model where the workspace's was one of them."""
        words = ""
        if self._app is not None and not _runs(self._app):
            self._close(self._app)
            self._app = None
            words = (
                "The workspace's container had died. Your edits are kept: the next call opens a new one "
                "with them and a fresh clone of the database."
            )
        if self._base_app is not None and not _runs(self._base_app):
            self._close(self._base_app)
            self._base_app = None
        return words

    @staticmethod
    def _close(app: Application) -> None:
        with contextlib.suppress(BedevError):
            app.close()

    def close(self) -> None:
        self.rest()
        if self._app is not None:
            self._app.close()
            self._app = None

    # files

    def path(self, path: str) -> str:
        """A path of the workspace in its one form, '' for its top. Raises ToolFailed for one outside."""
        plain = path.strip().removeprefix(WORKSPACE + "/") if path.strip() != WORKSPACE else ""
        normal = posixpath.normpath(plain) if plain else ""
        if plain.startswith("/") or normal.startswith("..") or "\0" in plain:
            raise ToolFailed(
                f"{path!r} lies outside the workspace. Give a path relative to the repository's top, for "
                "instance app/Models/User.php; files outside can be read with run_command."
            )
        return "" if normal == "." else normal

    def read(self, path: str) -> bytes | None:
        """A file's bytes in the workspace as it is now, None where there is none. Raises ToolFailed."""
        try:
            return self.app.pod.app.read_file(f"{WORKSPACE}/{path}", MOST_FILE_BYTES)
        except SandboxBroken as error:
            raise ToolFailed(
                f"{path} cannot be read: {error.what} Read a part of it with run_command, for instance "
                f"head -c 4000 {shlex.quote(path)}"
            ) from error

    def write(self, path: str, content: bytes | None) -> None:
        """Create, replace or (None) delete a file of the workspace; a file that is there keeps its mode.
        Raises ToolFailed for a link, SandboxBroken where the path cannot be written."""
        box, place = self.app.pod.app, f"{WORKSPACE}/{path}"
        kind, _, mode = box.run(f"stat -c '%F|%a' -- {shlex.quote(place)}").stdout.text.strip().partition("|")
        if kind == "symbolic link":
            raise ToolFailed(f"{path} is a link: edit the file that it points to.")
        if content is None:
            box.remove_file(place)
        else:
            box.write_file(place, content, int(mode, 8) if mode else 0o644)
        if content == self.base.read(path):
            self.edits.pop(path, None)
        else:
            self.edits[path] = content

    def remember(self, path: str, content: bytes) -> None:
        """The model has seen this content of the file: an edit of another one would be stale."""
        self.seen[path] = hashlib.sha256(content).hexdigest()

    def is_stale(self, path: str, content: bytes) -> bool:
        """Whether the model saw another content of this file than the one that is there."""
        return path in self.seen and self.seen[path] != hashlib.sha256(content).hexdigest()

    def is_product(self, path: str) -> bool:
        """Whether set-up or the application makes this file, so that it never enters a patch."""
        recipe = self.app.recipe
        return (
            path == recipe.dotenv_path
            or matches(path, recipe.generated)
            or (self._ignores().match_file(path) and self.base.read(path) is None)
        )

    @property
    def generated_folders(self) -> tuple[str, ...]:
        """The folders among what set-up makes: `vendor` of the recipe's `vendor/**`."""
        patterns = self.app.recipe.generated
        return tuple(p[:-3] for p in patterns if p.endswith("/**") and "*" not in p[:-3])

    def scan(self) -> tuple[str, ...]:
        """Look for files that a command changed, and take them into `edits`. Returns words about what was
        left out (links, large files). Raises ToolFailed where there are too many."""
        listing = self._files()
        words: list[str] = []
        # The files of a folder that was moved, there or back, keep the time of their last change.
        changed = [
            path
            for path, (_, when) in listing.items()
            if (when > self._since or path not in self._opened or path in self.edits)
            and not self.is_product(path)
        ]
        if len(changed) > MOST_FILES:
            raise ToolFailed(
                f"{len(changed)} files changed in the workspace; a patch may hold {MOST_FILES}. "
                "Undo it (what a tool generates belongs in .gitignore), then go on."
            )
        for path in changed:
            if listing[path][0] != "f":
                words.append(f"{path} is a link or a special file: it will not be part of the patch")
                continue
            try:
                content = self.app.pod.app.read_file(f"{WORKSPACE}/{path}", MOST_FILE_BYTES)
            except SandboxBroken:
                words.append(f"{path} is larger than {MOST_FILE_BYTES >> 20} MiB: not part of the patch")
                continue
            if content is None:
                continue
            if content == self.base.read(path):
                self.edits.pop(path, None)
            else:
                self.edits[path] = content
        for path in self._came:
            if path not in listing and not self.is_product(path):
                self.edits[path] = None
        for path in [p for p, content in self.edits.items() if content is not None and p not in listing]:
            if self.base.read(path) is None:
                del self.edits[path]
        return tuple(words)

    def _files(self) -> Mapping[str, tuple[str, str]]:
        """Every file and link of the workspace: kind and time of its last change (seconds). Folders that
        set-up makes (vendor/, node_modules/) are not entered: nothing in them is ever part of a patch."""
        prunes = " -o ".join(f"-path {shlex.quote('./' + p)}" for p in (".git", *self.generated_folders))
        result = self.app.pod.app.run(
            rf"find . \( {prunes} \) -prune -o \( -type f -o -type l \) -printf '%y %C@ %P\0'", timeout=60
        )
        text = self.whole(result.stdout)
        if not result.ok and not text:
            raise ToolFailed(f"The workspace cannot be listed: {result.last_lines}")
        found = {}
        for entry in text.split("\0"):
            kind, _, rest = entry.partition(" ")
            when, _, path = rest.partition(" ")
            if path:
                found[path] = (kind, when)
        return found

    def _ignores(self) -> pathspec.GitIgnoreSpec:
        if self._ignored is None:
            lines: list[str] = []
            for path in self.base.paths():
                if posixpath.basename(path) == ".gitignore":
                    folder = posixpath.dirname(path)
                    text = (self.base.read(path) or b"").decode("utf-8", "replace")
                    lines.extend(below(folder, line) for line in text.splitlines())
            self._ignored = pathspec.GitIgnoreSpec.from_lines(line for line in lines if line)
        return self._ignored

    # the database

    def ready(self) -> str:
        """Bring the workspace's built output and database in line with its files. Returns words for the
        model where something was done. Raises ToolFailed where build or migration fail."""
        return "".join(f"[{words}]\n" for words in (self.built(), self._migrate()) if words)

    def built(self) -> str:
        """Build again where built output is what runs and files changed; words where that took long."""
        now = digest(self.edits)
        if not self.app.recipe.build or now == self._built:
            return ""
        self.progress("building the workspace")
        began = time.monotonic()
        for command in self.app.recipe.build:
            result = self.app.run(command, timeout=900)
            if not result.ok:
                raise ToolFailed(
                    f"The workspace does not build: {command} failed. Mend it and try again.\n"
                    f"{self.shown(result)}",
                    "the workspace does not build",
                )
        self._built, self._served = now, None
        seconds = time.monotonic() - began
        return f"the workspace was built again in {seconds:.0f} s" if seconds > WORTH_SAYING else ""

    def ready_to_look(self) -> str:
        """The same for tools that only look: where the workspace's migrations fail they see base's database,
        and the model is told why (in full the first time)."""
        known = self._failed
        try:
            return self.ready()
        except ToolFailed as failure:
            told = self._failed is not None and known is not None and known[0] == self._failed[0]
            return f"[{failure.brief if told else failure.text.strip()}]\n[this is base's database]\n"

    @property
    def migrations(self) -> Mapping[str, bytes | None]:
        """The edits that are migrations."""
        patterns = self.app.recipe.migration_paths
        return {path: content for path, content in self.edits.items() if matches(path, patterns)}

    def _migrate(self) -> str:
        now, everything = digest(self.migrations), digest(self.edits)
        reason = self.touched if self._alive() else "the database server had died"
        if self._failed is not None and self._failed[0] == everything:
            if reason:
                self.fresh_database()
            raise ToolFailed(self._failed[1].text, self._failed[1].brief)
        if now == self._migrated and not reason:
            return ""
        self.fresh_database()
        said = f"{reason}: a fresh clone of it runs" if reason else "the database is a fresh clone"
        if not self.migrations:
            self._migrated = now
            return said
        self.progress("applying the workspace's migrations to a fresh clone of the database")
        self.base_schema()
        result = self.app.migrate()
        if not result.ok:
            shown = self.shown(result)
            self.fresh_database()
            failure = ToolFailed(
                "The workspace's migrations fail on the grown database, so nothing was measured. Mend the "
                f"migration ({', '.join(self.migrations)}) and try again.\n{shown}",
                "the workspace's migration fails",
            )
            self._failed = (everything, failure)
            raise failure
        self._migrated, self._schema_seen = now, None
        return f"{said}, with the workspace's migrations applied in {result.seconds:.1f} s"

    def fresh_database(self) -> None:
        """Another clone in place of the workspace's database, as base's migrations left it."""
        self._migrated, self.touched, self._schema_seen = digest({}), "", None
        self.app.fresh_database()

    def base_schema(self) -> Schema:
        """Base's schema, row counts as the server estimates them."""
        if self._base_schema is None:
            untouched = self._migrated == digest({}) and not self.touched
            app = self.app if untouched else self.base_app
            self._base_schema = app.engine.schema(app.admin, app.database.database)
        return self._base_schema

    def database_state(self) -> tuple[Schema, int | None] | None:
        """What tells whether a command changed the database: its schema, and how many rows were written.
        None where the server is dead."""
        try:
            if self._schema_seen is None:
                schema = self.app.engine.schema(self.app.admin, self.app.database.database)
                self._schema_seen = Schema(tuple(replace(table, rows=0) for table in schema.tables))
            return self._schema_seen, self.app.counters().rows_written
        except (DatabaseError, SandboxBroken):
            return None

    def look_at_changes(self, before: tuple[Schema, int | None] | None) -> str:
        """Note where the database is no longer as it was `before`; words for the model."""
        self._schema_seen = None
        after = self.database_state()
        if after is None:
            return "the database server is dead: the next tool that needs it starts a fresh clone"
        if before is None or after == before:
            return ""
        what = "schema" if before[0] != after[0] else "rows"
        self.touched = f"a command had changed the {what} of the database"
        return f"the database's {what} changed: the next tool that measures takes a fresh clone"

    def dead_database(self) -> str:
        """Words for the model where the workspace's database server is dead; `ready` repairs it."""
        if self._app is None or self._alive():
            return ""
        return "The database server has died: the next call starts a fresh clone of it."

    def _alive(self) -> bool:
        try:
            self.app.admin.query("SELECT 1", timeout=10)
        except (DatabaseError, SandboxBroken):
            return False
        return True

    @property
    def tree(self) -> TreeReader:
        """The workspace's files as data: base's with the edits."""
        return Edited(self.base, self.edits)

    # requests

    def serving(self, as_user: str = "") -> Application:
        """The workspace with its server running as this user, traced, on the files as they are now."""
        wanted = (as_user, digest(self.edits))
        if self._served != wanted:
            self.app.serve(as_user, trace=True)
            self._served = wanted
        return self.app

    def base_serving(self, as_user: str = "") -> Application:
        """The same for base."""
        app = self.base_app
        if self._base_served != as_user:
            app.serve(as_user, trace=True)
            self._base_served = as_user
        return app

    # what a model sees

    def name_query(self, shape: str, sql: str) -> str:
        """A short name, `q3`, for a captured query, which other tools take in place of SQL: its values need
        not be shown. One name for all statements of a fingerprint, the latest one's values."""
        name = self._query_names.setdefault(shape, f"q{len(self._query_names) + 1}")
        self._queries[name] = sql
        return name

    def captured_query(self, text: str) -> str | None:
        """The statement that a name stands for, None where `text` is no such name. Raises ToolFailed for a
        name that nobody gave."""
        name = text.strip().lower()
        if not re.fullmatch(r"q\d{1,6}", name):
            return None
        if name not in self._queries:
            known = ", ".join(list(self._queries)[-8:]) or "none yet"
            raise ToolFailed(f"There is no query {name} (names: {known}): trace_command gives names.")
        return self._queries[name]

    def read_output(self, handle: str, most: int) -> bytes:
        return self.app.pod.app.read_output(handle, 0, most)


def _runs(app: Application) -> bool:
    try:
        return app.pod.app.run("true", timeout=10).ok and app.pod.db.run("true", cwd="/", timeout=10).ok
    except BedevError:
        return False


def explain_failure(error: BedevError) -> ToolFailed:
    """An error of the sandbox or the database in words for the model."""
    where = f" ({error.where})" if error.where else ""
    detail = f"\n{error.detail[-2000:]}" if error.detail else ""
    next_step = f"\nNext: {error.next_step}" if error.next_step else ""
    return ToolFailed(f"{error.what}{where}{detail}{next_step}", error.what)


def reported(run: Callable[[Workbench, Any], ToolResult]) -> Callable[[Workbench, Any], ToolResult]:
    """A tool's function whose errors of sandbox and database are told to the model (ToolFailed), and whose
    answer is bounded whatever the tool did."""

    @functools.wraps(run)
    def told(bench: Workbench, given: Any) -> ToolResult:
        try:
            result = run(bench, given)
            return replace(result, text=bench.bounded(result.text, limit=MOST_CHARACTERS))
        except ToolFailed as said:
            raise ToolFailed(bench.bounded(said.text, limit=SHOWN_CHARACTERS), said.brief) from said
        except BedevError as error:
            failure = explain_failure(error)
            died = bench.revive() if isinstance(error, SandboxBroken) else bench.dead_database()
            text = f"{failure.text}\n{died}" if died else failure.text
            raise ToolFailed(text, failure.brief) from error

    return told
