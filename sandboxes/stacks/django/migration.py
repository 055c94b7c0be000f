"""Migrations as Django itself names and writes them, together with the models that declare the same index."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bedev.sandboxes.engines.engine import IndexSpec, Schema, Table
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.django.models import Model, find_model, with_declaration
from bedev.sandboxes.stacks.stack import MigrationFile
from bedev.sandboxes.stacks.tree_text import text_of

LONGEST_FILE = 52  # characters of the name behind the number, as makemigrations cuts it


def default_index_name(index: IndexSpec) -> str:
    """As `Index.set_name_with_model`: `orders_status_1a2b3c_idx`, at most 30 characters, which every database
    takes."""
    suffix = "uniq" if index.unique else "idx"
    digest = hashlib.md5(usedforsecurity=False)
    for part in (index.table, *index.columns, suffix):
        digest.update(part.encode())
    name = f"{index.table[:11]}_{index.columns[0][:7]}_{digest.hexdigest()[:6]}_{suffix}"
    return f"D{name[1:]}" if name[0] == "_" or name[0].isdigit() else name


@dataclass(frozen=True)
class _Application:
    """One application's part of the change."""

    model: Model
    indexes: list[tuple[Model, IndexSpec]]


def write_migration(
    tree: TreeReader, indexes: Sequence[IndexSpec], schema: Schema | None = None, engine: str = ""
) -> MigrationFile:
    """One migration for each application whose tables get an index; see `Stack.write_migration`. The models'
    Meta declare it too, so that `makemigrations --check` stays clean. Raises UsageError for a table that no
    model of the repository has, for names that no migration could hold, and for no index at all."""
    _validate(indexes)
    applications: dict[str, _Application] = {}
    for index in indexes:
        model = find_model(tree, index.table)
        if model is None:
            raise UsageError(
                f"No model of the repository has the table {index.table!r}, so none of its migrations can.",
                where="models.py of the applications",
                next_step="Add the index by hand where the table comes from, or with migrations.RunSQL.",
            )
        applications.setdefault(model.folder, _Application(model, [])).indexes.append((model, index))
    files: dict[str, bytes] = {}
    for application in applications.values():
        path, content = _migration(tree, application, schema, engine)
        files[path] = content
    first, *others = files
    pairs = [pair for a in applications.values() for pair in a.indexes]
    adding = "; ".join(f"{m.name}: {_declared(m, i)}" for m, i in pairs)
    beside = {**{path: files[path] for path in others}, **_models(tree, pairs)}
    return MigrationFile(first, files[first], beside, adding)


def _migration(
    tree: TreeReader, application: _Application, schema: Schema | None, engine: str
) -> tuple[str, bytes]:
    folder, label = f"{application.model.folder}migrations/", application.model.label
    there = _read(tree, folder)
    if not there:
        raise UsageError(
            f"The application {label!r} has no migrations, so Django makes its tables without them.",
            where=folder,
            next_step=f"Make its first one: python manage.py makemigrations {label}",
        )
    concurrently = engine == "postgres"
    operations = [_operation(model, index, concurrently) for model, index in application.indexes]
    restored: dict[tuple[str, str], tuple[str, ...]] = {}
    if engine != "postgres" and schema is not None:
        for model in {m.table: m for m, _ in application.indexes}.values():
            its = [i for m, i in application.indexes if m.table == model.table]
            for name, columns in _foreign_key_indexes(schema.table(model.table), its).items():
                restored[model.table, name] = columns
    uses = ["from django.db import migrations, models"]
    if concurrently and any(not index.unique for _, index in application.indexes):
        uses.insert(0, "from django.contrib.postgres.operations import AddIndexConcurrently")
    helper = _give_back(restored) if restored else ""
    if restored:
        undone = "migrations.RunPython(migrations.RunPython.noop, give_back, atomic=False)"
        operations.append(f"        {undone},\n")
    dependencies = "".join(f'        ("{label}", "{name}"),\n' for name in _leaves(there, label))
    text = "\n".join(uses) + "\n\n\n" + helper + "class Migration(migrations.Migration):\n"
    text += "    atomic = False\n\n" if len(uses) > 1 else ""
    text += f"    dependencies = [\n{dependencies}    ]\n\n    operations = [\n{''.join(operations)}    ]\n"
    newest = text_of(tree, f"{folder}{max(there)}.py") or ""
    number = max((int(m[1]) for name in there if (m := re.match(r"(\d+)", name))), default=0) + 1
    path = f"{folder}{number:04d}_{_slug(application.indexes)}.py"
    return path, (text.replace("\n", "\r\n") if "\r\n" in newest else text).encode()


def _operation(model: Model, index: IndexSpec, concurrently: bool) -> str:
    if index.unique:
        head, key = "migrations.AddConstraint", "constraint"
    else:
        head, key = ("AddIndexConcurrently" if concurrently else "migrations.AddIndex"), "index"
    lines = f'            model_name="{model.name.lower()}",\n            {key}={_declared(model, index)},\n'
    return f"        {head}(\n{lines}        ),\n"


def _declared(model: Model, index: IndexSpec) -> str:
    fields = ", ".join(f'"{_field(model, column)}"' for column in index.columns)
    name = index.name or default_index_name(index)
    if index.unique:
        return f'models.UniqueConstraint(fields=[{fields}], name="{name}")'
    return f'models.Index(fields=[{fields}], name="{name}")'


def _field(model: Model, column: str) -> str:
    """The field of a column; where its base is not in the repository, the column's own name."""
    return model.fields.get(column.lower(), column)


def _models(tree: TreeReader, indexes: Sequence[tuple[Model, IndexSpec]]) -> Mapping[str, bytes]:
    """The models' files with the declarations. A file that cannot be changed safely stays as it is."""
    texts: dict[str, str] = {}
    for model, index in indexes:
        content = tree.read(model.path)
        if content is None or model.inherits_meta:
            continue
        try:
            text = texts.get(model.path) or content.decode("utf-8")
        except UnicodeDecodeError:
            continue
        attribute = "constraints" if index.unique else "indexes"
        changed = with_declaration(text, model.name, attribute, _declared(model, index))
        if changed is not None:
            texts[model.path] = changed
    return {path: text.encode() for path, text in texts.items()}


def _slug(indexes: Sequence[tuple[Model, IndexSpec]]) -> str:
    """As `Migration.suggest_name` does."""
    parts = [f"{m.name}_{i.name or default_index_name(i)}".lower() for m, i in indexes]
    name = re.sub(r"\W+", "_", parts[0])
    for part in parts[1:]:
        longer = name + "_" + re.sub(r"\W+", "_", part)
        if len(longer) > LONGEST_FILE:
            return f"{name}_and_more"
        name = longer
    return name


@dataclass(frozen=True)
class _Migration:
    dependencies: tuple[tuple[str, str], ...]
    replaces: tuple[tuple[str, str], ...]


def _read(tree: TreeReader, folder: str) -> Mapping[str, _Migration]:
    """The migrations of a folder by name, with what each depends on and replaces."""
    found: dict[str, _Migration] = {}
    for path in tree.paths():
        name = path[len(folder) : -3]
        if (
            not path.startswith(folder)
            or not path.endswith(".py")
            or "/" in name
            or name.startswith(("_", "~"))
        ):
            continue
        try:
            module = ast.parse(text_of(tree, path) or "")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in module.body:
            if isinstance(node, ast.ClassDef) and node.name == "Migration":
                found[name] = _Migration(_pairs(node, "dependencies"), _pairs(node, "replaces"))
    return found


def _pairs(node: ast.ClassDef, name: str) -> tuple[tuple[str, str], ...]:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in statement.targets
        ):
            entries = statement.value.elts if isinstance(statement.value, (ast.List, ast.Tuple)) else ()
            return tuple(
                (str(e.elts[0].value), str(e.elts[1].value))
                for e in entries
                if isinstance(e, ast.Tuple)
                and len(e.elts) == 2
                and isinstance(e.elts[0], ast.Constant)
                and isinstance(e.elts[1], ast.Constant)
            )
    return ()


def _leaves(there: Mapping[str, _Migration], label: str) -> list[str]:
    """Those that no other of the application depends on; a squashed one stands for what it replaces."""
    stands: dict[str, str] = {}
    for name, migration in there.items():
        stands |= {replaced: name for app, replaced in migration.replaces if app == label}
    needed = {
        stands.get(parent, parent)
        for name, migration in there.items()
        for app, parent in migration.dependencies
        if app == label and stands.get(parent, parent) != stands.get(name, name)
    }
    return sorted(name for name in there if name not in needed and name not in stands)


def _foreign_key_indexes(table: Table | None, indexes: Sequence[IndexSpec]) -> Mapping[str, tuple[str, ...]]:
    """Indexes that MySQL and MariaDB made for a foreign key and drop in favour of one of ours that begins
    with its columns. Ours can then not be dropped (error 1553) before the key's own index is back."""
    found: dict[str, tuple[str, ...]] = {}
    for key in table.foreign_keys if table else ():
        columns = tuple(c.lower() for c in key.columns)
        covered = any(tuple(c.lower() for c in i.columns[: len(columns)]) == columns for i in indexes)
        serving = [
            i.name
            for i in (table.indexes if table else ())
            if tuple(c.lower() for c in i.columns[: len(columns)]) == columns
        ]
        if covered and serving == [key.name]:
            found[key.name] = key.columns
    return found


def _give_back(restored: Mapping[tuple[str, str], tuple[str, ...]]) -> str:
    entries = "".join(
        f'    ("{table}", "{name}", [{", ".join(f"{c!r}".replace(chr(39), chr(34)) for c in columns)}]),\n'
        for (table, name), columns in restored.items()
    )
    return f'''FOREIGN_KEYS = [
{entries}]


def give_back(apps, schema_editor):
    """MySQL drops a foreign key's own index for ours; ours cannot go before that one is back."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    for table, name, columns in FOREIGN_KEYS:
        with connection.cursor() as cursor:
            there = connection.introspection.get_constraints(cursor, table)
        if not there.get(name, {{}}).get("index"):
            quote = schema_editor.quote_name
            listed = ", ".join(quote(column) for column in columns)
            schema_editor.execute(f"CREATE INDEX {{quote(name)}} ON {{quote(table)}} ({{listed}})")


'''


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
