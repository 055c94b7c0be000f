"""The probe of a process sandbox: the same program, as a child of bedev's under bedev's own Python."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any

from bedev.sandboxes.errors import EnvironmentUnusable, SandboxBroken
from bedev.sandboxes.probe.client import ProbeClient, ProbeSession
from bedev.sandboxes.process_box import MARKER
from bedev.sandboxes.process_paths import Places
from bedev.sandboxes.sandbox import HttpRequest, HttpResponse

DRIVERS = {"mysql": "pymysql", "postgres": "psycopg"}
"""The Python package that the probe speaks to a kind of server with; others need none."""


@functools.cache
def _check_sqlite() -> None:
    """Raises EnvironmentUnusable where this Python's SQLite cannot count the steps of a statement."""
    import sqlite3

    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_stmt").fetchone()
    except sqlite3.Error as error:
        raise EnvironmentUnusable(
            f"SQLite {sqlite3.sqlite_version} of bedev's own Python does not count what a statement does.",
            where=f"--sandbox process, {sys.executable}",
            next_step="Run bedev under a Python whose SQLite has SQLITE_ENABLE_STMTVTAB (Debian's has), "
            "or in a container: --sandbox docker",
            detail=str(error),
        ) from None
    finally:
        connection.close()


class Pipes:
    """Implements `shell.Channel` over a child's stdin and stdout."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018
        self._stdin, self._stdout = process.stdin, process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)

    def send(self, data: bytes | memoryview, timeout: float = 60.0) -> None:
        del timeout  # the probe reads at once
        try:
            self._stdin.write(data)
            self._stdin.flush()
        except (OSError, ValueError) as error:
            raise SandboxBroken("The probe has ended.", where="probe", detail=str(error)) from error

    def receive(self, timeout: float) -> bytes:
        """See `shell.Channel.receive`."""
        if not self._selector.select(timeout):
            raise TimeoutError
        return self._stdout.read1(1 << 18)  # type: ignore[attr-defined,no-any-return]

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


def start_probe(places: Places, folder: Path, marker: str) -> ProcessProbe:
    """A probe for one pod. Raises SandboxBroken where it does not answer."""
    program = Path(__file__).parent / "probe" / "probe.py"
    process = subprocess.Popen(
        [sys.executable, "-I", "-u", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"LANG": "C.UTF-8", "HOME": str(folder), MARKER: f"{marker}/probe"},
        cwd=folder,
        start_new_session=True,
    )
    probe = ProcessProbe(Pipes(process), places)
    try:
        probe.greet()
    except BaseException:
        probe.close()
        raise
    return probe


class ProcessProbe(ProbeClient):
    """See `sandbox.Probe`; places and ports are the pod's."""

    def __init__(self, channel: Pipes, places: Places) -> None:
        self._places = places
        super().__init__(channel, "probe (a process of this machine)")

    def _port(self, port: int) -> int:
        return self._places.ports.of(port) if self._places.ports is not None else port

    def connect(self, driver: Any, **fields: Any) -> ProbeSession:
        """See `sandbox.Probe.connect`. Raises EnvironmentUnusable where the driver's package is missing."""
        package = DRIVERS.get(driver, "")
        if package and importlib.util.find_spec(package) is None:
            raise EnvironmentUnusable(
                f"Without a container bedev needs the Python package {package} to measure this database.",
                where=f"--sandbox process, {sys.executable}",
                next_step=f"{sys.executable} -m pip install '{package}[binary]'"
                if driver == "postgres"
                else f"{sys.executable} -m pip install {package}",
            )
        if driver == "sqlite":
            _check_sqlite()
        if "port" in fields:
            fields["port"] = self._port(fields["port"])
        for name, value in fields.items():
            if isinstance(value, str) and value.startswith("/"):
                fields[name] = self._places.inward(value)
        return super().connect(driver, **fields)

    def http(self, port: int, request: HttpRequest, *, timeout: float = 60.0) -> HttpResponse:
        """See `sandbox.Probe.http`. The application sees the port that the recipe knows, in `Host`."""
        headers = request.headers
        if not any(name.lower() == "host" for name, _ in headers):
            headers = (("Host", f"127.0.0.1:{port}"), *headers)
        asked = HttpRequest(request.method, request.path, headers, request.body)
        answer = super().http(self._port(port), asked, timeout=timeout)
        return HttpResponse(
            answer.status,
            tuple((name, self._places.outward_text(value)) for name, value in answer.headers),
            self._places.outward(answer.body),
            answer.seconds,
            answer.truncated,
        )

    def wait_for_port(self, port: int, timeout: float) -> bool:
        return super().wait_for_port(self._port(port), timeout)
