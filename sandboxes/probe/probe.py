"""The probe's program. It runs inside the pod, in a container of bedev's own, and nowhere else.

It reads one JSON request a line from stdin and answers each with one JSON line, in any order, by `id`.
Each database session and each HTTP request has a thread, so a slow one holds up nothing else. It imports
nothing of bedev: the image holds this folder's programs, Python and the database drivers.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import decimal
import http.client
import importlib
import importlib.util
import json
import os
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

MAX_BODY = 8 << 20
MAX_RESULT = 32 << 20  # bytes of values of one result set, roughly
CONNECT_SECONDS = 20.0

Request = dict[str, Any]


class Refused(Exception):
    """The server said no: its code and its words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


def value_out(value: Any) -> Any:
    """A database value as JSON: decimals, dates and times as text, bytes as {"base64": ...}."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    if isinstance(value, (list, tuple)):
        return [value_out(item) for item in value]
    if isinstance(value, dict):
        return {str(key): value_out(item) for key, item in value.items()}
    return str(value)


def value_in(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"])
    return value


def size_of(row: tuple[Any, ...]) -> int:
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)


class MySqlSession:
    """A connection to MySQL or MariaDB. Values arrive as the server wrote them, but for numbers."""

    def __init__(self, request: Request) -> None:
        pymysql = self.driver = importlib.import_module("pymysql")
        FIELD_TYPE = importlib.import_module("pymysql.constants").FIELD_TYPE
        numbers = (
            FIELD_TYPE.TINY,
            FIELD_TYPE.SHORT,
            FIELD_TYPE.LONG,
            FIELD_TYPE.LONGLONG,
            FIELD_TYPE.INT24,
            FIELD_TYPE.YEAR,
        )
        converters: dict[Any, Any] = dict(pymysql.converters.encoders)
        converters.update(dict.fromkeys(numbers, int))
        converters.update(dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float))
        self.errors = pymysql.err.Error
        self.streaming = pymysql.cursors.SSCursor
        self.settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": request["port"],
            "user": request["user"],
            "password": request["password"],
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_SECONDS,
            "local_infile": False,
            "binary_prefix": True,  # bytes stay bytes, whatever the connection's character set
            "conv": converters,
        }
        self.connection = self._connect(request["database"] or None)

    def _connect(self, database: str | None) -> Any:
        try:
            # Multi-statements stay off: PyMySQL asks for them only by `client_flag`.
            return self.driver.connect(database=database, autocommit=True, **self.settings)
        except self.errors as error:
            raise self._refused(error) from None

    def _refused(self, error: Any) -> Refused:
        code = error.args[0] if error.args else ""
        return Refused(str(code), str(error.args[1] if len(error.args) > 1 else error))

    def query(self, sql: str, params: list[Any], max_rows: int) -> Request:
        cursor = self.connection.cursor(self.streaming)
        try:
            began = time.perf_counter()
            cursor.execute(sql, params or None)
            columns = [column[0] for column in cursor.description or ()]
            rows: list[list[Any]] = []
            size, truncated = 0, False
            while columns:
                row = cursor.fetchone()
                if row is None:
                    break
                size += size_of(row)
                if len(rows) >= max_rows or size > MAX_RESULT:
                    truncated = True
                    break
                rows.append([value_out(value) for value in row])
            if truncated:
                # Reading the rest of a large result to throw it away would take as long as the result.
                self.interrupt()
            seconds = time.perf_counter() - began
            affected = max(0, cursor.rowcount) if not columns else 0
            return {
                "columns": columns,
                "rows": rows,
                "affected": affected,
                "truncated": truncated,
                "seconds": seconds,
            }
        except self.errors as error:
            raise self._refused(error) from None
        finally:
            with contextlib.suppress(self.errors):  # so ends the interrupted rest of a truncated result
                cursor.close()

    def interrupt(self) -> None:
        """End the running statement at the server, from a second connection of the same user."""
        try:
            other = self._connect(None)
        except Refused:
            return
        try:
            other.cursor().execute(f"KILL QUERY {self.connection.thread_id()}")
        except self.errors:
            pass
        finally:
            other.close()

    def usable(self) -> bool:
        return bool(self.connection.open)

    def abandon(self) -> None:
        """Close the socket under a statement that would not end otherwise."""
        sock = getattr(self.connection, "_sock", None)
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.connection.close()


class PostgresSession:
    """A connection to PostgreSQL."""

    # Only decides how rows are fetched: a wrong guess costs memory, or is refused by the driver.
    READS = re.compile(r"[\s(]*(select|values|table|show|explain|fetch|with)\b", re.IGNORECASE)
    WRITES = re.compile(r"\b(insert|update|delete|merge|into)\b", re.IGNORECASE)

    def __init__(self, request: Request) -> None:
        psycopg = importlib.import_module("psycopg")
        self.errors = psycopg.Error
        try:
            self.connection = psycopg.connect(
                host="127.0.0.1",
                port=request["port"],
                user=request["user"],
                password=request["password"],
                dbname=request["database"] or "postgres",
                connect_timeout=int(CONNECT_SECONDS),
                autocommit=True,
            )
        except self.errors as error:
            raise self._refused(error) from None
        # As the server writes them: Python has no 'infinity', no year above 9999, and none before 1.
        text = importlib.import_module("psycopg.types.string").TextLoader
        for name in ("date", "timestamp", "timestamptz", "interval"):
            self.connection.adapters.register_loader(name, text)

    def _refused(self, error: Any) -> Refused:
        return Refused(getattr(error, "sqlstate", None) or "", str(error).strip())

    def query(self, sql: str, params: list[Any], max_rows: int) -> Request:
        # Rows come one by one, so that a huge result never lies in memory; what gives no rows cannot be
        # streamed. Both ways use the extended protocol, which takes one statement only: nothing can be
        # smuggled in after a semicolon.
        reads = bool(self.READS.match(sql)) and not self.WRITES.search(sql)
        rows: list[list[Any]] = []
        truncated, size, affected = False, 0, 0
        cursor = self.connection.cursor()
        began = time.perf_counter()
        try:
            if reads:
                found = cursor.stream(sql.encode(), params or None)
            else:
                cursor.execute(sql.encode(), params or None, prepare=True)
                affected = max(0, cursor.rowcount)
                found = iter(cursor if cursor.description else ())
            for row in found:
                size += size_of(row)
                if len(rows) >= max_rows or size > MAX_RESULT:
                    truncated = True
                    self.interrupt()
                    break
                rows.append([value_out(value) for value in row])
            seconds = time.perf_counter() - began
            columns = [column.name for column in cursor.description or ()]
        except self.errors as error:
            raise self._refused(error) from None
        finally:
            with contextlib.suppress(self.errors):  # the interrupted rest of a truncated result
                if reads:
                    found.close()
                cursor.close()
        return {
            "columns": columns,
            "rows": rows,
            "affected": 0 if columns else affected,
            "truncated": truncated,
            "seconds": seconds,
        }

    def interrupt(self) -> None:
        self.connection.cancel()

    def usable(self) -> bool:
        return not self.connection.closed

    def abandon(self) -> None:
        socket.socket(fileno=os.dup(self.connection.fileno())).shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.connection.close()


LOADING = threading.Lock()


def sqlite_session(request: Request) -> Any:
    """A session of the program beside this one, which all sessions share."""
    with LOADING:
        module = sys.modules.get("sqlite_session")
        if module is None:
            path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sqlite_session.py")
            spec = importlib.util.spec_from_file_location("sqlite_session", path)
            if spec is None or spec.loader is None:
                raise Refused("", f"{path} is missing")
            module = sys.modules["sqlite_session"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    return module.SqliteSession(request, Refused)


DRIVERS: dict[str, Callable[[Request], Any]] = {
    "mysql": MySqlSession,
    "postgres": PostgresSession,
    "sqlite": sqlite_session,
}


class SessionThread(threading.Thread):
    """One database session: its statements run here, one after the other."""

    def __init__(self, probe: Probe) -> None:
        super().__init__(daemon=True)
        self.probe = probe
        self.requests: queue.Queue[Request] = queue.Queue()
        self.session: Any = None

    def run(self) -> None:
        while True:
            request = self.requests.get()
            if request["op"] == "close":
                if self.session is not None:
                    with contextlib.suppress(Exception):  # it is gone either way
                        self.session.close()
                self.probe.answer(request, {})
                return
            self.probe.handle(request, self.connect if request["op"] == "connect" else self.query)

    def connect(self, request: Request) -> Request:
        self.session = DRIVERS[request["driver"]](request)
        return {}

    def query(self, request: Request) -> Request:
        if self.session is None or not self.session.usable():
            raise Refused("", "the connection to the database server is closed")
        late = threading.Event()
        done = threading.Event()

        def watch() -> None:
            if done.wait(request["timeout"]):
                return
            late.set()
            self.session.interrupt()
            if not done.wait(0.8):
                self.session.abandon()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            answer: Request = self.session.query(
                request["sql"], [value_in(value) for value in request["params"]], request["max_rows"]
            )
        except Refused as refused:
            if late.is_set():
                raise Refused(
                    refused.code, f"stopped after {request['timeout']:g} s at the server ({refused})"
                ) from None
            raise
        else:
            # Some servers answer an interrupted statement as if it had ended (MySQL's SLEEP).
            if late.is_set():
                raise Refused("", f"stopped after {request['timeout']:g} s at the server")
        finally:
            done.set()
            # Joined, so that a late interrupt cannot hit the next statement.
            watcher.join(3)
        return answer


class Probe:
    """Requests from stdin, answers to stdout."""

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.sessions: dict[int, SessionThread] = {}

    def answer(self, request: Request, content: Request) -> None:
        line = json.dumps({"id": request["id"], **content}, ensure_ascii=True, separators=(",", ":")) + "\n"
        with self.writing:
            sys.stdout.buffer.write(line.encode())
            sys.stdout.buffer.flush()

    def handle(self, request: Request, action: Callable[[Request], Request]) -> None:
        """Do it and answer, whatever happens: the host waits for an answer by id."""
        try:
            content = action(request)
        except Refused as refused:
            content = {"error": str(refused), "code": refused.code, "kind": "database"}
        except Exception as error:  # noqa: BLE001 - see the docstring
            kind = "network" if request["op"] in ("http", "wait") else "database"
            content = {"error": f"{type(error).__name__}: {error}", "code": "", "kind": kind}
        self.answer(request, content)

    def serve(self) -> None:
        for line in sys.stdin.buffer:
            request: Request = json.loads(line)
            operation = request["op"]
            if operation in ("connect", "query", "close"):
                number = request["session"]
                if operation == "connect":
                    self.sessions[number] = SessionThread(self)
                    self.sessions[number].start()
                thread = (
                    self.sessions.pop(number, None) if operation == "close" else self.sessions.get(number)
                )
                if thread is None:
                    self.answer(request, {"error": "the session is closed", "code": "", "kind": "database"})
                else:
                    thread.requests.put(request)
            elif operation == "hello":
                self.answer(request, {"python": sys.version.split()[0], "uid": os.getuid()})
            else:
                action = {"http": send_http, "wait": wait_for_port}[operation]
                threading.Thread(target=self.handle, args=(request, action), daemon=True).start()
        os._exit(0)


def wait_for_port(request: Request) -> Request:
    deadline = time.monotonic() + request["timeout"]
    while True:
        try:
            socket.create_connection(("127.0.0.1", request["port"]), 1).close()
            return {"open": True}
        except OSError:
            if time.monotonic() > deadline:
                return {"open": False}
            time.sleep(0.02)


def send_http(request: Request) -> Request:
    timeout = request["timeout"]
    body = base64.b64decode(request["body"])
    connection = http.client.HTTPConnection("127.0.0.1", request["port"], timeout=timeout)
    connection.connect()
    sock = connection.sock
    # A server that sends one byte a second keeps every single read in time: only a deadline ends it.
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        sock.shutdown(socket.SHUT_RDWR)

    watchdog = threading.Timer(timeout, expire)
    watchdog.daemon = True
    try:
        names = {name.lower() for name, _ in request["headers"]}
        connection.putrequest(
            request["method"],
            request["path"],
            skip_host="host" in names,
            skip_accept_encoding=True,
        )
        for name, value in request["headers"]:
            connection.putheader(name, value)
        if "connection" not in names:
            connection.putheader("Connection", "close")
        if "content-length" not in names and (body or request["method"] in ("POST", "PUT", "PATCH")):
            connection.putheader("Content-Length", str(len(body)))
        watchdog.start()
        began = time.perf_counter()
        connection.endheaders(body or None)
        response = connection.getresponse()
        received = response.read(MAX_BODY + 1)
        seconds = time.perf_counter() - began
    except (OSError, http.client.HTTPException) as error:
        if expired.is_set() or isinstance(error, TimeoutError):
            raise TimeoutError(f"no complete answer after {timeout:g} s") from error
        raise
    finally:
        watchdog.cancel()
        connection.close()
    if expired.is_set():
        raise TimeoutError(f"no complete answer after {timeout:g} s")
    return {
        "status": response.status,
        "headers": [[name, value] for name, value in response.getheaders()],
        "body": base64.b64encode(received[:MAX_BODY]).decode(),
        "truncated": len(received) > MAX_BODY,
        "seconds": seconds,
    }


if __name__ == "__main__":
    Probe().serve()
