"""SQLite in the probe: sessions on a database file, and a ledger of what its statements cost.

No server counts for SQLite. The virtual table `sqlite_stmt` tells the steps of each statement of a connection
of ours, so what a session here runs is counted as it runs. What the application sent from its own process is
told by its tracer (`bedev_account`), and is run once more here, in a transaction that is rolled back.

An admin's connection has functions for the host: `bedev_counters()`, `bedev_account(json)`,
`bedev_capture(on)`, `bedev_database(name)`, `bedev_number(text, width)`. Nothing of bedev is imported, as in
probe.py.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import sqlite3
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_RESULT = 32 << 20  # bytes of values of one result set, roughly
MAX_VALUE = 256 << 20  # bytes of one text or blob that SQL may build
BUSY_SECONDS = 10.0
STEPS = 1 << 32  # sqlite_stmt counts in 32 bits
CACHED = 50_000  # costs of statements that are remembered while the data stays

_PLACEHOLDER = re.compile(r"%([s%])")
_STEERS = re.compile(r"\s*(begin|commit|end|rollback|savepoint|release|pragma|attach|detach|vacuum)\b", re.I)
_NO_FUNCTION = re.compile(r"no such function: (\w+)")
_HARMLESS_PRAGMAS = frozenset(
    (
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "data_version",
        "foreign_key_list",
        "foreign_keys",
        "busy_timeout",
        "query_only",
        "compile_options",
        "function_list",
        "collation_list",
        "database_list",
        "encoding",
        "page_count",
        "page_size",
        "freelist_count",
    )
)
# The first use of a virtual table declares it, for which SQLite before 3.41 asks the authorizer's leave.
_VIRTUAL = (
    "sqlite_stmt",
    "pragma_table_xinfo('x')",
    "pragma_table_info('x')",
    "pragma_table_list",
    "pragma_index_list('x')",
    "pragma_index_info('x')",
    "pragma_index_xinfo('x')",
    "pragma_foreign_key_list('x')",
    "json_each('[]')",
    "json_tree('[]')",
    "dbstat",
)
_READING = frozenset(
    (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
    )
)
Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


@dataclass(frozen=True)
class Cost:
    """What one run of a statement took, `bytes` read from files; `writes` where it is no reading one."""

    steps: int = 0
    sent: int = 0
    written: int = 0
    writes: bool = False
    bytes: int = 0


@dataclass
class Ledger:
    """What was counted on one file since the probe began, whoever counted it; never falls."""

    path: str
    steps: int = 0
    sent: int = 0
    written: int = 0
    statements: int = 0
    bytes: int = 0
    capturing: bool = False
    captured: list[tuple[str, int, float]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    replay: Replay | None = None

    def add(self, cost: Cost, calls: int = 1, statements: int = 0) -> None:
        with self.lock:
            self.steps += cost.steps * calls
            self.sent += cost.sent * calls
            self.written += cost.written * calls
            self.bytes += cost.bytes * calls
            self.statements += statements

    def hear(self, sql: str, connection: int) -> None:
        with self.lock:
            if self.capturing:
                self.captured.append((sql, connection, time.time()))

    def counters(self) -> str:
        with self.lock:
            return json.dumps([self.steps, self.sent, self.written, self.statements])

    def capture(self, on: int) -> str:
        """Begin anew, or end and give what was heard: [[sql, connection, at], ...]."""
        with self.lock:
            heard, self.captured = self.captured, []
            self.capturing = bool(on)
            return json.dumps(heard)


LEDGERS: dict[str, Ledger] = {}
OPENING = threading.Lock()


def ledger_of(path: str) -> Ledger:
    with OPENING:
        return LEDGERS.setdefault(path, Ledger(path))


def connect(path: str, mode: str, authorizer: Authorizer | None) -> sqlite3.Connection:
    """A connection in autocommit mode. A file that is a link leads elsewhere, and is refused."""
    if os.path.realpath(path) != path:
        raise sqlite3.OperationalError("unable to open database file: its path has a link in it")
    os.environ["SQLITE_TMPDIR"] = os.path.dirname(path)  # sorting needs more than the probe's /tmp has
    connection = sqlite3.connect(
        f"file:{urllib.parse.quote(path)}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = _text
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    if authorizer is not None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(authorizer)
    return connection


def add_texts(connection: sqlite3.Connection) -> None:
    """Functions that bedev's own questions use on every server; SQLite has CONCAT since 3.44, and no MD5."""

    def text(value: object) -> str:
        return (
            ""
            if value is None
            else value.decode("utf-8", "replace")
            if isinstance(value, bytes)
            else str(value)
        )

    connection.create_function("concat", -1, lambda *parts: "".join(map(text, parts)), deterministic=True)
    connection.create_function(
        "md5", 1, lambda value: hashlib.md5(text(value).encode()).hexdigest(), deterministic=True
    )


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def application_may(action: int, one: str | None, two: str | None, *_: str | None) -> int:
    """What the application may do to its own file, and to no other."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in ("load_extension", "fts3_tokenizer"):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (one or "").lower() not in _HARMLESS_PRAGMAS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def reader_may(action: int, one: str | None, two: str | None, *rest: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA and (one or "").lower() in ("query_only", "foreign_keys") and two:
        return sqlite3.SQLITE_DENY
    if action not in _READING and action != sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_DENY
    return application_may(action, one, two, *rest)


def steps(connection: sqlite3.Connection, sql: str) -> int:
    """Steps of all runs so far of a statement that the connection still holds prepared."""
    return int(connection.execute("SELECT TOTAL(nstep) FROM sqlite_stmt WHERE sql = ?", (sql,)).fetchone()[0])


@contextlib.contextmanager
def expanded(connection: sqlite3.Connection, heard: list[str]) -> Iterator[None]:
    """The statements that run within, with their values; a trigger's are comments there."""
    connection.set_trace_callback(heard.append)
    try:
        yield
    finally:
        connection.set_trace_callback(None)


class Replay:
    """The connection on which the application's statements are run again."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.connection = connect(path, "rw", application_may)
        status = os.stat(path)
        self.identity = (status.st_dev, status.st_ino)
        self.version = self.data_version()
        self.costs: dict[tuple[str, str], Cost] = {}
        self.register("regexp", 2, lambda pattern, text: bool(re.search(str(pattern), str(text))))

    def is_of(self, path: str) -> bool:
        status = os.stat(path)
        return self.identity == (status.st_dev, status.st_ino)

    def data_version(self) -> int:
        """Another number whenever somebody else has changed the file."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def register(self, name: str, arguments: int, function: Callable[..., Any]) -> None:
        self.connection.create_function(name, arguments, function, deterministic=True)

    def account(self, sent: list[dict[str, Any]], ledger: Ledger) -> list[str]:
        """Run what one or more processes sent, in order and in one transaction, so that a later statement
        finds what an earlier one wrote. Gives what could not be run, in SQLite's words."""
        version = self.data_version()
        changed = version != self.version
        if changed:
            self.costs.clear()
        self.version = version
        problems: list[str] = []
        wrote, written = False, ledger.written
        processes: dict[str, int] = {}
        self.connection.execute("BEGIN")
        try:
            for one in sent:
                sql, calls = str(one["sql"]).strip().rstrip("; \n\t"), int(one["calls"])
                bindings = [value_in(value) for value in one["bindings"]]
                process = processes.setdefault(str(one["process"]), len(processes) + 1)
                ledger.hear(self.literal(sql, bindings), process)
                cost = Cost()
                if not _STEERS.match(sql):
                    key = (sql, repr(bindings))
                    remembered = None if wrote else self.costs.get(key)
                    cost, problem = (remembered, "") if remembered else self.run(sql, bindings)
                    if problem:
                        problems.append(f"{problem}: {sql[:300]}")
                    elif not wrote and not cost.writes and len(self.costs) < CACHED:
                        self.costs[key] = cost
                    wrote = wrote or cost.writes
                ledger.add(cost, calls, statements=calls)
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        if wrote and changed and ledger.written == written:
            ledger.add(Cost(written=1))  # what it wrote is there already: run again, it changed nothing
        return problems

    def literal(self, sql: str, bindings: list[Any]) -> str:
        """The statement with its values in their places, for people and plans."""
        if not bindings:
            return sql
        values = iter(bindings)

        def put(found: re.Match[str]) -> str:
            return literal(next(values, None)) if found[0] in ("?", "%s") else found[0]

        return re.sub(
            r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|%s|\?", put, sql, flags=re.S
        )

    def run(self, sql: str, bindings: list[Any]) -> tuple[Cost, str]:
        """A statement that is refused as writing twice would be (a unique value) has its cost up to there."""
        sql = re.sub(r"'(?:[^']|'')*'|%s", lambda m: "?" if m[0] == "%s" else m[0], sql) if bindings else sql
        while True:
            before, changes = steps(self.connection, sql), self.connection.total_changes
            read = bytes_read()
            sent = 0
            try:
                cursor = self.connection.execute(sql, self.padded(sql, bindings))
                while rows := cursor.fetchmany(1000):
                    sent += len(rows)
                problem = ""
            except sqlite3.IntegrityError:
                return Cost((steps(self.connection, sql) - before) % STEPS, 0, 1, True), ""
            except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
                problem = str(error)
                missing = _NO_FUNCTION.search(problem)
                if missing is not None:
                    # One of the application's own, which costs no step: any value that depends on the row.
                    self.register(missing[1], -1, lambda *values: values[1 if len(values) > 1 else 0])
                    continue
            took = (steps(self.connection, sql) - before) % STEPS
            written = self.connection.total_changes - changes
            read = bytes_read() - read
            return Cost(took, sent, written, not self.reads(sql), read), problem

    def padded(self, sql: str, bindings: list[Any]) -> list[Any]:
        """A tracer may leave out the end of a very long list of values, and those of many rows."""
        wanted = len(re.findall(r"\?", re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "", sql)))
        return [*bindings, *[None] * (wanted - len(bindings))]

    def reads(self, sql: str) -> bool:
        found = self.connection.execute("SELECT MIN(ro) FROM sqlite_stmt WHERE sql = ?", (sql,)).fetchone()
        return found[0] is None or bool(found[0])


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return "'" + str(value).replace("'", "''") + "'"


def value_in(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"])
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    return value


def value_out(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value


class SqliteSession:
    """A connection to a database file, in one of three roles."""

    def __init__(self, request: dict[str, Any], refused: Callable[[str, str], Exception]) -> None:
        self._refused_as = refused
        self.role = request["user"]
        self.number = int(request["session"])
        path = self.path = request["database"]
        self.ledger = ledger_of(path)
        try:
            if self.role == "admin":
                make_file(path)
                self.connection = connect(path, "rw", None)
                self._add_functions()
            elif self.role == "application":
                self.connection = connect(path, "rw", application_may)
            else:
                self.connection = connect(path, "ro", reader_may)
                self.connection.set_authorizer(None)
                self.connection.execute("PRAGMA query_only = ON")
                for table in _VIRTUAL:
                    with contextlib.suppress(sqlite3.Error):  # not every build has all of them
                        self.connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
                self.connection.set_authorizer(reader_may)
            if self.role != "application":
                add_texts(self.connection)
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> Exception:
        return self._refused_as(getattr(error, "sqlite_errorname", "") or "", str(error))

    def _add_functions(self) -> None:
        for name, arguments, function in (
            ("bedev_counters", 0, self._counters),
            ("bedev_account", 1, self._account),
            ("bedev_capture", 1, self.ledger.capture),
            ("bedev_database", 1, self._make_database),
            ("bedev_number", 2, last_number),
        ):
            self.connection.create_function(name, arguments, function)

    def _make_database(self, name: str) -> str:
        path = os.path.join(os.path.dirname(self.path), f"{os.path.basename(name)}.sqlite")
        make_file(path)
        return path

    def _replay(self) -> Replay:
        """The file's; a new one where another file has taken its place."""
        with self.ledger.lock:
            replay = self.ledger.replay
            if replay is None or not replay.is_of(self.path):
                if replay is not None:
                    replay.connection.close()
                replay = self.ledger.replay = Replay(self.path)
            return replay

    def _counters(self) -> str:
        self._replay()  # from now on it notices what others write
        return self.ledger.counters()

    def _account(self, text: str) -> str:
        with self.ledger.lock:
            before = self.ledger.bytes
            problems = self._replay().account(json.loads(text), self.ledger)[:20]
            return json.dumps({"problems": problems, "bytes": self.ledger.bytes - before})

    def query(self, sql: str, params: list[Any], max_rows: int) -> dict[str, Any]:
        if params:
            sql = _PLACEHOLDER.sub(lambda found: "?" if found[1] == "s" else "%", sql)
        sql = sql.strip().rstrip("; \n\t")
        heard: list[str] = []
        counted = self.role != "admin"
        listening = self.role == "application" and self.ledger.capturing
        rows: list[list[Any]] = []
        size, truncated = 0, False
        try:
            before = steps(self.connection, sql) if counted else 0
            changes = self.connection.total_changes
            began = time.perf_counter()
            with expanded(self.connection, heard) if listening else contextlib.nullcontext():
                cursor = self.connection.execute(sql, params)
                columns = [column[0] for column in cursor.description or ()]
                while columns:
                    row = cursor.fetchone()
                    if row is None:
                        break
                    size += sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)
                    if len(rows) >= max_rows or size > MAX_RESULT:
                        truncated = True
                        break
                    rows.append([value_out(value) for value in row])
            seconds = time.perf_counter() - began
            affected = 0 if columns else max(0, cursor.rowcount)
            if counted:
                took = (steps(self.connection, sql) - before) % STEPS
                written = self.connection.total_changes - changes
                own = self.role == "application"
                self.ledger.add(Cost(took, len(rows), written), statements=int(own))
            cursor.close()
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            raise self._refused(error) from None
        if heard:
            self.ledger.hear(heard[0], self.number)
        return {
            "columns": columns,
            "rows": rows,
            "affected": affected,
            "truncated": truncated,
            "seconds": seconds,
        }

    def interrupt(self) -> None:
        self.connection.interrupt()
        if self.role == "admin" and self.ledger.replay is not None:
            self.ledger.replay.connection.interrupt()

    def usable(self) -> bool:
        return True

    def abandon(self) -> None:
        """A statement looks for an interruption at every jump: nothing more can be done for one that does
        not end."""

    def close(self) -> None:
        self.connection.close()


def last_number(value: Any, width: int) -> int:
    """The greatest number of at most `width` digits at the end of a text or before an @ in it, 0 for none."""
    return max((int(n) for n in re.findall(rf"(?<![0-9])[0-9]{{1,{width}}}(?=@|$)", str(value))), default=0)


def bytes_read() -> int:
    """What this thread has read from files so far, as the kernel counts; 0 where it does not."""
    try:
        with open("/proc/thread-self/io", "rb", buffering=0) as file:
            return int(file.read(200).split(b"rchar: ", 1)[1].split(b"\n", 1)[0])
    except (OSError, IndexError, ValueError):
        return 0


def make_file(path: str) -> None:
    """An empty file is an empty database. Every user of the pod may write it."""
    if not os.path.exists(path):
        before = os.umask(0)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o666))
        finally:
            os.umask(before)
