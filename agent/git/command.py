"""Runs git as if every repository were hostile.

A repository's configuration may name programs (hooks, filters, diff drivers, fsmonitor, ssh commands,
upload packs ...) that git would start. So the environment is built from scratch, every such key is
overridden, git never looks for a repository by itself, and what runs is bounded in time and output.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from bedev.sandboxes.errors import DiskFull, EnvironmentUnusable, UsageError
from bedev.sandboxes.full_disk import said_in

#: Seconds that a git command may take; importing a big tree has its own limit.
TIMEOUT_S = 60.0
#: Bytes of output that are kept in memory before the command is stopped.
OUTPUT_LIMIT = 256 * 1024 * 1024

MAKE_ROOM = "Make room there, or put bedev's own files elsewhere: BEDEV_STATE_DIR=FOLDER."

_FLAGS = (
    "--no-pager",
    "--literal-pathspecs",
)
_CONFIG = (
    "core.hooksPath=/dev/null",
    # Since git 2.54 hooks may also be defined in the configuration, where hooksPath does not reach them;
    # these two are the only events that the commands used here can raise.
    "hook.reference-transaction.enabled=false",
    "hook.post-index-change.enabled=false",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=",
    # A commit graph is a cache that comes with the repository and may lie about parents.
    "core.commitGraph=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "diff.external=",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
    "protocol.version=2",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "log.showSignature=false",
    "safe.bareRepository=explicit",
)


@dataclass(frozen=True)
class Finished:
    """What a git command left: its exit status, standard output and standard error."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text without the final newline; bytes that are no UTF-8 are kept escaped."""
        return os.fsdecode(self.out).rstrip("\n")


@lru_cache(maxsize=1)
def git_program() -> str:
    """The absolute path of git, from fixed system folders first, then from absolute PATH entries.

    Raises EnvironmentUnusable where there is none. Relative PATH entries are skipped: the working
    directory is usually the repository, and a `git` that it brings must not run.
    """
    here = os.path.realpath(os.getcwd())
    entries = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/bin"]
    entries += [
        entry
        for entry in os.environ.get("PATH", "").split(os.pathsep)
        if os.path.isabs(entry) and not (os.path.realpath(entry) + "/").startswith(here.rstrip("/") + "/")
    ]
    found = shutil.which("git", path=os.pathsep.join(entries))
    if found is None:
        raise EnvironmentUnusable(
            "git is not installed", where="PATH", next_step="install it, e.g. apt-get install git"
        )
    return found


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The whole environment of a git command: nothing is inherited, least of all a GIT_* variable.

    `extra` adds to it; a value of None takes a variable out.
    """
    base = {
        "PATH": os.pathsep.join(dict.fromkeys([os.path.dirname(git_program()), "/usr/bin", "/bin"])),
        "HOME": "/nonexistent",
        "LANG": "C",
        "LC_ALL": "C",
        "LANGUAGE": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        # Where no fetch is wanted no transport is allowed either: a git that does not know
        # GIT_NO_LAZY_FETCH would start the promisor's `uploadpack` program for a missing object.
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        "GIT_SSH_COMMAND": "/bin/false",
        "GIT_ASKPASS": "/bin/false",
    }
    for name, value in (extra or {}).items():
        if value is None:
            base.pop(name, None)
        else:
            base[name] = value
    return base


def command_line(
    args: Sequence[str],
    *,
    git_dir: Path | None,
    work_tree: Path | None = None,
    config: Sequence[str] = (),
) -> list[str]:
    """The argument vector of a git command with all the hardening flags."""
    line = [git_program(), *_FLAGS]
    if git_dir is not None:
        line.append(f"--git-dir={git_dir}")
    if work_tree is not None:
        line.append(f"--work-tree={work_tree}")
    for setting in (*_CONFIG, *config):
        line += ["-c", setting]
    return [*line, *args]


def run(
    args: Sequence[str],
    *,
    git_dir: Path | None,
    work_tree: Path | None = None,
    config: Sequence[str] = (),
    env: Mapping[str, str | None] | None = None,
    stdin: bytes | None = None,
    timeout_s: float = TIMEOUT_S,
    limit: int = OUTPUT_LIMIT,
    check: bool = True,
) -> Finished:
    """Runs one git command to its end.

    `git_dir` is given explicitly, always (None: no repository at all, from the root folder), so git
    never discovers one. `limit` bounds standard output in bytes.

    Raises UsageError where the command takes longer than `timeout_s` or prints more than `limit`, DiskFull
    where it says that no space is left, and, with `check`, EnvironmentUnusable where it ends with another
    status than 0; callers that expect failure pass check=False and word it for the reader.
    """
    line = command_line(args, git_dir=git_dir, work_tree=work_tree, config=config)
    with _started(line, env, stdin is not None) as process:
        out, err = _communicate(process, stdin or b"", args[0], timeout_s, limit)
        status = process.wait()
    finished = Finished(status, out, err.decode("utf-8", "replace").strip())
    if status != 0 and said_in(finished.err):
        raise DiskFull(
            f"git {args[0]} found no space left on the disk",
            where=str(git_dir or ""),
            next_step=MAKE_ROOM,
            detail=finished.err[-4000:],
        )
    if check and status != 0:
        raise EnvironmentUnusable(
            f"git {args[0]} failed",
            where=str(git_dir or ""),
            next_step="see the last lines of its output",
            detail=finished.err[-4000:],
        )
    return finished


@contextmanager
def pipe(args: Sequence[str], *, git_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A git command that the caller writes to and reads from while it runs; killed on the way out."""
    with _started(command_line(args, git_dir=git_dir), None, True, quiet=True) as process:
        yield process


@contextmanager
def _started(
    line: list[str], env: Mapping[str, str | None] | None, has_stdin: bool, *, quiet: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        line,
        cwd="/",
        env=environment(env),
        stdin=subprocess.PIPE if has_stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # The whole session: git starts children (upload-pack, index-pack) that outlive it otherwise.
        if process.poll() is None:
            _kill(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                _close(stream)
        process.wait()


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        # The command ended without reading all of its input; its exit status tells.
        return


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _communicate(
    process: subprocess.Popen[bytes], stdin: bytes, name: str, timeout_s: float, limit: int
) -> tuple[bytes, bytes]:
    """Feeds and drains the three pipes at once, so that none can block the others."""
    deadline = time.monotonic() + timeout_s
    out, err = bytearray(), bytearray()
    rest = memoryview(stdin)
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, out)
        selector.register(process.stderr, selectors.EVENT_READ, err)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                _kill(process)
                raise UsageError(
                    f"git {name} took longer than {timeout_s:.0f} s and was stopped",
                    next_step="try it in a smaller repository, or with `git gc` run on this one first",
                )
            for key, _ in selector.select(left):
                if key.data is None:
                    assert process.stdin is not None
                    try:
                        rest = rest[os.write(key.fd, rest[:65536]) :] if rest else rest
                    except BrokenPipeError:
                        rest = rest[:0]
                    if not rest:
                        selector.unregister(process.stdin)
                        _close(process.stdin)
                    continue
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data is out and len(out) + len(chunk) > limit:
                    _kill(process)
                    raise UsageError(
                        f"git {name} printed more than {limit:,} bytes and was stopped",
                        next_step="the repository or the patch is larger than bedev takes",
                    )
                elif key.data is out or len(err) < 65536:
                    key.data.extend(chunk)
    return bytes(out), bytes(err)
