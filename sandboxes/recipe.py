"""How a repository comes up: found by its stack, overridden by base's bedev.toml, stated in every proof."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class TreeReader(Protocol):
    """A commit's files, read as data (git objects, never the checkout)."""

    def paths(self) -> tuple[str, ...]:
        """All regular files, sorted, with `/` between folders."""
        ...

    def read(self, path: str) -> bytes | None:
        """A file's bytes, None where there is no such file."""
        ...


@dataclass(frozen=True)
class Finding:
    """One thing that detection decided: `key = value`, and the `source` (`composer.json:12`) that says so."""

    key: str
    value: str
    source: str


@dataclass(frozen=True)
class Recipe:
    """All that is needed to bring a repository up, as commands for `bash -c` in /work.

    `install` runs in the set-up phase with network; `build` after it, without, and again after each edit
    where built output is what runs. `environment` is process environment; `dotenv` is written to the
    file `dotenv_path` in the workspace (which then never enters a patch). `junit` is where `test` writes
    its report: the text `{junit}` in `test` is replaced by a path. `test_paths` and `test_config` are
    glob patterns of protected files. `generated` are glob patterns of what set-up makes (vendor/, caches).
    `rollback` undoes the last `{steps}` migrations. `served_port` is where `serve` listens. `services` are
    servers beside the database, on their default ports: kind -> image. `database_environment` is process
    environment that holds the database's address in the application's own names (see `address`).
    `migration_style` is `sql` where migrations are SQL files that bedev may write.
    """

    stack: str
    image: str
    packages: tuple[str, ...] = ()
    image_lines: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)
    dotenv_path: str = ""
    migrate: str = ""
    rollback: str = ""
    seed: str = ""
    serve: str = ""
    served_port: int = 8000
    test: str = ""
    test_paths: tuple[str, ...] = ()
    test_config: tuple[str, ...] = ()
    migration_paths: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    test_databases: tuple[str, ...] = ()
    services: Mapping[str, str] = field(default_factory=dict)
    database_environment: Mapping[str, str] = field(default_factory=dict)
    migration_style: str = ""
    engine: str = ""
    engine_image: str = ""
    findings: tuple[Finding, ...] = ()
    substitutions: tuple[str, ...] = ()

    def address(self, host: str, port: int, database: str, user: str, password: str) -> dict[str, str]:
        """`database_environment` with `{host}`, `{port}`, `{database}`, `{user}`, `{password}` filled in."""
        known = {"host": host, "port": str(port), "database": database, "user": user, "password": password}
        return {
            name: re.sub(r"\{(" + "|".join(known) + r")\}", lambda found: known[found[1]], value)
            for name, value in self.database_environment.items()
        }
