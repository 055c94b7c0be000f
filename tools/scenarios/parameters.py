"""Parameters of a scenario: its values that base binds to a column.

A patch must not be fitted to the one value that somebody typed. So each data set draws its own values of
that column from the rows, and one value that is not there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bedev.sandboxes.engines.engine import Column, Schema, Statement
from bedev.tools.database.fingerprint import fingerprint
from bedev.tools.database.references import Reference, References, parse
from bedev.tools.scenarios.places import Place, places, put
from bedev.tools.scenarios.scenario import Question

if TYPE_CHECKING:
    from sqlglot import exp

_PAGING = frozenset(
    (
        "page",
        "per_page",
        "perpage",
        "limit",
        "offset",
        "sort",
        "order",
        "dir",
        "direction",
        "cursor",
        "include",
    )
)
_EXAMPLES_PER_SHAPE = 200


@dataclass(frozen=True)
class Parameter:
    """`value` of the question, at `place`, is compared with `table`.`column` by base. `name` is what
    people call it: the query parameter, the field, or the column."""

    name: str
    value: str
    table: str
    column: str
    place: Place = field(repr=False)


@dataclass(frozen=True)
class _Bound:
    value: str
    reference: Reference


def find_parameters(
    question: Question, statements: Sequence[Statement], schema: Schema, dialect: str = "mysql"
) -> tuple[Parameter, ...]:
    """The parameters of `question`, judged by the `statements` that base sent while it answered.

    A value counts where a statement compares a column with it (=, IN, LIKE without wildcard), equal as
    text (or but for upper and lower case). Where several columns fit, the one whose name resembles the
    parameter's wins, then the one that was asked first. Page numbers and the like are no parameters.
    """
    bound = list(_bound(statements, schema, dialect))
    found: list[Parameter] = []
    for place in places(question, dialect):
        name = place.name.rsplit("/", 1)[-1]
        if name.lower() in _PAGING or not place.value.strip():
            continue
        fits = [b for b in bound if b.value == place.value]
        fits = fits or [b for b in bound if b.value.casefold() == place.value.strip().casefold()]
        if not fits:
            continue
        best = max(fits, key=lambda b: _likeness(place, b.reference))  # the first of the best
        fixed = place.writing == "segment" and place.value.isalpha() and len(place.value) > 3
        if fixed and not _likeness(place, best.reference):
            continue  # `/orders/pending` is far more often a route than a parameter
        column = best.reference.column.name
        found.append(
            Parameter(
                column if name.isdigit() or not name else name,
                place.value,
                best.reference.table.name,
                column,
                place,
            )
        )
    return tuple(found)


def substitute(question: Question, parameter: Parameter, value: str, dialect: str = "mysql") -> Question:
    """`question` with `value` in the parameter's place, encoded as that place needs it; every other byte
    stays. To put several, start with the last: the places of earlier ones do not move then
    (`substitute_all` does it)."""
    return put(question, parameter.place, value, dialect)


def substitute_all(
    question: Question, values: Sequence[tuple[Parameter, str]], dialect: str = "mysql"
) -> Question:
    """Several parameters at once."""
    for parameter, value in sorted(values, key=lambda v: -v[0].place.start):
        question = put(question, parameter.place, value, dialect)
    return question


def _likeness(place: Place, reference: Reference) -> int:
    """How much a parameter's name says of a column: 3 the same, 2 its beginning or end, 1 the table."""
    name = place.name.rsplit("/", 1)[-1].lower().replace("-", "_")
    if name.isdigit() or not name:
        return 1 if reference.column.name in reference.table.primary_key else 0
    column, table = reference.column.name.lower(), reference.table.name.lower()
    if name == column:
        return 3
    if column.startswith(name) or column.endswith(name) or name.endswith(column):
        return 2
    return 1 if table.startswith(name.removesuffix("_id")[:4]) else 0


def _bound(statements: Sequence[Statement], schema: Schema, dialect: str) -> Iterator[_Bound]:
    """What statements bind to columns, in order, each pair once; of a fingerprint that came a thousand
    times only the first few are read."""
    seen: set[tuple[str, str, str]] = set()
    counts: dict[str, int] = {}
    for statement in statements:
        shape = fingerprint(statement.sql, dialect)
        counts[shape] = counts.get(shape, 0) + 1
        if counts[shape] > _EXAMPLES_PER_SHAPE:
            continue
        tree = parse(statement.sql, dialect)
        if tree is None:
            continue
        references = References(tree, schema)
        for column, literal in _comparisons(tree):
            reference = references.resolve(column)
            if reference is None:
                continue
            key = (reference.table.name, reference.column.name, literal)
            if key not in seen:
                seen.add(key)
                yield _Bound(literal, reference)


def _comparisons(tree: exp.Expr) -> Iterator[tuple[exp.Column, str]]:
    from sqlglot import exp

    for node in tree.find_all(exp.EQ, exp.NullSafeEQ, exp.In, exp.Like, exp.ILike):
        if isinstance(node, exp.EQ) and isinstance(node.parent, exp.Update):
            continue  # SET a = 1 writes, it does not compare
        left = node.this.unnest()
        if isinstance(node, exp.In):
            others = [e.unnest() for e in node.expressions]
        else:
            others = [node.expression.unnest()]
            if isinstance(others[0], exp.Column) and not isinstance(left, exp.Column):
                left, others = others[0], [left]
        if not isinstance(left, exp.Column):
            continue
        for other in others:
            text = _literal(other)
            if text is None or (isinstance(node, (exp.Like, exp.ILike)) and re.search(r"[%_]", text)):
                continue
            yield left, text


def _literal(node: exp.Expr) -> str | None:
    from sqlglot import exp

    if isinstance(node, exp.Literal):
        return str(node.this)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return f"-{node.this.this}"
    if isinstance(node, exp.Cast):  # postgres: 'x'::text
        return _literal(node.this)
    return None


def _quoted(name: str, dialect: str) -> str:
    from sqlglot import exp

    return exp.to_identifier(name, quoted=True).sql(dialect=dialect or "mysql")


def _text(value: str, dialect: str) -> str:
    from sqlglot import exp

    return exp.Literal.string(value).sql(dialect=dialect or "mysql")


def value_queries(parameter: Parameter, seed: int, dialect: str = "mysql") -> tuple[str, ...]:
    """Queries whose column `value` holds existing values: the most frequent, a rare one, three by hash of
    `seed`. Deterministic for the same rows and seed; NULL and the empty string are left out."""
    column, table = _quoted(parameter.column, dialect), _quoted(parameter.table, dialect)
    # CONCAT makes text of any type in every server that we know, also where '' is no number.
    there = f"FROM {table} WHERE {column} IS NOT NULL AND CONCAT({column}, '') <> ''"
    counted = f"SELECT {column} AS value, COUNT(*) AS times {there} GROUP BY {column}"
    by_hash = _hash(f"CONCAT('{int(seed)}:', {column})", dialect)
    by_hash_of_value = _hash(f"CONCAT('{int(seed)}:', value)", dialect)
    return (
        f"{counted} ORDER BY times DESC, {column} LIMIT 1",
        f"{counted} ORDER BY times, {by_hash}, {column} LIMIT 1",
        f"SELECT value FROM (SELECT DISTINCT {column} AS value {there}) AS found "
        f"ORDER BY {by_hash_of_value}, value LIMIT 3",
    )


_HASHES = {"mysql": "SHA2({}, 256)"}  # MD5 is no part of MySQL since 9.6
_HASHES["mariadb"] = _HASHES["mysql"]


def _hash(text: str, dialect: str) -> str:
    return _HASHES.get(dialect or "mysql", "MD5({})").format(text)


def count_query(parameter: Parameter, value: str | None = None, dialect: str = "mysql") -> str:
    """A query whose only value is how many rows have `value`; 0 where it is absent. Without a value it
    has one placeholder, `%s`."""
    column, table = _quoted(parameter.column, dialect), _quoted(parameter.table, dialect)
    wanted = "%s" if value is None else _text(value, dialect)
    return f"SELECT COUNT(*) AS times FROM {table} WHERE {column} = {wanted}"


_LARGEST = {"tinyint": 127, "smallint": 32_767, "mediumint": 8_388_607, "int": 2_147_483_647}
_LARGEST |= {"integer": 2_147_483_647, "bigint": 9_007_199_254_740_991, "year": 2_155}


def absent_value(parameter: Parameter, column: Column, seed: int, attempt: int = 0) -> str | None:
    """A value of the type and shape of the parameter's that is hardly in the column; the caller counts
    (`count_query`) and asks for another `attempt` where it is. None where the type has no other value
    (ENUM, SET, booleans, BIT)."""
    if column.enum_values or column.base_type in ("enum", "set", "bool", "boolean", "bit"):
        return None
    if re.fullmatch(r"tinyint\(1\).*", column.type):
        return None
    bits = _Bits(f"{seed}:{parameter.table}.{parameter.column}:{parameter.value}:{attempt}")
    if column.base_type in _LARGEST:
        largest = _LARGEST[column.base_type]
        if column.unsigned and column.base_type != "bigint":
            largest = largest * 2 + 1
        return str(largest - bits.below(max(1, largest // 20)))
    if column.base_type in ("date", "datetime", "timestamp"):
        # Far enough to be absent, within what a TIMESTAMP can hold (2038-01-19).
        date = f"203{6 + bits.below(2)}-{1 + bits.below(12):02d}-{1 + bits.below(28):02d}"
        return re.sub(r"^\d{4}-\d{2}-\d{2}", date, parameter.value)
    local, at, domain = parameter.value.rpartition("@")
    for _ in range(20):
        changed = bits.reshape(local) + at + domain if at and local else bits.reshape(parameter.value)
        if changed.casefold() != parameter.value.casefold():
            return changed
    room = column.length or 255
    return (parameter.value + "x")[:room] if len(parameter.value) < room else None


class _Bits:
    """A stream of numbers that depends on a text alone."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 0

    def below(self, limit: int) -> int:
        self._count += 1
        digest = hashlib.sha256(f"{self._text}:{self._count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def reshape(self, text: str) -> str:
        """Letters become letters, digits digits (a leading digit stays no zero), all else stays; what
        looks hexadecimal stays so."""
        hexadecimal = re.fullmatch(r"[0-9a-fA-F]{8}[0-9a-fA-F-]*", text) is not None
        out = []
        for i, c in enumerate(text):
            if hexadecimal and c != "-":
                digit = "0123456789abcdef"[self.below(16)]
                out.append(digit.upper() if c.isupper() else digit)
            elif c.isdigit():
                out.append(str(1 + self.below(9) if i == 0 else self.below(10)))
            elif c.isalpha():
                letter = "abcdefghijklmnopqrstuvwxyz"[self.below(26)]
                out.append(letter.upper() if c.isupper() else letter)
            else:
                out.append(c)
        return "".join(out)
