"""Migrations in Laravel's own style and naming, made from the repository's own migrations as models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bedev.sandboxes.engines.engine import IndexSpec, Schema, Table
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.laravel.database import read_database_config
from bedev.sandboxes.stacks.laravel.environment import example_file
from bedev.sandboxes.stacks.laravel.manifest import read_manifest
from bedev.sandboxes.stacks.laravel.suite import test_environment
from bedev.sandboxes.stacks.stack import MigrationFile
from bedev.sandboxes.stacks.tree_text import text_of

FOLDER = "database/migrations/"
LONGEST_NAME = 63  # of an identifier in PostgreSQL; in MySQL and MariaDB 64
_NAME = re.compile(r"(\d{4}_\d{2}_\d{2}_\d{6})_(\w+)\.php")


def default_index_name(index: IndexSpec) -> str:
    """As `Blueprint::createIndexName`: `orders_status_placed_at_index`."""
    name = "_".join((index.table, *index.columns, "unique" if index.unique else "index"))
    return name.lower().replace("-", "_").replace(".", "_")


def index_name(index: IndexSpec) -> str:
    """The given name, else Laravel's own, else (where that is too long) a short one of the same beginning."""
    own = default_index_name(index)
    if index.name or len(own) <= LONGEST_NAME:
        return index.name or own
    suffix = f"_{hashlib.sha256(own.encode()).hexdigest()[:8]}_{'unique' if index.unique else 'index'}"
    return own[: LONGEST_NAME - 1 - len(suffix)].rstrip("_") + suffix


def write_migration(
    tree: TreeReader,
    indexes: Sequence[IndexSpec],
    moment: str,
    schema: Schema | None = None,
    engine: str = "",
) -> MigrationFile:
    """A migration that adds `indexes` and whose down() removes them; see `Stack.write_migration`.

    On PostgreSQL an index is built beside writers only with CONCURRENTLY, which Laravel's schema builder has
    no word for before version 12, and which no transaction allows.

    `schema` is the database's at base, where it is known: with it, down() gives a foreign key back the index
    that the server had made for it (see `_foreign_key_indexes`). Raises UsageError for names that no
    migration could hold, and for no index at all.
    """
    _validate(indexes)
    tables: dict[str, list[IndexSpec]] = {}
    for index in indexes:
        tables.setdefault(index.table, []).append(index)
    style = _style(tree)
    slug = _slug(tables, style.taken)
    path = f"{FOLDER}{_stamp(tree, moment)}_{slug}.php"
    class_name = "".join(part.capitalize() for part in slug.split("_"))
    up: list[str] = []
    down: list[str] = []
    prefix = _prefix(tree)
    concurrently = engine == "postgres"
    for table, its in tables.items():
        up.append(_schema_table(table, prefix, [_add(index, prefix) for index in its]))
    for table, its in reversed(list(tables.items())):
        restored = _foreign_key_indexes(schema.table(table) if schema and not concurrently else None, its)
        down.extend(
            _restore(table, prefix, name, columns, style.has_index) for name, columns in restored.items()
        )
        down.append(_schema_table(table, prefix, [_drop(index, prefix) for index in reversed(its)]))
    start = ""
    if concurrently:
        elsewhere = _tests_elsewhere(tree)
        up = _concurrent(_CREATE, indexes, up if elsewhere else [])
        down = _concurrent(_DROP, indexes[::-1], down if elsewhere else [])
        start = f"    {_BESIDE_WRITERS}\n    public $withinTransaction = false;\n\n"
    body = start + _method("up", up, style) + "\n" + _method("down", down, style)
    uses = ["Illuminate\\Database\\Migrations\\Migration"]
    for name in ("Database\\Schema\\Blueprint", "Support\\Facades\\DB", "Support\\Facades\\Schema"):
        if re.search(rf"(?<!\w){name.rpartition(chr(92))[2]}(?: \$table|::)", body):
            uses.append(f"Illuminate\\{name}")
    opening = f"class {class_name} extends Migration" if style.named else "return new class extends Migration"
    text = "<?php\n\n"
    text += "declare(strict_types=1);\n\n" if style.strict else ""
    text += "".join(f"use {name};\n" for name in uses)
    text += f"\n{opening}\n{{\n{body}}}{'' if style.named else ';'}\n"
    text = text.replace("    ", style.indent) if style.indent != "    " else text
    adding = " ".join(line.strip() for part in up for line in part.splitlines())
    return MigrationFile(path, (text.replace("\n", style.newline)).encode(), up=adding)


class _Style:
    """How the repository's own migrations look; what is not seen is as `artisan make:migration` writes it."""

    def __init__(self, newest: str, names: set[str], has_index: bool) -> None:
        body = newest.replace("\r\n", "\n")
        self.named = bool(
            re.search(r"^\s*(?:final\s+)?class\s+\w+\s+extends\s+Migration", body, re.MULTILINE)
        )
        self.typed = not body or bool(re.search(r"function\s+up\(\)\s*:\s*void", body))
        self.strict = "declare(strict_types=1)" in body
        self.newline = "\r\n" if "\r\n" in newest else "\n"
        indent = re.search(r"^([ \t]+)(?:public|final)\s+function", body, re.MULTILINE)
        self.indent = indent[1] if indent else "    "
        self.taken = names
        self.has_index = has_index


def _style(tree: TreeReader) -> _Style:
    files = sorted(p for p in tree.paths() if p.startswith(FOLDER) and p.endswith(".php"))
    newest = text_of(tree, files[-1]) or "" if files else ""
    names = {found[2] for path in files if (found := _NAME.fullmatch(path.rpartition("/")[2]))}
    return _Style(newest, names, _schema_has_index(tree))


def _schema_has_index(tree: TreeReader) -> bool:
    manifest = read_manifest(tree)
    return manifest is not None and manifest.supports("laravel/framework", (11, 0))


def _stamp(tree: TreeReader, moment: str) -> str:
    """The moment as Laravel writes it, moved behind the last migration that is there."""
    try:
        when = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S")
    except ValueError as error:
        raise UsageError(
            f"{moment!r} is no moment.", next_step="Give it in UTC as YYYY-MM-DD HH:MM:SS."
        ) from error
    stamp = when.strftime("%Y_%m_%d_%H%M%S")
    present = [
        found[1]
        for path in tree.paths()
        if path.startswith(FOLDER) and (found := _NAME.fullmatch(path.rpartition("/")[2]))
    ]
    last = max(present, default="")
    if last < stamp:
        return stamp
    try:
        after = datetime.strptime(last, "%Y_%m_%d_%H%M%S") + timedelta(seconds=1)
    except ValueError:  # hand-made names count on: 2024_99_99_000001
        return f"{last[:11]}{int(last[11:]) + 1:06d}"
    return after.strftime("%Y_%m_%d_%H%M%S")


def _slug(tables: Mapping[str, Sequence[IndexSpec]], taken: set[str]) -> str:
    (first, its), *others = tables.items()
    if others:
        slug = "add_indexes_to_" + "_and_".join(tables) + "_tables"
    elif len(its) == 1:
        slug = f"add_{'_'.join(its[0].columns)}_index_to_{first}_table"
    else:
        slug = f"add_indexes_to_{first}_table"
    slug = re.sub(r"\W", "_", slug.lower())
    slug = slug if len(slug) <= 120 else f"add_indexes_{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    free = slug
    number = 2
    while free in taken:  # two migrations of one name are two classes of one name in older Laravel
        free = f"{slug}_{number}"
        number += 1
    return free


def _columns(index: IndexSpec) -> str:
    quoted = [f"'{column}'" for column in index.columns]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _prefix(tree: TreeReader) -> str:
    """What Laravel itself puts before every table name that a migration gives."""
    _, example = example_file(tree)
    config = read_database_config(tree, example.get("DB_CONNECTION", ""))
    said = (example.get(name, "") for name in config.variables.get("prefix", ()))
    return config.literals.get("prefix") or next(said, "")


def _is_laravels_own(name: str, index: IndexSpec, prefix: str) -> bool:
    """Whether Laravel would choose the name. With a prefix it depends on the configuration: then all names
    are written out."""
    return not prefix and name == default_index_name(index)


def _add(index: IndexSpec, prefix: str) -> str:
    name = index_name(index)
    explicit = "" if _is_laravels_own(name, index, prefix) else f", '{name}'"
    return f"$table->{'unique' if index.unique else 'index'}({_columns(index)}{explicit});"


def _drop(index: IndexSpec, prefix: str) -> str:
    name = index_name(index)
    own = _is_laravels_own(name, index, prefix)
    what = f"[{', '.join(repr(c) for c in index.columns)}]" if own else f"'{name}'"
    return f"$table->{'dropUnique' if index.unique else 'dropIndex'}({what});"


def _foreign_key_indexes(table: Table | None, indexes: Sequence[IndexSpec]) -> Mapping[str, tuple[str, ...]]:
    """Indexes that MySQL and MariaDB made for a foreign key and drop in favour of one of ours that begins
    with its columns. Ours can then not be dropped (error 1553) before the key's own index is back."""
    found: dict[str, tuple[str, ...]] = {}
    for key in table.foreign_keys if table else ():
        lower = tuple(c.lower() for c in key.columns)
        covered = any(tuple(c.lower() for c in i.columns[: len(lower)]) == lower for i in indexes)
        assert table is not None
        serving = [i for i in table.indexes if tuple(c.lower() for c in i.columns[: len(lower)]) == lower]
        if covered and [i.name for i in serving] == [key.name]:
            found[key.name] = key.columns
    return found


def _restore(table: str, prefix: str, name: str, columns: tuple[str, ...], has_index: bool) -> str:
    listed = f"'{columns[0]}'" if len(columns) == 1 else "[" + ", ".join(f"'{c}'" for c in columns) + "]"
    missing = (
        f"! Schema::hasIndex('{table.removeprefix(prefix)}', '{name}')"
        if has_index
        else f"DB::select('show index from `{table}` where Key_name = ?', ['{name}']) === []"
    )
    driver = "in_array(Schema::getConnection()->getDriverName(), ['mysql', 'mariadb'])"
    inner = _schema_table(table, prefix, [f"$table->index({listed}, '{name}');"])
    return (
        "// The server dropped the foreign key's own index for ours; ours cannot go before it is back.\n"
        f"if ({driver}\n    && {missing}) {{\n"
        + "".join(f"    {line}\n" for line in inner.splitlines())
        + "}\n"
    )


_BESIDE_WRITERS = "// The index is built while rows are written, which no transaction allows."
_AGAIN = "// A build that failed has left an invalid index behind.\n"
_CREATE = (
    'drop index concurrently if exists "{name}"',
    'create {unique}index concurrently "{name}" on "{table}" ({columns})',
)
_DROP = ('drop index concurrently if exists "{name}"',)


def _concurrent(forms: Sequence[str], indexes: Sequence[IndexSpec], otherwise: Sequence[str]) -> list[str]:
    """Statements of PostgreSQL; `otherwise` is for other servers, where the tests run on one."""
    statements = _AGAIN if forms is _CREATE else ""
    for index in indexes:
        columns = ", ".join(f'"{column}"' for column in index.columns)
        unique = "unique " if index.unique else ""
        for form in forms:
            sql = form.format(name=index_name(index), table=index.table, columns=columns, unique=unique)
            statements += f"DB::statement('{sql}');\n"
    if not otherwise:
        return [statements]
    inner = "".join(f"    {line}\n" if line else "\n" for line in "\n".join(otherwise).splitlines())
    other = f"if (DB::connection()->getDriverName() !== 'pgsql') {{\n{inner}\n    return;\n}}\n"
    return [other, statements]


def _tests_elsewhere(tree: TreeReader) -> bool:
    """Whether the tests run on another server than PostgreSQL (SQLite in memory)."""
    said = test_environment(tree).get("DB_CONNECTION")
    return said is not None and said[0] != "pgsql"


def _schema_table(table: str, prefix: str, lines: Sequence[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"Schema::table('{table.removeprefix(prefix)}', function (Blueprint $table) {{\n{body}}});\n"


def _method(name: str, parts: Sequence[str], style: _Style) -> str:
    body = "\n".join(parts)
    indented = "".join(f"        {line}\n" if line else "\n" for line in body.splitlines())
    return f"    public function {name}(){': void' if style.typed else ''}\n    {{\n{indented}    }}\n"


def _validate(indexes: Sequence[IndexSpec]) -> None:
    if not indexes:
        raise UsageError("A migration needs at least one index.", next_step="Give the indexes that it adds.")
    for index in indexes:
        for name in (index.table, *index.columns, *((index.name,) if index.name else ())):
            if not re.fullmatch(r"[A-Za-z_][\w$.-]*", name):
                raise UsageError(
                    f"{name!r} cannot stand in a migration.",
                    where=f"index on {index.table!r}",
                    next_step="Only names of letters, digits, `_`, `$`, `.` and `-` are written.",
                )
        if not index.columns:
            raise UsageError(
                f"An index on {index.table} has no columns.", next_step="Give at least one column."
            )
