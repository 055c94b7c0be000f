"""Django 3.2 to 6.0, with pip, uv, poetry, pdm or pipenv, or from Debian's packages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bedev.sandboxes.engines.engine import IndexSpec, Schema
from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.recipe import Recipe, TreeReader
from bedev.sandboxes.sandbox import Box, SetUpStep
from bedev.sandboxes.stacks import reports
from bedev.sandboxes.stacks.django import detection, environment, migration, suite
from bedev.sandboxes.stacks.stack import ConsoleCommand, MigrationFile, Route, TestCase, TracedQuery

_MARKER = "BEDEV-INSPECT "


class Django:
    """See `Stack` for what each method means."""

    name = "django"
    title = "Django"
    console = "python3 manage.py"

    def detect(self, tree: TreeReader, engine: str = "") -> Recipe | None:
        return detection.detect(tree, engine)

    def set_up_steps(self, recipe: Recipe) -> tuple[SetUpStep, ...]:
        """Python has no way to download a package without letting its build run, where it comes as source."""
        download = [SetUpStep(_title(c), c, True, dict(recipe.environment)) for c in recipe.install]
        build = [
            SetUpStep(_title(c), c, False, dict(recipe.environment), timeout=600.0) for c in recipe.build
        ]
        return (*download, *build)

    def files(self) -> Mapping[str, bytes]:
        folder = Path(__file__).with_name("files")
        return {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))
        }

    def dotenv(self, recipe: Recipe, host: str, port: int, database: str, user: str, password: str) -> bytes:
        own = self.database_environment(host, port, database, user, password)
        return environment.render(recipe.dotenv, own)

    def database_environment(
        self, host: str, port: int, database: str, user: str, password: str
    ) -> Mapping[str, str]:
        return environment.database(host, port, user, password, database)

    def test_environment(self, host: str, port: int, user: str, password: str) -> Mapping[str, str]:
        return {**environment.database(host, port, user, password), "BEDEV_TESTING": "1"}

    def serve_command(self, recipe: Recipe) -> str:
        return recipe.serve

    def serve_environment(self, as_user: str, trace_file: str) -> Mapping[str, str]:
        table, _, key = as_user.partition(":")
        if as_user and not (table and key):
            raise UsageError(
                f"{as_user!r} does not name a user.", next_step="Write the table and the id: --as users:1."
            )
        wanted = {"BEDEV_AS_USER": as_user, "BEDEV_TRACE": trace_file}
        return {name: value for name, value in wanted.items() if value}

    def command_environment(self, trace_file: str) -> Mapping[str, str]:
        return self.serve_environment("", trace_file)

    def parse_trace(self, text: bytes) -> tuple[TracedQuery, ...]:
        return reports.parse_trace(text)

    def parse_tests(self, junit: bytes) -> tuple[TestCase, ...]:
        return reports.parse_tests(junit)

    def filtered_tests(self, command: str, filter: str) -> str:
        return suite.filtered(command, filter)

    def routes(self, app: Box) -> tuple[Route, ...]:
        return tuple(
            Route(
                method=str(entry["method"]),
                path=str(entry["path"]),
                handler=str(entry["handler"]),
                needs_login=bool(entry["needs_login"]),
                name=str(entry["name"]),
                source=str(entry["source"]),
            )
            for entry in _inspect(app, "routes")
        )

    def commands(self, app: Box) -> tuple[ConsoleCommand, ...]:
        return tuple(
            ConsoleCommand(str(entry["name"]), str(entry["description"]), str(entry["source"]))
            for entry in _inspect(app, "commands")
        )

    def pending_migrations(self, app: Box, env: Mapping[str, str]) -> int:
        return len(_inspect(app, "migrations", env))

    def write_migration(
        self,
        tree: TreeReader,
        indexes: Sequence[IndexSpec],
        moment: str,
        schema: Schema | None = None,
        engine: str = "",
    ) -> MigrationFile:
        return migration.write_migration(tree, indexes, schema, engine)

    def default_index_name(self, index: IndexSpec) -> str:
        return migration.default_index_name(index)


def _title(command: str) -> str:
    """The command itself, short enough for one line of progress."""
    plain = command.rpartition("&& ")[2] if "/tmp/bedev-tools" in command else command
    return plain if len(plain) <= 70 else plain[:69] + "…"


def _inspect(app: Box, what: str, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Runs bedev_inspect. Raises SetUpFailed where the application does not start."""
    command = f'python3 "${{BEDEV_MANAGE:-manage.py}}" bedev_inspect {what}'
    result = app.run(command, env=env, timeout=120.0)
    output = app.read_output(result.stdout.handle, 0, 8 << 20).decode("utf-8", errors="replace")
    lines = [line for line in output.splitlines() if line.startswith(_MARKER)]
    if not result.ok or not lines:
        raise SetUpFailed(
            f"The application did not start, so its {what} cannot be listed.",
            where="manage.py in the sandbox",
            next_step="Look at the last lines below; `manage.py check` in the repository shows the same.",
            detail=result.last_lines,
        )
    found = json.loads(lines[-1].removeprefix(_MARKER))
    return [entry if isinstance(entry, dict) else {"name": entry} for entry in found]
