"""What `bedev init` writes: a bedev.toml for a person to edit, each line with what says so.

A line stands as a setting where a file of the repository says it; what is a guess, and what bedev does
anyway, is commented out with the reason. What stands parses, and gives the recipe that detection gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.recipe import Recipe, TreeReader
from bedev.sandboxes.stacks import stack as stacks
from bedev.sandboxes.stacks.generic.guesses import guess
from bedev.sandboxes.stacks.generic.manifests import Guess
from bedev.sandboxes.stacks.stack import Stack

TABLES = (
    "recipe", "recipe.environment", "services", "database", "database.environment", "database.rows",
    "scenario",
)  # fmt: skip
WIDTH = 110

_KEYS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "php", "python"),
    "packages": ("packages", "extension"),
    "install": ("install",),
    "build": ("build",),
    "migrate": ("migrate",),
    "rollback": ("rollback",),
    "seed": ("seed",),
    "serve": ("serve",),
    "test": ("test",),
}
"""Keys of [recipe] in the order in which they are written, and the findings that speak of each."""

_EXAMPLES: tuple[tuple[str, str, Any, str], ...] = (
    ("recipe", "image", "debian:trixie-slim", "based on Debian or Ubuntu; one with a / needs --allow-image"),
    ("recipe", "packages", ["curl"], "Debian packages that the image lacks"),
    ("recipe", "install", ["make deps"], "downloads dependencies; the only step with network"),
    ("recipe", "build", ["make"], "without network; again after every edit"),
    ("recipe", "migrate", "./migrate up", "runs all pending migrations; fills an empty database"),
    ("recipe", "rollback", "./migrate down {steps}", "undoes the last {steps} migrations"),
    ("recipe", "seed", "./seed", "some hundred rows in every table: growth takes after them"),
    ("recipe", "serve", "exec ./server", "in the foreground, on 127.0.0.1"),
    ("recipe", "served_port", 8000, "where it listens"),
    ("recipe", "test", "./test > {tap}", "writes its report to {junit} (JUnit XML) or {tap} (TAP)"),
    ("recipe", "test_paths", ["tests/**"], "a patch may add such files and weaken none"),
    (
        "recipe",
        "migration_paths",
        ["migrations/*.up.sql"],
        "change the schema; of a pair the one that goes up",
    ),
    ("recipe", "migration_style", "sql", "where migrations are SQL files: bedev can write them"),
    ("recipe", "generated", ["node_modules/**"], "what install and build make; never part of a patch"),
    ("recipe.environment", "APP_ENV", "production", "variables of the application's processes"),
    ("services", "redis", "redis:8", "servers beside the database, on 127.0.0.1 and their default ports"),
    ("database", "engine", "postgres", "the database server"),
    (
        "database.environment",
        "DATABASE_URL",
        "postgres://{user}:{password}@{host}:{port}/{database}",
        "how the application is told where its database is",
    ),
)
_SKELETON = tuple(Guess(*example, sure=False) for example in _EXAMPLES)
"""What a recipe is made of, with an example where nothing was found."""


@dataclass(frozen=True)
class Proposal:
    """`text` is the file; `found` says in lines what was detected, each with its source; `stack` is empty
    where no stack recognises the repository."""

    text: str
    found: tuple[str, ...]
    stack: str


class _WithoutOwnFile:
    """The tree as if it had no bedev.toml yet: what is written comes from detection alone."""

    def __init__(self, tree: TreeReader) -> None:
        self._tree = tree

    def paths(self) -> tuple[str, ...]:
        return tuple(path for path in self._tree.paths() if path != "bedev.toml")

    def read(self, path: str) -> bytes | None:
        return None if path == "bedev.toml" else self._tree.read(path)


def propose(tree: TreeReader, commit: str, engine: str = "") -> Proposal:
    """The file for these files. `commit` is named in it; `engine` is the user's choice."""
    tree = _WithoutOwnFile(tree)
    for name in stacks.names():
        stack = stacks.load(name)
        recipe = None if getattr(stack, "last_resort", False) else stack.detect(tree, engine)
        if recipe is not None:
            return _of_stack(stack, recipe, tree, commit)
    return _of_guesses(guess(tree), commit, engine)


def _of_stack(stack: Stack, recipe: Recipe, tree: TreeReader, commit: str) -> Proposal:
    found = tuple(f"{f.key} = {f.value}  [{f.source}]" for f in recipe.findings)
    first = recipe.findings[0]
    lines = [Guess("recipe", "stack", stack.name, f"{first.key}: {first.value}", first.source)]
    for key, names in _KEYS.items():
        value = getattr(recipe, key)
        value = list(value) if isinstance(value, tuple) else value
        said = next((f for f in recipe.findings if f.key in names), None)
        own = _own_reason(key, value, recipe) or (
            "" if said else f"what {stack.title} is started with anyway"
        )
        if not value:
            value, own = _example(key), f"nothing was found: {said.value}" if said else "nothing is needed"
        why = own or (said.value if said else "")
        lines.append(Guess("recipe", key, value, why, said.source if said else "", sure=not own))
    lines += [g for g in _SKELETON if g.table == "recipe.environment"]
    lines += [
        Guess(g.table, g.key, g.value, f"{g.why}: needed where the application does not start without it",
              g.source, sure=False)
        for g in guess(tree) if g.table == "services"
    ]  # fmt: skip
    about = next((f for f in recipe.findings if f.key == "database"), first)
    known = recipe.engine in engines.names()
    lacking = "" if known else ": bedev has no such engine"
    lines.append(
        Guess("database", "engine", recipe.engine, f"{about.value}{lacking}", about.source, sure=known)
    )
    if recipe.engine_image:
        lines.append(Guess("database", "image", recipe.engine_image, "its version", about.source))
    return Proposal(_text(lines, found, commit, stack.title), (f"stack = {stack.title}", *found), stack.name)


def _own_reason(key: str, value: Any, recipe: Recipe) -> str:
    """Why a value of the stack should not be frozen in a file of the user's."""
    if key in ("image", "packages") and recipe.image_lines:
        return "with an image or packages of your own, what the stack adds to its image is left out"
    if "bedev" in str(value):
        return "uses files of bedev's own, which change with its versions"
    return ""


def _example(key: str) -> Any:
    return next(g.value for g in _SKELETON if g.table == "recipe" and g.key == key)


def _of_guesses(guesses: Sequence[Guess], commit: str, engine: str) -> Proposal:
    guesses = _one_engine(guesses, engine)
    lines = [Guess("recipe", "stack", "generic", "no framework is recognised: this file says everything")]
    for example in _SKELETON:
        own = [g for g in guesses if (g.table, g.key) == (example.table, example.key)]
        if example.table in ("recipe.environment", "services", "database.environment"):
            own = [g for g in guesses if g.table == example.table]
            own = sorted(own, key=lambda g: not g.sure)
            own = list({g.key: g for g in reversed(own)}.values())[::-1]
        lines += _ranked(own) if own else [example]
    lines += [g for g in guesses if g.key == "image" and g.table == "database"][:1]
    found = tuple(
        f"{g.key} = {_value(g.value)}{'' if g.sure else ', a guess'}  [{g.source}]" for g in guesses
    )
    return Proposal(_text(lines, (), commit, ""), ("stack = not recognised", *found), "")


def _one_engine(guesses: Sequence[Guess], engine: str) -> list[Guess]:
    """One engine, and only what fits it."""
    said = engine or next((g.value for g in guesses if (g.table, g.key) == ("database", "engine")), "")
    kept = [g for g in guesses if g.table != "database" or str(g.value).partition(":")[0] == said]
    if engine and not any((g.table, g.key) == ("database", "engine") for g in kept):
        kept.append(Guess("database", "engine", engine, "--engine"))
    return kept


def _ranked(own: Sequence[Guess]) -> Iterator[Guess]:
    """The first sure guess of each key stands; the others are commented out beside it."""
    standing = set[str]()
    seen = set[tuple[str, str]]()
    for g in sorted(own, key=lambda g: not g.sure):
        if (g.key, str(g.value)) in seen:
            continue
        seen.add((g.key, str(g.value)))
        if g.sure and g.key in standing:
            g = Guess(g.table, g.key, g.value, f"or: {g.why}", g.source, sure=False)
        standing.add(g.key) if g.sure else None
        yield g


def _text(lines: Iterable[Guess], found: Sequence[str], commit: str, title: str) -> str:
    head = [
        f"Written by `bedev init` for commit {commit[:12]}, and yours to edit: how this repository comes up",
        "in bedev's sandbox. What is commented out is a guess, or what bedev does anyway. bedev reads this",
        "file from the base commit, so commit it; `bedev doctor` shows what comes of it. All keys:",
        "docs/bedev-toml.md" + ("" if title else ", and docs/generic.md where no framework is recognised."),
    ]
    text = [f"# {_plain(line)}" for line in head]
    if found:
        text += ["#", f"# Detected, {title}:", *(f"#   {_plain(line)}" for line in found)]
    rows = list(lines)
    for table in TABLES:
        own = [g for g in rows if g.table == table]
        text += _table(table, own)
    return "\n".join(text) + "\n"


def _table(table: str, own: Sequence[Guess]) -> list[str]:
    if table == "database.rows":
        return ["", "# How far tables are grown (docs/data.md).", "# [database.rows]", "# orders = 200000"]
    if table == "scenario":
        return [
            "", "# What shows the problem, where no flag says it.", "# [scenario]",
            '# http = ["GET /orders?customer=7"]',
        ]  # fmt: skip
    if not own:
        return []
    stands = any(g.sure for g in own)
    text = ["", f"[{table}]" if stands else f"# [{table}]"]
    for g in own:
        source = f"  [{g.source}]" if g.source else ""
        text.append(f"# {_plain(g.why)}{source}")
        written = f"{g.key} = {_value(g.value)}".splitlines()
        text += written if g.sure else [f"# {line}" for line in written]
    return text


def _plain(text: str) -> str:
    """One line of a comment: text of the repository cannot end it."""
    return "".join(c if c.isprintable() else " " for c in text)[:400]


def _value(value: Any) -> str:
    if isinstance(value, list):
        one = f"[{', '.join(_quoted(v) for v in value)}]"
        if len(one) < WIDTH - 20:
            return one
        return "[\n" + "".join(f"    {_quoted(v)},\n" for v in value) + "]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
