"""Runs one command of a process sandbox and leaves no process of it behind.

A program of its own (`python -I -S process_supervisor.py`): it is the command's parent, and on Linux a child
subreaper (prctl(2)), so that whatever the command starts stays among its descendants, however it detaches
itself. It reads one JSON line from stdin (see `Order`), writes `{"pid": ...}` and, at the end, how the
command ended; each line begins with the order's nonce, because the command may write to /proc/PPID/fd/1. When
its stdin closes, bedev is gone, and it ends everything at once. It imports nothing of bedev.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import sys
import time
from collections import namedtuple

# Each command pays for what is imported here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypedDict
else:
    TypedDict = dict

_PR_SET_CHILD_SUBREAPER = 36
_POLITE_SECONDS = 2.0  # a command past its time may tidy up for so long
_SERVICE_SECONDS = 10.0  # and a service that is stopped (servers save their data)
_PASSES = 150


class Order(TypedDict):
    """What is to be run. `seconds` 0: a service, without deadline. `stdout` and `stderr` are files; a service
    has one log for both, `stdout`, kept as `.new` and `.old` of at most `limit` bytes each. `limits` are by
    the names of setrlimit(2)."""

    nonce: str
    command: list[str]
    folder: str
    environment: dict[str, str]
    stdin: str
    stdout: str
    stderr: str
    limit: int
    seconds: float
    limits: dict[str, int]
    nice: int
    umask: int


Process = namedtuple("Process", "pid parent session state")


def processes() -> dict[int, Process]:
    """Every process of this machine that may be seen."""
    found: dict[int, Process] = {}
    if not os.path.exists("/proc/self/stat"):
        return _listed()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            found[int(name)] = Process(int(name), int(fields[1]), int(fields[3]), fields[0])
        except (OSError, IndexError, ValueError):
            continue
    return found


def _listed() -> dict[int, Process]:
    """The same by ps(1), where there is no /proc (macOS); the process group stands in for the session."""
    import subprocess

    listing = subprocess.run(
        ["/bin/ps", "-axo", "pid=,ppid=,pgid=,state="], capture_output=True, text=True, check=False
    )
    rows = (line.split() for line in listing.stdout.splitlines())
    return {int(r[0]): Process(int(r[0]), int(r[1]), int(r[2]), r[3][0]) for r in rows if len(r) >= 4}


def descendants(root: int, sessions: Iterable[int] = ()) -> list[Process]:
    """What lives below `root`, and in `sessions` (without `root` itself)."""
    table = processes()
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    wanted = set(sessions)
    found = {p.pid: p for p in table.values() if p.session in wanted}
    waiting = [root, *found]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child.pid)
    found.pop(root, None)
    return [p for p in found.values() if p.state not in "ZX"]


def kill(found: Iterable[Process], *, stop_first: bool) -> None:
    """End them. Stopped first, a fork bomb cannot outrun the one who ends it."""
    targets = [p.pid for p in found]
    for number in (signal.SIGSTOP, signal.SIGKILL) if stop_first else (signal.SIGKILL,):
        for pid in targets:
            with contextlib.suppress(OSError):
                os.kill(pid, number)


class Supervisor:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.status: int | None = None
        self.exceeded = False
        self.service = order["seconds"] <= 0
        self.wakeup, self._wake = os.pipe()
        for end in (self.wakeup, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.streams: dict[int, Sink] = {}
        self.pid = self._start()

    def _start(self) -> int:
        order = self.order
        source = os.open(order["stdin"] or os.devnull, os.O_RDONLY)
        ends = [os.pipe()] if self.service else [os.pipe(), os.pipe()]
        pid = os.fork()
        if pid == 0:
            try:
                self._become(source, ends[0][1], ends[-1][1])
            finally:
                os._exit(127)
        os.close(source)
        names = (order["stdout"],) if self.service else (order["stdout"], order["stderr"])
        for (reading, writing), name in zip(ends, names, strict=True):
            os.close(writing)
            os.set_blocking(reading, False)
            self.streams[reading] = Sink(name, order["limit"], rotate=self.service)
        return pid

    def _become(self, stdin: int, stdout: int, stderr: int) -> None:
        order = self.order
        os.setsid()
        for target, source in ((0, stdin), (1, stdout), (2, stderr)):
            os.dup2(source, target)
        os.closerange(3, 256)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for name, value in order["limits"].items():
            kind: int | None = getattr(resource, name, None)
            if kind is None:
                continue
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(kind, (value, value))
        os.umask(order["umask"])
        with contextlib.suppress(OSError):
            os.nice(order["nice"])
        try:
            os.chdir(order["folder"])
        except OSError as error:
            os.write(2, f"cd: {order['folder']}: {error.strerror}\n".encode())
            os._exit(1)
        os.execve(order["command"][0], order["command"], order["environment"])

    # -- the life of the command

    def supervise(self) -> None:
        """Until the command has ended, or has to."""
        deadline = time.monotonic() + self.order["seconds"] if not self.service else None
        polite: float | None = None
        while self.status is None:
            limits = [at for at in (deadline, polite) if at is not None]
            wait = max(0.0, min(limits) - time.monotonic()) if limits else None
            stop = self._pump(wait)
            now = time.monotonic()
            if stop == "gone" or self.exceeded or (polite is not None and now >= polite):
                break
            late = deadline is not None and now >= deadline
            if polite is None and (late or stop == "stop"):
                self._signal_all()
                polite = now + (_SERVICE_SECONDS if self.service else _POLITE_SECONDS)
                deadline = None
        if polite is not None and self.service:
            self._wait_for_children(polite)
        stuck = not self._sweep()
        self._drain()
        report = {"status": 137 if self.status is None else self.status, "exceeded": self.exceeded}
        self.say({**report, "stuck": stuck, "late": polite is not None and not self.service})

    def _signal_all(self) -> None:
        for process in descendants(os.getpid(), {self.pid}):
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGTERM)

    def _wait_for_children(self, until: float) -> None:
        """A service's main process has ended; what it started may still be saving its data."""
        while time.monotonic() < until and descendants(os.getpid(), {self.pid}):
            self._pump(0.02)

    def _pump(self, wait: float | None) -> str:
        """Copy output, reap, listen: "stop" or "gone" where bedev says so or no longer lives."""
        said = ""
        with selectors.DefaultSelector() as selector:
            for stream in (0, self.wakeup, *self.streams):
                selector.register(stream, selectors.EVENT_READ)
            ready = [key.fd for key, _ in selector.select(wait)]
        for stream in ready:
            if stream == 0:
                said = "stop" if os.read(0, 4096) else "gone"
            elif stream == self.wakeup:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.wakeup, 4096)
            else:
                self._copy(stream)
        self._reap()
        return said

    def _copy(self, stream: int) -> bool:
        """Whether something was there."""
        try:
            chunk = os.read(stream, 1 << 18)
        except BlockingIOError:
            return False
        if not chunk:
            os.close(stream)
            self.streams.pop(stream).close()
            return False
        if not self.streams[stream].write(chunk):
            self.exceeded = True
        return True

    def _reap(self) -> bool:
        """Whether there is no child any longer. While anything of the command lives there is one: it itself,
        or its ancestor, or it was reparented to this process. No reading of /proc is as sure."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code

    def _sweep(self) -> bool:
        """End what is left; whether nothing is."""
        for number in range(_PASSES):
            found = descendants(os.getpid(), {self.pid})
            kill(found, stop_first=number > 0)
            if self._reap() and not found:
                return True
            if number > 1:
                time.sleep(0.02)
        return False

    def _drain(self) -> None:
        for stream in list(self.streams):
            while not self.exceeded and self._copy(stream):
                pass
        for sink in self.streams.values():
            sink.close()

    def say(self, words: Mapping[str, object]) -> None:
        with contextlib.suppress(OSError):
            os.write(1, f"\n{self.order['nonce']} {json.dumps(words)}\n".encode())


class Sink:
    """A file of at most `limit` bytes; with `rotate` the last two of them, `.old` and `.new`."""

    def __init__(self, path: str, limit: int, *, rotate: bool) -> None:
        self.path, self.limit, self.rotate = path, limit, rotate
        self._open()

    def _open(self) -> None:
        name = f"{self.path}.new" if self.rotate else self.path
        self.file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.size = 0

    def write(self, chunk: bytes) -> bool:
        """False where it does not all fit: past the limit, or on a full disk."""
        rest = memoryview(chunk)
        try:
            while rest:
                written = os.write(self.file, rest[: self.limit - self.size])
                self.size += written
                rest = rest[written:]
                if self.size >= self.limit:
                    if not self.rotate:
                        return False
                    os.close(self.file)
                    os.replace(f"{self.path}.new", f"{self.path}.old")
                    self._open()
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self.file)


def main() -> None:
    order: Order = json.loads(_line(0))
    supervisor = Supervisor(order)
    supervisor.say({"pid": supervisor.pid})
    supervisor.supervise()


def _line(stream: int) -> bytes:
    """One line, and not a byte more: what follows is for the selector."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(stream, 1 << 16)
        if not chunk:
            sys.exit(1)
        line += chunk
    return bytes(line)


if __name__ == "__main__":
    main()
