"""Which indexes are worth trying for some statements. Advice only: what an index brings is measured.

The rules are those of every B-tree (Winand, "Use the index, Luke"): equality columns first, then either
the order that the statement wants or one range; an index that exists already needs no second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bedev.sandboxes.engines.engine import IndexSpec, Schema, Table
from bedev.tools.database.fingerprint import fingerprint
from bedev.tools.database.key_size import MAX_KEY_BYTES, cannot_be_key, column_bytes, key_bytes
from bedev.tools.database.predicates import Demand, Unusable, demands

Distinct = Mapping[tuple[str, str], int]
"""Distinct values by (table, column), as measured on the data."""

MOST = 8
MAX_COLUMNS = 5
SMALL_ROWS = 1000
NARROW_BYTES = 84
"""A column of at most so many bytes (a varchar(20) in utf8mb4) is narrow enough to be
carried in an index only to be read there."""

_APPENDS_PRIMARY_KEY = frozenset(("mysql",))  # InnoDB: every secondary index ends with the primary key


@dataclass(frozen=True)
class Candidate:
    """An index to try, why, and the first statement that it is for. `score` orders candidates only."""

    index: IndexSpec
    reason: str
    for_sql: str
    score: float = 0.0


@dataclass(frozen=True)
class Advice:
    """`unusable` are conditions that no plain index can serve; `notes` say what was not looked at."""

    candidates: tuple[Candidate, ...] = ()
    unusable: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()


def candidate_indexes(
    sqls: Sequence[str], schema: Schema, dialect: str = "mysql", distinct: Distinct | None = None
) -> tuple[Candidate, ...]:
    """At most eight indexes worth trying, best first. See `advise` for what else there is to say."""
    return advise(sqls, schema, dialect, distinct).candidates


def advise(
    sqls: Sequence[str], schema: Schema, dialect: str = "mysql", distinct: Distinct | None = None
) -> Advice:
    """Candidates for `sqls` (first the most important: they weigh more), what no index can serve, and
    notes on statements that could not be parsed. Never raises on any SQL."""
    found: dict[tuple[str, tuple[str, ...]], Candidate] = {}
    unusable: list[Unusable] = []
    notes: list[str] = []
    shapes: dict[str, str] = {}
    for sql in sqls:
        shapes.setdefault(fingerprint(sql, dialect), sql)
    for place, sql in enumerate(shapes.values()):
        asked = demands(sql, schema, dialect)
        if asked is None:
            notes.append(f"not understood, no index looked for: {sql[:80]}")
            continue
        unusable.extend(asked[1])
        for demand in asked[0]:
            maker = _Maker(demand, sql, dialect, distinct or {}, weight=1 / (1 + 0.01 * place))
            for candidate in maker.candidates():
                key = (candidate.index.table, candidate.index.columns)
                before = found.get(key)
                if before is None or candidate.score > before.score:
                    found[key] = candidate
    ranked = sorted(found.values(), key=lambda c: (-c.score, c.index.table, c.index.columns))
    # The best of each statement comes before the second best of any: which statement is the slow one is
    # not known here.
    firsts = {c.for_sql: c for c in reversed(ranked)}
    ranked = [
        *(c for c in ranked if firsts[c.for_sql] is c),
        *(c for c in ranked if firsts[c.for_sql] is not c),
    ]
    return Advice(tuple(ranked[:MOST]), tuple(dict.fromkeys(unusable)), tuple(notes))


@dataclass
class _Maker:
    """The candidates of one demand."""

    demand: Demand
    sql: str
    dialect: str
    distinct: Distinct
    weight: float
    made: list[Candidate] = field(default_factory=list)

    def candidates(self) -> list[Candidate]:
        demand = self.demand
        equal = self._by_selectivity(self._usable([*demand.equal]))
        joined = [c for c in self._usable(demand.joined) if c not in equal]
        listed = [c for c in self._by_selectivity(self._usable(demand.listed)) if c not in equal]
        wrapped = [c for c in self._usable(demand.wrapped) if c not in (*equal, *listed)]
        ranges = [c for c in self._usable(demand.ranges) if c not in (*equal, *listed)]
        ranges += [c for c in wrapped if c not in ranges]
        null = self._usable(demand.null)
        if self._one_row(equal):
            return []
        self._ordered(equal, listed, ranges)
        self._grouped(equal)
        self._extremes(equal)
        self._windows(equal)
        if listed or ranges:
            tail = [*listed, *ranges[:1]]
            what = [f"{_names(equal)} equal"] if equal else []
            what += [f"{_names(listed)} listed"] if listed else []
            what += [f"a range of {ranges[0]}{_seen_through(ranges[0], wrapped)}"] if ranges else []
            self._add([*equal, *tail], len(equal), "finds " + ", ".join(what), 60 + 8 * len(equal))
            for other in ranges[1:]:
                reason = f"finds a range of {other}{_seen_through(other, wrapped)}"
                self._add([*equal, other], len(equal), reason, 45)
        if equal:
            self._add(equal, len(equal), f"finds {_names(equal)} without reading the whole table", 70)
            if len(equal) > 1:
                self._add(equal[:1], 1, f"finds {equal[0]}, the most selective of {_names(equal)}", 50)
            if null:
                self._add([*equal, *null], len(equal) + len(null), f"also decides {_names(null)} IS NULL", 48)
        elif null:
            self._add(null, len(null), f"finds rows whose {_names(null)} is NULL", 20)
        for column in joined:
            self._add([column], 1, f"finds the rows to join by {column}", 55)
            if equal:
                self._add(
                    [column, *equal], 1 + len(equal), f"joins by {column} and filters {_names(equal)}", 52
                )
        for column in self._usable(demand.either):
            self._add([column], 1, f"one branch of an OR: {column}", 35)
        self._covering(equal, listed, ranges, joined)
        return self.made

    def _usable(self, names: Sequence[str]) -> list[str]:
        columns = [c for c in (self.demand.table.column(n) for n in names) if c is not None]
        return [c.name for c in columns if not cannot_be_key(c, self.dialect)]

    def _by_selectivity(self, names: list[str]) -> list[str]:
        """Most distinct values first; without counts the order of the statement."""
        table = self.demand.table.name
        return sorted(names, key=lambda n: -self.distinct.get((table, n), 0))

    def _one_row(self, equal: Sequence[str]) -> bool:
        return any(
            (i.unique or i.primary) and set(i.columns) <= set(equal) for i in self.demand.table.indexes
        )

    def _ordered(self, equal: list[str], listed: list[str], ranges: list[str]) -> None:
        order = [c for c in self.demand.order if c not in equal]
        if not order or self._usable(order) != order:
            return
        direction = " descending" if self.demand.descending else ""
        reason = f"delivers rows in the order {_names(self.demand.order)}{direction}: no sort"
        if listed:
            reason += f" ({_names(listed)} is filtered on the way)"
        # With a range on another column the order is only worth something where few rows are wanted.
        clash = bool(listed or (ranges and ranges[0] != order[0]))
        base = (90 if equal else 58) if self.demand.limited else (75 if equal else 30)
        if equal:
            reason = f"finds {_names(equal)} and {reason}"
        self._add([*equal, *order], len(equal), reason, base - (35 if clash else 0))

    def _grouped(self, equal: list[str]) -> None:
        group = [c for c in self.demand.group if c not in equal]
        if not group or self._usable(group) != group:
            return
        reason = f"delivers rows grouped by {_names(group)}: no temporary table"
        if equal:
            reason = f"finds {_names(equal)} and {reason}"
        self._add([*equal, *group], len(equal), reason, 66 if equal else 40)

    def _extremes(self, equal: list[str]) -> None:
        group = [c for c in self.demand.group if c not in equal]
        if self._usable(group) != group:
            return
        for column in self._usable(self.demand.extremes):
            each = f" of each {_names(group)}" if group else ""
            found = f" where {_names(equal)} is found" if equal else ""
            reason = f"its first or last entry{each}{found} is the MIN or MAX of {column}"
            self._add([*equal, *group, column], len(equal), reason, 85 if not group else 64)

    def _windows(self, equal: list[str]) -> None:
        for window in self.demand.windows:
            if self._usable(window) == list(window):
                reason = f"delivers rows in the window's order {_names(window)}"
                self._add([*equal, *(c for c in window if c not in equal)], len(equal), reason, 62)

    def _covering(self, equal: list[str], listed: list[str], ranges: list[str], joined: list[str]) -> None:
        """Filter, group, then what else is read: aggregates are computed from such an index alone."""
        needed = self.demand.needed
        if not needed:
            return
        found = [*equal, *listed, *ranges[:1]]
        behind = [c for c in (*self.demand.order, *self.demand.group) if c not in found]
        summed = self.demand.aggregated
        starts = [found or joined[:1] or behind or (needed[:1] if summed else [])]
        if summed and ranges and self.demand.group:
            starts.append([*equal, *self.demand.group])
        for start in starts:
            self._covers(list(dict.fromkeys(start)), len(equal), needed, 68 if summed and found else 46)

    def _covers(self, start: list[str], equal: int, needed: list[str], score: float) -> None:
        table = self.demand.table
        if set(needed) >= {c.name for c in table.columns}:
            return  # it would be the table once more
        ranges = self.demand.ranges
        extra = sorted((c for c in needed if c not in start), key=lambda c: c not in ranges)
        if self.dialect in _APPENDS_PRIMARY_KEY:
            extra = [c for c in extra if c not in table.primary_key]
        columns = [c for c in (table.column(n) for n in extra) if c is not None]
        narrow = all(column_bytes(c) <= NARROW_BYTES and not cannot_be_key(c, self.dialect) for c in columns)
        if not start or not len(extra) <= 3 or not narrow or self._usable(start) != start:
            return
        if not extra and start != needed[:1]:
            return
        carried = f" ({_names(extra)} carried along)" if extra else ""
        reason = f"answers from the index alone{carried}"
        self._add([*start, *extra], equal, reason, score)

    def _add(self, names: Sequence[str], equal: int, reason: str, score: float) -> None:
        """`equal` is how many of the first columns are compared for equality (their order is free)."""
        table = self.demand.table
        columns = list(dict.fromkeys(names))
        if self.dialect in _APPENDS_PRIMARY_KEY:
            while columns and len(columns) > 1 and tuple(columns[-1:]) == table.primary_key:
                columns.pop()
        if not columns or len(columns) > MAX_COLUMNS or _exists(table, columns, equal):
            return
        if self.dialect in _APPENDS_PRIMARY_KEY and tuple(columns) == table.primary_key:
            return
        limit = MAX_KEY_BYTES.get(self.dialect)
        if limit is not None and key_bytes(table, tuple(columns)) > limit:
            return
        score = score * self.weight - 2 * len(columns) + self._data_bonus(columns[0])
        self.made.append(Candidate(IndexSpec(table.name, tuple(columns)), reason, self.sql, round(score, 3)))

    def _data_bonus(self, first: str) -> float:
        """A large table gains more; a first column with hardly any values finds nothing by itself."""
        table = self.demand.table
        bonus = min(10.0, len(str(max(table.rows, 1))) - 1.0)
        values = self.distinct.get((table.name, first))
        if 0 < table.rows < SMALL_ROWS:
            bonus -= 40  # it is read whole in less time than an index saves
        return bonus - (25.0 if values is not None and values <= 2 else 0.0)


def _exists(table: Table, columns: Sequence[str], equal: int) -> bool:
    """Whether an index that is there begins with these columns (the first `equal` in any order)."""
    wanted = tuple(columns)
    for index in table.indexes:
        have = index.columns[: len(wanted)]
        if (
            len(have) == len(wanted)
            and set(have[:equal]) == set(wanted[:equal])
            and have[equal:] == wanted[equal:]
        ):
            return True
    return False


def _seen_through(column: str, wrapped: Sequence[str]) -> str:
    return ", if the server sees through the function" if column in wrapped else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
