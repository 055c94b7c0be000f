"""What SQLite keeps as text: types, CHECK constraints, and definitions brought into one form."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])"""
    r"""|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<word>[\w$]+)|(?P<space>\s+)|(?P<sign>.)""",
    re.DOTALL,
)


def base_type(declared: str) -> str:
    """The first word of a declared type, lower case: `varchar(12)` -> `varchar`, `double precision` ->
    `double`, `bigint unsigned` -> `bigint`."""
    found = re.match(r"\s*([A-Za-z_]\w*)", declared)
    return found[1].lower() if found else ""


def normal(sql: str) -> str:
    """The definition with one space between words, names without quotes and lower case, no comments."""
    parts: list[str] = []
    for found in _TOKEN.finditer(sql):
        kind, token = found.lastgroup, found[0]
        if kind in ("comment", "space"):
            continue
        if kind == "name":
            token = token[1:-1].replace('""', '"').replace("``", "`").lower()
        elif kind == "word":
            token = token.lower()
        parts.append(token)
    text = " ".join(parts)
    return re.sub(r"^create (unique )?(\w+) if not exists ", r"create \1\2 ", text)


def checks(sql: str) -> tuple[str, ...]:
    """The conditions of CHECK constraints, in their own words, without the outer parentheses."""
    found: list[str] = []
    tokens = [m for m in _TOKEN.finditer(sql) if m.lastgroup not in ("space", "comment")]
    place = 0
    while place < len(tokens) - 1:
        token = tokens[place]
        if token.lastgroup == "word" and token[0].lower() == "check" and tokens[place + 1][0] == "(":
            depth, end = 0, place + 1
            while end < len(tokens):
                depth += {"(": 1, ")": -1}.get(tokens[end][0], 0)
                if not depth:
                    break
                end += 1
            if end < len(tokens):
                found.append(sql[tokens[place + 1].end() : tokens[end].start()].strip())
            place = end
        place += 1
    return tuple(found)
