"""Any repository, driven by its bedev.toml alone: no framework is known, so nothing is guessed and nothing
is loaded into the application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bedev.sandboxes.engines.engine import IndexSpec, Schema
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Recipe, TreeReader
from bedev.sandboxes.sandbox import Box, SetUpStep
from bedev.sandboxes.stacks import reports
from bedev.sandboxes.stacks.generic import detection, sql_migration, tap
from bedev.sandboxes.stacks.stack import ConsoleCommand, MigrationFile, Route, TestCase, TracedQuery


class Generic:
    """See `Stack` for what each method means."""

    name = "generic"
    title = "generic (bedev.toml)"
    console = ""
    last_resort = True

    def detect(self, tree: TreeReader, engine: str = "") -> Recipe | None:
        return detection.detect(tree, engine)

    def set_up_steps(self, recipe: Recipe) -> tuple[SetUpStep, ...]:
        environment = dict(recipe.environment)
        return (
            *(SetUpStep(_title(c), c, True, environment) for c in recipe.install),
            *(SetUpStep(_title(c), c, False, environment, timeout=600.0) for c in recipe.build),
        )

    def files(self) -> Mapping[str, bytes]:
        return {}

    def dotenv(self, recipe: Recipe, host: str, port: int, database: str, user: str, password: str) -> bytes:
        """Empty: the database's address is in the process environment (`[database.environment]`)."""
        return b""

    def database_environment(
        self, host: str, port: int, database: str, user: str, password: str
    ) -> Mapping[str, str]:
        """Empty: `Recipe.database_environment` has it, in the application's own names."""
        return {}

    def test_environment(self, host: str, port: int, user: str, password: str) -> Mapping[str, str]:
        return {}

    def serve_command(self, recipe: Recipe) -> str:
        if not recipe.serve:
            raise UsageError(
                "The application is to answer requests, and nothing says how it is served.",
                where=detection.FILE,
                next_step='Say it in the base commit: [recipe] serve = "node server.js", served_port = 3000',
            )
        return recipe.serve

    def serve_environment(self, as_user: str, trace_file: str) -> Mapping[str, str]:
        if as_user:
            raise UsageError(
                f"The generic stack cannot act as {as_user}: it knows no framework to log somebody in with.",
                where="--as",
                next_step="Send what the application asks for: --header 'Authorization: Bearer ...' "
                "(a token that the seed makes).",
            )
        return {}

    def command_environment(self, trace_file: str) -> Mapping[str, str]:
        return {}

    def parse_trace(self, text: bytes) -> tuple[TracedQuery, ...]:
        return ()

    def parse_tests(self, junit: bytes) -> tuple[TestCase, ...]:
        """JUnit XML or TAP: the first character tells them apart."""
        if junit.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return reports.parse_tests(junit)
        return tap.parse_tests(junit)

    def filtered_tests(self, command: str, filter: str) -> str:
        raise UsageError(
            "The generic stack does not know how this test command runs a part of the suite.",
            where=command,
            next_step="Run all tests.",
        )

    def routes(self, app: Box) -> tuple[Route, ...]:
        """None: only a framework could tell."""
        return ()

    def commands(self, app: Box) -> tuple[ConsoleCommand, ...]:
        return ()

    def pending_migrations(self, app: Box, env: Mapping[str, str]) -> int:
        raise UsageError(
            "bedev does not know which migrations of this application are pending.",
            where=detection.FILE,
            next_step="Run what [recipe] migrate says: it does what is left to do.",
        )

    def write_migration(
        self,
        tree: TreeReader,
        indexes: Sequence[IndexSpec],
        moment: str,
        schema: Schema | None = None,
        engine: str = "",
    ) -> MigrationFile:
        recipe = detection.detect(tree)
        patterns = recipe.migration_paths if recipe is not None else ()
        if recipe is None or recipe.migration_style != "sql":
            raise UsageError(
                "bedev cannot write a migration of this application: it does not know their form.",
                where=detection.FILE,
                next_step="A model or a person has to write it. Where migrations are SQL files, say so: "
                '[recipe] migration_style = "sql" and migration_paths = ["migrations/*.up.sql"]',
            )
        return sql_migration.write_migration(tree, patterns, indexes, moment, engine or recipe.engine)

    def default_index_name(self, index: IndexSpec) -> str:
        return "_".join(("idx", index.table, *index.columns))


def _title(command: str) -> str:
    first = command.strip().splitlines()[0] if command.strip() else "nothing"
    return first if len(first) <= 70 else first[:69] + "…"
