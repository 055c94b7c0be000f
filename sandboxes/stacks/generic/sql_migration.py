"""Migrations that are SQL files: the next one, named and laid out as the last one is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import IndexSpec
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.patterns import matches
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.stack import MigrationFile
from bedev.sandboxes.stacks.tree_text import text_of

PAIRS = (
    (".up.sql", ".down.sql"),
    ("/up.sql", "/down.sql"),
    ("-up.sql", "-down.sql"),
    ("_up.sql", "_down.sql"),
)
"""How the file that undoes is called: golang-migrate and most others, Diesel, db-migrate."""

MARKS = (
    ("-- +goose Up", "-- +goose Down"),
    ("-- migrate:up", "-- migrate:down"),
    ("-- +migrate Up", "-- +migrate Down"),
    ("-- Up Migration", "-- Down Migration"),
)
"""Comments that divide one file: goose, dbmate, sql-migrate, node-pg-migrate."""

_NUMBERED = re.compile(r"(?P<before>(?:.*/)?V?)(?P<number>\d[\d-]*\d|\d)(?P<between>[_-]+|\.)(?P<name>[^/]+)")


@dataclass(frozen=True)
class Form:
    """How the last migration is called and laid out: `ends` of the files up and down (the same file where
    comments divide it), and what `number` comes after."""

    before: str
    number: str
    between: str
    ends: tuple[str, str]
    marks: tuple[str, str] | None


def write_migration(
    tree: TreeReader, patterns: Sequence[str], indexes: Sequence[IndexSpec], moment: str, engine: str
) -> MigrationFile:
    """See `Stack.write_migration`. Raises UsageError where no migration shows the form."""
    form = form_of(tree, patterns)
    server = engines.load(engine)
    named = [i if i.name else IndexSpec(i.table, i.columns, i.unique, _index_name(i)) for i in indexes]
    up = "".join(f"{server.create_index_sql(index)};\n" for index in named)
    down = "".join(f"{server.drop_index_sql(index)};\n" for index in reversed(named))
    number = next_number(form.number, moment)
    about = "add_index_on_" + "_and_".join("_".join((i.table, *i.columns)) for i in indexes)
    start = f"{form.before}{number}{form.between}{about[:80]}"
    if form.marks:
        content = f"{form.marks[0]}\n{up}\n{form.marks[1]}\n{down}"
        return MigrationFile(start + form.ends[0], content.encode(), up=up)
    return MigrationFile(start + form.ends[0], up.encode(), {start + form.ends[1]: down.encode()}, up)


def form_of(tree: TreeReader, patterns: Sequence[str]) -> Form:
    """The form of the newest migration that can be undone, with the newest number of all."""
    there = set(tree.paths())
    found: list[tuple[tuple[int, ...], Form]] = []
    newest: tuple[tuple[int, ...], str] = ((), "")
    for path in sorted(there):
        parts = _NUMBERED.fullmatch(path) or _folder(path)
        if parts is None or not matches(path, patterns):
            continue
        number = parts["number"]
        order = tuple(int(part) for part in number.split("-") if part)
        newest = max(newest, (order, number))
        end, marks = _ends(tree, path, there)
        if end is not None:
            found.append((order, Form(parts["before"], number, parts["between"], end, marks)))
    if not found:
        raise UsageError(
            "No SQL migration of this repository shows how one is numbered and undone.",
            where=", ".join(patterns) or "bedev.toml: [recipe] migration_paths",
            next_step="bedev knows NUMBER_NAME.up.sql beside .down.sql, folders with up.sql and down.sql, "
            "and the comments of goose, dbmate, sql-migrate and node-pg-migrate. Otherwise a model or a "
            "person has to write the migration.",
        )
    return replace(max(found, key=lambda pair: pair[0])[1], number=newest[1])


def next_number(last: str, moment: str) -> str:
    """The number after `last`: of the same width, or in the same form of a moment, and behind it."""
    digits = last.replace("-", "")
    if len(digits) < 10:
        return str(int(last) + 1).zfill(len(last)) if last.isdigit() else f"{last}1"
    if len(digits) == 10 and not digits.startswith(("19", "20")):
        from datetime import UTC, datetime

        seconds = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        return str(max(int(seconds), int(digits) + 1))
    now = re.sub(r"\D", "", moment).ljust(len(digits), "0")[: len(digits)]
    wanted = str(max(int(now), int(digits) + 1)).zfill(len(digits))
    taken = iter(wanted)
    return "".join(c if c == "-" else next(taken) for c in last)


def _folder(path: str) -> re.Match[str] | None:
    """A migration that is a folder: `migrations/2024-01-01-120000_name/up.sql`."""
    folder, _, file = path.rpartition("/")
    return _NUMBERED.fullmatch(folder) if file == "up.sql" else None


def _ends(
    tree: TreeReader, path: str, there: set[str]
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    for up, down in PAIRS:
        if path.endswith(up) and path[: -len(up)] + down in there:
            return (up, down), None
    text = text_of(tree, path) or ""
    for up, down in MARKS:
        if re.search(rf"^{re.escape(up)}\b", text, re.MULTILINE | re.IGNORECASE) and re.search(
            rf"^{re.escape(down)}\b", text, re.MULTILINE | re.IGNORECASE
        ):
            return (".sql", ".sql"), (up, down)
    return None, None


def _index_name(index: IndexSpec) -> str:
    return "_".join(("idx", index.table, *index.columns))[:60]
