"""How many rows a step of a plan meets, asked of the database: SQLite itself does not tell.

For a join of plain tables the rows of a step are those that its index terms leave, for every combination of
the steps before it; conditions that are checked later are left out. What is not such a join (subqueries,
unions, outer joins before the step) is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession


@dataclass
class Named:
    """A statement's tables by the names that its plan uses (`by_alias`), and its conditions: those of inner
    joins and WHERE, each with the aliases that it needs. `simple`: a join as above."""

    by_alias: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)  # by alias: the column that is the row's number
    conditions: Sequence[tuple[Any, frozenset[str]]] = ()
    outer: frozenset[str] = frozenset()
    order: str = "its order"
    simple: bool = False
    limited: Any = None  # the statement, where a LIMIT may end its steps early

    def table(self, alias: str) -> str:
        return self.by_alias.get(alias.lower(), alias)

    @classmethod
    def of(cls, session: SqlSession, sql: str) -> Named:
        """Never raises: what cannot be parsed has no names."""
        import sqlglot
        from sqlglot import exp

        try:
            tree = sqlglot.parse_one(sql, dialect="sqlite")
        except sqlglot.errors.SqlglotError:
            return cls()
        names = {t.alias_or_name.lower(): t.name for t in tree.find_all(exp.Table)}
        order = tree.args.get("order")
        words = ", ".join(e.sql(dialect="sqlite") for e in order.expressions) if order else "its order"
        from_ = tree.args.get("from_") or tree.args.get("from")
        joins = tree.args.get("joins") or []
        sources = [from_.this if from_ else None, *(join.this for join in joins)]
        plain = isinstance(tree, exp.Select) and not tree.args.get("with_") and not tree.args.get("with")
        plain = plain and all(isinstance(source, exp.Table) for source in sources)
        plain = plain and len(list(tree.find_all(exp.Select))) == 1
        plain = plain and not any(j.args.get("using") or j.args.get("kind") == "NATURAL" for j in joins)
        if not plain:
            return cls(names, order=words)
        columns, keys = _columns(session, names)
        where = tree.args.get("where")
        conditions = [*_parts(where.this if where else None)]
        outer = set()
        for join in joins:
            if join.args.get("side"):
                outer.add(join.this.alias_or_name.lower())
            else:
                conditions += _parts(join.args.get("on"))
        early = tree.args.get("limit") is not None and not tree.args.get("group")
        early = early and not any(tree.find_all(exp.AggFunc)) and not tree.args.get("distinct")
        return cls(
            names,
            keys,
            [(part, _needs(part, columns)) for part in conditions],
            frozenset(outer),
            words,
            simple=True,
            limited=tree if early else None,
        )


def _parts(condition: Any) -> list[Any]:
    from sqlglot import exp

    if condition is None:
        return []
    return list(condition.flatten()) if isinstance(condition, exp.And) else [condition]


def _columns(session: SqlSession, names: Mapping[str, str]) -> tuple[dict[str, set[str]], dict[str, str]]:
    columns: dict[str, set[str]] = {}
    keys: dict[str, str] = {}
    for alias, table in names.items():
        rows = session.query("SELECT name, pk FROM pragma_table_xinfo(%s)", (table,)).rows
        columns[alias] = {str(name).lower() for name, _ in rows}
        primary = [str(name).lower() for name, pk in rows if pk]
        if len(primary) == 1:
            keys[alias] = primary[0]
    return columns, keys


def _needs(part: Any, columns: Mapping[str, set[str]]) -> frozenset[str]:
    from sqlglot import exp

    needed = set()
    for column in part.find_all(exp.Column):
        if column.table:
            needed.add(column.table.lower())
        else:
            needed |= {alias for alias, names in columns.items() if column.name.lower() in names}
    return frozenset(needed)


class Counter:
    """Counts step after step, in the plan's order."""

    def __init__(self, session: SqlSession, named: Named, seconds: float, gathers: bool) -> None:
        """`gathers`: the plan sorts, so that no LIMIT ends a step before its last row."""
        self._session = session
        self._ends_early = named.limited is not None and not gathers
        self._named = named
        self._seconds = seconds
        self._before: list[str] = []
        self._works = named.simple

    def step(self, alias: str, scans: bool, columns: Sequence[str]) -> tuple[float | None, float | None]:
        """How often the step is begun, and how many rows it meets in total; None where that is not known."""
        name, before = alias.lower(), tuple(self._before)
        self._before.append(name)
        if not self._works or name not in self._named.by_alias or name in self._named.outer:
            self._works = False
            return None, None
        loops = float(self._count(before, ())) if before and self._works else 1.0
        if not self._works:
            return None, None
        if self._ends_early:
            return (loops, self._until_limit(name)) if scans and not before else (None, None)
        if scans:
            rows = float(self._count((name,), None))
            return (loops, loops * rows) if self._works else (None, None)
        key = self._named.keys.get(name, "rowid")
        used = {key if column == "rowid" else column.lower() for column in columns}
        own = [part for part, needs in self._named.conditions if name in needs and self._uses(part, used)]
        if not own:
            return loops, None
        rows = float(self._count((*before, name), own))
        return (loops, rows) if self._works else (None, None)

    def ended_early(self) -> bool:
        """Whether rows that are expected of a scan of all say nothing, because a LIMIT ends it."""
        return self._ends_early

    def _until_limit(self, alias: str) -> float | None:
        """Rows of a scan in the order of the rows' numbers up to the last one that is answered."""
        from sqlglot import exp

        order = self._named.limited.args.get("order")
        keys = [e.this for e in order.expressions] if order else []
        key = self._named.keys.get(alias, "rowid")
        if len(self._named.by_alias) > 1 or any(k.name.lower() != key for k in keys) or len(keys) > 1:
            return None
        backwards = bool(order and order.expressions[0].args.get("desc"))
        inner = self._named.limited.copy()
        inner.set("expressions", [exp.alias_(exp.column("rowid"), "r")])
        table = _quoted(self._named.table(alias))
        last, side = ("MIN", ">=") if backwards else ("MAX", "<=")
        try:
            answered = self._session.query(
                f"SELECT {last}(r), COUNT(*) FROM ({inner.sql(dialect='sqlite')})", timeout=self._seconds
            ).rows[0]
            limit = inner.args["limit"].expression.name
            where = f" WHERE rowid {side} {int(answered[0])}" if answered[1] >= int(limit) > 0 else ""
            counted = self._session.query(f"SELECT COUNT(*) FROM {table}{where}", timeout=self._seconds)
        except (DatabaseError, ValueError, TypeError):
            return None
        return float(counted.scalar)

    def _uses(self, part: Any, columns: set[str]) -> bool:
        from sqlglot import exp

        kinds = (exp.EQ, exp.In, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.Is)
        named = any(column.name.lower() in columns for column in part.find_all(exp.Column))
        return isinstance(part, kinds) and named

    def _count(self, aliases: Sequence[str], own: Sequence[Any] | None) -> int:
        """Rows of the join of these tables, under what the earlier of them need and `own` of the last;
        without any condition where `own` is None, under all that they need where it is empty."""
        last = aliases[-1]
        conditions: list[Any] = []
        if own is not None:
            for part, needs in self._named.conditions:
                if needs <= set(aliases) and (last not in needs or not own or any(part is o for o in own)):
                    conditions.append(part)
        tables = ", ".join(f"{_quoted(self._named.table(a))} AS {_quoted(a)}" for a in aliases)
        where = " AND ".join(f"({part.sql(dialect='sqlite')})" for part in conditions)
        try:
            return int(
                self._session.query(
                    f"SELECT COUNT(*) FROM {tables}" + (f" WHERE {where}" if where else ""),
                    timeout=self._seconds,
                ).scalar
            )
        except DatabaseError:
            self._works = False
            return 0


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
