"""Which database an application expects, and the variables that point it there, read as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.tree_text import line_of, text_of

CONFIG = "config/database.php"

ENGINES = {"mysql": "mysql", "mariadb": "mariadb", "pgsql": "postgres", "sqlite": "sqlite"}
"""Laravel's connection (and driver) names, and the engines of bedev that serve them."""

STANDARD = {
    "host": "DB_HOST",
    "port": "DB_PORT",
    "database": "DB_DATABASE",
    "username": "DB_USERNAME",
    "password": "DB_PASSWORD",
}


@dataclass(frozen=True)
class DatabaseConfig:
    """What config/database.php says. `variables` are the environment variables of the default connection by
    setting (`host` -> `("DB_HOST",)`); `literals` are its settings that no variable changes."""

    default: str
    default_source: str
    connections: tuple[str, ...]
    variables: Mapping[str, tuple[str, ...]]
    literals: Mapping[str, str]
    driver: str


def read_database_config(tree: TreeReader, connection: str = "") -> DatabaseConfig:
    """Reads the file where the repository has one (from Laravel 11 on it may be the framework's own).
    `connection` is the environment's choice of the default connection."""
    text = text_of(tree, CONFIG)
    if text is None:
        standard = {setting: (name,) for setting, name in STANDARD.items()}
        return DatabaseConfig("sqlite", "", tuple(ENGINES), standard, {}, connection or "sqlite")
    bare = _without_comments(text)
    found = re.search(r"'default'\s*=>\s*(?:env\(\s*'\w+'\s*,\s*)?'(\w+)'", bare)
    default = found[1] if found else "mysql"
    connections = _entries(_block(bare, "connections"))
    block = _block(_block(bare, "connections"), connection or default)
    variables: dict[str, tuple[str, ...]] = {}
    literals: dict[str, str] = {}
    for setting in (*STANDARD, "url", "unix_socket", "collation", "prefix"):
        values = re.findall(rf"['\"]{setting}['\"]\s*=>\s*(\[[^\]]*\]|[^,\n]+(?:,[^\n]*\))?)", block)
        names = tuple(
            dict.fromkeys(n for value in values for n in re.findall(r"env\(\s*['\"](\w+)['\"]", value))
        )
        if names:
            variables[setting] = names
        elif values and (literal := re.fullmatch(r"['\"]([^'\"]*)['\"],?", values[0].strip())):
            literals[setting] = literal[1]
    driver = re.search(r"['\"]driver['\"]\s*=>\s*['\"](\w+)['\"]", block)
    line = line_of(text, r"'default'\s*=>")
    return DatabaseConfig(
        default,
        f"{CONFIG}:{line}",
        connections,
        variables,
        literals,
        driver[1] if driver else connection or default,
    )


def _without_comments(text: str) -> str:
    """PHP without its comments, as long as before, so that positions stay."""

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[1] else re.sub(r"[^\n]", " ", match[0])

    return re.sub(
        r"('(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")|/\*.*?\*/|(?://|#)[^\n]*", blank, text, flags=re.DOTALL
    )


def _block(text: str, key: str) -> str:
    """What stands between the brackets of `'key' => [ ... ]`, or the empty string."""
    start = re.search(rf"['\"]{re.escape(key)}['\"]\s*=>\s*(?:array\(|\[)", text)
    if start is None:
        return ""
    depth, position = 1, start.end()
    for token in re.finditer(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[\[(\])]", text[position:]):
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return text[position : position + token.start()]
    return text[position:]


def _entries(block: str) -> tuple[str, ...]:
    found: list[str] = []
    depth = 0
    for token in re.finditer(r"'((?:\\.|[^'\\])*)'(\s*=>)?|[\[(\])]", block):
        if token[2] and depth == 0:
            found.append(token[1])
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(token[0], 0)
    return tuple(found)
