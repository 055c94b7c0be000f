"""What a statement asks of each table: equalities, ranges, order, groups; and what no index can serve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bedev.sandboxes.engines.engine import Schema, Table
from bedev.tools.database.references import Reference, References, parse

if TYPE_CHECKING:
    from sqlglot import exp


_MOMENTS = ("date", "datetime", "timestamp")


@dataclass(frozen=True)
class Unusable:
    """A condition that no plain index can serve, as it stands in the statement, and why. `tried`: the column
    of which an index is worth a trial all the same, for some servers see through the expression."""

    table: str
    condition: str
    reason: str
    tried: str = ""

    @property
    def words(self) -> str:
        return f"unusable: {self.condition} ({self.reason})"


@dataclass
class Demand:
    """What one block (SELECT, UPDATE, DELETE) of a statement asks of one table; column names in the order
    of the statement. `order` and `group` are empty where other tables take part in them or the directions
    differ; `needed` are all columns that the block reads, None for `*`. `wrapped` are columns inside DATE()
    or YEAR(), of which some servers make a range; `extremes` those of MIN() and MAX(); `windows` what window
    functions go by: columns of PARTITION BY, then those of ORDER BY; `aggregated`: rows are counted or
    summed, not delivered."""

    table: Table
    equal: list[str] = field(default_factory=list)
    null: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    either: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    group: list[str] = field(default_factory=list)
    limited: bool = False
    descending: bool = False
    needed: list[str] | None = None
    wrapped: list[str] = field(default_factory=list)
    extremes: list[str] = field(default_factory=list)
    windows: list[tuple[str, ...]] = field(default_factory=list)
    aggregated: bool = False


def demands(sql: str, schema: Schema, dialect: str) -> tuple[tuple[Demand, ...], tuple[Unusable, ...]] | None:
    """What `sql` asks, None where it cannot be parsed. Tables that the schema does not have are left out."""
    tree = parse(sql, dialect)
    if tree is None:
        return None
    found: list[Demand] = []
    unusable: list[Unusable] = []
    for form in (tree, merged(tree, schema, dialect)):
        if form is None:
            continue
        references = References(form, schema)
        reader = _Reader(references, dialect)
        for block in references.blocks:
            found.extend(reader.block(block))
        unusable = unusable or reader.unusable
    return tuple(found), tuple(dict.fromkeys(unusable))


def merged(tree: exp.Expr, schema: Schema, dialect: str) -> exp.Expr | None:
    """The statement with conditions pushed into its derived tables and these merged into what reads them,
    as optimizers do; None where there is nothing to merge or it cannot be done."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if not any(isinstance(s.parent, (exp.From, exp.Join)) for s in tree.find_all(exp.Subquery)) and not any(
        tree.find_all(exp.CTE)
    ):
        return None
    from sqlglot.optimizer import merge_subqueries, optimizer, pushdown_predicates, qualify

    known: dict[str, object] = {
        t.name.lower(): {c.name.lower(): c.base_type for c in t.columns} for t in schema.tables
    }
    rules = (
        qualify.qualify,
        pushdown_predicates.pushdown_predicates,
        merge_subqueries.merge_subqueries,
    )
    try:
        return optimizer.optimize(tree, schema=known, dialect=dialect, rules=rules)
    except (SqlglotError, RecursionError, ValueError, IndexError, KeyError, AttributeError, TypeError):
        return None  # the statement as it stands still tells most


def _append(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


class _Reader:
    def __init__(self, references: References, dialect: str) -> None:
        self._references = references
        self._dialect = dialect
        self.unusable: list[Unusable] = []

    def block(self, block: exp.Expr) -> Iterator[Demand]:
        from sqlglot import exp

        by_source = {
            source: Demand(table)
            for source, table in self._references.sources(block).items()
            if table is not None
        }
        if not by_source:
            return
        where = block.args.get("where")
        conditions = [where.this] if where is not None else []
        for join in block.find_all(exp.Join):
            on = join.args.get("on")
            if on is not None and self._references.block_of(join) is block:
                conditions.append(on)
        for condition in conditions:
            for conjunct in self._conjuncts(condition):
                self._conjunct(conjunct, block, by_source)
        for join in block.find_all(exp.Join):
            for name in join.args.get("using") or ():
                for demand in by_source.values():
                    column = demand.table.column(name.name)
                    if column is not None:
                        _append(demand.joined, column.name)
        self._order_and_group(block, by_source)
        self._needed(block, by_source)
        self._functions(block, by_source)
        yield from by_source.values()

    def _conjuncts(self, condition: exp.Expr) -> Iterator[exp.Expr]:
        from sqlglot import exp

        condition = condition.unnest()
        if isinstance(condition, exp.And):
            for part in condition.flatten():
                yield from self._conjuncts(part)
        else:
            yield condition

    def _conjunct(self, node: exp.Expr, block: exp.Expr, by_source: dict[str, Demand]) -> None:
        from sqlglot import exp

        if isinstance(node, (exp.EQ, exp.NullSafeEQ)):
            self._comparison(node, block, by_source, "equal")
        elif isinstance(node, (exp.GT, exp.GTE, exp.LT, exp.LTE)):
            self._comparison(node, block, by_source, "ranges")
        elif isinstance(node, exp.Between):
            self._note(node.this, node, block, by_source, "ranges")
        elif isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            self._note(node.this, node, block, by_source, "null")
        elif isinstance(node, exp.In):
            one = len(node.expressions) == 1 and not node.args.get("query")
            self._note(node.this, node, block, by_source, "equal" if one else "listed")
        elif isinstance(node, (exp.Like, exp.ILike)):
            self._like(node, block, by_source)
        elif isinstance(node, exp.Or):
            self._either(node, block, by_source)

    def _comparison(self, node: exp.Expr, block: exp.Expr, by_source: dict[str, Demand], kind: str) -> None:
        from sqlglot import exp

        left, right = node.this.unnest(), node.expression.unnest()
        own_left = self._own(left, block)
        own_right = self._own(right, block)
        if own_left and own_right:
            if kind == "equal" and isinstance(left, exp.Column) and isinstance(right, exp.Column):
                one, other = own_left[0], own_right[0]
                if one.source != other.source:
                    _append(by_source[one.source].joined, one.column.name)
                    _append(by_source[other.source].joined, other.column.name)
            return
        if own_left or own_right:
            side, other, own = (left, right, own_left) if own_left else (right, left, own_right)
            if self._converted(side, other, own[0]):
                text = f"{side.sql(dialect=self._dialect)} = {other.sql(dialect=self._dialect)}"
                reason = "text is compared with a number, so every row's text is converted"
                self.unusable.append(Unusable(own[0].table.name, _short(text), reason))
                return
            self._note(side, node, block, by_source, kind)

    def _converted(self, side: exp.Expr, other: exp.Expr, own: Reference) -> bool:
        """MySQL and MariaDB convert the column to a number then, which no index of the text can serve."""
        from sqlglot import exp

        number = isinstance(other, exp.Literal) and not other.is_string
        text = own.column.base_type in ("char", "varchar")
        return self._dialect == "mysql" and isinstance(side, exp.Column) and number and text

    def _own(self, node: exp.Expr, block: exp.Expr) -> list[Reference]:
        """The columns of this block's tables below `node`, those of sub-queries left out."""
        from sqlglot import exp

        found = []
        for column in node.find_all(exp.Column):
            if self._references.block_of(column) is block:
                reference = self._references.resolve_in(column, block)
                if reference is not None:
                    found.append(reference)
        return found

    def _note(
        self, side: exp.Expr, node: exp.Expr, block: exp.Expr, by_source: dict[str, Demand], kind: str
    ) -> None:
        from sqlglot import exp

        side = side.unnest()
        own = self._own(side, block)
        if not own:
            return
        if not isinstance(side, exp.Column):
            text = _short(side.sql(dialect=self._dialect).lower())
            column = self._inside_date(side, block)
            if column is not None and column.column.base_type in _MOMENTS:
                _append(by_source[column.source].wrapped, column.column.name)
                reason = f"needs a range of {column.column.name} in place of the function"
                self.unusable.append(Unusable(column.table.name, text, reason, column.column.name))
            else:
                reason = "the column stands inside an expression"
                self.unusable.append(Unusable(own[0].table.name, text, reason))
            return
        _append(getattr(by_source[own[0].source], kind), own[0].column.name)

    def _inside_date(self, side: exp.Expr, block: exp.Expr) -> Reference | None:
        """The column of DATE(column), YEAR(column) or CAST(column AS DATE)."""
        from sqlglot import exp

        inner: exp.Expr = side
        while isinstance(inner, (exp.TsOrDsToDate, exp.Date, exp.Year)) or (
            isinstance(inner, exp.Cast) and inner.to.is_type("date")
        ):
            inner = inner.this.unnest()
        if inner is side or not isinstance(inner, exp.Column):
            return None
        return self._references.resolve_in(inner, block)

    def _functions(self, block: exp.Expr, by_source: dict[str, Demand]) -> None:
        """Aggregates and window functions of this very block."""
        from sqlglot import exp

        for function in block.find_all(exp.AggFunc, exp.Window):
            if self._references.block_of(function) is not block:
                continue
            if isinstance(function, exp.Window):
                order = function.args.get("order")
                ordered = [o.this for o in order.expressions] if order is not None else []
                own = self._plain([*(function.args.get("partition_by") or []), *ordered], block)
                if own:
                    names = tuple(dict.fromkeys(r.column.name for r in own))
                    by_source[own[0].source].windows.append(names)
            elif not isinstance(function.parent, exp.Window):
                for demand in by_source.values():
                    demand.aggregated = True
                own = self._plain([function.this], block) if isinstance(function, (exp.Min, exp.Max)) else []
                for reference in own:
                    _append(by_source[reference.source].extremes, reference.column.name)

    def _like(self, node: exp.Expr, block: exp.Expr, by_source: dict[str, Demand]) -> None:
        from sqlglot import exp

        pattern = node.expression.unnest()
        text = pattern.this if isinstance(pattern, exp.Literal) else ""
        own = self._own(node.this, block)
        if text.startswith(("%", "_")) and own:
            condition = f"{node.this.sql(dialect=self._dialect)} like {text!r}"
            self.unusable.append(
                Unusable(own[0].table.name, _short(condition), "the pattern begins with a wildcard")
            )
        elif text:
            wild = any(c in text for c in "%_")
            self._note(node.this, node, block, by_source, "ranges" if wild else "equal")

    def _either(self, node: exp.Expr, block: exp.Expr, by_source: dict[str, Demand]) -> None:
        """OR helps where every branch has an index of its own, or all compare one column."""
        from sqlglot import exp

        columns: list[Reference] = []
        for branch in node.flatten():
            branch = branch.unnest()
            sides = [branch.this, branch.args.get("expression")] if isinstance(branch, exp.Binary) else []
            if isinstance(branch, exp.In):
                sides = [branch.this]
            own = [
                r
                for side in sides
                if isinstance(side, exp.Column)
                for r in self._own(side, block)
                if not isinstance(branch, (exp.NEQ, exp.Like, exp.Is))
            ]
            if len(own) != 1:
                return
            columns.append(own[0])
        names = {(r.source, r.column.name) for r in columns}
        if len(names) > 1:
            reason = "an OR over several columns: each needs an index, or the statement a UNION"
            text = _short(node.sql(dialect=self._dialect).lower())
            self.unusable.append(Unusable(columns[0].table.name, text, reason))
        for reference in columns:
            demand = by_source[reference.source]
            _append(demand.listed if len(names) == 1 else demand.either, reference.column.name)

    def _order_and_group(self, block: exp.Expr, by_source: dict[str, Demand]) -> None:
        from sqlglot import exp

        order = block.args.get("order")
        group = block.args.get("group")
        limited = block.args.get("limit") is not None
        for demand in by_source.values():
            demand.limited = limited
        if order is not None:
            parts = [o for o in order.expressions if isinstance(o, exp.Ordered)]
            self._computed_order(parts, block)
            own = self._plain([o.this for o in parts], block)
            directions = {bool(o.args.get("desc")) for o in parts}
            if own and len(directions) == 1:
                demand = by_source[own[0].source]
                demand.order = list(dict.fromkeys(r.column.name for r in own))
                demand.descending = directions == {True}
        if group is not None:
            own = self._plain(list(group.expressions), block)
            if own:
                by_source[own[0].source].group = list(dict.fromkeys(r.column.name for r in own))

    def _computed_order(self, parts: list[exp.Ordered], block: exp.Expr) -> None:
        from sqlglot import exp

        for part in parts:
            own = [] if isinstance(part.this, exp.Column) else self._own(part.this, block)
            if own:
                text = f"order by {part.this.sql(dialect=self._dialect).lower()}"
                reason = "the order is computed for each row, so all of them are sorted"
                self.unusable.append(Unusable(own[0].table.name, _short(text), reason))

    def _plain(self, nodes: list[exp.Expr], block: exp.Expr) -> list[Reference]:
        """The columns if all of `nodes` are plain columns of one table, else nothing."""
        from sqlglot import exp

        found: list[Reference] = []
        for node in nodes:
            reference = self._references.resolve_in(node, block) if isinstance(node, exp.Column) else None
            if reference is None:
                return []
            found.append(reference)
        return found if len({r.source for r in found}) == 1 else []

    def _needed(self, block: exp.Expr, by_source: dict[str, Demand]) -> None:
        from sqlglot import exp

        if not isinstance(block, exp.Select):
            return
        if any(
            isinstance(e, exp.Star) or (isinstance(e, exp.Column) and e.is_star) for e in block.expressions
        ):
            return
        for demand in by_source.values():
            demand.needed = []
        for column in block.find_all(exp.Column):
            reference = self._references.resolve(column)
            if reference is not None and reference.source in by_source:
                needed = by_source[reference.source].needed
                if needed is not None:
                    _append(needed, reference.column.name)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
