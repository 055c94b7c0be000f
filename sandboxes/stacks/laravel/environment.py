"""The environment that an application runs in: derived from `.env.example`, every substitution listed."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bedev.sandboxes.recipe import Finding, TreeReader
from bedev.sandboxes.stacks.laravel.database import ENGINES, STANDARD, DatabaseConfig
from bedev.sandboxes.stacks.laravel.manifest import Manifest
from bedev.sandboxes.stacks.tree_text import line_of, text_of

EXAMPLES = (".env.example", ".env.dist", ".env.sample", ".env.docker")

FIXED: Mapping[str, str] = {
    # As in production, where the task's slow queries are: with another name, applications that call
    # Model::preventLazyLoading(! isProduction()) answer an N+1 with an error. Seeding overrides it.
    "APP_ENV": "production",
    # No stack traces and no profilers in answers; the reason of a 500 is in the server's log (see SERVE).
    "APP_DEBUG": "false",
    "APP_URL": "http://127.0.0.1:8000",
    "LOG_CHANNEL": "single",
    "LOG_LEVEL": "warning",
    # Nothing is remembered between requests: each measured request does all of its work.
    "CACHE_DRIVER": "array",
    "CACHE_STORE": "array",
    "SESSION_DRIVER": "array",
    "QUEUE_CONNECTION": "sync",
    "MAIL_MAILER": "log",
    "BROADCAST_DRIVER": "log",
    "BROADCAST_CONNECTION": "log",
    "BCRYPT_ROUNDS": "4",
}

WHERE_PRESENT: Mapping[str, str] = {
    "FILESYSTEM_DISK": "local",
    "FILESYSTEM_DRIVER": "local",
    "SCOUT_DRIVER": "null",
    "OCTANE_HTTPS": "false",
    "SENTRY_LARAVEL_DSN": "",
    "SENTRY_DSN": "",
}
"""Set only where the repository's own file has the name."""

SWITCHED_OFF = {
    "TELESCOPE_ENABLED": "laravel/telescope",
    "PULSE_ENABLED": "laravel/pulse",
    "NIGHTWATCH_ENABLED": "laravel/nightwatch",
    "DEBUGBAR_ENABLED": "barryvdh/laravel-debugbar",
    "CLOCKWORK_ENABLE": "itsgoingd/clockwork",
    "QUERY_DETECTOR_ENABLED": "beyondcode/laravel-query-detector",
}
"""Watchers that add queries of their own to every request, and the package that reads the variable."""


@dataclass(frozen=True)
class Environment:
    dotenv: Mapping[str, str]
    substitutions: tuple[str, ...]
    findings: tuple[Finding, ...]


def example_file(tree: TreeReader) -> tuple[str, Mapping[str, str]]:
    """The path and the values of the repository's example; `("", {})` where it has none. Values are taken as
    they stand: neither the host's environment nor other lines are put in."""
    from dotenv import dotenv_values

    for path in EXAMPLES:
        text = text_of(tree, path)
        if text is not None:
            values = dotenv_values(stream=io.StringIO(text), interpolate=False)
            return path, {name: value or "" for name, value in values.items()}
    return "", {}


def derive(
    tree: TreeReader, manifest: Manifest, config: DatabaseConfig, connection: str, engine: str
) -> Environment:
    """The environment file for `engine`, reached through Laravel's connection `connection`."""
    path, example = example_file(tree)
    values = dict(example)
    substitutions: list[str] = []

    def put(name: str, value: str) -> None:
        if values.get(name) != value:
            if name in example:
                substitutions.append(f"{name}: {example[name] or '(empty)'} -> {value or '(empty)'}")
            values[name] = value

    findings = [
        Finding(
            "environment", path or "none; derived from defaults", f"{path}:1" if path else "composer.json:1"
        )
    ]
    put("APP_KEY", _key(tree, manifest, "APP_KEY"))
    if "JWT_SECRET" in example:
        put("JWT_SECRET", _key(tree, manifest, "JWT_SECRET"))
    for name, value in FIXED.items():
        put(name, value)
    for name, value in WHERE_PRESENT.items():
        if name in example:
            put(name, value)
    for name, package in SWITCHED_OFF.items():
        if name in example or package in manifest.require or manifest.locked_version(package):
            put(name, "false")
    for name in (
        "DATABASE_URL",
        "DB_URL",
        "DB_SOCKET",
        *config.variables.get("url", ()),
        *config.variables.get("unix_socket", ()),
    ):
        if values.pop(name, ""):
            substitutions.append(f"{name}: removed (the pod's database is given by host and port)")
    put("DB_CONNECTION", connection)
    for name in config.variables.get("collation", ("DB_COLLATION",)):
        # MySQL 8's collations are unknown to MariaDB before 11.4, and MariaDB's newer ones to MySQL.
        if {"mariadb": "_0900_", "mysql": "_uca1400_"}.get(engine, " ") in values.get(name, ""):
            put(name, "utf8mb4_unicode_ci")
    text = text_of(tree, "config/database.php") or ""
    for setting, standard in STANDARD.items():
        for name in config.variables.get(setting, ()):
            if name != standard and engine != "sqlite":
                # Follows the standard variable, in the file and where the process environment overrides it.
                put(name, f"${{{standard}}}")
                findings.append(
                    Finding(
                        "database", f"{name} is its {setting}", f"config/database.php:{line_of(text, name)}"
                    )
                )
        if setting in config.literals and setting in ("host", "database") and engine != "sqlite":
            findings.append(
                Finding(
                    "database",
                    f"its {setting} is fixed to {config.literals[setting]!r}; it stays there",
                    f"config/database.php:{line_of(text, re.escape(config.literals[setting]))}",
                )
            )
    # What the pod's database is called comes when it is there (see `render`); the names keep their place.
    for name in STANDARD.values():
        values.pop(name, None)
    return Environment(values, tuple(substitutions), tuple(findings))


def render(values: Mapping[str, str], database: Mapping[str, str]) -> bytes:
    """The bytes of the environment file; `database` stands first, because other lines may refer to it."""
    lines = [f"{name}={_quoted(value)}" for name, value in {**database, **_rest(values, database)}.items()]
    return ("\n".join(lines) + "\n").encode()


def _rest(values: Mapping[str, str], database: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in values.items() if name not in database}


def _quoted(value: str) -> str:
    """phpdotenv's double quotes: `\\`, `\"` and `$` are escaped, `${NAME}` still refers to another line."""
    if re.fullmatch(r"[\w./:@+=,%-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return '"' + re.sub(r"\$(?!\{[A-Za-z_][\w.]*\})", r"\\$", escaped) + '"'


def _key(tree: TreeReader, manifest: Manifest, purpose: str) -> str:
    """The same for every commit of a repository: base and patch read each other's encrypted values."""
    seed = f"bedev {purpose} {manifest.data.get('name', '')}".encode()
    size = 16 if "AES-128" in (text_of(tree, "config/app.php") or "").upper() else 32
    digest = hashlib.sha256(seed).digest()
    return digest.hex() if purpose != "APP_KEY" else "base64:" + base64.b64encode(digest[:size]).decode()


def engine_for(connection: str, config: DatabaseConfig) -> str:
    """bedev's engine for a connection name: by its own name, else by the driver that the file gives it."""
    return ENGINES.get(connection) or ENGINES.get(config.driver, "")
