"""What every probe promises: HTTP and SQL, measured and bounded; see contract.py."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest
from bedev.sandboxes.errors import DatabaseError, SandboxBroken, UsageError
from bedev.sandboxes.sandbox import (
    HttpRequest,
    Pod,
)

SERVER = """
import http.server, socketserver, time, json
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.path == '/slow':
            self.send_response(200); self.end_headers()
            while True:
                self.wfile.write(b'x'); self.wfile.flush(); time.sleep(0.1)
        if self.path == '/redirect':
            self.send_response(302); self.send_header('Location', '/')
            self.send_header('Content-Length', '0'); self.end_headers(); return
        size = int(self.headers.get('Content-Length') or 0)
        body = json.dumps({'method': self.command, 'path': self.path, 'body': self.rfile.read(size).hex(),
            'headers': sorted(map(list, self.headers.items()))}).encode()
        if self.path == '/big':
            body = b'y' * (9 << 20)
        if self.path == '/wait':
            time.sleep(0.3)
        self.send_response(201); self.send_header('Set-Cookie', 'a=1'); self.send_header('Set-Cookie', 'b=2')
        self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    do_POST = do_DELETE = do_GET
    def log_message(self, *a): pass
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
S(('127.0.0.1', 8000), H).serve_forever()
"""


class HttpContract:
    @pytest.fixture
    def server(self, pod: Pod) -> Iterator[Pod]:
        pod.app.write_file("/tmp/server.py", SERVER.encode())
        service = pod.app.start("server", "python3 /tmp/server.py")
        assert pod.probe.wait_for_port(8000, 20), service.log()
        yield pod
        service.stop()

    def test_a_request_arrives_as_it_was_given(self, server: Pod) -> None:
        request = HttpRequest("POST", "/a?b=%20c", (("X-One", "1"), ("Host", "shop.test")), b"\x00\xffbody")
        answer = server.probe.http(8000, request)
        seen = json.loads(answer.body)
        assert answer.status == 201
        assert (seen["method"], seen["path"], bytes.fromhex(seen["body"])) == (
            "POST",
            "/a?b=%20c",
            b"\x00\xffbody",
        )
        headers = dict(seen["headers"])
        assert headers["Host"] == "shop.test"
        assert headers["X-One"] == "1"
        assert [value for name, value in answer.headers if name == "Set-Cookie"] == ["a=1", "b=2"]

    def test_time_is_measured_inside(self, server: Pod) -> None:
        answer = server.probe.http(8000, HttpRequest("GET", "/wait"))
        assert 0.3 <= answer.seconds < 1.0

    def test_redirects_are_answers(self, server: Pod) -> None:
        assert server.probe.http(8000, HttpRequest("GET", "/redirect")).status == 302

    def test_a_large_body_is_cut(self, server: Pod) -> None:
        answer = server.probe.http(8000, HttpRequest("GET", "/big"))
        assert answer.truncated
        assert len(answer.body) == 8 << 20

    def test_a_server_that_never_ends_is_left(self, server: Pod) -> None:
        began = time.monotonic()
        with pytest.raises(SandboxBroken) as caught:
            server.probe.http(8000, HttpRequest("GET", "/slow"), timeout=1.0)
        assert "no complete answer after 1 s" in caught.value.detail
        assert time.monotonic() - began < 4

    def test_nobody_there_is_said(self, server: Pod) -> None:
        with pytest.raises(SandboxBroken) as caught:
            server.probe.http(8001, HttpRequest("GET", "/"))
        assert "refused" in caught.value.detail

    @pytest.mark.parametrize(
        "request_",
        [
            HttpRequest("GET", "no-slash"),
            HttpRequest("GET", "/a b"),
            HttpRequest("GET", "/a\r\nX: y"),
            HttpRequest("GE T", "/"),
            HttpRequest("GET", "/", (("A", "b\r\nC: d"),)),
        ],
    )
    def test_a_request_that_would_smuggle_is_refused(self, server: Pod, request_: HttpRequest) -> None:
        with pytest.raises(UsageError):
            server.probe.http(8000, request_)


class SqlContract:
    """The probe's database sessions, for one driver. A subclass brings `connection`: a dict of `driver`,
    `port`, `user`, `password`, and `sleep` (an SQL expression that takes 30 s)."""

    @pytest.fixture
    def connection(self) -> dict[str, object]:
        raise NotImplementedError

    def open(self, pod: Pod, connection: dict[str, object]):  # type: ignore[no-untyped-def]
        settings = {key: value for key, value in connection.items() if key != "sleep"}
        return pod.probe.connect(**settings)  # type: ignore[arg-type]

    def test_values_arrive_as_the_server_wrote_them(
        self, database: Pod, connection: dict[str, object]
    ) -> None:
        session = self.open(database, connection)
        rows = session.query(
            "SELECT 1 AS a, NULL AS b, CAST(1.50 AS DECIMAL(10,2)) AS c, "
            "CAST('2024-02-29' AS DATE) AS d, 'ü''x' AS e"
        )
        assert rows.columns == ("a", "b", "c", "d", "e")
        assert rows.rows == ((1, None, "1.50", "2024-02-29", "ü'x"),)
        assert rows.seconds > 0
        assert session.query("SELECT %s AS a, %s AS b", ["100% 'sure'", 7]).dicts() == [
            {"a": "100% 'sure'", "b": 7}
        ]
        assert session.query("SELECT '50%' AS a").scalar == "50%"
        session.close()
        session.close()
        with pytest.raises(DatabaseError):
            session.query("SELECT 1")

    def test_rows_are_capped_quickly(self, database: Pod, connection: dict[str, object]) -> None:
        session = self.open(database, connection)
        session.query("CREATE TEMPORARY TABLE ten (n INT)")
        assert session.query("INSERT INTO ten VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)").affected == 10
        source = (
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) "
            "SELECT a.n FROM s a, s b, s c"
        )
        began = time.monotonic()
        rows = session.query(source, max_rows=100)
        assert time.monotonic() - began < 10
        assert (len(rows.rows), rows.truncated) == (100, True)
        assert session.query("SELECT count(*) FROM ten").scalar == 10, "the session goes on"
        session.close()

    def test_a_slow_statement_is_ended_at_the_server(
        self, database: Pod, connection: dict[str, object]
    ) -> None:
        session, other = self.open(database, connection), self.open(database, connection)
        began = time.monotonic()
        with pytest.raises(DatabaseError, match=r"stopped after 0\.5 s"):
            session.query(f"SELECT {connection['sleep']}", timeout=0.5)
        assert time.monotonic() - began < 2.5
        assert session.query("SELECT 5 AS x").scalar == 5
        session.close()
        other.close()

    def test_two_sessions_work_at_once(self, database: Pod, connection: dict[str, object]) -> None:
        slow, quick = self.open(database, connection), self.open(database, connection)
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                slow.query(f"SELECT {connection['sleep']}", timeout=2)
            except DatabaseError as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        began = time.monotonic()
        for number in range(20):
            assert quick.query("SELECT %s AS n", [number]).scalar == number
        assert time.monotonic() - began < 1.5
        thread.join()
        assert len(errors) == 1

    def test_a_second_statement_is_refused(self, database: Pod, connection: dict[str, object]) -> None:
        session = self.open(database, connection)
        with pytest.raises(DatabaseError):
            session.query("SELECT 1; SELECT 2")
        assert session.query("SELECT 3").scalar == 3
        session.close()

    def test_the_servers_words_and_code_come_back(self, database: Pod, connection: dict[str, object]) -> None:
        session = self.open(database, connection)
        with pytest.raises(DatabaseError, match="no_such_table") as caught:
            session.query("SELECT * FROM no_such_table")
        assert caught.value.code in ("1146", "42P01")
        with pytest.raises(DatabaseError, match="probe"):
            self.open(database, {**connection, "password": "wrong"})
        session.close()
