"""Base's bedev.toml: untrusted, it may choose how its application comes up and can never open a door.

What it may set is data (the tables below); what it may not set is refused by name, with the reason.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bedev.agent.toml_table import Table, TomlFile
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Finding, Recipe
from bedev.sandboxes.services import service as services
from bedev.tools.scenarios.scenario import Scenario, from_flags

MOST_ROWS = 100_000_000
_IMAGE = re.compile(
    r"(?:[a-z0-9][a-z0-9.-]*(?::\d{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_RECIPE: Table = {
    "stack": "text",
    "image": "text",
    "packages": "texts",
    "install": "texts",
    "build": "texts",
    "migrate": "text",
    "rollback": "text",
    "seed": "text",
    "serve": "text",
    "served_port": "integer",
    "test": "text",
    "test_paths": "texts",
    "test_config": "texts",
    "test_databases": "texts",
    "migration_paths": "texts",
    "migration_style": "text",
    "generated": "texts",
    "environment": "text table",
}
_DATABASE: Table = {"engine": "text", "image": "text", "rows": "integer table", "environment": "text table"}
_SCENARIO: Table = {
    "http": "texts",
    "command": "texts",
    "sql": "texts",
    "as": "text",
    "headers": "texts",
    "data": "text",
}

_FREE_NAMES = ("recipe.environment", "database.rows", "database.environment")
"""Tables whose keys are names of the repository's own."""

REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("endpoint", "base_url", "api_url", "model", "agent"),
        "which model is asked, and where, is the user's choice",
    ),
    **dict.fromkeys(
        ("key", "api_key", "token", "password", "secret", "pass_env", "env_file"),
        "a repository never asks for the user's secrets",
    ),
    **dict.fromkeys(("ca_file", "proxy"), "a repository never redirects the user's connections"),
    **dict.fromkeys(
        ("mount", "mounts", "volume", "volumes", "devices", "workdir"),
        "a sandbox sees nothing of the machine",
    ),
    **dict.fromkeys(
        ("network", "networks", "network_mode", "ports", "dns", "extra_hosts"), "a sandbox has no network"
    ),
    **dict.fromkeys(
        ("sandbox", "privileged", "cap_add", "capabilities", "security_opt", "seccomp", "user", "runtime",
         "docker_host", "allow_images", "pids_limit", "memory", "image_lines", "dockerfile"),
        "a repository never weakens its own isolation",
    ),
    **dict.fromkeys(
        ("claims", "checks", "gate", "weights"), "what a proof needs is not the repository's to say"
    ),
}  # fmt: skip
"""Names that base's bedev.toml may not set, with the reason that the error gives."""


@dataclass(frozen=True)
class RepositorySettings:
    """Base's bedev.toml, checked. `recipe` holds overrides by the name of the Recipe's field.

    Where it names an image (`images`), the caller asks the user before it is used.
    """

    stack: str = ""
    engine: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    scenario: Scenario | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def images(self) -> tuple[str, ...]:
        """Images that this file chose; untrusted until the user agreed."""
        named = tuple(self.recipe[key] for key in ("image", "engine_image") if key in self.recipe)
        return (*named, *self.recipe.get("services", {}).values())

    @staticmethod
    def parse(content: bytes, name: str = "bedev.toml") -> RepositorySettings:
        """Read the untrusted file. Raises UsageError that names the line, the key and what is allowed."""
        file = TomlFile(content, name)
        _refuse(file, file.data, "", 0)
        top = file.table("", {"services": "text table"}, ("recipe", "database", "scenario"))
        recipe = {**file.table("recipe", _RECIPE), **top}
        database = file.table("database", _DATABASE)
        wanted = file.table("scenario", _SCENARIO)
        _check_recipe(file, recipe)
        _check_services(file, recipe.get("services", {}))
        if "environment" in database:
            _check_environment(file, "database.environment", database["environment"])
            recipe["database_environment"] = database["environment"]
        if "image" in database:
            check_image(database["image"], file.where("database", "image"))
            recipe["engine_image"] = database["image"]
        if "engine" in database:
            recipe["engine"] = _checked_name(file, "database", "engine", database["engine"])
        for table, rows in database.get("rows", {}).items():
            if not 0 < rows <= MOST_ROWS:
                raise UsageError(
                    f"{rows:,} rows of {table} are not between 1 and {MOST_ROWS:,}.",
                    where=file.where("database.rows", table),
                    next_step="Choose a number that a sandbox can hold.",
                )
        stack = _checked_name(file, "recipe", "stack", recipe.pop("stack", ""))
        scenario = from_flags(
            wanted.get("http", ()),
            wanted.get("command", ()),
            wanted.get("sql", ()),
            wanted.get("as", ""),
            wanted.get("headers", ()),
            {},
            wanted.get("data", ""),
        )
        if wanted and scenario is None:
            raise UsageError(
                "[scenario] asks nothing.",
                where=file.where("scenario"),
                next_step='Give it http, command or sql: http = ["GET /api/users"]',
            )
        homes = {
            "engine": ("database", "engine"),
            "engine_image": ("database", "image"),
            "database_environment": ("database", "environment"),
            "services": ("services",),
        }
        return RepositorySettings(
            stack=stack,
            engine=recipe.get("engine", ""),
            rows=database.get("rows", {}),
            scenario=dataclasses.replace(scenario, brought_by=name) if scenario else None,
            recipe=recipe,
            lines={key: file.line(*homes.get(key, ("recipe", key))) for key in recipe},
        )

    def without_database_server(self) -> RepositorySettings:
        """The same without its engine and the engine's image, for a user who chose another engine."""
        own = {k: v for k, v in self.recipe.items() if k not in ("engine", "engine_image")}
        return dataclasses.replace(self, engine="", recipe=own) if self.engine else self

    def apply(self, recipe: Recipe, name: str = "bedev.toml") -> Recipe:
        """The recipe with these overrides, each recorded as a Finding.

        Another image or other packages mean that the stack's own image lines may not fit: they go.
        The tables (`environment`, `services`, `database_environment`) add to the stack's.
        """
        if not self.recipe:
            return recipe
        changes = dict(self.recipe)
        for key in ("environment", "services", "database_environment"):
            if key in changes:
                changes[key] = {**getattr(recipe, key), **changes[key]}
        if "image" in changes or "packages" in changes:
            changes["image_lines"] = ()
        found = tuple(
            Finding(key, _shown(value), f"{name}:{self.lines[key]}" if self.lines.get(key) else name)
            for key, value in self.recipe.items()
        )
        return dataclasses.replace(recipe, **changes, findings=(*recipe.findings, *found))


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _refuse(file: TomlFile, data: Mapping[str, Any], table: str, depth: int) -> None:
    """Refuse by name, at any depth, so that a wrong place is no way around; names of variables and tables
    of the repository's own (environment, rows) are free."""
    for key, value in data.items():
        normal = key.lower().replace("-", "_")
        if normal in REFUSED:
            raise UsageError(
                f"{key!r} may not be set by a repository: {REFUSED[normal]}.",
                where=file.where(table, key),
                next_step="Remove it. What you decide yourself goes into flags, BEDEV_* or your own "
                "~/.config/bedev/config.toml.",
            )
        inner = f"{table}.{key}" if table else key
        if isinstance(value, dict) and depth < 8 and inner not in _FREE_NAMES:
            _refuse(file, value, inner, depth + 1)


def _check_recipe(file: TomlFile, recipe: Mapping[str, Any]) -> None:
    if "image" in recipe:
        check_image(recipe["image"], file.where("recipe", "image"))
    for package in recipe.get("packages", ()):
        if not _PACKAGE.fullmatch(package):
            raise UsageError(
                f"{package!r} is not the name of a Debian package.",
                where=file.where("recipe", "packages"),
                next_step="Names are small letters, digits, '+', '-' and '.': \"php-mysql\"",
            )
    _check_environment(file, "recipe.environment", recipe.get("environment", {}))
    if recipe.get("migration_style", "sql") != "sql":
        raise UsageError(
            f"{recipe['migration_style']!r} is not a style of migrations that bedev can write.",
            where=file.where("recipe", "migration_style"),
            next_step='Write "sql" where migrations are SQL files, or leave it out.',
        )
    if not 0 < recipe.get("served_port", 8000) < 65536:
        raise UsageError(
            "served_port is not a port.",
            where=file.where("recipe", "served_port"),
            next_step="Write the port on which `serve` listens, 1 to 65535.",
        )
    for key in ("test_paths", "test_config", "migration_paths", "generated"):
        for pattern in recipe.get(key, ()):
            if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
                raise UsageError(
                    f"{pattern!r} is not a pattern of files in the repository.",
                    where=file.where("recipe", key),
                    next_step='For instance: "tests/**"',
                )
    for name in recipe.get("test_databases", ()):
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name):
            raise UsageError(
                f"{name!r} is not a name for a test database.",
                where=file.where("recipe", "test_databases"),
                next_step="Names are letters, digits and underscores.",
            )
    for key, placeholders, why in (
        ("test", ("{junit}", "{tap}"), "the path of the report that it writes, JUnit XML or TAP"),
        ("rollback", ("{steps}",), "the number of migrations that it undoes"),
    ):
        if recipe.get(key) and not any(placeholder in recipe[key] for placeholder in placeholders):
            raise UsageError(
                f"{key} has no {' or '.join(placeholders)}.",
                where=file.where("recipe", key),
                next_step=f"Put {' or '.join(placeholders)} where the command takes {why}.",
            )


def _check_environment(file: TomlFile, table: str, variables: Mapping[str, str]) -> None:
    for variable in variables:
        if not VARIABLE.fullmatch(variable) or variable.startswith("BEDEV_"):
            raise UsageError(
                f"{variable!r} cannot be set in the application's environment.",
                where=file.where(table, variable),
                next_step="Use letters, digits and underscores; BEDEV_* is reserved.",
            )


def _check_services(file: TomlFile, images: Mapping[str, str]) -> None:
    for kind, image in images.items():
        if kind not in services.names():
            raise UsageError(
                f"There is no service named {kind!r}.",
                where=file.where("services", kind),
                next_step=f"bedev can start {', '.join(services.names())}: "
                '[services] redis = "redis:7". The database is not one of them: [database] engine.',
            )
        check_image(image, file.where("services", kind))
    ports: dict[int, str] = {}
    for kind in images:
        other = ports.setdefault(services.load(kind).port, kind)
        if other != kind:
            raise UsageError(
                f"{kind} and {other} have the same port, and a pod has one network.",
                where=file.where("services", kind),
                next_step="Leave one of them out.",
            )


def check_image(name: str, where: str) -> None:
    """Raises UsageError where `name` is not what an image can be called."""
    if len(name) > 300 or not _IMAGE.fullmatch(name):
        raise UsageError(
            f"{name!r} is not the name of an image.", where=where, next_step='For instance: "php:8.3-cli"'
        )


def _checked_name(file: TomlFile, table: str, key: str, value: str) -> str:
    """Names of stacks and engines become module names: letters, digits and underscores only."""
    if value and not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", value):
        raise UsageError(
            f"{value!r} is not a name that {key} can have.",
            where=file.where(table, key),
            next_step="Names are small letters, digits and underscores.",
        )
    return value
