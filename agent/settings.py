"""Settings: flags > BEDEV_* > user configuration > base's bedev.toml > defaults.

There are two loaders, and they share no key that matters: the user's file may open doors (variables that
set-up sees, a proxy, images), the repository's file is untrusted and never can.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bedev.agent.toml_table import Table, TomlFile
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Finding, Recipe
from bedev.tools.scenarios.scenario import Scenario, from_flags

SANDBOXES = ("docker",)
MOST_ROWS = 100_000_000
_IMAGE = re.compile(
    r"(?:[a-z0-9][a-z0-9.-]*(?::\d{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# --- the user's own -------------------------------------------------------------------------------------

_USER: Table = {
    "model": "text",
    "sandbox": "text",
    "engine": "text",
    "max_minutes": "number",
    "pass_env": "texts",
    "ca_file": "text",
    "proxy": "text",
    "allow_images": "texts",
}


@dataclass(frozen=True)
class UserSettings:
    """What the user says in BEDEV_* or in config.toml; None where they say nothing.

    `pass_env` (names of variables), `ca_file` and `proxy` reach the set-up phase and nothing else;
    `allow_images` are image names from a repository's bedev.toml that the user agrees to.
    """

    model: str | None = None
    sandbox: str | None = None
    engine: str | None = None
    max_minutes: float | None = None
    pass_env: tuple[str, ...] | None = None
    ca_file: str | None = None
    proxy: str | None = None
    allow_images: tuple[str, ...] | None = None

    @staticmethod
    def parse(content: bytes, name: str = "config.toml") -> UserSettings:
        """The user's configuration file. Raises UsageError."""
        file = TomlFile(content, name)
        values = file.table("", _USER)
        return UserSettings(**{k: _user_value(k, v, file.where("", k)) for k, v in values.items()})

    @staticmethod
    def from_environment(environ: Mapping[str, str]) -> UserSettings:
        """BEDEV_MODEL, BEDEV_PASS_ENV=A,B ... Raises UsageError for a wrong value or a name nearly right."""
        values: dict[str, Any] = {}
        known = {f"BEDEV_{key.upper()}": key for key in _USER}
        for variable, text in environ.items():
            if not variable.startswith("BEDEV_") or text == "":
                continue
            key = known.get(variable)
            if key is None:
                near = difflib.get_close_matches(variable, known, 1, cutoff=0.85)
                if near:
                    raise UsageError(
                        f"{variable} is not a setting.",
                        where="environment",
                        next_step=f"Did you mean {near[0]}?",
                    )
                continue
            value: Any = text
            if _USER[key] == "texts":
                value = tuple(part.strip() for part in text.split(",") if part.strip())
            elif _USER[key] == "number":
                try:
                    value = float(text)
                except ValueError:
                    raise UsageError(
                        f"{variable}={text} is not a number.", where="environment", next_step="Write minutes."
                    ) from None
            values[key] = _user_value(key, value, variable)
        return UserSettings(**values)


def _user_value(key: str, value: Any, where: str) -> Any:
    if key == "sandbox" and value not in SANDBOXES:
        raise UsageError(
            f"There is no sandbox named {value!r} in this version.",
            where=where,
            next_step=f"Use one of: {', '.join(SANDBOXES)}.",
        )
    if key == "max_minutes" and not 0 < value <= 24 * 60:
        raise UsageError(
            f"{value:g} is not a number of minutes between 0 and 1440.",
            where=where,
            next_step="For instance: 30",
        )
    if key == "ca_file" and not os.path.isabs(value):
        raise UsageError("ca_file is not an absolute path.", where=where, next_step="Write the whole path.")
    if key == "proxy" and not re.fullmatch(r"https?://[^\s/]+/?", value):
        raise UsageError(
            "proxy is not the address of a proxy.",
            where=where,
            next_step="For instance: http://proxy.example:3128",
        )
    if key == "pass_env":
        for name in value:
            if not _VARIABLE.fullmatch(name):
                raise UsageError(
                    f"{name!r} is not the name of a variable.",
                    where=where,
                    next_step="Name variables only; their values are taken from the environment.",
                )
    if key == "allow_images":
        for name in value:
            _check_image(name, where)
    return value


@dataclass(frozen=True)
class Settings:
    """Every setting of a run, merged. `sources` says for each key where it came from: `flag`, `BEDEV_...`,
    `config.toml`, `bedev.toml`; keys that nobody set are not in it."""

    model: str = "advisor"
    sandbox: str = "docker"
    engine: str = ""
    max_minutes: float | None = None
    pass_env: tuple[str, ...] = ()
    ca_file: str | None = None
    proxy: str | None = None
    allow_images: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def with_repository(self, repository: RepositorySettings) -> Settings:
        """These settings, completed by base's bedev.toml where the user said nothing."""
        found: dict[str, Any] = {}
        if repository.engine and "engine" not in self.sources:
            found["engine"] = repository.engine
        if repository.rows and "rows" not in self.sources:
            found["rows"] = repository.rows
        sources = {**self.sources, **dict.fromkeys(found, "bedev.toml")}
        return dataclasses.replace(self, **found, sources=sources)


def configuration_file(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/bedev/config.toml`; a relative XDG_CONFIG_HOME counts as unset (its standard)."""
    home = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if os.path.isabs(home) else Path(environ.get("HOME") or Path.home()) / ".config"
    return folder / "bedev" / "config.toml"


def load(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Merge `flags` (None or empty: not given), the environment and the user's file. Raises UsageError."""
    environ = os.environ if environ is None else environ
    path = configuration_file(environ)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise UsageError(
            f"The configuration cannot be read: {error.strerror}.", where=str(path), next_step="ls -l it."
        ) from error
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers = (
        (UserSettings.parse(content, str(path)), "config.toml"),
        (UserSettings.from_environment(environ), ""),
    )
    for layer, source in layers:
        for key, value in dataclasses.asdict(layer).items():
            if value is not None:
                values[key] = value
                sources[key] = source or f"BEDEV_{key.upper()}"
    for key, value in flags.items():
        if value is None or value in ("", (), {}, []):
            continue
        checked = value if key == "rows" else _user_value(key, value, f"--{key.replace('_', '-')}")
        # Images that the user agrees to add up; everything else replaces.
        values[key] = (*values.get(key, ()), *checked) if key == "allow_images" else checked
        sources[key] = "flag"
    return Settings(**values, sources=sources)


# --- the repository's -----------------------------------------------------------------------------------

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
    "environment": "text table",
}
_DATABASE: Table = {"engine": "text", "image": "text", "rows": "integer table"}
_SCENARIO: Table = {
    "http": "texts",
    "command": "texts",
    "sql": "texts",
    "as": "text",
    "headers": "texts",
    "data": "text",
}

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
        return tuple(self.recipe[key] for key in ("image", "engine_image") if key in self.recipe)

    @staticmethod
    def parse(content: bytes, name: str = "bedev.toml") -> RepositorySettings:
        """Read the untrusted file. Raises UsageError that names the line, the key and what is allowed."""
        file = TomlFile(content, name)
        _refuse(file, file.data, "", 0)
        file.table("", {}, ("recipe", "database", "scenario"))
        recipe = file.table("recipe", _RECIPE)
        database = file.table("database", _DATABASE)
        wanted = file.table("scenario", _SCENARIO)
        _check_recipe(file, recipe)
        if "image" in database:
            _check_image(database["image"], file.where("database", "image"))
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
        homes = {"engine": ("database", "engine"), "engine_image": ("database", "image")}
        return RepositorySettings(
            stack=stack,
            engine=recipe.get("engine", ""),
            rows=database.get("rows", {}),
            scenario=dataclasses.replace(scenario, brought_by=name) if scenario else None,
            recipe=recipe,
            lines={key: file.line(*homes.get(key, ("recipe", key))) for key in recipe},
        )

    def apply(self, recipe: Recipe, name: str = "bedev.toml") -> Recipe:
        """The recipe with these overrides, each recorded as a Finding.

        Another image or other packages mean that the stack's own image lines may not fit: they go.
        `environment` adds to the stack's.
        """
        if not self.recipe:
            return recipe
        changes = dict(self.recipe)
        if "environment" in changes:
            changes["environment"] = {**recipe.environment, **changes["environment"]}
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
        if isinstance(value, dict) and depth < 8 and inner not in ("recipe.environment", "database.rows"):
            _refuse(file, value, inner, depth + 1)


def _check_recipe(file: TomlFile, recipe: Mapping[str, Any]) -> None:
    if "image" in recipe:
        _check_image(recipe["image"], file.where("recipe", "image"))
    for package in recipe.get("packages", ()):
        if not _PACKAGE.fullmatch(package):
            raise UsageError(
                f"{package!r} is not the name of a Debian package.",
                where=file.where("recipe", "packages"),
                next_step="Names are small letters, digits, '+', '-' and '.': \"php-mysql\"",
            )
    for variable in recipe.get("environment", {}):
        if not _VARIABLE.fullmatch(variable) or variable.startswith("BEDEV_"):
            raise UsageError(
                f"{variable!r} cannot be set in the application's environment.",
                where=file.where("recipe.environment", variable),
                next_step="Use letters, digits and underscores; BEDEV_* is reserved.",
            )
    if not 0 < recipe.get("served_port", 8000) < 65536:
        raise UsageError(
            "served_port is not a port.",
            where=file.where("recipe", "served_port"),
            next_step="Write the port on which `serve` listens, 1 to 65535.",
        )
    for pattern in recipe.get("test_paths", ()):
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise UsageError(
                f"{pattern!r} is not a pattern of files in the repository.",
                where=file.where("recipe", "test_paths"),
                next_step='For instance: "tests/**"',
            )
    for key, placeholder, why in (
        ("test", "{junit}", "the path of the JUnit report that it writes"),
        ("rollback", "{steps}", "the number of migrations that it undoes"),
    ):
        if recipe.get(key) and placeholder not in recipe[key]:
            raise UsageError(
                f"{key} has no {placeholder}.",
                where=file.where("recipe", key),
                next_step=f"Put {placeholder} where the command takes {why}.",
            )


def _check_image(name: str, where: str) -> None:
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


def parse_out(texts: Sequence[str]) -> dict[str, Path]:
    """`markdown=FILE` of --out. Raises UsageError."""
    found: dict[str, Path] = {}
    for text in texts:
        kind, equals, path = text.partition("=")
        if kind in ("html", "sarif", "junit"):
            raise UsageError(
                f"--out {kind} is not in this version.", where="--out", next_step="Use --out markdown=FILE."
            )
        if kind != "markdown" or not equals or not path:
            raise UsageError(
                f"--out {text!r} is not KIND=FILE.",
                where="--out",
                next_step="For instance: --out markdown=proof.md",
            )
        if kind in found:
            raise UsageError(f"--out {kind} is given twice.", where="--out", next_step="Give it once.")
        target = Path(path)
        if not target.absolute().parent.is_dir() or target.is_dir():
            raise UsageError(
                f"{path} cannot be written.", where="--out", next_step="Name a file in a folder that exists."
            )
        found[kind] = target
    return found
