"""The recipe of a repository that says everything itself: base's bedev.toml, read as data."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import Finding, Recipe, TreeReader
from bedev.sandboxes.stacks.compose import engine_of_compose
from bedev.sandboxes.stacks.tree_text import line_of, mapping, text_of

FILE = "bedev.toml"
TEXTS = ("image", "migrate", "rollback", "seed", "serve", "test", "migration_style")
LISTS = (
    "packages", "install", "build", "test_paths", "test_config", "test_databases", "migration_paths",
    "generated",
)  # fmt: skip
GENERATED = ("node_modules/**", "vendor/**", ".venv/**", "**/__pycache__/**", ".env")
"""Where the repository does not say: what package managers make."""
_HEADER, _ENGINE = r"^\s*\[\s*recipe\s*\]", r"^\s*engine\s*="


def detect(tree: TreeReader, engine: str = "") -> Recipe | None:
    """The recipe, or None where no bedev.toml names an image. `engine` is the user's choice.

    What a value may be is checked by whoever reads bedev.toml with its lines (agent/bedev_toml.py); here a
    value of another type counts as not said. Raises UsageError where `stack = "generic"` lacks what it needs,
    and for an engine that needs a tracer.
    """
    text = text_of(tree, FILE)
    if text is None:
        return None
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    said, database = mapping(data.get("recipe")), mapping(data.get("database"))
    header = f"{FILE}:{line_of(text, _HEADER)}"
    if not said.get("image"):
        if said.get("stack") != "generic":
            return None
        raise UsageError(
            "The generic stack knows no image by itself, and bedev.toml names none.",
            where=header,
            next_step='Name one that is based on Debian or Ubuntu: [recipe] image = "node:22"',
        )
    values: dict[str, Any] = {key: said[key] for key in TEXTS if isinstance(said.get(key), str)}
    values |= {key: _list(said[key]) for key in LISTS if isinstance(said.get(key), list)}
    if isinstance(said.get("served_port"), int):
        values["served_port"] = said["served_port"]
    compose = engine_of_compose(tree)
    own = str(database.get("engine") or "")
    chosen = engine or own or (compose[1] if compose else "")
    if chosen == "sqlite":
        raise UsageError(
            "SQLite counts nothing by itself: bedev counts what a stack's tracer says was sent, and the "
            "generic stack has none.",
            where=f"{FILE}:{line_of(text, _ENGINE)}" if own else header,
            next_step="Let the application run on a server in the sandbox: [database] engine = "
            '"mariadb", "mysql" or "postgres".',
        )
    findings = [Finding("stack", f"generic: as {FILE} says", header)]
    if compose and not own and not engine:
        findings.append(compose[0])
    image = f"{chosen}:{compose[2]}" if compose and compose[1] == chosen and compose[2] else ""
    return Recipe(
        stack="generic",
        environment=_texts(said.get("environment")),
        services=_texts(data.get("services")),
        database_environment=_texts(database.get("environment")),
        engine=chosen,
        engine_image=str(database.get("image") or image),
        findings=tuple(findings),
        **{"generated": GENERATED, **values},
    )


def _list(value: list[Any]) -> tuple[str, ...]:
    return tuple(entry for entry in value if isinstance(entry, str))


def _texts(value: Any) -> dict[str, str]:
    return {str(k): v for k, v in mapping(value).items() if isinstance(v, str) and re.match(r"\w", str(k))}
