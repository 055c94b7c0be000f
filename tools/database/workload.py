"""The workload: the queries captured while something ran, what they cost and where they were asked.

The statements that the server received are the truth; the application's trace only says which line asked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bedev.sandboxes.engines.engine import Statement, StatementStatistics
from bedev.sandboxes.stacks.stack import TracedQuery
from bedev.tools.database.fingerprint import digest_key, literals, tables
from bedev.tools.database.fingerprint import fingerprint as fingerprint

_SESSION = re.compile(
    r"(?:set|use|begin|start|commit|rollback|savepoint|release|prepare|deallocate|execute|close|show"
    r"|select @@)(?![\w$])"
)
_WRITES = ("insert", "update", "delete", "replace")


@dataclass(frozen=True)
class CallSite:
    """A line of the application (`file` relative to the repository) that asked a query `calls` times,
    with `distinct_bindings` different sets of values."""

    file: str
    line: int
    function: str
    calls: int
    distinct_bindings: int = 1

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.file else "(call site unknown)"


@dataclass(frozen=True)
class WorkloadQuery:
    """All statements of one fingerprint.

    `example_sql` is the first of them with its values; `rows_examined` and `milliseconds` are totals over
    all calls, from the server's statistics (milliseconds from the client's trace where the server has
    none), None where nobody measured them.
    """

    fingerprint: str
    example_sql: str
    calls: int
    distinct_bindings: int
    sites: tuple[CallSite, ...]
    rows_examined: int | None
    milliseconds: float | None
    tables: tuple[str, ...]

    @property
    def writes(self) -> bool:
        return self.fingerprint.startswith(_WRITES)


Workload = tuple[WorkloadQuery, ...]
"""In the order in which each fingerprint was first seen."""


def build(
    statements: Sequence[Statement],
    traced: Sequence[TracedQuery] = (),
    statistics: Sequence[StatementStatistics] = (),
    dialect: str = "mysql",
) -> Workload:
    """The workload of what was captured.

    The n-th traced query of a fingerprint is the n-th statement of that fingerprint; traced queries beyond
    what the server received are left out. Statements that only steer the session (SET, BEGIN, COMMIT) are
    no queries.
    """
    groups: dict[str, list[str]] = {}
    for statement in statements:
        shape = fingerprint(statement.sql, dialect)
        if shape and not _SESSION.match(shape):
            groups.setdefault(shape, []).append(statement.sql)
    asked: dict[str, list[TracedQuery]] = defaultdict(list)
    for query in traced:
        asked[digest_key(fingerprint(query.sql, dialect))].append(query)
    measured = _Statistics(statistics, dialect)
    found: list[WorkloadQuery] = []
    for shape, sqls in groups.items():
        values = [literals(sql, dialect) for sql in sqls]
        sites_of = asked.get(digest_key(shape), [])[: len(sqls)]
        numbers = measured.of(shape)
        client = sum(q.milliseconds for q in sites_of) if sites_of else None
        found.append(
            WorkloadQuery(
                fingerprint=shape,
                example_sql=sqls[0],
                calls=len(sqls),
                distinct_bindings=len(set(values)),
                sites=_sites(sites_of, values),
                rows_examined=None if numbers is None else numbers.rows_examined,
                milliseconds=client if numbers is None else numbers.seconds * 1000,
                tables=tables(shape),
            )
        )
    return tuple(found)


def _sites(traced: Sequence[TracedQuery], values: Sequence[tuple[str, ...]]) -> tuple[CallSite, ...]:
    calls: Counter[tuple[str, int, str]] = Counter()
    bindings: dict[tuple[str, int, str], set[tuple[str, ...]]] = defaultdict(set)
    for query, value in zip(traced, values, strict=False):
        key = (query.file, query.line, query.function)
        calls[key] += 1
        bindings[key].add(value)
    order = sorted(calls, key=lambda k: (-calls[k], k))
    return tuple(CallSite(*key, calls=calls[key], distinct_bindings=len(bindings[key])) for key in order)


class _Statistics:
    """The server's digests by coarse key; a digest text may be cut off at the server's limit."""

    def __init__(self, statistics: Sequence[StatementStatistics], dialect: str) -> None:
        self._by_key: dict[str, StatementStatistics] = {}
        self._cut: list[tuple[str, StatementStatistics]] = []
        for one in statistics:
            text = one.digest_text
            key = digest_key(fingerprint(text, dialect))
            if len(text) >= 1000 and text.rstrip().endswith("..."):
                self._cut.append((key.removesuffix("...").rstrip("?,("), one))
                continue
            before = self._by_key.get(key)
            if before is not None:  # one digest each for a fixed and a listed number of values
                one = StatementStatistics(
                    before.digest_text,
                    before.calls + one.calls,
                    None
                    if before.rows_examined is None or one.rows_examined is None
                    else before.rows_examined + one.rows_examined,
                    before.rows_sent + one.rows_sent,
                    before.seconds + one.seconds,
                )
            self._by_key[key] = one

    def of(self, shape: str) -> StatementStatistics | None:
        key = digest_key(shape)
        exact = self._by_key.get(key)
        return exact or next((one for prefix, one in self._cut if key.startswith(prefix)), None)


@dataclass(frozen=True)
class RepeatedQuery:
    """A line that asks the same query again and again.

    id: `n-plus-one` (other values each time), `asked-again` (the same values), `row-by-row-write`.
    """

    id: str
    site: CallSite
    fingerprint: str
    calls: int
    distinct_bindings: int
    tables: tuple[str, ...]
    words: str


def n_plus_one(workload: Workload, threshold: int = 5) -> tuple[RepeatedQuery, ...]:
    """Queries that one line asked `threshold` times or more, most calls first.

    Without a trace (no call sites) a query counts as asked from one unknown place.
    """
    found = []
    for query in workload:
        sites = query.sites or (CallSite("", 0, "", query.calls, query.distinct_bindings),)
        for site in sites:
            if site.calls >= threshold:
                found.append(_repeated(query, site))
    return tuple(sorted(found, key=lambda f: (-f.calls, f.site.file, f.site.line, f.fingerprint)))


def _repeated(query: WorkloadQuery, site: CallSite) -> RepeatedQuery:
    what = " and ".join(query.tables) or "the database"
    if query.writes:
        kind = "row-by-row-write"
        words = f"Row by row: {site.place} writes {what} {site.calls} times (one statement a row)"
    elif site.distinct_bindings <= 1:
        kind = "asked-again"
        words = (
            f"Asked again: {site.place} asks {what} {site.calls} times with the same values (load it once)"
        )
    else:
        kind = "n-plus-one"
        words = (
            f"N+1: {site.place} asks {what} {site.calls} times (one query per {_parent(query.fingerprint)}"
        )
        repeats = site.calls - site.distinct_bindings
        words += f", {site.distinct_bindings} different)" if repeats else ")"
    return RepeatedQuery(
        kind, site, query.fingerprint, site.calls, site.distinct_bindings, query.tables, words
    )


def _parent(shape: str) -> str:
    """What each query belongs to: `user` of `orders.user_id = ?`, else `row`."""
    match = re.search(r"([a-z]\w*?)_(?:id|uuid|code|key) (?:=|in) (?:\?|\(\?\))", shape)
    return match[1].replace("_", " ") if match else "row"
