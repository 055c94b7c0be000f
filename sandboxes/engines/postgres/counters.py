"""What a PostgreSQL server counted.

What was measured on 17 and 18 (tests/sandboxes/engines/test_postgres.py repeats it), and what follows:

- Rows examined are the database's `tup_returned` without what its catalogues took: rows of sequential scans
  and entries of indexes, whoever read them (triggers, functions, cascades), temporary tables' too.
  Unlike the sum over `pg_stat_user_tables` it does not fall when a table is dropped.
- A backend keeps these counts to itself for up to 10 s (see `sessions`); reading waits for them.
- Pages, statements and rows sent come from pg_stat_statements, which is exact when the client has its answer.
  Pages include those of triggers and functions, and leave out planning and the catalogues' reads at parsing.
- Nothing counts the rows of a sort. One that does not fit into work_mem shows in `temp_pages`.
- A statement that ended with an error is in none of pg_stat_statements' numbers.
- Reading is one query of the admin's, and moves none of it.
"""

from __future__ import annotations

import time

from bedev.sandboxes.engines.engine import Counters, StatementStatistics
from bedev.sandboxes.engines.postgres.sessions import FLUSH, OWN_SCHEMA, own, quoted
from bedev.sandboxes.engines.roles import USERS
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

_CHANGED = " + ".join(
    f"pg_stat_get_{{0}}tuples_{what}({{1}}.oid)" for what in ("inserted", "updated", "deleted")
)

# Drivers close their prepared statements by DEALLOCATE: no statement of the application's.
_COUNTED = f"s.query <> '{FLUSH}' AND s.query !~* '^\\s*deallocate\\M'"
_READS = r"^(\s|\(|/\*([^*]|\*[^/])*\*/|--[^\n]*\n)*(select|with|values|table|fetch|show)\M"

_READ = (
    "SELECT pg_stat_get_db_tuples_returned(d.oid) - c.returned AS rows_examined, "
    f"{_CHANGED.format('db_', 'd')} - c.changed AS rows_written, p.* "
    "FROM (SELECT oid FROM pg_database WHERE datname = current_database()) d, "
    "(SELECT SUM(pg_stat_get_tuples_returned(r.oid))::bigint AS returned, "
    f"SUM({_CHANGED.format('', 'r')})::bigint AS changed FROM pg_class r "
    "JOIN pg_namespace n ON n.oid = r.relnamespace WHERE NOT r.relisshared AND r.relkind IN ('r', 'i', "
    "'t', 'm') "
    f"AND n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast', '{OWN_SCHEMA}')) c, "
    "(SELECT "
    f"COALESCE(SUM(s.calls) FILTER (WHERE s.userid = '{USERS['application']}'::regrole), 0)::bigint "
    "AS statements, "
    f"COALESCE(SUM(s.rows) FILTER (WHERE s.query ~* '{_READS}'), 0)::bigint AS rows_sent, "
    "COALESCE(SUM(s.shared_blks_hit + s.shared_blks_read), 0)::bigint AS pages, "
    "COALESCE(SUM(s.temp_blks_read + s.temp_blks_written + s.local_blks_hit + s.local_blks_read), 0)::bigint "
    f"AS temp_pages FROM {OWN_SCHEMA}.pg_stat_statements s "
    f"WHERE s.userid <> '{USERS['admin']}'::regrole AND {_COUNTED}) p"
)


def read(admin: SqlSession) -> Counters:
    """Running totals since the server started, when idle connections have handed over what they counted.
    Raises DatabaseError."""
    _wait(admin, ENDS_SECONDS)
    found = {name: int(value) for name, value in admin.query(_READ).dicts()[0].items()}
    return Counters(**found)


ENDS_SECONDS = 0.2  # for statements that still run: one that really runs longer is not waited for
IDLE_FLUSH_SECONDS = 10.3  # after which an idle backend has flushed by itself
SETTLE_SECONDS = 20.0

# A backend whose last statement was FLUSH has flushed. In a transaction none does.
_PENDING = (
    "SELECT COUNT(*) FILTER (WHERE state = 'active'), COUNT(*) FILTER (WHERE state = 'idle' "
    f"AND query <> '{FLUSH}' AND state_change > clock_timestamp() - interval '{IDLE_FLUSH_SECONDS} s') "
    "FROM pg_stat_activity WHERE backend_type = 'client backend' "
    f"AND usename IN ('{USERS['application']}', '{USERS['reader']}')"
)


def _wait(admin: SqlSession, seconds: float) -> bool:
    """Wait until no statement runs, at most `seconds`, and every idle connection has flushed; whether no
    statement runs."""
    began = time.monotonic()
    while True:
        active, unflushed = admin.query(_PENDING).rows[0]
        passed = time.monotonic() - began
        if not (active and passed < seconds) and not (unflushed and passed < SETTLE_SECONDS):
            return not active
        time.sleep(0.002 if passed < 0.1 else 0.05)


_TO_VACUUM = (
    "SELECT n.nspname, r.relname FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace "
    "WHERE r.relkind IN ('r', 'm') AND r.relpersistence <> 't' "
    f"AND n.nspname NOT IN ('pg_catalog', 'information_schema', '{OWN_SCHEMA}') "
    "AND (pg_stat_get_dead_tuples(r.oid) > 0 OR pg_stat_get_ins_since_vacuum(r.oid) > 0) ORDER BY 1, 2"
)
VACUUM = "VACUUM (TRUNCATE FALSE, INDEX_CLEANUP ON)"
LOCKED = "55P03"


def settle(admin: SqlSession) -> None:
    """Wait until all that was counted can be read, and remove what was deleted and updated.

    A connection that ends hands its counts over at once; one that a pool keeps open does 10 s after its last
    statement. Without the vacuum, rows would be read past their dead versions, and index-only scans visit
    the table or not, by chance. A table that somebody holds a lock on is left. Raises DatabaseError where
    statements of the application still run after 20 s.
    """
    if not _wait(admin, SETTLE_SECONDS):
        raise DatabaseError(
            f"The database server did not come to rest in {SETTLE_SECONDS:.0f} s.",
            where="counters",
            next_step="End what still runs in the application (workers, schedulers), then measure again.",
        )
    tables = admin.query(_TO_VACUUM, max_rows=100_000).rows
    if not tables:
        return
    admin.query("SET lock_timeout = '1s'")
    try:
        for schema, table in tables:
            try:
                admin.query(f"{VACUUM} {quoted(str(schema))}.{quoted(str(table))}", timeout=600.0)
            except DatabaseError as error:
                if error.code != LOCKED:
                    raise
    finally:
        admin.query("SET lock_timeout = 0")


_STATISTICS = (
    "SELECT s.userid::bigint, s.queryid, s.query, s.calls, "
    f"CASE WHEN s.query ~* '{_READS}' THEN s.rows ELSE 0 END AS sent, s.total_exec_time / 1000 "
    f"FROM {OWN_SCHEMA}.pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid "
    f"WHERE d.datname = current_database() AND s.userid <> '{USERS['admin']}'::regrole AND {_COUNTED} "
    "ORDER BY s.total_exec_time DESC, s.queryid"
)


def statement_statistics(admin: SqlSession, reset: bool) -> tuple[StatementStatistics, ...]:
    """Digests with most time first. The server does not count the rows that a statement examined."""
    session = own(admin)
    found: list[StatementStatistics] = []
    for user, query, text, calls, sent, seconds in admin.query(_STATISTICS, max_rows=20_000).rows:
        key = (int(user), int(query))
        then = session.reset_at.get(key, (0, 0, 0.0))
        if reset:
            session.reset_at[key] = (int(calls), int(sent), float(seconds))
        if int(calls) > then[0]:
            found.append(
                StatementStatistics(
                    str(text), int(calls) - then[0], None, int(sent) - then[1], float(seconds) - then[2]
                )
            )
    return tuple(sorted(found, key=lambda one: -one.seconds))
