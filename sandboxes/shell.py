"""The long-lived shell of a box, seen from the host: requests out, framed answers in.

`docker exec` costs about 100 ms a command. One `exec -i bash` that starts a fresh `bash -c` for each
command (shell.bash) costs about 10. An answer is framed by a nonce that the command never sees, on a
channel that it does not inherit, so nothing that a command prints can pass for a status. What decides a
timeout is the host's clock, never an exit code.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from bedev.sandboxes.errors import SandboxBroken, UsageError

OUTPUT_FOLDER = "/bedev/out"  # a tmpfs of its own: filling /tmp does not stop the shell
OUTPUT_LIMIT = 64 << 20  # bytes of one stream; a command that writes more is ended
SHOWN = 512 << 10  # bytes of head, and of tail, that a result carries
MAX_COMMAND = 100_000  # bytes; the kernel takes 128 KiB in one argument
_MAX_ANSWER = 96 << 20  # bytes; a process of the same user could write junk into the shell's own stdout
GRACE = 6.0  # seconds that the inside has to end a command by itself after its timeout

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")


class Channel(Protocol):
    """The stdin and stdout of a program in the box."""

    def send(self, data: bytes | memoryview, timeout: float = 60.0) -> None: ...

    def receive(self, timeout: float) -> bytes:
        """Next bytes, empty at the end. Raises TimeoutError."""
        ...

    def close(self) -> None: ...


class ShellGone(SandboxBroken):
    """The shell ended or stopped answering in the middle of a request: a new one may still be opened."""


@dataclass(frozen=True)
class Answer:
    """How a command ended inside: `status` as bash saw it, what it wrote (each cut at 2 * SHOWN + 1
    bytes), whether it wrote too much, and whether something could not be killed."""

    status: int
    stdout: bytes
    stderr: bytes
    exceeded: bool
    stuck: bool


def shell_command() -> list[str]:
    """What is executed in the container to get a shell."""
    script = (Path(__file__).parent / "shell.bash").read_text(encoding="utf-8")
    return ["bash", "--noprofile", "--norc", "-c", script, "bedev-shell", OUTPUT_FOLDER]


def quote(text: str) -> str:
    """`text` as one bash word on one line."""
    if _PLAIN.match(text):
        return text
    if "\x00" in text:
        raise UsageError("A command, path or variable holds a NUL byte.", next_step="Remove it.")
    if "\n" not in text and "\r" not in text:
        return "'" + text.replace("'", "'\\''") + "'"
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"$'{escaped}'"


def assignments(environment: Mapping[str, str]) -> str:
    """Environment variables as text for bash's `export`. Raises UsageError for what is no name."""
    words = []
    for name, value in environment.items():
        if not _NAME.match(name):
            raise UsageError(
                f"{name!r} is not a name of an environment variable.",
                next_step="Use letters, digits and underscores.",
            )
        words.append(f"{name}={quote(value)}")
    return " ".join(words)


class Shell:
    """One shell, one request at a time (`lock`). After ShellGone it is of no more use."""

    def __init__(self, channel: Channel, where: str) -> None:
        self.lock = threading.RLock()
        self.session = 0
        self.alive = True
        self._channel = channel
        self._where = where
        self._buffer = bytearray()

    def greet(self, timeout: float = 20.0) -> None:
        """Wait until it answers; it then knows its `session`. Raises ShellGone."""
        answer = self.internal(
            'printf %s $$; for tool in "$bash" "$setsid" "$timeout" "$head"; do [[ $tool ]] || exit 9; done',
            timeout=timeout,
            fine=(0, 9),
        )
        if answer[0] == 9:
            raise SandboxBroken(
                "The image lacks bash, setsid, timeout or head.",
                where=self._where,
                next_step="Use an image based on Debian or Ubuntu, or add bash, coreutils and util-linux.",
            )
        self.session = int(answer[1])

    def run(
        self,
        command: str,
        *,
        name: str,
        keep: Iterable[int | str],
        folder: str,
        timeout: float,
        environment: Mapping[str, str],
        stdin: bytes | None,
    ) -> Answer:
        """Run a command; its output also goes to the files `name`.1 and `name`.2 in OUTPUT_FOLDER.

        `keep` are the sessions that are left alone when the command's processes are killed, and as `p123`
        services whose children are left alone in whatever session. Raises
        ShellGone when the shell was killed or did not answer GRACE seconds after `timeout`.
        """
        if len(command.encode("utf-8", "surrogateescape")) > MAX_COMMAND:
            raise UsageError(
                f"A command of more than {MAX_COMMAND} bytes cannot be run.",
                next_step="Write it to a file in the workspace and run that.",
            )
        nonce = secrets.token_hex(16)
        sessions = " ".join(str(session) for session in {self.session, *keep} if session)
        request = " ".join(
            (
                "run",
                nonce,
                f"' {sessions} '",
                quote(folder),
                f"{max(timeout, 0.05):.3f}",
                str(OUTPUT_LIMIT >> 10),
                str(2 * SHOWN + 1),
                str(len(stdin or b"")),
                name,
                quote(assignments(environment)) if environment else "''",
                quote(command),
            )
        )
        with self._exchange():
            deadline = time.monotonic() + timeout + GRACE
            self._send(request, stdin or b"")
            status, exceeded, stuck = self._header(nonce, deadline, 3)
            marker = f"\n{nonce}\n".encode()
            stdout = self._until(marker, deadline)
            stderr = self._until(marker, deadline)
        return Answer(int(status), stdout, stderr, exceeded == "1", stuck == "1")

    def internal(
        self,
        code: str,
        *,
        stdin: bytes | Iterable[bytes] = b"",
        timeout: float = 30.0,
        fine: tuple[int, ...] = (0,),
    ) -> tuple[int, bytes]:
        """Run code of ours in the shell's own session; its status and stdout.

        The code must read exactly the bytes of `stdin`. A status that is not in `fine` raises SandboxBroken.
        """
        nonce = secrets.token_hex(16)
        with self._exchange():
            deadline = time.monotonic() + timeout
            self._send(f"internal {nonce} {quote(code)}", stdin)
            output = self._until(f"\n{nonce} ".encode(), deadline)
            status = int(self._until(b"\n", deadline))
        if status not in fine:
            raise SandboxBroken(f"An operation inside the sandbox failed ({status}).", where=self._where)
        return status, output

    def serve(
        self, command: str, *, name: str, folder: str, environment: Mapping[str, str]
    ) -> tuple[int, str]:
        """Start a service in a session of its own: its process id, which is the session's, and start time."""
        nonce = secrets.token_hex(16)
        variables = quote(assignments(environment)) if environment else "''"
        with self._exchange():
            self._send(f"serve {nonce} {quote(folder)} {name} {variables} {quote(command)}", b"")
            pid, started = self._header(nonce, time.monotonic() + 20, 2)
        return int(pid), started

    def sweep(self, keep: Iterable[int | str]) -> bool:
        """Kill every process of other sessions than `keep` and its own; whether none is left."""
        sessions = " ".join(str(session) for session in {self.session, *keep} if session)
        return self.internal(f"keep=' {sessions} '; sweep", fine=(0, 1))[0] == 0

    def close(self) -> None:
        self.alive = False
        self._channel.close()

    @contextlib.contextmanager
    def _exchange(self) -> Iterator[None]:
        """One request and its answer. When the host leaves in the middle (Ctrl-C), the shell is of no more
        use: what it runs is killed by the next command's end."""
        with self.lock:
            try:
                yield
            except BaseException:
                self.close()
                raise

    def _send(self, request: str, stdin: bytes | Iterable[bytes]) -> None:
        if not self.alive:
            raise ShellGone("The shell of the sandbox has ended.", where=self._where)
        line = request.encode("utf-8", "surrogateescape") + b"\n"
        try:
            if isinstance(stdin, bytes) and len(stdin) < 1 << 16:
                self._channel.send(line + stdin)
                return
            self._channel.send(line)
            for chunk in (memoryview(stdin),) if isinstance(stdin, bytes) else stdin:
                self._channel.send(chunk)
        except SandboxBroken as error:
            self._gone(error.detail)

    def _header(self, nonce: str, deadline: float, count: int) -> list[str]:
        self._until(f"\n{nonce} ".encode(), deadline)
        words = self._until(b"\n", deadline).decode("ascii", "replace").split()
        if len(words) != count:
            self._gone("the answer has a form that the shell never writes")
        return words

    def _until(self, marker: bytes, deadline: float) -> bytes:
        """Everything before `marker`, which is consumed too."""
        start = 0
        while True:
            found = self._buffer.find(marker, start)
            if found >= 0:
                before = bytes(self._buffer[:found])
                del self._buffer[: found + len(marker)]
                return before
            start = max(0, len(self._buffer) - len(marker))
            try:
                chunk = self._channel.receive(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                self._gone("no answer in time")
            if not chunk:
                self._gone("it was killed")
            self._buffer += chunk
            if len(self._buffer) > _MAX_ANSWER:
                self._gone("it wrote more than any answer holds")

    def _gone(self, detail: str) -> NoReturn:
        self.close()
        raise ShellGone("The shell of the sandbox has ended.", where=self._where, detail=detail)
