"""What bedev knows of a framework. A stack is one folder, found by its name; see `load` and `detect`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from bedev.sandboxes.engines.engine import IndexSpec, Schema
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Recipe, TreeReader
from bedev.sandboxes.sandbox import Box, SetUpStep


@dataclass(frozen=True)
class Route:
    """`path` as the framework writes it (`api/users/{user}`); `handler` is `Class@method` or a function;
    `needs_login` is what the route's middleware says."""

    method: str
    path: str
    handler: str
    needs_login: bool = False
    name: str = ""
    source: str = ""  # file of the handler in the repository, where it is known


@dataclass(frozen=True)
class ConsoleCommand:
    name: str
    description: str
    source: str = ""


@dataclass(frozen=True)
class TracedQuery:
    """A query as the application sent it. `file` is relative to the repository; `stack` holds the
    application's own frames (`file:line`), innermost first; `file` is empty where the framework asked by
    itself, `function` then names its part. `milliseconds` is the client's, for orientation, of all `calls`:
    after some thousands of queries a tracer folds those of one statement and place into one. `request` is
    what was asked (`GET /api/users?page=2`, or a command line): N+1 is a matter of one request."""

    sql: str
    bindings: tuple[object, ...]
    milliseconds: float
    file: str
    line: int
    function: str = ""
    stack: tuple[str, ...] = ()
    calls: int = 1
    request: str = ""


@dataclass(frozen=True)
class MigrationFile:
    """`others` are files that go with it, whole, by path: the model that declares the same index, or the
    migration of another application. `up` is what it does, in the lines of its code that do it."""

    path: str
    content: bytes
    others: Mapping[str, bytes] = field(default_factory=dict)
    up: str = ""

    @property
    def files(self) -> Mapping[str, bytes]:
        return {self.path: self.content, **self.others}


@dataclass(frozen=True)
class TestCase:
    """`id` is stable between runs (`class::name`); status: `passed` | `failed` | `error` | `skipped`."""

    id: str
    status: str
    seconds: float
    message: str = ""


class Stack(Protocol):
    """One framework. Detection reads files as data and never runs them; the other methods run the
    framework's own commands in the `app` box."""

    name: str
    title: str
    console: str  # what runs a console command: `php artisan`

    def detect(self, tree: TreeReader, engine: str = "") -> Recipe | None:
        """A whole recipe, or None where this is not such a repository. `engine` is the user's choice."""
        ...

    def set_up_steps(self, recipe: Recipe) -> tuple[SetUpStep, ...]: ...

    def files(self) -> Mapping[str, bytes]:
        """Files of ours for /bedev/stack in the image (tracer, router ...), by relative name."""
        ...

    def dotenv(self, recipe: Recipe, host: str, port: int, database: str, user: str, password: str) -> bytes:
        """The environment file that points the application at a database of the pod."""
        ...

    def database_environment(
        self, host: str, port: int, database: str, user: str, password: str
    ) -> Mapping[str, str]:
        """Process environment that overrides the environment file, for a clone on another port."""
        ...

    def test_environment(self, host: str, port: int, user: str, password: str) -> Mapping[str, str]:
        """The same for a run of the tests: it leaves the choice of the database (and of its kind, for
        instance SQLite in memory) to base's own test configuration."""
        ...

    def serve_command(self, recipe: Recipe) -> str: ...

    def serve_environment(self, as_user: str, trace_file: str) -> Mapping[str, str]:
        """`as_user` is `TABLE:ID` or empty; `trace_file` is where queries are written, or empty."""
        ...

    def command_environment(self, trace_file: str) -> Mapping[str, str]:
        """The same for a console command."""
        ...

    def parse_trace(self, text: bytes) -> tuple[TracedQuery, ...]: ...

    def parse_tests(self, junit: bytes) -> tuple[TestCase, ...]: ...

    def filtered_tests(self, command: str, filter: str) -> str:
        """The recipe's test command for the tests whose name fits `filter` alone (untrusted text)."""
        ...

    def routes(self, app: Box) -> tuple[Route, ...]: ...

    def commands(self, app: Box) -> tuple[ConsoleCommand, ...]:
        """The application's own console commands (not the framework's)."""
        ...

    def pending_migrations(self, app: Box, env: Mapping[str, str]) -> int: ...

    def write_migration(
        self,
        tree: TreeReader,
        indexes: Sequence[IndexSpec],
        moment: str,
        schema: Schema | None = None,
        engine: str = "",
    ) -> MigrationFile:
        """A migration in the framework's own style that adds these indexes and can be undone; `moment` is
        the UTC time `YYYY-MM-DD HH:MM:SS` for its name, moved behind every migration that is there. `schema`
        is base's, where it is known: undoing may have to give a foreign key its index back. `engine` is the
        name of the engine that runs it, where it is known: some add an index beside writers only when asked
        to."""
        ...

    def default_index_name(self, index: IndexSpec) -> str: ...


@runtime_checkable
class TellsFramework(Protocol):
    """A stack that knows which version of the framework a prepared copy has, and where its source lies."""

    def framework(self, app: Box) -> str:
        """In words: `Laravel 10.48.29, source in /usr/share/php/Illuminate`; empty where nobody can tell."""
        ...


def framework(stack: Stack, app: Box) -> str:
    """What `TellsFramework.framework` says, empty for a stack that cannot tell."""
    return stack.framework(app) if isinstance(stack, TellsFramework) else ""


def names() -> tuple[str, ...]:
    import bedev.sandboxes.stacks as package

    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg))


def load(name: str) -> Stack:
    """The stack in the folder `name` (its `STACK`). Raises UsageError for a name that is not there."""
    if name not in names():
        raise UsageError(f"There is no stack named {name!r}.", next_step=f"Use one of: {', '.join(names())}.")
    module = importlib.import_module(f"bedev.sandboxes.stacks.{name}")
    stack: Stack = module.STACK
    return stack


def _in_order() -> tuple[str, ...]:
    """Frameworks first: what fits any repository is asked only where none of them fits."""
    return tuple(sorted(names(), key=lambda name: (getattr(load(name), "last_resort", False), name)))


def detect(
    tree: TreeReader, engine: str = "", only: str = "", note: Callable[[str], None] | None = None
) -> tuple[Stack, Recipe]:
    """The first stack that knows this repository (or `only`). Raises UsageError where none does."""
    for name in (only,) if only else _in_order():
        stack = load(name)
        recipe = stack.detect(tree, engine)
        if recipe is not None:
            return stack, recipe
        if note is not None:
            note(f"not {stack.title}")
    known = ", ".join(load(n).title for n in names() if not getattr(load(n), "last_resort", False))
    raise UsageError(
        "bedev does not recognise the framework of this repository.",
        where="looked at the files of the base commit",
        next_step=f"bedev knows {known}; use --path DIR where the application lies in a sub-folder. Any "
        "other is driven by a bedev.toml that says how it comes up: `bedev init` writes its skeleton.",
    )
