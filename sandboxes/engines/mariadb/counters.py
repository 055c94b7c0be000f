"""What a MariaDB server counted.

What was measured on 11.8 (tests/sandboxes/engines/test_mariadb.py repeats it), and what follows from it:

- `USER_STATISTICS` (userstat=1) is brought up to date at the end of every statement, also on connections that
  stay open. Its ROWS_READ sees views, triggers and stored functions, never falls (a table's own statistics
  vanish when it is dropped), and leaves the admin's own reads out. Rows of a foreign key's cascade are
  deleted inside InnoDB and reach no row counter; the pages see them (490 rows: 4,500 pages).
- Index condition pushdown drops rows before they count as read: attempts without a match are added.
- `*_COMMANDS` of USER_STATISTICS count the statements inside triggers too, and `status_by_user` falls when a
  connection ends; the statement summaries of performance_schema do neither.
- Pages are InnoDB's logical reads, of the statements alone: `settle` takes the purge's out. They repeat
  exactly for a query that is run again.
- Temporary tables in memory have no pages; on disk they are Aria's, whose page requests are counted. A sort
  that spills has no page counter; its rows are in `rows_sorted`.
- Reading all of it is one query of about 1 ms, and moves none of it: two readings in a row are equal.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from bedev.sandboxes.engines.engine import Counters
from bedev.sandboxes.engines.mysql_family import USERS, AdminSession, held, wait_for_ends
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

# Pages that background work read while `settle` waited for it; kept in the session that reads them.
BACKGROUND = "@bedev_background_pages"

_STATUS: Mapping[str, tuple[str, ...]] = {
    "sorted_rows": ("SORT_ROWS",),
    "pages": ("INNODB_BUFFER_POOL_READ_REQUESTS",),
    "temp_pages": ("ARIA_PAGECACHE_READ_REQUESTS", "ARIA_PAGECACHE_WRITE_REQUESTS"),
    "icp_attempts": ("HANDLER_ICP_ATTEMPTS",),
    "icp_matches": ("HANDLER_ICP_MATCH",),
}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _users(column: str) -> str:
    return (
        f"(SELECT COALESCE(SUM({column}), 0) FROM information_schema.USER_STATISTICS "
        f"WHERE USER <> '{USERS['admin']}')"
    )


# One round trip. `Execute` is a prepared statement's run; its preparation is no statement of its own.
_READ = (
    "SELECT "
    f"{_users('ROWS_READ')} AS rows_read, {_users('ROWS_SENT')} AS rows_sent, "
    f"{_users('ROWS_INSERTED + ROWS_UPDATED + ROWS_DELETED')} AS rows_written, "
    "(SELECT COALESCE(SUM(COUNT_STAR), 0) "
    "FROM performance_schema.events_statements_summary_by_user_by_event_name "
    f"WHERE USER = '{USERS['application']}' "
    "AND (EVENT_NAME LIKE 'statement/sql/%' OR EVENT_NAME = 'statement/com/Execute')) AS statements, "
    + ", ".join(
        f"SUM(IF(VARIABLE_NAME IN ({_listed(names)}), CAST(VARIABLE_VALUE AS UNSIGNED), 0)) AS {alias}"
        for alias, names in _STATUS.items()
    )
    + f", CAST(COALESCE({BACKGROUND}, 0) AS UNSIGNED) AS background"
    + " FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN ("
    + ", ".join(_listed(names) for names in _STATUS.values())
    + ")"
)


def read(admin: SqlSession) -> Counters:
    """Running totals since the server started, comparable within one session. Raises DatabaseError."""
    session = held(admin)
    wait_for_ends(session)
    rows = session.query(_READ)
    found: dict[str, int] = {name: int(value) for name, value in rows.dicts()[0].items()}
    return Counters(
        rows_examined=found["rows_read"] + max(0, found["icp_attempts"] - found["icp_matches"]),
        rows_sorted=found["sorted_rows"],
        rows_sent=found["rows_sent"],
        rows_written=found["rows_written"],
        pages=found["pages"] - found["background"],
        temp_pages=found["temp_pages"],
        statements=found["statements"],
    )


SETTLE_SECONDS = 20.0
PURGE_SECONDS = 3.0
STANDSTILL = 4  # equal readings in a row, 10 ms apart

_MOVING = (
    "SELECT MAX(IF(VARIABLE_NAME LIKE 'INNODB%', CAST(VARIABLE_VALUE AS UNSIGNED), 0)), "
    "GROUP_CONCAT(VARIABLE_VALUE ORDER BY VARIABLE_NAME) FROM information_schema.GLOBAL_STATUS "
    "WHERE VARIABLE_NAME IN ('INNODB_BUFFER_POOL_READ_REQUESTS', 'ARIA_PAGECACHE_READ_REQUESTS', "
    "'ARIA_PAGECACHE_WRITE_REQUESTS')"
)


def settle(admin: SqlSession) -> None:
    """Purge what was deleted and updated, and wait until the pages stand still for some 40 ms.

    Left to itself, purge begins up to a second after a write and reads pages that nobody asked for: 2,190
    for 500 rows of an indexed column, and 128 rollback segments at times and at times not. What it reads
    here is left out of the pages that this session reads later, and none begins before the session is used
    for something other than counters (see `AdminSession`). A transaction that somebody left open holds purge
    up too; after 3 s the standstill alone decides. Raises DatabaseError where pages still move after 20 s:
    something runs.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    began = int(held(admin).query(_MOVING).rows[0][0])
    _purge(admin)
    previous, equal = "", 0
    while time.monotonic() < deadline:
        pages, reading = admin.query(_MOVING).rows[0]
        equal = equal + 1 if reading == previous else 0
        if equal >= STANDSTILL:
            admin.query(f"SET {BACKGROUND} = COALESCE({BACKGROUND}, 0) + {int(pages) - began}")
            if isinstance(admin, AdminSession):
                admin.hold_purge()
            return
        previous = str(reading)
        time.sleep(0.01)
    raise DatabaseError(
        f"The database server did not come to rest in {SETTLE_SECONDS:.0f} s.",
        where="counters",
        next_step="End what still runs in the application (workers, schedulers), then measure again.",
    )


def _purge(admin: SqlSession) -> None:
    admin.query(f"SET SESSION max_statement_time = {PURGE_SECONDS}")
    try:
        admin.query("SET GLOBAL innodb_max_purge_lag_wait = 0")  # returns when nothing is left to purge
    except DatabaseError as error:
        if error.code != TIMED_OUT:
            raise
    finally:
        admin.query("SET SESSION max_statement_time = 0")


TIMED_OUT = "1969"
