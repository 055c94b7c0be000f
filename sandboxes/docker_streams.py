"""A command inside a container, spoken to over the engine's raw socket.

The engine multiplexes stdout and stderr in frames (Docker Engine API, "Attach to a container", stream
format); they are taken apart here as they arrive, so nothing is ever buffered whole.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bedev.sandboxes.docker_engine import engine, explanation, is_engine_error
from bedev.sandboxes.errors import SandboxBroken

_HEADER = struct.Struct(">BxxxL")
_STDOUT = 1


class ExecStream:
    """One `exec` with stdin and stdout; stderr is dropped.

    The program must write nothing before it has been sent something: bytes that arrive together with
    the HTTP answer would be lost in the HTTP client's buffer.
    """

    def __init__(self, sock: Any, where: str) -> None:
        self._held = sock  # the response closes its socket when it is collected
        self._socket: Any = getattr(sock, "_sock", sock)
        self._where = where
        self._frame_left = 0
        self._frame_kind = 0
        self._header = b""
        self._closed = False

    def send(self, data: bytes | memoryview, timeout: float = 60.0) -> None:
        """Send all of `data` to stdin. Raises SandboxBroken when the other end is gone or does not read."""
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(data)
        except OSError as error:
            raise SandboxBroken(
                "A process inside the sandbox no longer reads.", where=self._where, detail=str(error)
            ) from error

    def receive(self, timeout: float) -> bytes:
        """The next bytes of stdout, empty at the end. Raises TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            if not self._frame_left:
                if not self._read_header(deadline):
                    return b""
                continue
            chunk = self._receive_some(min(self._frame_left, 1 << 18), deadline)
            if not chunk:
                return b""
            self._frame_left -= len(chunk)
            if self._frame_kind == _STDOUT:
                return chunk

    def _read_header(self, deadline: float) -> bool:
        while len(self._header) < _HEADER.size:
            chunk = self._receive_some(_HEADER.size - len(self._header), deadline)
            if not chunk:
                return False
            self._header += chunk
        self._frame_kind, self._frame_left = _HEADER.unpack(self._header)
        self._header = b""
        return True

    def _receive_some(self, size: int, deadline: float) -> bytes:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        try:
            self._socket.settimeout(remaining)
            received: bytes = self._socket.recv(size)
            return received
        except TimeoutError:
            raise
        except OSError:
            return b""

    def close(self) -> None:
        """Hang up: the program sees the end of its stdin."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, AttributeError):
            self._held.close()
        with contextlib.suppress(OSError, AttributeError):
            self._socket.close()


def open_exec(
    container: str, command: Sequence[str], *, uid: int, environment: Mapping[str, str], where: str
) -> ExecStream:
    """Start `command` in a running container. Raises SandboxBroken when the container is gone."""
    client = engine()
    try:
        created = client.exec_create(
            container,
            list(command),
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            user=f"{uid}:{uid}",
            environment=dict(environment),
        )
        return ExecStream(client.exec_start(created["Id"], socket=True), where)
    except Exception as error:
        if not is_engine_error(error):
            raise
        raise SandboxBroken(
            "A command could not be started inside the sandbox.", where=where, detail=explanation(error)
        ) from error
