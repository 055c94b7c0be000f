"""SQL as text: a tokenizer that never fails, and the fingerprint that statements of one shape share.

No parser is used: an application's statements come by the thousand, in any dialect, truncated or broken,
and each needs a fingerprint. One regular expression reads each text once; its quantifiers are possessive,
so that no text makes it slow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

TokenKind = Literal["string", "number", "placeholder", "name", "word", "mark"]


@dataclass(frozen=True)
class Token:
    """A piece of SQL. `start` and `end` are its place in the text; `value` is the literal's value (quotes
    and escapes undone), the name without its quotes, or the text as it stands."""

    kind: TokenKind
    value: str
    start: int
    end: int


_SINGLE = r"'(?:[^'\\]++|\\.|'')*+(?:'|\\?\Z)"
_SINGLE_PLAIN = r"'(?:[^']++|'')*+(?:'|\Z)"
_DOUBLE = r'"(?:[^"\\]++|\\.|"")*+(?:"|\\?\Z)'
_DOUBLE_PLAIN = r'"(?:[^"]++|"")*+(?:"|\Z)'
# PostgreSQL's: E'it\'s', and $tag$ ... $tag$.
_ESCAPED = r"(?<![\w$])[eE]" + _SINGLE
_DOLLAR = r"(?<![\w$])(?P<tag>\$(?:[^\W\d]\w*+)?\$).*?(?:(?P=tag)|\Z)"
_NUMBER = r"(?:0[xX][0-9a-fA-F]++|(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)(?![\w$])"
_COMMENT = r"/\*.*?(?:\*/|\Z)|--(?=[\s]|\Z)[^\n]*+"


def _pattern(mysql: bool) -> re.Pattern[str]:
    single, double = (_SINGLE, _DOUBLE) if mysql else (_SINGLE_PLAIN, _DOUBLE_PLAIN)
    parts = {
        "space": r"\s++|" + _COMMENT + (r"|\#[^\n]*+" if mysql else r"|--[^\n]*+"),
        "string": ("" if mysql else f"{_ESCAPED}|{_DOLLAR}|")
        + r"(?:(?<![\w$])(?:[nNbBxX]|_[a-z0-9]+\s?)(?='))?"
        + single
        + ("|" + double if mysql else ""),
        "name": r"`(?:[^`]++|``)*+(?:`|\Z)|\[[A-Za-z_][\w ]*+\](?!\w)" + ("" if mysql else "|" + double),
        "number": _NUMBER,
        "placeholder": r"\?|(?<!:):[A-Za-z_]\w*+|\$\d++|%s|%\(\w++\)s",
        "word": r"[^\W\d][\w$]*+|\d[\w$]*+|@@?[\w.$]++",
        "mark": r"<=>|<>|!=|<=|>=|\|\||&&|::|->>|->|:=|\.\.\.|.",
    }
    return re.compile("|".join(f"(?P<{k}>{v})" for k, v in parts.items()), re.DOTALL)


_PATTERNS = {True: _pattern(True), False: _pattern(False)}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a"}


def _is_mysql(dialect: str) -> bool:
    return dialect.lower() in ("mysql", "mariadb", "")


def _unquote(text: str, mysql: bool) -> str:
    if text.startswith("$"):
        tag = text[: text.index("$", 1) + 1]
        return text[len(tag) :].removesuffix(tag)
    at = min(i for i in (text.find("'"), text.find('"')) if i >= 0)
    quote, inner = text[at], text[at + 1 :]
    inner = inner[:-1] if inner.endswith(quote) else inner
    inner = inner.replace(quote * 2, quote)
    if (mysql or text[0] in "eE") and "\\" in inner:
        inner = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inner, flags=re.DOTALL)
    return inner


def tokens(sql: str, dialect: str = "mysql") -> tuple[Token, ...]:
    """The tokens of any text, comments and white space left out. Never raises."""
    mysql = _is_mysql(dialect)
    found: list[Token] = []
    for match in _PATTERNS[mysql].finditer(sql):
        kind, text = match.lastgroup, match[0]
        if kind == "space":
            continue
        value = text
        if kind == "string":
            value = _unquote(text, mysql)
        elif kind == "name":
            value = text.strip('`"[]').replace("``", "`").replace('""', '"').strip() or "_"
        found.append(Token(kind, value, match.start(), match.end()))  # type: ignore[arg-type]
    return tuple(found)


_SIGNED_AFTER = frozenset("=<>,(+-*/%") | {"<=", ">=", "<>", "!=", "<=>"}
_SIGNED_AFTER_WORDS = frozenset(
    ("in", "between", "and", "or", "like", "limit", "offset", "then", "else", "select")
)
_NO_SPACE_BEFORE = frozenset(",).;")
_NO_SPACE_AFTER = frozenset("(.")


def _pieces(sql: str, dialect: str) -> list[str]:
    pieces: list[str] = []
    mysql = _is_mysql(dialect)
    for token in tokens(sql, dialect):
        if token.kind in ("string", "number", "placeholder"):
            if (
                token.kind == "number"
                and pieces
                and pieces[-1] in "+-"
                and (len(pieces) == 1 or pieces[-2] in _SIGNED_AFTER or pieces[-2] in _SIGNED_AFTER_WORDS)
            ):
                pieces.pop()
            pieces.append("?")
        elif token.kind == "name":
            # A quoted name is case-sensitive where quoting is the only way to write capitals.
            name = re.sub(r"\s+", " ", token.value)
            pieces.append(name.lower() if mysql else name)
        elif token.kind == "word":
            word = token.value.lower()
            pieces.append("?" if word in ("true", "false") else word)
        else:
            pieces.append(token.value)
    while pieces and pieces[-1] == ";":
        pieces.pop()
    return pieces


def _joined(pieces: list[str]) -> str:
    out: list[str] = []
    for i, piece in enumerate(pieces):
        tight = piece in _NO_SPACE_BEFORE or (i > 0 and pieces[i - 1] in _NO_SPACE_AFTER)
        # A function's bracket stands at its name in one client and apart in another.
        if i and not tight:
            out.append(" ")
        out.append(piece)
    return "".join(out)


_LIST = re.compile(r"\((?:\?|null|default)(?:, (?:\?|null|default|\.\.\.))++\)|\(\.\.\.\)")
_IN = re.compile(r"\bin (?:\(\?\)|" + _LIST.pattern + ")")
_ROWS = re.compile(r"\b(values?) \([^()]*+\)(?:, \([^()]*+\))*+(?: ?/?,? ?\.\.\.)?")
_ROW_LIST = re.compile(r"\bin \((?:\((?:\?(?:, )?)++\)(?:, )?)++\)")


def fingerprint(sql: str, dialect: str = "mysql") -> str:
    """The shape of a statement: literals and placeholders become `?`, an IN list of any length `in (?)`,
    the rows of an INSERT one `values (?)`; case, white space, comments and quotes of names do not matter.

    `dialect` is sqlglot's name; it decides what a double quote means. Never raises; any text has one.
    """
    text = _joined(_pieces(sql, dialect))
    text = _ROW_LIST.sub("in (?)", _IN.sub("in (?)", text))
    return _ROWS.sub(r"\1 (?)", text)


def digest_key(shape: str) -> str:
    """A fingerprint made coarser, equal for a statement and for the server's own digest text of it:
    servers fold every list of literals (`LIMIT ?, ...`), not only those of IN."""
    text = re.sub(r"\?(?:, (?:\?|\.\.\.))++", "?", shape)
    return re.sub(r"\s++", "", text.replace("(...)", "(?)"))


def literals(sql: str, dialect: str = "mysql") -> tuple[str, ...]:
    """The values of the literals, in order."""
    return tuple(t.value for t in tokens(sql, dialect) if t.kind in ("string", "number"))


_TABLES = re.compile(
    r"(?:\bfrom|\bjoin|(?<!key )(?<!for )\bupdate(?: ignore| low_priority)?|\binto|\breplace) "
    r"((?:[\w$]+\.)?[\w$]+(?:(?: as)? (?!where|join|on|set|left|inner|order|group)\w+)?"
    r"(?:, [\w$]+(?: \w+)?)*)"
)


def tables(shape: str) -> tuple[str, ...]:
    """The tables that a fingerprint names after FROM, JOIN, UPDATE and INTO, in order, each once."""
    common = set(re.findall(r"(?:\bwith (?:recursive )?|, )(\w+)(?: \([^()]*\))? as \(", shape))
    found = _TABLES.findall(re.sub(r"\b(?:extract|trim|substring) ?\([^()]*+\)", "f", shape))
    names: list[str] = []
    for group in found:
        for part in group.split(", "):
            name = part.split(" ")[0].split(".")[-1]
            if (
                name
                and name not in common
                and name not in names
                and name not in ("select", "into", "outfile")
            ):
                names.append(name)
    return tuple(names)
