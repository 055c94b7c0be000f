"""What the source of a request handler says: tables that it touches, query parameters that it reads.

Files are read as text with patterns of several frameworks; nothing is run. A guess that is wrong costs one
request in the sandbox, since every candidate is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bedev.sandboxes.engines.engine import Schema, Table
from bedev.sandboxes.stacks.stack import Route


def stem(word: str) -> str:
    """The singular of an English word, roughly, in lower case: `queries` query, `Addresses` address."""
    word = word.lower()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "zes", "ches", "shes", "uses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def words(text: str) -> tuple[str, ...]:
    """The stems of the words of a name or a sentence (camelCase and snake_case taken apart)."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+", text)
    return tuple(dict.fromkeys(stem(p) for p in parts))


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def is_test(path: str) -> bool:
    return (
        re.search(
            r"(?:^|/)(?:tests?|spec|__tests__|e2e)/|[._-](?:test|spec)\.|(?:^|/)test_|Tests?\.\w+$", path
        )
        is not None
    )


@dataclass(frozen=True)
class QueryRead:
    """A query parameter that a handler reads; `required` as its validation says."""

    name: str
    required: bool = False


@dataclass
class Handler:
    """What is known of one route's handler. `direct` tables are named in the handler itself, `reached`
    in the classes that it mentions; both in the order of their appearance."""

    text: str = ""
    direct: list[str] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    reads: list[QueryRead] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


class SourceIndex:
    """The repository's source files by class name, with the schema's tables by stem."""

    def __init__(self, sources: Mapping[str, str], schema: Schema) -> None:
        self.sources = sources
        self._tables = {self._table_stem(t.name): t.name for t in schema.tables}
        self._files: dict[str, str] = {}
        self._read: dict[str, tuple[list[str], list[str]]] = {}
        self._declared: dict[tuple[str, str], tuple[str, int]] | None = None
        for path in sorted(sources):
            if not is_test(path):
                name = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
                self._files.setdefault(name, path)
        self._class_tables: dict[str, str] = {}
        for name, path in self._files.items():
            said = re.search(
                r"(?:\$table|__tablename__|db_table|tableName|@Table\(\s*name)\s*[=:]\s*['\"](\w+)",
                sources[path],
            )
            if said and schema.table(said[1]):
                self._class_tables[name] = said[1]
        for path in sorted(sources):
            if path.endswith(".py") and not is_test(path):
                for name, table in _python_models(path, sources[path], schema):
                    self._class_tables.setdefault(name, table)
                    self._tables.setdefault(self._table_stem(snake(name)), table)

    @staticmethod
    def _table_stem(name: str) -> str:
        head, _, last = name.lower().rpartition("_")
        return f"{head}_{stem(last)}" if head else stem(last)

    def table_of(self, name: str) -> str | None:
        """The table that a class, a relation or a word names, by its own declaration or by its stem."""
        return self._class_tables.get(name) or self._tables.get(self._table_stem(snake(name)))

    def handler(self, route: Route) -> Handler:
        path, text = self._handler_text(route)
        found = Handler(text)
        if not text:
            return found
        self._tables_in(text, found.direct)
        seen = {path}
        texts = [text]
        for name in self._classes_in(text):
            file = self._files[name]
            found.classes.append(name)
            if file in seen:
                continue
            seen.add(file)
            texts.append(self.sources[file])
            if self.table_of(name):
                continue  # a model names all its relations, which says nothing of this route
            tables, classes = self._file(file)
            found.reached.extend(tables)
            for inner in classes:
                if self._files[inner] not in seen and not self.table_of(inner):
                    seen.add(self._files[inner])
                    found.classes.append(inner)
                    found.reached.extend(self._file(self._files[inner])[0])
        found.reached = list(dict.fromkeys(found.reached))
        found.reached = [t for t in found.reached if t not in found.direct]
        found.reads = list(_reads(texts))
        return found

    def _file(self, path: str) -> tuple[list[str], list[str]]:
        """Tables and classes that a whole file names; many routes reach the same few files."""
        if path not in self._read:
            tables: list[str] = []
            self._tables_in(self.sources[path], tables)
            self._read[path] = tables, list(self._classes_in(self.sources[path]))
        return self._read[path]

    def _classes_in(self, text: str) -> Iterable[str]:
        names = re.findall(r"\b[A-Z]\w+", text)
        return (n for n in dict.fromkeys(names) if n in self._files)

    def _tables_in(self, text: str, into: list[str]) -> None:
        pattern = (
            r"\b([A-Z]\w+)(?=::|\s*\(|\s+\$|\.objects|\.query|\.find|>)"
            r"|['\"`]([a-z]\w*)(?:\.\w+)*['\"`]"
            r"|(?<!request)(?<!request\(\))(?:->|\.)([a-z]\w*)\("
            r"|\b(?:from|join|into|update)\s+[`\"]?(\w+)"
        )
        for match in re.finditer(pattern, text):
            table = self.table_of(next(g for g in match.groups() if g))
            if table is not None and table not in into:
                into.append(table)

    def _handler_text(self, route: Route) -> tuple[str, str]:
        handler = route.handler.replace("/", "\\")
        name, _, method = handler.rpartition("@") if "@" in handler else (handler, "", "__invoke")
        short = re.split(r"[\\.]", name)[-1]
        path = route.source if route.source in self.sources else self._files.get(short, "")
        if not path and "." in name:  # module.function
            owner = name.split(".")[-2]
            path, method = self._files.get(owner, ""), short
        content = self.sources.get(path, "")
        if not content or short.lower().startswith("closure"):
            return self._closure(route, path)
        if path.endswith(".py"):
            content = _python_class(content, short) or content
        body = _function(content, method) or (_function(content, short) if method == "__invoke" else "")
        if not body:
            return path, content
        texts, seen = [body], {method}
        for helper in re.findall(r"(?:\$this->|self\.|this\.|self::|static::)(\w+)\(", body):
            if helper not in seen:
                seen.add(helper)
                texts.append(_function(content, helper))
        return path, "\n".join(texts)

    def _closure(self, route: Route, path: str) -> tuple[str, str]:
        """A function written in the routes file: what follows the path there (prefixes may be missing)."""
        if self._declared is None:
            self._declared = {}
            for file in sorted(p for p in self.sources if not is_test(p)):
                for match in _DECLARATION.finditer(self.sources[file]):
                    self._declared.setdefault((match[1].lower(), match[2].strip("/")), (file, match.end()))
        parts = route.path.strip("/").split("/")
        for start in range(len(parts)):
            literal = "/".join(parts[start:])
            found = self._declared.get(("get", literal)) or self._declared.get(("any", literal))
            found = found or self._declared.get(("route", literal))
            if found is not None and (not path or found[0] == path):
                rest = self.sources[found[0]][found[1] : found[1] + 3000]
                return found[0], re.split(r"\n\s*(?:Route::|router\.|app\.|@app)", rest)[0]
        return path, ""


_DECLARATION = re.compile(r"\b(get|any|route)\(\s*['\"]([^'\"\n]*)['\"]", re.IGNORECASE)


_PYTHON_CLASS = r"^class {}\b(?:.|\n)*?(?=^[^\s#)]|\Z)"


def _python_class(content: str, name: str) -> str:
    """A class of the file's top level with its body, empty where there is none."""
    found = re.search(_PYTHON_CLASS.format(re.escape(name)), content, re.MULTILINE)
    return found[0] if found else ""


def _python_models(path: str, content: str, schema: Schema) -> Iterable[tuple[str, str]]:
    """Models of an object-relational mapper with their tables: by their own word, else `folder_class`, as
    Django names them."""
    folders = [part for part in path.split("/")[:-1] if part != "models"]
    for found in re.finditer(_PYTHON_CLASS.format(r"(\w+)"), content, re.MULTILINE):
        said = re.search(r"\b(?:db_table|__tablename__)\s*=\s*['\"](\w+)", found[0])
        name = said[1] if said else f"{folders[-1] if folders else ''}_{found[1]}"
        table = schema.table(name)
        if table is not None:
            yield found[1], table.name


def _function(content: str, name: str) -> str:
    """The head and body of a function, empty where there is none."""
    quoted = re.escape(name)
    match = re.search(
        rf"(?:\b(?:function|def|fun|func|fn)\s+{quoted}\s*\(|^\s*(?:(?:public|private|protected|static|async|final)"
        rf"\s+)+(?:[\w<>\[\], ?]+\s+)?{quoted}\s*\(|\b{quoted}\s*[:=]\s*(?:async\s*)?(?:function\b|\())",
        content,
        re.MULTILINE,
    )
    if match is None:
        return ""
    if "def " in match[0]:
        end = re.compile(r"^\s*(?:async\s+)?def\s|^class\s|^@", re.MULTILINE).search(content, match.end())
        return content[match.start() : end.start() if end else len(content)]
    depth = 0
    for i in range(content.find("{", match.end()), len(content)):
        depth += {"{": 1, "}": -1}.get(content[i], 0)
        if depth == 0:
            return content[match.start() : i + 1]
    return content[match.start() :]


_NAME = r"['\"]([A-Za-z_][\w.-]*)['\"]"
_READS = (
    rf"(?:request(?:\(\))?|req|input|params)\s*(?:->|\.)\s*(?:query|input|get|string|str|integer|float|boolean|date|enum"
    rf"|filled|has|whenFilled|validated|safe|array|collect|only)\(\s*\[?\s*{_NAME}",
    rf"validated\(\)\s*\[\s*{_NAME}",
    rf"\brequest\(\s*{_NAME}",
    rf"\$_GET\s*\[\s*{_NAME}",
    rf"(?:\.GET|query_params|\.args|searchParams|query)\s*(?:\.get\(|\[)\s*{_NAME}",
    r"\b(?:req|request)\.query\.(\w+)",
    r"\bquery\.get\(\s*['\"](\w+)['\"]",
    rf"@RequestParam\([^)]*?(?:value|name)?\s*=?\s*{_NAME}",
    r"@RequestParam(?:\([^)\"]*\))?\s+(?:final\s+)?[\w<>]+\s+(\w+)",
    r"\$request->([a-z]\w*)\b(?!\()",
)
_RULE = re.compile(rf"{_NAME}\s*=>\s*(\[[^\]]*\]|['\"][^'\"]*['\"])", re.DOTALL)
# fmt: off
PAGING = frozenset((
    "page", "per_page", "perpage", "limit", "offset", "sort", "order", "order_by", "sort_by", "dir",
    "direction", "cursor", "include", "fields", "with", "format", "lang", "locale", "page_size", "size",
    "_token", "user",
))
# fmt: on


def _reads(texts: Iterable[str]) -> Iterable[QueryRead]:
    found: dict[str, bool] = {}
    for number, text in enumerate(texts):
        if number == 0:
            for pattern in _READS:
                for match in re.finditer(pattern, text):
                    found.setdefault(match[1], False)
        rules = re.search(r"function\s+rules\s*\(|(?:->|\.|::)(?:validate|make)\(", text)
        if rules and (number or "validate" in rules[0]):
            for match in _RULE.finditer(text, rules.start()):
                found[match[1]] = (
                    found.get(match[1], False) or re.search(r"\brequired\b(?!_)", match[2]) is not None
                )
    return [QueryRead(n, r) for n, r in found.items() if n.lower() not in PAGING and "*" not in n]


def guess_column(name: str, tables: Iterable[str], schema: Schema) -> tuple[str, str] | None:
    """(table, column) that a parameter called `name` most likely filters; `tables` the likeliest first.

    To be confirmed by what base really binds (tools/scenarios/parameters.py).
    """
    wanted = snake(name.rsplit(".", 1)[-1])
    known = [t for t in (schema.table(n) for n in tables) if t is not None]
    shapes = (wanted, f"{wanted}_code", f"{wanted}_id", f"{wanted}_uuid", f"{wanted}_slug", f"{wanted}_name")
    for shape in shapes:
        for table in known:
            column = table.column(shape)
            if column is not None:
                return table.name, column.name
    for table in known:
        for column in table.columns:
            if column.name.lower().endswith(f"_{wanted}"):
                return table.name, column.name
    for table in schema.tables:
        if words(table.name) == words(wanted.removesuffix("_id")):
            key = key_of(table)
            if key:
                return table.name, key
    if wanted in ("q", "search", "query", "term", "keyword", "keywords", "filter") and known:
        for shape in ("name", "title", "email", "subject", "label"):
            column = known[0].column(shape)
            if column is not None:
                return known[0].name, column.name
    return None


def key_of(table: Table) -> str | None:
    """The column by which requests name a row: the primary key where it is one column."""
    return table.primary_key[0] if len(table.primary_key) == 1 else None
