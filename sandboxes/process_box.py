"""A box of a process sandbox: commands as the user, in the pod's folders, each under its own supervisor."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bedev.sandboxes.errors import SandboxBroken, UsageError
from bedev.sandboxes.full_disk import LEAST_FREE, NO_SPACE, FullDisk
from bedev.sandboxes.process_paths import Places
from bedev.sandboxes.process_supervisor import Process, descendants, kill
from bedev.sandboxes.sandbox import WORKSPACE, CommandResult, Output
from bedev.sandboxes.shell import GRACE, MAX_COMMAND, OUTPUT_LIMIT, SHOWN, assignments

MARKER = "BEDEV_PROCESS_OF"  # in the environment of all that a sandbox starts: by it a sweep finds it
LOG_LIMIT = 4 << 20  # bytes of each of a service's two log files
OUTPUT_SPACE = 3 * OUTPUT_LIMIT
OUTPUT_FILES = 2000
_HANDLE = re.compile(r"[0-9a-f]{16}\.[12]\Z")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}\Z")


class ProcessBox:
    """See `sandbox.Box`. `outputs` is a folder of its own for what commands write, `path` the folders of this
    machine's programs, `limits` and `nice` as setrlimit(2) and nice(2) take them, `marker` this pod's word in
    the environment of its processes."""

    def __init__(
        self,
        name: str,
        places: Places,
        outputs: Path,
        environment: Mapping[str, str],
        path: str,
        limits: Mapping[str, int],
        nice: int,
        marker: str,
    ) -> None:
        self.name = name
        self.places = places
        self._outputs_folder = outputs
        self._path = path
        self._environment = {"PATH": path, **self._real_environment(environment)}
        self._limits = dict(limits)
        self._nice = nice
        self._marker = marker
        self._bash = shutil.which("bash", path=self._environment.get("PATH")) or "/bin/bash"
        self._outputs: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._running: set[Supervised] = set()
        self._lock = threading.Lock()
        self._closed = False

    # -- commands

    def run(
        self,
        command: str,
        *,
        cwd: str = WORKSPACE,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        stdin: bytes | None = None,
    ) -> CommandResult:
        """See `sandbox.Box.run`. Exit code 137 may mean that the command killed its supervisor."""
        identity = secrets.token_hex(8)
        base = self._outputs_folder / identity
        if stdin is not None:
            base.with_suffix(".in").write_bytes(stdin)
        timeout = max(timeout, 0.05)
        began = time.monotonic()
        supervised = self._supervise(
            command,
            cwd,
            env or {},
            seconds=timeout,
            stdin="" if stdin is None else f"{base}.in",
            stdout=f"{base}.1",
            stderr=f"{base}.2",
            limit=OUTPUT_LIMIT,
        )
        try:
            report = supervised.wait(timeout + GRACE)
            seconds = time.monotonic() - began
        finally:
            self._release(supervised)
            if stdin is not None:
                base.with_suffix(".in").unlink(missing_ok=True)
        if report.get("stuck"):
            raise SandboxBroken(
                "A command left processes that could not be killed.",
                where=f"{self.name}: {command[:200]}",
                next_step="See ps -ef: they wait in the kernel (state D), or are another user's.",
            )
        exceeded = bool(report.get("exceeded"))
        # A program may choose any exit code: only the clock says what a timeout is.
        timed_out = not exceeded and seconds >= timeout and bool(report.get("late", True))
        status = int(report.get("status", 137))
        return CommandResult(
            exit_code=None if timed_out or exceeded else status,
            stdout=self._output(f"{identity}.1"),
            stderr=self._output(f"{identity}.2"),
            seconds=seconds,
            timed_out=timed_out,
            output_exceeded=exceeded,
        )

    def _supervise(self, command: str, cwd: str, env: Mapping[str, str], **files: Any) -> Supervised:
        if "\0" in command or "\0" in cwd:
            raise UsageError("A command, path or variable holds a NUL byte.", next_step="Remove it.")
        if len(command.encode("utf-8", "surrogateescape")) > MAX_COMMAND:
            raise UsageError(
                f"A command of more than {MAX_COMMAND} bytes cannot be run.",
                next_step="Write it to a file in the workspace and run that.",
            )
        assignments(env)  # refuses what is no name
        nonce = secrets.token_hex(8)
        environment = {
            **self._environment,
            **self._real_environment(env),
            MARKER: f"{self._marker}/{nonce}",
        }
        order = {
            "command": [self._bash, "-c", self.places.inward(command)],
            "folder": str(self.places.path(cwd) or cwd),
            "environment": environment,
            "stderr": "",
            "limits": self._limits,
            "nice": self._nice,
            "umask": 0o022,
            **files,
        }
        with self._lock:
            if self._closed:
                raise SandboxBroken("The box is closed.", where=self.name, next_step="Open a new pod.")
            supervised = Supervised(order, f"{self._marker}/{nonce}")
            self._running.add(supervised)
        return supervised

    def _real_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """As it is really set. Of a PATH the pod's own folders count, before this machine's programs: the
        rest of it are the folders of an image."""
        real = {name: self.places.value(name, value) for name, value in environment.items()}
        if "PATH" in environment:
            own = [self.places.path(entry) for entry in environment["PATH"].split(":")]
            real["PATH"] = ":".join([*(str(entry) for entry in own if entry is not None), self._path])
        return real

    def _release(self, supervised: Supervised) -> None:
        supervised.end()
        with self._lock:
            self._running.discard(supervised)

    def _output(self, handle: str) -> Output:
        path = self._outputs_folder / handle
        if not path.exists():
            path.touch(0o600)
        self._rename_places(path)
        total = path.stat().st_size
        truncated = total > 2 * SHOWN
        with open(path, "rb") as file:
            shown = file.read(SHOWN if truncated else total)
            if truncated:
                file.seek(total - SHOWN)
                shown += f"\n... {total - 2 * SHOWN} bytes left out ...\n".encode() + file.read()
        with self._lock:
            self._outputs[handle] = total
            space = sum(self._outputs.values())
            while len(self._outputs) > 2 and (space > OUTPUT_SPACE or len(self._outputs) > OUTPUT_FILES):
                oldest, size = self._outputs.popitem(last=False)
                space -= size
                (self._outputs_folder / oldest).unlink(missing_ok=True)
        return Output(shown.decode("utf-8", "replace"), total, truncated, handle)

    def _rename_places(self, path: Path) -> None:
        """Write what a command said under the known names, so that pages of it and the whole agree."""
        content = path.read_bytes()
        renamed = self.places.outward(content)
        if renamed != content:
            path.write_bytes(renamed)

    def read_output(self, handle: str, offset: int = 0, limit: int = 65_536) -> bytes:
        """See `sandbox.Box.read_output`. Raises UsageError for a handle that is unknown or no longer kept."""
        if not _HANDLE.match(handle) or handle not in self._outputs:
            raise UsageError(
                f"There is no output {handle!r} (any longer).",
                where=self.name,
                next_step="Run the command again; the output of the last commands is kept.",
            )
        with open(self._outputs_folder / handle, "rb") as file:
            file.seek(max(0, offset))
            return file.read(max(0, limit))

    # -- files

    def read_file(self, path: str, max_bytes: int = 16 << 20) -> bytes | None:
        """See `sandbox.Box.read_file`."""
        real = self._real(path)
        try:
            # Not waiting for a writer of a pipe; whether it is a regular file is asked of what is open.
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except PermissionError:
            raise SandboxBroken(f"{path} cannot be read by the user of the box.", where=self.name) from None
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise SandboxBroken(
                f"{path} is larger than {max_bytes} bytes.",
                where=self.name,
                next_step="Read a part of it with a command.",
            )
        return self.places.outward(content)

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """See `sandbox.Box.write_file`. A link is followed inside the pod's folders only. Configuration of
        bedev's (what does not lie in the workspace, and environment files) gets the real places and ports;
        the repository's own files are written as they are."""
        real = self._writable(path)
        if real.is_dir():
            raise self._not_written(path, "there is a folder of this name")
        if not path.startswith(f"{WORKSPACE}/") or re.fullmatch(r"\.env.*|.*\.env", real.name):
            content = self._configured(content)
        scratch = real.parent / f".bedev-{secrets.token_hex(8)}"
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(descriptor, mode & 0o777)
            os.replace(scratch, real)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            full = self.full_disk()
            if full is not None:
                raise full.error(f"{path} could not be written") from error
            raise self._not_written(path, error.strerror or "its folder cannot be made or written") from None

    def _configured(self, content: bytes) -> bytes:
        try:
            return self.places.inward(content.decode()).encode()
        except UnicodeDecodeError:
            return content

    def _not_written(self, path: str, reason: str) -> SandboxBroken:
        return SandboxBroken(
            f"{path} could not be written: {reason}.",
            where=self.name,
            next_step=f"Writable places are {WORKSPACE} and /tmp.",
        )

    def _real(self, path: str) -> Path:
        if not path.startswith("/") or "\0" in path:
            raise UsageError(f"{path!r} is not an absolute path.", next_step=f"Begin it with {WORKSPACE}/.")
        return self.places.path(path) or Path(path)

    def _writable(self, path: str, *, follow: bool = True) -> Path:
        """Where `path` is really written, or removed where its last link is not to be followed: in a place of
        this pod, and only there."""
        real = self._real(path)
        if self.places.path(path) is None:
            raise self._not_written(path, "it lies outside the sandbox")
        with contextlib.suppress(OSError, RuntimeError):
            linked = follow and real.is_symlink()
            real = real.resolve() if linked else real.parent.resolve() / real.name
        roots = [folder.resolve() for folder in self.places.folders.values()]
        if not any(real == root or root in real.parents for root in roots):
            raise self._not_written(path, "a link leads out of the sandbox")
        return real

    def remove_file(self, path: str) -> None:
        """See `sandbox.Box.remove_file`. A link is removed, not what it leads to."""
        target = self._writable(path, follow=False)
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise SandboxBroken(f"{path} could not be removed.", where=self.name) from error

    def full_disk(self) -> FullDisk | None:
        """See `sandbox.Box.full_disk`."""
        for real in self.places.folders.values():
            with contextlib.suppress(OSError):
                facts = os.statvfs(real)
                free = facts.f_bavail * facts.f_frsize
                if free < LEAST_FREE or (facts.f_files and not facts.f_ffree):
                    return FullDisk("", str(real), facts.f_blocks * facts.f_frsize)
        for log in sorted(self._outputs_folder.glob("*.log.*")):
            with contextlib.suppress(OSError):
                found = re.findall(rf".*(?:{NO_SPACE}).*", log.read_text("utf-8", "replace"), re.IGNORECASE)
                if found:
                    return FullDisk(self.name, said=found[-1].strip()[:300])
        return None

    # -- services

    def start(
        self, name: str, command: str, *, cwd: str = WORKSPACE, env: Mapping[str, str] | None = None
    ) -> ProcessService:
        """See `sandbox.Box.start`. Its log keeps the last 4 to 8 MiB."""
        if not _SERVICE_NAME.match(name):
            raise UsageError(f"{name!r} is no name for a service.", next_step="Use letters, digits, - and _.")
        log = self._outputs_folder / f"{name}-{secrets.token_hex(4)}.log"
        if self.places.ports is not None:
            command = self.places.ports.of_service(command)
        supervised = self._supervise(
            command, cwd, env or {}, seconds=0, stdin="", stdout=str(log), limit=LOG_LIMIT
        )
        supervised.wait_until_started(20.0)
        return ProcessService(name, self, supervised, log)

    def close(self) -> None:
        """End everything that runs in this box."""
        with self._lock:
            self._closed = True
            running = tuple(self._running)
        for supervised in running:
            supervised.end()


class ProcessService:
    """A service in a box."""

    def __init__(self, name: str, box: ProcessBox, supervised: Supervised, log: Path) -> None:
        self.name = name
        self._box = box
        self._supervised = supervised
        self._log = log

    def alive(self) -> bool:
        return self._supervised.alive()

    def log(self, limit: int = 20_000) -> str:
        content = b""
        for suffix in (".old", ".new"):
            with contextlib.suppress(OSError):
                content += Path(f"{self._log}{suffix}").read_bytes()
        text = self._box.places.outward(content[-4 * limit :]).decode("utf-8", "replace")
        return text[-limit:] if limit > 0 else ""

    def bytes_read(self) -> int | None:
        """Not asked: what runs here is trusted."""
        return None

    def stop(self) -> None:
        """End it and all its children: politely for ten seconds (servers save their data), then by force."""
        self._supervised.stop(25.0)
        self._box._release(self._supervised)


class Supervised:
    """A supervisor and what it says, seen from bedev."""

    def __init__(self, order: Mapping[str, Any], marker: str) -> None:
        self._marker = marker
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._report: dict[str, Any] | None = None
        self._session = 0
        self._nonce = secrets.token_hex(16).encode() + b" "
        self._ended = threading.Event()
        program = Path(__file__).with_name("process_supervisor.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={MARKER: marker},
            cwd="/",
            start_new_session=True,
        )
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read, name="bedev-supervised", daemon=True)
        self._reader.start()
        self._tell(json.dumps({**order, "nonce": self._nonce.decode().strip()}).encode() + b"\n")

    def _tell(self, words: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(words)
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith(self._nonce):
                continue
            said = json.loads(line[len(self._nonce) :])
            if "pid" in said:
                self._session = int(said["pid"])
                self._started.set()
            else:
                self._report = said
        self._process.wait()
        self._ended.set()
        self._started.set()

    def wait_until_started(self, timeout: float) -> None:
        self._started.wait(timeout)

    def alive(self) -> bool:
        return not self._ended.is_set()

    def wait(self, timeout: float) -> dict[str, Any]:
        """How it ended. Where the supervisor was killed or stopped by its command, all is ended here."""
        self.end(patience=3.0 if self._ended.wait(timeout) else 0.1)
        return self._report or {}

    def stop(self, timeout: float) -> None:
        if self.alive():
            self._tell(b"stop\n")
            self._ended.wait(timeout)
        self.end()

    def end(self, patience: float = 3.0) -> None:
        """Everything of it is dead afterwards; idempotent."""
        if not self._ended.is_set():
            # It ends all by itself when its stdin closes; one that was stopped (SIGSTOP) cannot.
            with contextlib.suppress(OSError, ValueError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            if not self._ended.wait(patience):
                self._kill()
        elif self._report is None:
            self._kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()

    def _kill(self) -> None:
        """Without the supervisor's help: its descendants, its session, and who carries its marker."""
        for attempt in range(50):
            found = marked(self._marker)
            if not self._ended.is_set():  # later the kernel may have given its number to another's process
                found += descendants(self._process.pid, {self._session} if self._session else set())
            found = [p for p in found if p.pid not in (self._process.pid, os.getpid())]
            if not found:
                break
            kill(found, stop_first=attempt > 0)
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._ended.wait(3.0)


def marked(marker: str) -> list[Process]:
    """Processes of this user whose environment, as they were started, holds the marker or one below it."""
    from bedev.sandboxes.process_supervisor import processes

    word = f"{MARKER}={marker}".encode()
    found = []
    for process in processes().values():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        if process.state not in "ZX" and any(
            entry == word or entry.startswith(word + b"/") for entry in environment.split(b"\0")
        ):
            found.append(process)
    return found


def end_marked(marker: str) -> int:
    """Kill whatever a dead run left behind; how many processes that were."""
    killed: set[int] = set()
    for attempt in range(50):
        found = [p for p in marked(marker) if p.pid != os.getpid()]
        if not found:
            break
        killed |= {p.pid for p in found}
        kill(found, stop_first=attempt > 0)
        time.sleep(0.02)
    return len(killed)


def limits_of(memory_mb: int, *, processes: int = 512, file_mb: int = 8192) -> dict[str, int]:
    """What one process of a box may have. Data, not address space: Node and the JVM reserve far more of that
    than they use. The kernel counts processes for the whole user, so the user's own come on top."""
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 4096,
        "RLIMIT_DATA": memory_mb << 20,
        "RLIMIT_FSIZE": file_mb << 20,
        "RLIMIT_NPROC": processes + _threads_of_the_user(),
    }


def _threads_of_the_user() -> int:
    total = 0
    for name in _numbers("/proc"):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == os.getuid():
                total += len(os.listdir(f"/proc/{name}/task"))
    return total


def _numbers(folder: str) -> Iterable[str]:
    try:
        return [name for name in os.listdir(folder) if name.isdigit()]
    except OSError:
        return []
