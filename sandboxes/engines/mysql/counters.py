"""What a MySQL server counted.

What was measured on 9.7 (tests/sandboxes/engines/test_mysql.py repeats it), and what follows from it:

- MySQL has no USER_STATISTICS. Rows come from InnoDB (`Innodb_rows_read`), which sees views, triggers, stored
  functions and, from 9.6 on, cascades, never falls, and counts neither temporary tables in memory nor the
  server's own tables (`Innodb_system_rows_*`); temporary tables on disk it counts, as rows written and read.
  Statement events are no substitute: a trigger that reads 50,000 rows shows none examined.
- Index condition pushdown drops rows before they count as read: attempts without a match are added.
- A COUNT(*) of a whole table, without a condition, reaches no row counter; its pages are counted. (So does
  COUNT of a column that is NOT NULL, which is the same.)
- Tables of other storage engines than InnoDB are not seen.
- A scan fetches rows ahead, up to 128 KB: a LIMIT 5 on an index may read 1,000 pages for its 5 rows. That is
  work, and the pages show it; the rows that nobody took are not counted.
- Pages are InnoDB's logical reads, those of temporary tables on disk included (so there is no number of
  temporary pages beside it); temporary tables in memory have none.
- Rows sent and statements are those of the application and reader, from the statement summaries by user,
  which do not fall when a connection ends; statements inside triggers and procedures are none of them.
- A write may or may not need a new undo segment, and the server reads a page of its own now and then: an
  update by key takes 7 to 13 pages, rarely some 30 more where an earlier DDL is purged late. Statements that
  only read repeat exactly.
- Reading all of it is one query and moves none of it: two readings in a row are equal.
"""

from __future__ import annotations

import re
import time

from bedev.sandboxes.engines.engine import Counters
from bedev.sandboxes.engines.mysql_family import USERS, AdminSession, held, wait_for_ends
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import SqlSession

# Pages that background work read while `settle` waited for it; kept in the session that reads them.
BACKGROUND = "@bedev_background_pages"

_STATUS = {
    "rows_read": "'Innodb_rows_read'",
    "rows_written": "'Innodb_rows_inserted', 'Innodb_rows_updated', 'Innodb_rows_deleted'",
    "sorted_rows": "'Sort_rows'",
    "pages": "'Innodb_buffer_pool_read_requests'",
}

# One round trip. `Execute` is a prepared statement's run; its preparation is no statement of its own.
_READ = (
    "SELECT "
    + ", ".join(
        f"SUM(IF(VARIABLE_NAME IN ({names}), CAST(VARIABLE_VALUE AS UNSIGNED), 0)) AS {alias}"
        for alias, names in _STATUS.items()
    )
    + ", (SELECT SUM(IF(NAME = 'icp_attempts', COUNT, -COUNT)) FROM information_schema.INNODB_METRICS "
    "WHERE NAME IN ('icp_attempts', 'icp_match')) AS icp_dropped, "
    "(SELECT COALESCE(SUM(SUM_ROWS_SENT), 0) "
    "FROM performance_schema.events_statements_summary_by_user_by_event_name "
    f"WHERE USER IN ('{USERS['application']}', '{USERS['reader']}')) AS rows_sent, "
    "(SELECT COALESCE(SUM(COUNT_STAR), 0) "
    "FROM performance_schema.events_statements_summary_by_user_by_event_name "
    f"WHERE USER = '{USERS['application']}' "
    "AND (EVENT_NAME LIKE 'statement/sql/%' OR EVENT_NAME = 'statement/com/Execute')) AS statements, "
    f"CAST(COALESCE({BACKGROUND}, 0) AS UNSIGNED) AS background "
    f"FROM performance_schema.global_status WHERE VARIABLE_NAME IN ({', '.join(_STATUS.values())})"
)


def read(admin: SqlSession) -> Counters:
    """Running totals since the server started, comparable within one session. Raises DatabaseError."""
    session = held(admin)
    wait_for_ends(session)
    rows = session.query(_READ)
    found: dict[str, int] = {name: int(value or 0) for name, value in rows.dicts()[0].items()}
    return Counters(
        rows_examined=found["rows_read"] + max(0, found["icp_dropped"]),
        rows_sorted=found["sorted_rows"],
        rows_sent=found["rows_sent"],
        rows_written=found["rows_written"],
        pages=found["pages"] - found["background"],
        statements=found["statements"],
    )


SETTLE_SECONDS = 20.0
IDLE_SECONDS = 0.5
STANDSTILL = 4  # equal readings in a row, 10 ms apart

_PAGES = (
    "SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM performance_schema.global_status "
    "WHERE VARIABLE_NAME = 'Innodb_buffer_pool_read_requests'"
)
_PURGED = re.compile(r"Trx id counter (\d+)\s+Purge done for trx's n:o < (\d+)")


def _is_purged(admin: SqlSession) -> bool:
    """Whether purge has come to the last transaction. The length of its list would not tell: it is cut only
    now and then."""
    said = _PURGED.search(str(admin.query("SHOW ENGINE INNODB STATUS").dicts()[0]["Status"]))
    return said is None or said[1] == said[2]


def settle(admin: SqlSession) -> None:
    """Wait until what was deleted and updated is purged, and the pages stand still for some 40 ms.

    As in MariaDB: what purge reads here is left out of the pages that this session reads later, and none
    begins before the session is used for something other than counters (see `AdminSession`). Purge begins
    within 50 ms of a commit; a transaction that somebody left open holds it up, and after a DDL its last step
    waits for the next commit: after 0.5 s without a page read the standstill alone decides. Raises
    DatabaseError where pages still move after 20 s: something runs.
    """
    began_at = moved_at = time.monotonic()
    began = int(held(admin).query(_PAGES).scalar)
    previous, equal = -1, 0
    while time.monotonic() < began_at + SETTLE_SECONDS:
        pages = int(admin.query(_PAGES).scalar)
        if pages == previous:
            equal += 1
        else:
            equal, moved_at = 0, time.monotonic()
        if equal >= STANDSTILL and (_is_purged(admin) or time.monotonic() - moved_at > IDLE_SECONDS):
            admin.query(f"SET {BACKGROUND} = COALESCE({BACKGROUND}, 0) + {pages - began}")
            if isinstance(admin, AdminSession):
                admin.hold_purge()
            return
        previous = pages
        time.sleep(0.01)
    raise DatabaseError(
        f"The database server did not come to rest in {SETTLE_SECONDS:.0f} s.",
        where="counters",
        next_step="End what still runs in the application (workers, schedulers), then measure again.",
    )
