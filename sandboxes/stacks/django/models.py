"""Models of a Django repository, read from its source as a syntax tree, and the one change that a new index
needs there. Nothing is imported or run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.tree_text import text_of

_MODELS = re.compile(r"(?:^|/)(?:models\.py|models/(?:[^/]+/)*[^/]+\.py)$")
_RELATIONS = ("ForeignKey", "OneToOneField", "ParentalKey", "TreeForeignKey")
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Model:
    """`folder` is the application's (with a slash at its end); `fields` maps a column to its field."""

    name: str
    path: str
    folder: str
    label: str
    table: str
    fields: Mapping[str, str]
    inherits_meta: bool = False


@dataclass(frozen=True)
class _Class:
    node: ast.ClassDef
    path: str


def find_model(tree: TreeReader, table: str) -> Model | None:
    """The model of a table, None where no file of the repository declares it."""
    classes: dict[str, list[_Class]] = {}
    for path in tree.paths():
        if _MODELS.search(path) and not re.search(r"(?:^|/)(?:tests?|migrations)/", path):
            for node in _classes(text_of(tree, path) or ""):
                classes.setdefault(node.name, []).append(_Class(node, path))
    for found in classes.values():
        for one in found:
            meta = _meta(one.node)
            if _literal(meta, "abstract") is True or _literal(meta, "proxy") is True or not one.node.bases:
                continue
            folder = _folder(one.path)
            label = _literal(meta, "app_label") or _label(tree, folder)
            own = _literal(meta, "db_table") or f"{label}_{one.node.name.lower()}"
            if str(own).strip('"').lower() == table.lower() and _is_model(one.node, classes):
                fields = _fields(one.node, classes, 0)
                return Model(
                    one.node.name, one.path, folder, str(label), table, fields, _inherits(one.node, classes)
                )
    return None


def with_declaration(text: str, model: str, attribute: str, entry: str) -> str | None:
    """The file with `entry` (an expression over `models`) added to the list `attribute` (`indexes` or
    `constraints`) of the model's Meta; None where that cannot be done safely."""
    node = next((n for n in _classes(text) if n.name == model), None)
    if node is None:
        return None
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    bound = _bound(text)
    if bound is None:
        return None
    entry = entry.replace("models.", f"{bound}.")
    if '"' not in text:
        entry = entry.replace('"', "'")
    meta = _meta(node)
    inner = " " * (node.body[0].col_offset)
    step = inner[node.col_offset :] or "    "
    if meta is None:
        at = _after_fields(node)
        before = newline if at and lines[at - 1].strip() else ""
        after = newline if at < len(lines) and lines[at].strip() else ""
        made = _list(attribute, entry, inner + step, step, newline)
        made = f"{before}{inner}class Meta:{newline}{made}{after}"
    else:
        there = _assigned(meta, attribute)
        if isinstance(there, (ast.List, ast.Tuple)):
            changed = _extended(lines, there, entry, newline)
            return changed if _whole(changed) else None
        if there is not None:
            return None
        at = meta.body[-1].end_lineno or 0
        indent = " " * meta.body[0].col_offset
        if isinstance(meta.body[0], ast.Pass) or meta.body[0].lineno == meta.lineno:
            return None
        made = _list(attribute, entry, indent, step, newline)
    if at and not lines[at - 1].endswith(("\n", "\r")):
        lines[at - 1] += newline
    changed = "".join((*lines[:at], made, *lines[at:]))
    return changed if _whole(changed) else None


def _list(attribute: str, entry: str, indent: str, step: str, newline: str) -> str:
    single = f"{indent}{attribute} = [{entry}]{newline}"
    if len(single) <= 89:
        return single
    return f"{indent}{attribute} = [{newline}{indent}{step}{entry},{newline}{indent}]{newline}"


def _extended(lines: list[str], there: ast.List | ast.Tuple, entry: str, newline: str) -> str:
    end, column = (there.end_lineno or 1) - 1, (there.end_col_offset or 1) - 1
    raw = lines[end].encode()
    head, tail = raw[:column].decode(), raw[column:].decode()
    if not there.elts:
        lines[end] = f"{head}{entry}{',' if isinstance(there, ast.Tuple) else ''}{tail}"
    elif there.lineno == there.end_lineno:
        lines[end] = f"{head.rstrip().rstrip(',')}, {entry}{tail}"
    else:
        last = there.elts[-1]
        line, after = (last.end_lineno or 1) - 1, last.end_col_offset or 0
        rest = lines[line].encode()[after:].decode()
        if not rest.lstrip().startswith(","):
            lines[line] = lines[line].encode()[:after].decode() + "," + rest
        indent = re.match(r"\s*", lines[there.elts[0].lineno - 1])
        if head.strip():
            return "".join((*lines[:end], f"{head.rstrip().rstrip(',')}, {entry}{tail}", *lines[end + 1 :]))
        lines[end] = f"{indent[0] if indent else ''}{entry},{newline}{head}{tail}"
    return "".join(lines)


def _whole(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _classes(text: str) -> Iterator[ast.ClassDef]:
    if len(text) > MOST_BYTES:
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from (node for node in tree.body if isinstance(node, ast.ClassDef))


def _meta(node: ast.ClassDef) -> ast.ClassDef | None:
    return next((n for n in node.body if isinstance(n, ast.ClassDef) and n.name == "Meta"), None)


def _assigned(node: ast.ClassDef | None, name: str) -> ast.expr | None:
    for statement in node.body if node else ():
        if isinstance(statement, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in statement.targets
        ):
            return statement.value
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.target.id == name
        ):
            return statement.value
    return None


def _literal(node: ast.ClassDef | None, name: str) -> object:
    value = _assigned(node, name)
    return value.value if isinstance(value, ast.Constant) else None


def _base_names(node: ast.ClassDef) -> list[str]:
    return [
        b.attr if isinstance(b, ast.Attribute) else b.id
        for b in node.bases
        if isinstance(b, (ast.Attribute, ast.Name))
    ]


def _is_model(node: ast.ClassDef, classes: Mapping[str, list[_Class]]) -> bool:
    """It has a field, or a base that is a model by its name or in the repository."""
    return bool(_fields(node, classes, 0)) or any(
        name == "Model" or name.startswith("Abstract") or name.endswith("Model") for name in _base_names(node)
    )


def _inherits(node: ast.ClassDef, classes: Mapping[str, list[_Class]]) -> bool:
    """Whether its Meta, or the lack of one, takes indexes from a base of the repository."""
    for name in _base_names(node):
        for base in classes.get(name, ()):
            meta = _meta(base.node)
            if _literal(meta, "abstract") is True and (
                _assigned(meta, "indexes") or _assigned(meta, "constraints")
            ):
                return True
            if _inherits(base.node, {k: v for k, v in classes.items() if k != name}):
                return True
    return False


def _fields(node: ast.ClassDef, classes: Mapping[str, list[_Class]], depth: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _base_names(node) if depth < 6 else ():
        for base in classes.get(name, ())[:1]:
            if base.node is not node:
                found |= _fields(base.node, classes, depth + 1)
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign):
            targets: list[ast.expr] = [statement.target]
            value = statement.value
        elif isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        else:
            continue
        if not isinstance(value, ast.Call):
            continue
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        if called not in _RELATIONS and not called.endswith("Field"):
            continue
        said = next((k.value for k in value.keywords if k.arg == "db_column"), None)
        for target in targets:
            if isinstance(target, ast.Name) and called != "ManyToManyField":
                column = str(said.value) if isinstance(said, ast.Constant) else target.id
                if said is None and called in _RELATIONS:
                    column += "_id"
                found[column.lower()] = target.id
    return found


def _folder(path: str) -> str:
    folder = path.rpartition("/")[0]
    while folder.rpartition("/")[2] == "models" or "/models/" in f"/{folder}/":
        folder = folder.rpartition("/")[0]
    return folder + "/" if folder else ""


def _label(tree: TreeReader, folder: str) -> str:
    config = text_of(tree, folder + "apps.py") or ""
    said = re.search(r"^\s+label\s*=\s*['\"](\w+)['\"]", config, re.MULTILINE)
    return said[1] if said else folder.rstrip("/").rpartition("/")[2]


def _bound(text: str) -> str | None:
    """What Django's `models` is called in a file, None where it is not imported as a whole."""
    found = re.search(
        r"^from django\.(?:db|contrib\.gis\.db) import (?:\(?[\w\s,]*?\b)?models\b(?:\s+as\s+(\w+))?",
        text,
        re.MULTILINE,
    )
    return (found[1] or "models") if found else None


def _after_fields(node: ast.ClassDef) -> int:
    """The line behind the last field, where Meta stands by Django's coding style."""
    fields = [s for s in node.body if isinstance(s, (ast.Assign, ast.AnnAssign))]
    first = node.body[0]
    return (fields[-1] if fields else first).end_lineno or first.lineno
