"""TOML read strictly: what a table may hold is data; any other key or type is an error with its line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Literal

from bedev.sandboxes.errors import UsageError

Kind = Literal["text", "texts", "integer", "number", "text table", "integer table"]
Table = Mapping[str, Kind]

_SAYS = {
    "text": "a text in quotes",
    "texts": "a list of texts",
    "integer": "a whole number",
    "number": "a number",
    "text table": "a table of texts",
    "integer table": "a table of whole numbers",
}
SIZE = 256 * 1024


class TomlFile:
    """One file's tables, and the lines where its keys stand. `name` is how errors call it."""

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        if len(content) > SIZE:
            raise UsageError(
                f"{name} is larger than {SIZE // 1024} KiB.", where=name, next_step="Make it smaller."
            )
        try:
            self.text = content.decode("utf-8-sig")
            self.data: dict[str, Any] = tomllib.loads(self.text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(
                f"{name} is not TOML: {error}", where=name, next_step="Correct that line (https://toml.io)."
            ) from error

    def where(self, table: str, key: str = "") -> str:
        """`bedev.toml:12, recipe.image`, as good as the text tells."""
        dotted = ".".join(part for part in (table, key) if part)
        line = self.line(table, key)
        return f"{self.name}:{line}, {dotted}" if line else f"{self.name}, {dotted}"

    def line(self, table: str, key: str = "") -> int:
        """The line of a key (or of its table's header), 0 where the text writes it in another form."""
        current = ""
        header_line = 0
        for number, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[+\s*([^\[\]]+?)\s*\]+", line)
            if header:
                current = re.sub(r"[\s\"']", "", header[1])
                if current == ".".join(p for p in (table, key) if p):
                    return number
                if current == table:
                    header_line = number
            elif m := re.match(r"\s*([^=#]+?)\s*=", line):
                written = ".".join(p for p in (current, re.sub(r"[\s\"']", "", m[1])) if p)
                dotted = ".".join(p for p in (table, key) if p)
                if written == dotted or written.startswith(dotted + "."):
                    return number
        return header_line

    def table(self, name: str, allowed: Table, tables: tuple[str, ...] = ()) -> dict[str, Any]:
        """The checked values of one table ('' is the top); `tables` are sub-tables read separately.

        Raises UsageError for an unknown key (with what is near) or a wrong type.
        """
        data: Any = self.data
        for part in name.split(".") if name else ():
            data = data.get(part, {})
        if not isinstance(data, dict):
            raise UsageError(f"{name} is not a table.", where=self.where(name), next_step=f"Write [{name}].")
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key in tables:
                continue
            kind = allowed.get(key)
            if kind is None:
                raise self.unknown(name, key, (*allowed, *tables))
            values[key] = self._value(name, key, kind, value)
        return values

    def unknown(self, table: str, key: str, known: tuple[str, ...]) -> UsageError:
        near = difflib.get_close_matches(key, known, 1)
        return UsageError(
            f"{key!r} is not a setting of {f'[{table}]' if table else self.name}.",
            where=self.where(table, key),
            next_step=f"Did you mean {near[0]!r}?" if near else f"It knows: {', '.join(sorted(known))}.",
        )

    def _value(self, table: str, key: str, kind: Kind, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        ok = {
            "text": isinstance(value, str),
            "texts": isinstance(value, list) and all(isinstance(v, str) for v in value),
            "integer": whole,
            "number": whole or isinstance(value, float),
            "text table": isinstance(value, dict) and all(isinstance(v, str) for v in value.values()),
            "integer table": isinstance(value, dict)
            and all(isinstance(v, int) and not isinstance(v, bool) for v in value.values()),
        }[kind]
        if not ok:
            raise UsageError(
                f"{key} is not {_SAYS[kind]}.",
                where=self.where(table, key),
                next_step=f"Write {_SAYS[kind]}: {_EXAMPLES[kind].format(key=key)}",
            )
        if "\0" in str(value):
            raise UsageError(
                f"{key} holds a NUL character.", where=self.where(table, key), next_step="Remove it."
            )
        return tuple(value) if kind == "texts" else value


_EXAMPLES = {
    "text": '{key} = "..."',
    "texts": '{key} = ["...", "..."]',
    "integer": "{key} = 200000",
    "number": "{key} = 2.5",
    "text table": '{key} = {{ NAME = "value" }}',
    "integer table": "{key} = {{ users = 200000 }}",
}
