"""A box: a container with its shells, the commands, files and services in it."""

from __future__ import annotations

import collections
import contextlib
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

from bedev.sandboxes.docker_containers import Container
from bedev.sandboxes.docker_engine import is_engine_error
from bedev.sandboxes.docker_streams import open_exec
from bedev.sandboxes.errors import SandboxBroken, UsageError
from bedev.sandboxes.full_disk import LEAST_FREE, NO_SPACE, FullDisk
from bedev.sandboxes.sandbox import WORKSPACE, CommandResult, Output
from bedev.sandboxes.shell import (
    OUTPUT_FOLDER,
    OUTPUT_LIMIT,
    SHOWN,
    Answer,
    Shell,
    ShellGone,
    quote,
    shell_command,
)

OUTPUT_SPACE = 3 * OUTPUT_LIMIT  # bytes of output files that are kept; the tmpfs holds one command more
OUTPUT_FILES = 2000
_HANDLE = re.compile(r"[0-9a-f]{16}\.[12]\Z")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}\Z")


class DockerBox:
    """One container, in which commands run as `uid` with `environment`.

    Two shells: one for commands, and one that reads files and looks after services while a command runs.
    """

    def __init__(self, name: str, container: Container, uid: int, environment: Mapping[str, str]) -> None:
        self.name = name
        self.container = container
        self._uid = uid
        self._environment = dict(environment)
        self._opening = threading.RLock()
        self._shells: dict[str, Shell] = {}
        self._services: dict[int, DockerService] = {}
        self._outputs: collections.OrderedDict[str, int] = collections.OrderedDict()

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
        """See `sandbox.Box.run`. A result with exit code 137 and little output may mean that the command
        killed its own shell; what it had written by then is in the result."""
        identity = secrets.token_hex(8)
        shell = self._shell("commands")
        with shell.lock:
            if not shell.alive:
                shell = self._shell("commands")
            self._make_room(shell)
            for attempt in (1, 2):
                began = time.monotonic()
                try:
                    answer = shell.run(
                        command,
                        name=identity,
                        keep=self._kept_sessions(),
                        folder=cwd,
                        timeout=timeout,
                        environment=env or {},
                        stdin=stdin,
                    )
                    seconds = time.monotonic() - began
                    break
                except ShellGone:
                    seconds = time.monotonic() - began
                    shell = self._shell("commands")
                    salvaged = self._salvage(shell, identity)
                    if salvaged is not None:
                        answer = salvaged
                        break
                    # A service had killed the shell before this command began.
                    if attempt == 2:
                        raise
            if answer.stuck and not self._shell("commands").sweep(self._kept_sessions()):
                self.container.remove()
                raise SandboxBroken(
                    "A command left processes that could not be killed, so the whole box was ended.",
                    where=self.container.name,
                )
            # Only the host's clock says what a timeout is: a program may choose any exit code.
            timed_out = seconds >= timeout and answer.status in (124, 137, 143)
            stdout = self._output(shell, f"{identity}.1", answer.stdout)
            stderr = self._output(shell, f"{identity}.2", answer.stderr)
        return CommandResult(
            exit_code=None if timed_out or answer.exceeded else answer.status,
            stdout=stdout,
            stderr=stderr,
            seconds=seconds,
            timed_out=timed_out,
            output_exceeded=answer.exceeded,
        )

    def _salvage(self, shell: Shell, identity: str) -> Answer | None:
        """The command killed or stopped its shell: kill what is left, take the output; `shell` is a new one.

        None where the command never began."""
        swept = shell.sweep(self._kept_sessions())
        first, second = (f"{OUTPUT_FOLDER}/{identity}.{number}" for number in (1, 2))
        if shell.internal(f"[[ -e {first} ]]", fine=(0, 1))[0] == 1:
            return None
        streams = [
            shell.internal(f'[[ ! -f {path} ]] || "$head" -c {2 * SHOWN + 1} -- {path}', fine=(0, 1))[1]
            for path in (first, second)
        ]
        return Answer(137, streams[0], streams[1], exceeded=False, stuck=not swept)

    def _output(self, shell: Shell, handle: str, received: bytes) -> Output:
        total, shown = len(received), received
        truncated = total > 2 * SHOWN
        if truncated:
            path = f"{OUTPUT_FOLDER}/{handle}"
            answer = shell.internal(f"stat -c %s -- {path} && tail -c {SHOWN} -- {path}", fine=(0, 1))[1]
            size, _, tail = answer.partition(b"\n")
            total = int(size) if size.isdigit() else total
            left_out = total - SHOWN - len(tail)
            shown = received[:SHOWN] + f"\n... {left_out} bytes left out ...\n".encode() + tail
        self._outputs[handle] = total
        return Output(shown.decode("utf-8", "replace"), min(total, OUTPUT_LIMIT), truncated, handle)

    def _make_room(self, shell: Shell) -> None:
        """Drop the oldest output files, so that the tmpfs always holds one command more."""
        space = sum(self._outputs.values())
        if space <= OUTPUT_SPACE and len(self._outputs) <= OUTPUT_FILES:
            return
        dropped = []
        # Down to half, because each removal costs a fork.
        while self._outputs and (space > OUTPUT_SPACE // 2 or len(self._outputs) > OUTPUT_FILES // 2):
            handle, size = self._outputs.popitem(last=False)
            space -= size
            dropped.append(f"{OUTPUT_FOLDER}/{handle}")
        shell.internal(f"rm -f -- {' '.join(dropped)}", fine=(0, 1))

    def read_output(self, handle: str, offset: int = 0, limit: int = 65_536) -> bytes:
        """See `sandbox.Box.read_output`. Raises UsageError for a handle that is unknown or no longer kept."""
        if not _HANDLE.match(handle) or handle not in self._outputs:
            raise UsageError(
                f"There is no output {handle!r} (any longer).",
                where=self.container.name,
                next_step="Run the command again; the output of the last commands is kept.",
            )
        path = f"{OUTPUT_FOLDER}/{handle}"
        code = f'tail -c +{max(0, offset) + 1} -- {path} | "$head" -c {max(0, limit)}'
        return self.internal(code, fine=(0, 1))[1]

    # -- files

    def read_file(self, path: str, max_bytes: int = 16 << 20) -> bytes | None:
        word = quote(_absolute(path))
        code = f'[[ -f {word} ]] || exit 9; [[ -r {word} ]] || exit 8; "$head" -c {max_bytes + 1} -- {word}'
        status, content = self.internal(code, timeout=120, fine=(0, 8, 9))
        if status == 9:
            return None
        if status == 8:
            raise SandboxBroken(f"{path} cannot be read by the user of the box.", where=self.container.name)
        if len(content) > max_bytes:
            raise SandboxBroken(
                f"{path} is larger than {max_bytes} bytes.",
                where=self.container.name,
                next_step="Read a part of it with a command.",
            )
        return content

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        target = quote(_absolute(path))
        scratch = f".bedev-{secrets.token_hex(8)}"
        # Written beside its place and moved there: nobody sees half a file, and a pipe or socket that a
        # command left at this path is replaced, not opened. A link is followed, inside the box only.
        code = (
            f"to={target} size={len(content)}; "
            'drain() { ((size)) && "$head" -c "$size" >/dev/null; exit $1; }; '
            '[[ -L $to ]] && to=$(readlink -f -- "$to"); folder=${to%/*}; folder=${folder:-/}; '
            '[[ -d $to ]] && drain 7; [[ -d $folder ]] || mkdir -p -- "$folder" || drain 6; '
            f'new=$folder/{scratch}; : >"$new" || drain 6; '
            + (f'{into("$new", len(content))} || {{ rm -f -- "$new"; exit 5; }}; ' if content else "")
            + (f'chmod {mode & 0o777:o} -- "$new"; ' if mode & 0o777 != 0o644 else "")
            + 'mv -fT -- "$new" "$to"'
        )
        status, _ = self.internal(code, stdin=content, timeout=120, fine=tuple(range(256)))
        if status:
            full = self.full_disk()
            if full is not None and status in (5, 6):
                raise full.error(f"{path} could not be written")
            reason = {
                7: "there is a folder of this name",
                6: "its folder cannot be made or written",
                5: "it is larger than a file may be",
            }
            raise SandboxBroken(
                f"{path} could not be written: {reason.get(status, f'status {status}')}.",
                where=self.container.name,
                next_step=f"Writable places are {WORKSPACE} and /tmp.",
            )

    def full_disk(self) -> FullDisk | None:
        """See `sandbox.Box.full_disk`."""
        spec = self.container.spec
        places = [*(mount.target for mount in spec.mounts if not mount.read_only), *spec.tmpfs]
        code = (
            f'for place in {" ".join(places)}; do stat -f -c "%a %b %S %d %c $place" -- "$place"; done; '
            f"grep -a -h -i -E '{NO_SPACE}' -- {OUTPUT_FOLDER}/*.log.* | tail -n 1"
        )
        try:
            lines = self.internal(code)[1].decode("utf-8", "replace").splitlines()
        except SandboxBroken:
            return None
        for line in lines[: len(places)]:
            free, blocks, block, free_files, files, place = line.split(" ", 5)
            if int(free) * int(block) < LEAST_FREE or (int(files) and not int(free_files)):
                return FullDisk(self.name, place, int(blocks) * int(block), memory=place in spec.tmpfs)
        return FullDisk(self.name, said=lines[len(places)].strip()[:300]) if lines[len(places) :] else None

    def remove_file(self, path: str) -> None:
        word = quote(_absolute(path))
        status, _ = self.internal(
            f"[[ -e {word} || -L {word} ]] || exit 0; "
            f"[[ -d {word} && ! -L {word} ]] && exit 7; rm -f -- {word}",
            fine=(0, 1, 7),
        )
        if status:
            raise SandboxBroken(f"{path} could not be removed.", where=self.container.name)

    # -- services

    def start(
        self, name: str, command: str, *, cwd: str = WORKSPACE, env: Mapping[str, str] | None = None
    ) -> DockerService:
        """See `sandbox.Box.start`. Its log keeps the last 4 to 8 MiB."""
        if not _SERVICE_NAME.match(name):
            raise UsageError(f"{name!r} is no name for a service.", next_step="Use letters, digits, - and _.")
        file = f"{name}-{secrets.token_hex(4)}"
        # While a command runs, its end would kill a service that it does not know of yet.
        shell = self._shell("commands")
        with shell.lock:
            if not shell.alive:
                shell = self._shell("commands")
            pid, started = shell.serve(command, name=file, folder=cwd, environment=env or {})
            service = DockerService(name, self, pid, started, file)
            if started != "gone":
                self._services[pid] = service
        return service

    def _kept_sessions(self) -> list[int | str]:
        shells = [shell.session for shell in self._shells.values() if shell.alive]
        return [*shells, *self._services, *(f"p{service}" for service in self._services)]

    # -- shells

    def internal(
        self, code: str, *, stdin: bytes = b"", timeout: float = 30.0, fine: tuple[int, ...] = (0,)
    ) -> tuple[int, bytes]:
        """Run code of ours beside the commands; its status and stdout. Raises SandboxBroken.

        It may run twice: a process in the box can kill the shell that runs it.
        """
        try:
            with self._free_shell() as shell:
                return shell.internal(code, stdin=stdin, timeout=timeout, fine=fine)
        except ShellGone:
            with self._free_shell() as shell:
                return shell.internal(code, stdin=stdin, timeout=timeout, fine=fine)

    def receive_stream(self, code: str, chunks: Iterable[bytes], *, timeout: float) -> tuple[int, bytes]:
        """Run code of ours that reads all of `chunks` from its stdin; its status and output."""
        with self._free_shell() as shell:
            return shell.internal(code, stdin=chunks, timeout=timeout, fine=tuple(range(256)))

    @contextlib.contextmanager
    def _free_shell(self) -> Iterator[Shell]:
        """The shell for commands where it is idle, else the second one, opened when first needed."""
        shell = self._shells.get("commands")
        if shell is not None and shell.alive and shell.lock.acquire(blocking=False):
            try:
                yield shell
            finally:
                shell.lock.release()
            return
        busy = shell is not None and shell.alive
        shell = self._shell("files" if busy else "commands")
        with shell.lock:
            yield shell

    def _shell(self, role: str) -> Shell:
        with self._opening:
            shell = self._shells.get(role)
            if shell is None or not shell.alive:
                shell = self._shells[role] = self._open_shell()
            return shell

    def _open_shell(self) -> Shell:
        where = self.container.name
        last: SandboxBroken | None = None
        # A fork bomb may hold all processes that the box may have, until the sweep of its own command
        # has ended it.
        for pause in (0.0, 0.2, 0.5, 1.0, 2.0):
            time.sleep(pause)
            try:
                shell = Shell(
                    open_exec(
                        self.container.id,
                        shell_command(),
                        uid=self._uid,
                        environment=self._environment,
                        where=where,
                    ),
                    where,
                )
                shell.greet()
                return shell
            except SandboxBroken as error:
                last = error
                if not self._running():
                    break
        raise SandboxBroken(
            "The box no longer runs.",
            where=where,
            next_step="Open a new pod; what the workspace held is rebuilt from its base and edits.",
            detail=last.detail if last else "",
        ) from last

    def _running(self) -> bool:
        try:
            return self.container.running()
        except Exception as error:
            if is_engine_error(error):
                return False
            raise

    def close(self) -> None:
        """Hang up the shells; the container is its pod's to remove."""
        for shell in list(self._shells.values()):
            shell.close()


class DockerService:
    """A service in a box; its process id is the id of its session."""

    def __init__(self, name: str, box: DockerBox, pid: int, started: str, file: str) -> None:
        self.name = name
        self._box = box
        self._pid = pid
        self._started = started
        self._file = f"{OUTPUT_FOLDER}/{file}.log"

    def alive(self) -> bool:
        if self._started == "gone" or self._pid not in self._box._services:
            return False
        # Where it has ended, what it last wrote may still be on its way into the log: wait for its session.
        code = (
            f"IFS= read -r line </proc/{self._pid}/stat && fields=(${{line##*) }}) && "
            f"[[ ${{fields[0]}} != [ZX] && ${{fields[19]}} == {self._started} ]] && exit 0; "
            "for ((tries = 0; tries < 25; tries++)); do left=0; "
            'for entry in /proc/[0-9]*; do IFS= read -r line <"$entry/stat" || continue; '
            "fields=(${line##*) }); "
            f"[[ ${{fields[3]}} == {self._pid} && ${{fields[0]}} != [ZX] ]] && left=1; "
            'done; ((left)) || break; read -r -t 0.02 -u "$idle" _; done; exit 1'
        )
        if self._box.internal(code, fine=(0, 1))[0] == 0:
            return True
        self._box._services.pop(self._pid, None)
        return False

    def log(self, limit: int = 20_000) -> str:
        files = f"{self._file}.old {self._file}.new"
        # Four bytes are the longest character of UTF-8.
        text = self._box.internal(f"cat -- {files} | tail -c {4 * limit}")[1].decode("utf-8", "replace")
        return text[-limit:] if limit > 0 else ""

    def bytes_read(self) -> int | None:
        """Of the processes of its session; what children read that have ended is in their parents'."""
        code = (
            'total=0; for entry in /proc/[0-9]*; do IFS= read -r line <"$entry/stat" || continue; '
            f"fields=(${{line##*) }}); [[ ${{fields[3]}} == {self._pid} ]] || continue; "
            'while read -r name value; do [[ $name == rchar: ]] && ((total += value)); done <"$entry/io"; '
            'done; echo "$total"'
        )
        found = int(self._box.internal(code, fine=(0, 1))[1].strip() or 0)
        return found or None

    def stop(self) -> None:
        """End it and all its children: politely for ten seconds (servers save their data), then by force."""
        if self._box._services.get(self._pid) is not self:
            return
        code = (
            # Children with sessions of their own have no sign of whose they were once the service has ended.
            "known=' '; end() { local signal=$1 tries=$2 mine line entry fields pid; "
            "for ((; tries > 0; tries--)); do mine=(); "
            'for entry in /proc/[0-9]*; do IFS= read -r line <"$entry/stat" || continue; '
            "fields=(${line##*) }) pid=${entry#/proc/}; [[ ${fields[0]} == [ZX] ]] && continue; "
            f'[[ ${{fields[3]}} == {self._pid} || ${{fields[1]}} == {self._pid} || $known == *" $pid "* ]] '
            '&& mine+=("$pid"); done; ((${#mine[@]})) || return 0; known+="${mine[*]} "; '
            '[[ $signal ]] && kill -"$signal" "${mine[@]}"; '
            '[[ $signal == TERM ]] && signal=""; read -r -t 0.02 -u "$idle" _; done; return 1; }; '
            "end TERM 500 || end KILL 150"
        )
        self._box.internal(code, timeout=30)
        self._box._services.pop(self._pid, None)


def into(file: str, size: int) -> str:
    """Code that writes `size` bytes of stdin to a file. It reads them all, even where the disk is full: the
    shell would wait for what is missing, or take what is left for its next request."""
    return f'"$head" -c {size} | {{ "$cat" >"{file}" || {{ "$cat" >/dev/null; false; }}; }}'


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"{path!r} is not an absolute path.", next_step=f"Begin it with {WORKSPACE}/.")
    return path
