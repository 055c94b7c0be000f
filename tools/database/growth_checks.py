"""What a CHECK constraint allows a column to hold, as far as it can be told from its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """The values that a column's checks allow: numbers in [low, high] (None: no bound), one of `values`
    where there are any, texts of `shortest` to `longest` characters. `json`: must be valid JSON.

    `opaque`: some check could not be read, so that only values which exist are known to satisfy it.
    `steps_in` says for each bound that it itself is not allowed.
    """

    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False
    values: tuple[Any, ...] = ()
    shortest: int = 0
    longest: int | None = None
    json: bool = False
    opaque: bool = False


@dataclass(frozen=True)
class Checks:
    """All checks of a table: what each column may hold, and which columns are compared with each other."""

    columns: dict[str, Allowed]
    together: frozenset[str]

    def of(self, column: str) -> Allowed:
        return self.columns.get(column.lower(), Allowed())


def read_checks(expressions: Sequence[str], dialect: str) -> Checks:
    """Read CHECK expressions (without the word CHECK) in `dialect`; never raises: what cannot be parsed
    marks its columns opaque, or every column (key `*`) where even these cannot be told."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    columns: dict[str, Allowed] = {}
    together: set[str] = set()
    for text in expressions:
        try:
            tree = sqlglot.parse_one(f"SELECT 1 WHERE {text}", read=dialect).args["where"].this
        except (SqlglotError, AttributeError, KeyError):
            columns["*"] = replace(columns.get("*", Allowed()), opaque=True)
            continue
        for part in tree.flatten() if isinstance(_bare(tree), exp.And) else [tree]:
            names = {c.name.lower() for c in part.find_all(exp.Column)}
            if len(names) != 1:
                together |= names
                continue
            name = names.pop()
            columns[name] = _narrow(columns.get(name, Allowed()), _bare(part))
    return Checks(columns, frozenset(together))


def _bare(node: Any) -> Any:
    from sqlglot import exp

    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _narrow(known: Allowed, node: Any) -> Allowed:
    """`known` with what one condition on one column adds."""
    from sqlglot import exp

    node = _bare(node)
    if isinstance(node, exp.And):
        return _narrow(_narrow(known, node.this), node.expression)
    if isinstance(node, exp.Or):
        # `x IS NULL OR condition`: a NULL satisfies every check, so the condition alone is the rule.
        sides = [s for s in (_bare(node.this), _bare(node.expression)) if not _is_null_test(s)]
        return _narrow(known, sides[0]) if len(sides) == 1 else replace(known, opaque=True)
    if isinstance(node, exp.Between) and isinstance(_bare(node.this), exp.Column):
        low, high = _number(node.args["low"]), _number(node.args["high"])
        if low is not None and high is not None:
            return _bounded(_bounded(known, low=low), high=high)
    if isinstance(node, exp.In) and isinstance(_bare(node.this), exp.Column) and node.expressions:
        values = [_literal(e) for e in node.expressions]
        if all(v is not None for v in values):
            kept = tuple(v for v in values if not known.values or v in known.values)
            return replace(known, values=kept)
    if isinstance(node, exp.Is) and isinstance(node.this, exp.Column):
        return known
    if type(node).__name__ in ("JSONValid", "IsJson") or node.sql().lower().startswith("json_valid("):
        return replace(known, json=True)
    if isinstance(node, (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.NEQ)):
        return _compared(known, node)
    return replace(known, opaque=True)


def _is_null_test(node: Any) -> bool:
    from sqlglot import exp

    return isinstance(node, exp.Is) and isinstance(node.expression, exp.Null)


_FLIPPED = {"GT": "LT", "GTE": "LTE", "LT": "GT", "LTE": "GTE", "EQ": "EQ", "NEQ": "NEQ"}


def _compared(known: Allowed, node: Any) -> Allowed:
    from sqlglot import exp

    operator, left, right = type(node).__name__, _bare(node.this), _bare(node.expression)
    if _literal(left) is not None:
        operator, left, right = _FLIPPED[operator], right, left
    value = _number(right)
    if isinstance(left, exp.Length) or left.sql().lower().startswith(("char_length(", "character_length(")):
        return _measured(known, operator, value)
    if not isinstance(left, exp.Column):
        return replace(known, opaque=True)
    if operator == "EQ" and _literal(right) is not None:
        return replace(known, values=(_literal(right),))
    if operator == "NEQ" and _literal(right) == "":
        return replace(known, shortest=max(known.shortest, 1))
    if value is None or operator in ("EQ", "NEQ"):
        return replace(known, opaque=True)
    if operator in ("GT", "GTE"):
        return _bounded(known, low=value, is_open=operator == "GT")
    return _bounded(known, high=value, is_open=operator == "LT")


def _measured(known: Allowed, operator: str, value: Decimal | None) -> Allowed:
    if value is None or operator == "NEQ":
        return replace(known, opaque=True)
    count = int(value)
    shortest = {"GT": count + 1, "GTE": count, "EQ": count}.get(operator, 0)
    longest = {"LT": count - 1, "LTE": count, "EQ": count}.get(operator)
    if longest is not None and known.longest is not None:
        longest = min(longest, known.longest)
    return replace(
        known,
        shortest=max(known.shortest, shortest),
        longest=known.longest if longest is None else longest,
    )


def _bounded(
    known: Allowed, low: Decimal | None = None, high: Decimal | None = None, is_open: bool = False
) -> Allowed:
    if low is not None and (known.low is None or low >= known.low):
        known = replace(known, low=low, low_open=is_open)
    if high is not None and (known.high is None or high <= known.high):
        known = replace(known, high=high, high_open=is_open)
    return known


def _literal(node: Any) -> Any:
    """The constant that `node` is: text, or a Decimal; None where it is no constant."""
    from sqlglot import exp

    node = _bare(node)
    if isinstance(node, exp.Introducer):  # _utf8mb4'text', as MariaDB prints it
        node = node.expression
    if isinstance(node, exp.Literal):
        return node.this if node.is_string else Decimal(node.this)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return -Decimal(node.this.this)
    return None


def _number(node: Any) -> Decimal | None:
    value = _literal(node)
    return value if isinstance(value, Decimal) else None
