"""The host's side of the probe: requests by id, answers in any order, safe for several threads."""

from __future__ import annotations

import base64
import itertools
import json
import queue
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from bedev.sandboxes.errors import BedevError, DatabaseError, SandboxBroken, UsageError
from bedev.sandboxes.sandbox import HttpRequest, HttpResponse, ImageSpec, Rows
from bedev.sandboxes.shell import Channel

PROGRAM = "/bedev/probe/probe.py"
BASE = "debian:trixie-slim"
PATIENCE = 15.0  # seconds after its own timeout in which the probe must have answered

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")


def probe_image() -> ImageSpec:
    """What the probe's image is made of."""
    folder = Path(__file__).parent
    return ImageSpec(
        base=BASE,
        # cryptography: MySQL's passwords go by RSA where there is no TLS.
        packages=("python3", "python3-cryptography", "python3-psycopg", "python3-pymysql"),
        files={
            str(Path(PROGRAM).with_name(name)): (folder / name).read_bytes()
            for name in (Path(PROGRAM).name, "sqlite_session.py")
        },
    )


def probe_command() -> list[str]:
    return ["python3", "-I", "-u", PROGRAM]


class ProbeClient:
    """Implements `sandbox.Probe` over a channel to the probe's program."""

    def __init__(self, channel: Channel, where: str) -> None:
        self._channel = channel
        self._where = where
        self._ids = itertools.count(1)
        self._sending = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._gone = ""
        self.explain: Callable[[BedevError], BedevError | None] = lambda error: None
        """Gives a failure its true reason, where there is another one than the words that came back."""
        self._reader = threading.Thread(target=self._read, name="bedev-probe", daemon=True)
        self._reader.start()

    def greet(self) -> None:
        """Wait until it answers. Raises SandboxBroken."""
        self.ask("hello", 30.0)

    def ask(self, operation: str, timeout: float, /, **fields: Any) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises DatabaseError, SandboxBroken, and what
        `explain` makes of them."""
        number = next(self._ids)
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        line = json.dumps({"id": number, "op": operation, "timeout": timeout, **fields}).encode() + b"\n"
        with self._sending:
            self._waiting[number] = answers
            if self._gone:
                raise self._broken(self._gone)
            self._channel.send(line)
        try:
            answer = answers.get(timeout=timeout + PATIENCE)
        except queue.Empty:
            late = self._broken(f"no answer to `{operation}` in {timeout + PATIENCE:.0f} s")
            raise self.explain(late) or late from None
        finally:
            self._waiting.pop(number, None)
        if "error" not in answer:
            return answer
        error: BedevError = self._broken(answer["error"])
        if answer["kind"] == "database":
            error = DatabaseError(answer["error"], code=answer["code"], where="the pod's database server")
        raise self.explain(error) or error

    def _broken(self, detail: str) -> SandboxBroken:
        return SandboxBroken("The probe got no answer.", where=self._where, detail=detail)

    def _read(self) -> None:
        buffer = bytearray()
        reason = "the probe has ended"
        while True:
            try:
                chunk = self._channel.receive(3600.0)
            except TimeoutError:
                continue
            if not chunk:
                break
            searched = len(buffer)
            buffer += chunk
            try:
                while (end := buffer.find(b"\n", searched)) >= 0:
                    answer = json.loads(buffer[:end])
                    del buffer[: end + 1]
                    searched = 0
                    waiting = self._waiting.get(answer["id"])
                    if waiting is not None:
                        waiting.put(answer)
            except (ValueError, KeyError) as error:
                reason = f"the probe wrote what is no answer: {error}"
                break
        with self._sending:
            self._gone = reason
            for waiting in list(self._waiting.values()):
                waiting.put({"error": reason, "kind": "network"})

    def connect(
        self,
        driver: Literal["mysql", "postgres", "sqlite"],
        *,
        user: str,
        port: int = 0,
        password: str = "",
        database: str = "",
    ) -> ProbeSession:
        """See `sandbox.Probe.connect`. Raises DatabaseError with the server's words when it refuses."""
        session = next(self._ids)
        self.ask(
            "connect",
            30.0,
            session=session,
            driver=driver,
            port=port,
            user=user,
            password=password,
            database=database,
        )
        return ProbeSession(self, session)

    def http(self, port: int, request: HttpRequest, *, timeout: float = 60.0) -> HttpResponse:
        """See `sandbox.Probe.http`. Redirects are not followed; at most 8 MiB of the body are kept."""
        _validate(request)
        answer = self.ask(
            "http",
            timeout,
            port=port,
            method=request.method,
            path=request.path,
            headers=[list(pair) for pair in request.headers],
            body=base64.b64encode(request.body).decode(),
        )
        return HttpResponse(
            status=int(answer["status"]),
            headers=tuple((str(name), str(value)) for name, value in answer["headers"]),
            body=base64.b64decode(answer["body"]),
            seconds=float(answer["seconds"]),
            truncated=bool(answer["truncated"]),
        )

    def wait_for_port(self, port: int, timeout: float) -> bool:
        return bool(self.ask("wait", timeout, port=port)["open"])

    def close(self) -> None:
        self._channel.close()


class ProbeSession:
    """Implements `sandbox.SqlSession`; statements of one session run one after the other."""

    def __init__(self, probe: ProbeClient, number: int) -> None:
        self._probe = probe
        self._number = number
        self._closed = False

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        """See `sandbox.SqlSession.query`. A result of more than 32 MiB is truncated too."""
        answer = self._probe.ask(
            "query",
            timeout,
            session=self._number,
            sql=sql,
            params=[_parameter(value) for value in params],
            max_rows=max_rows,
        )
        return Rows(
            columns=tuple(answer["columns"]),
            rows=tuple(tuple(row) for row in answer["rows"]),
            affected=int(answer["affected"]),
            truncated=bool(answer["truncated"]),
            seconds=float(answer["seconds"]),
        )

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._probe.ask("close", 10.0, session=self._number)


def _parameter(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict) and set(value) == {"base64"}:
        return value
    raise UsageError(
        f"A value of type {type(value).__name__} cannot be a parameter of a statement.",
        next_step="Use None, bool, int, float, str or bytes.",
    )


def _validate(request: HttpRequest) -> None:
    if not _TOKEN.match(request.method):
        raise UsageError(f"{request.method!r} is no HTTP method.", next_step="For instance GET.")
    if not request.path.startswith("/") or not re.match(r"[!-~]+\Z", request.path):
        raise UsageError(
            f"{request.path!r} is no path of a request.",
            next_step="Begin it with a slash, and write what is not plain ASCII as %XX.",
        )
    for name, value in request.headers:
        if not _TOKEN.match(name) or any(character in value for character in "\r\n\x00"):
            raise UsageError(
                f"{name!r} cannot be a header.", next_step="Write it as Name: value, on one line."
            )
