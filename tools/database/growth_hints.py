"""What a column probably holds, told by its name and type: used where there are no rows to look at."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from bedev.sandboxes.engines.engine import Column

INTEGERS = frozenset(
    ["tinyint", "smallint", "mediumint", "int", "integer", "bigint", "smallserial", "serial", "bigserial"]
)
DECIMALS = frozenset(["decimal", "numeric", "dec", "fixed", "float", "double", "real"])
DATES = frozenset({"date", "datetime", "timestamp"})
TEXTS = frozenset(
    ["char", "varchar", "tinytext", "text", "mediumtext", "longtext", "character", "nchar", "nvarchar"]
)
BINARIES = frozenset(["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bytea"])

BYTES = {"tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "integer": 4, "bigint": 8}

BCRYPT = "$2y$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"  # the hash of no password in use

STATUS_LIKE = re.compile(
    r"(^|_)(status|state|type|kind|role|level|gender|sex|currency|country|locale|lang|language|category"
    r"|color|colour|unit|priority|plan|channel|provider|driver|guard_name|timezone|tz|mime_type)(_code)?$"
)
SECRET = re.compile(r"(^|_)(password|passwd|pwd|pass|password_hash|secret|salt)(_|$)")
ACTIVE_WORD = re.compile(r"(^|_)(active|enabled|visible|published|verified|approved|available|public)$")

_TEXT_HINTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"e?_?mail", ("user@example.com",)),
    (r"first_?name|given_?name|firstname", ("Ana", "Ben", "Chloé", "Deniz", "Émile", "Fatima", "Jürgen")),
    (
        r"last_?name|sur_?name|family_?name",
        ("Álvarez", "Brown", "Çelik", "Dubois", "Müller", "Nowak", "O'Neill"),
    ),
    (r"user_?name|login|nick(name)?", ("ana", "ben", "chloe", "deniz", "fatima")),
    (r"url|link|website|homepage|href|uri", ("https://example.com/page",)),
    (r"path|file|file_?name|image|avatar|photo", ("files/picture.jpg", "files/document.pdf")),
    (r"phone|mobile|fax|tel", ("+1555010",)),
    (r"ip|ip_address|remote_addr", ("192.0.2.1", "192.0.2.77", "198.51.100.4", "2001:db8::1")),
    (r"user_?agent", ("Mozilla/5.0", "curl/8.0")),
    (r"slug|handle|permalink", ("first-item", "second-item", "third-item")),
    (r"country(_code)?|nationality", ("DE", "FR", "US", "BR", "JP", "IN")),
    (r"currency(_code)?", ("EUR", "USD", "GBP", "JPY")),
    (r"locale|lang(uage)?(_code)?", ("en", "de", "fr", "pt")),
    (r"timezone|tz", ("UTC", "Europe/Berlin", "America/New_York")),
    (r"status|state", ("active", "pending", "closed")),
    (r"city|town", ("Berlin", "Paris", "São Paulo", "Kyoto", "Łódź")),
    (r"zip(_?code)?|post_?code|postal_code", ("10115", "75001", "94103")),
    (r"street|address|address_?line_?\d?", ("1 Main Street", "22 Station Road", "5 Park Lane")),
    (r"colou?r", ("#336699", "#cc3300", "#00aa55")),
    (r"mime(_type)?|content_type", ("image/jpeg", "application/pdf", "text/plain")),
    (r"company|organi[sz]ation", ("Northwind", "Contoso", "Initech")),
    (r"name|title|subject|label|headline", ("Alpha", "Beta", "Gamma", "Delta", "Épsilon", "Zeta")),
    (
        r"description|body|content|text|comment|message|note|notes|bio|summary|excerpt",
        ("A short text.", "A text with several words, a comma and a full stop.", "Ünïcödé: naïve café."),
    ),
)


def bits(column: Column) -> int:
    match = re.search(r"\((\d+)\)", column.type)
    return int(match.group(1)) if match else 1


def is_boolean(column: Column) -> bool:
    return (
        column.type.lower().startswith("tinyint(1)")
        or column.base_type in ("bool", "boolean")
        or (column.base_type == "bit" and bits(column) == 1)
    )


def whole_numbers(column: Column) -> tuple[int, int]:
    """The smallest and the largest whole number that a numeric column can hold."""
    if is_boolean(column):
        return 0, 1
    if column.base_type == "bit":
        return 0, 2 ** min(bits(column), 63) - 1
    if column.base_type == "year":
        return 1901, 2155
    if column.base_type in BYTES:
        size = 8 * BYTES[column.base_type]
        return (0, 2**size - 1) if column.unsigned else (-(2 ** (size - 1)), 2 ** (size - 1) - 1)
    if column.base_type in ("float", "real"):
        digits = 6
    elif column.base_type == "double":
        digits = 15
    else:
        digits = min((column.precision or 10) - (column.scale or 0), 18)
    largest = 10**digits - 1
    return (0 if column.unsigned else -largest), largest


def usual_numbers(column: Column) -> tuple[Any, Any]:
    """A likely range for a number without rows: prices have cents, percentages end at 100."""
    name = column.name.lower()
    if column.base_type == "year":
        return 2000, 2024
    if re.search(r"percent|rate|discount|tax", name):
        low, high = 0, 100
    elif re.search(r"qty|quantity|count$|stock", name):
        low, high = 1, 20
    elif re.search(r"(^|_)age$", name):
        low, high = 18, 90
    elif re.search(r"lat(itude)?$", name):
        low, high = -85, 85
    elif re.search(r"(lon|lng|longitude)$", name):
        low, high = -180, 180
    else:
        low, high = 1, 1000
    smallest, largest = whole_numbers(column)
    low, high = max(low, smallest), min(high, largest)
    if column.base_type in DECIMALS and column.scale:
        return str(Decimal(low)), str(Decimal(high) - Decimal(1).scaleb(-column.scale))
    return low, high


def text_values(column: Column) -> tuple[str, ...]:
    """Likely texts for a column without rows, by its name."""
    name = column.name.lower()
    if SECRET.search(name):
        return (BCRYPT,)
    for pattern, values in _TEXT_HINTS:
        if re.search(rf"(^|_)({pattern})$", name):
            return values
    return (name.replace("_", " "),)


_UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.I)
_ULID = re.compile(r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$", re.I)
_HEX = re.compile(r"^[0-9a-f]+$", re.I)
_TOKEN = re.compile(r"^(?=.*[0-9])(?=.*[A-Za-z])[0-9A-Za-z_-]{20,}$")
_NUMBERED = re.compile(r"^([^0-9]*)([0-9]+)$")


def is_uuid(values: tuple[Any, ...]) -> bool:
    return bool(values) and all(isinstance(v, str) and _UUID.match(v) for v in values)


def is_ulid(values: tuple[Any, ...]) -> bool:
    return bool(values) and all(isinstance(v, str) and _ULID.match(v) for v in values)


def token_length(values: tuple[Any, ...]) -> int:
    """The length of texts that are all hexadecimal (16 or more) or random tokens of one length, else 0."""
    lengths = {len(v) if isinstance(v, str) else 0 for v in values}
    if len(lengths) != 1 or not values:
        return 0
    length = lengths.pop()
    if length >= 16 and all(_HEX.match(v) for v in values):
        return length
    return length if length >= 20 and all(_TOKEN.match(v) for v in values) else 0


def numbered(values: tuple[Any, ...]) -> tuple[str, int] | None:
    """(`ORD-`, 5) for values such as `ORD-00012`: one prefix, then digits, at least 5 wide; the width is
    0 where numbers are not padded. None for texts of another shape."""
    matches = [_NUMBERED.match(v) for v in values if isinstance(v, str)]
    found = [m for m in matches if m]
    if not values or len(found) != len(values) or len({m.group(1) for m in found}) != 1:
        return None
    widths = {len(m.group(2)) for m in found}
    padded = len(widths) == 1 and (min(widths) >= 4 or any(m.group(2)[0] == "0" for m in found))
    return found[0].group(1), widths.pop() if padded else 0
