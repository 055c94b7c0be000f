"""Laravel 8 to 13, with composer or from Debian's packages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bedev.sandboxes.engines.engine import IndexSpec, Schema
from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.recipe import Recipe, TreeReader
from bedev.sandboxes.sandbox import STACK_FILES, WORKSPACE, Box, SetUpStep
from bedev.sandboxes.stacks import reports
from bedev.sandboxes.stacks.laravel import detection, environment, migration, suite
from bedev.sandboxes.stacks.stack import ConsoleCommand, MigrationFile, Route, TestCase, TracedQuery

_MARKER = "BEDEV-INSPECT "
SOURCES = (
    (f"{WORKSPACE}/vendor/laravel/framework", "src/Illuminate/Foundation/Application.php"),
    ("/usr/share/php/Illuminate", "Foundation/Application.php"),
)
"""Where the framework's source lies, and in it the file that names the version."""


class Laravel:
    """See `Stack` for what each method means."""

    name = "laravel"
    title = "Laravel"
    console = "php artisan"

    def detect(self, tree: TreeReader, engine: str = "") -> Recipe | None:
        return detection.detect(tree, engine)

    def set_up_steps(self, recipe: Recipe) -> tuple[SetUpStep, ...]:
        """Downloads with network; then, without, what runs code of the repository and its packages. That
        code boots the application, so it gets the derived environment (there is no `.env` yet)."""
        offline = {**recipe.environment, **{k: v for k, v in recipe.dotenv.items() if "${" not in v}}
        download = [SetUpStep(_title(c), c, True, dict(recipe.environment)) for c in recipe.install]
        build = [SetUpStep(_title(c), c, False, offline, timeout=600.0) for c in recipe.build]
        return (*download, *build)

    def files(self) -> Mapping[str, bytes]:
        folder = Path(__file__).with_name("files")
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".php", ".ini")
        }

    def dotenv(self, recipe: Recipe, host: str, port: int, database: str, user: str, password: str) -> bytes:
        if recipe.engine == "sqlite":
            return environment.render(recipe.dotenv, {"DB_DATABASE": database})
        return environment.render(
            recipe.dotenv, self.database_environment(host, port, database, user, password)
        )

    def database_environment(
        self, host: str, port: int, database: str, user: str, password: str
    ) -> Mapping[str, str]:
        return {**self.test_environment(host, port, user, password), "DB_DATABASE": database}

    def test_environment(self, host: str, port: int, user: str, password: str) -> Mapping[str, str]:
        return {"DB_HOST": host, "DB_PORT": str(port), "DB_USERNAME": user, "DB_PASSWORD": password}

    def serve_command(self, recipe: Recipe) -> str:
        return recipe.serve

    def serve_environment(self, as_user: str, trace_file: str) -> Mapping[str, str]:
        """Empty without a user and a trace: a server that is measured runs no line of ours but the router."""
        table, _, key = as_user.partition(":")
        if as_user and not (table and key):
            raise UsageError(
                f"{as_user!r} does not name a user.", next_step="Write the table and the id: --as users:1."
            )
        wanted = {"BEDEV_AS_USER": as_user, "BEDEV_TRACE": trace_file}
        chosen = {name: value for name, value in wanted.items() if value}
        # An empty part keeps PHP's own folder of settings.
        return {"PHP_INI_SCAN_DIR": f":{STACK_FILES}/trace.d", **chosen} if chosen else {}

    def command_environment(self, trace_file: str) -> Mapping[str, str]:
        return self.serve_environment("", trace_file)

    def parse_trace(self, text: bytes) -> tuple[TracedQuery, ...]:
        return reports.parse_trace(text)

    def parse_tests(self, junit: bytes) -> tuple[TestCase, ...]:
        return reports.parse_tests(junit, "\\")

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

    def framework(self, app: Box) -> str:
        """Read from the source of `Application`, where composer or Debian put it; nothing is run of it."""
        for folder, file in SOURCES:
            content = app.read_file(f"{folder}/{file}", 1 << 20)
            found = re.search(rb"const VERSION = '([\w.+-]{1,40})'", content or b"")
            if found:
                where = folder.removeprefix(f"{WORKSPACE}/")
                return f"Laravel {found[1].decode()}, source in {where}"
        return ""

    def write_migration(
        self,
        tree: TreeReader,
        indexes: Sequence[IndexSpec],
        moment: str,
        schema: Schema | None = None,
        engine: str = "",
    ) -> MigrationFile:
        return migration.write_migration(tree, indexes, moment, schema, engine)

    def default_index_name(self, index: IndexSpec) -> str:
        return migration.default_index_name(index)


def _title(command: str) -> str:
    """The command itself, short enough for one line of progress."""
    plain = command.removeprefix("if [ -f vendor/composer/installed.json ]; then ").removesuffix("; fi")
    return plain if len(plain) <= 70 else plain[:69] + "…"


def _inspect(app: Box, what: str, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Runs files/inspect.php. Raises SetUpFailed where the application does not boot."""
    result = app.run(f"php -d memory_limit=512M {STACK_FILES}/inspect.php {what}", env=env, timeout=120.0)
    output = app.read_output(result.stdout.handle, 0, 8 << 20).decode("utf-8", errors="replace")
    lines = [line for line in output.splitlines() if line.startswith(_MARKER)]
    if not result.ok or not lines:
        raise SetUpFailed(
            f"The application did not start, so its {what} cannot be listed.",
            where="php artisan in the sandbox",
            next_step="Look at the last lines below; `php artisan about` in the repository shows the same.",
            detail=result.last_lines,
        )
    found = json.loads(lines[-1].removeprefix(_MARKER))
    return [entry if isinstance(entry, dict) else {"name": entry} for entry in found]
