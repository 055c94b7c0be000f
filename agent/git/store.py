"""Where bedev keeps objects: a private store, and a window through which it looks at the user's.

*Window* (`window.git`): a bare repository of ours that borrows the user's object folder. Whatever only
reads objects (history, sizes, the sending side of an import, the status of the checkout) runs in it, so
the user's configuration, which may name programs, is not even opened.

*Private store* (`repo.git`): the commits of a run, copied and checked object by object. The user's
`git gc` cannot take them away, and all that bedev computes is written here first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bedev.agent.git import command
from bedev.agent.git.checkout import Checkout
from bedev.agent.git.command import Finished
from bedev.sandboxes.errors import DiskFull, EnvironmentUnusable, UsageError

if TYPE_CHECKING:
    import git

#: Most entries and bytes of one tree. A checkout with more is refused before it is copied.
MAX_FILES = 500_000
MAX_BYTES = 8 * 1024**3
IMPORT_TIMEOUT_S = 900.0

# Old faults of commits and trees that git itself has written; they endanger nobody, and a repository
# with a long history would be refused for them.
_OLD_FAULTS = (
    "zeroPaddedFilemode",
    "badTimezone",
    "badDate",
    "badDateOverflow",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "missingNameBeforeEmail",
    "badEmail",
    "missingEmail",
    "missingTaggerEntry",
    "nullSha1",
)
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Limits:
    """What one tree may hold: entries, and bytes of all its files together."""

    files: int = MAX_FILES
    bytes: int = MAX_BYTES


class Store:
    """The private store and the window of one repository. Made by `Repository.open`."""

    def __init__(self, checkout: Checkout, state: Path, object_format: str, limits: Limits) -> None:
        self.checkout = checkout
        self.private = state / "repo.git"
        self.window = state / "window.git"
        self.limits = limits
        self.oid_length = 64 if object_format == "sha256" else 40
        self._lock = threading.RLock()
        self._repo: git.Repo | None = None
        for folder in (self.private, self.window):
            if not folder.exists():
                _make_bare(folder, object_format)
        self._open_window()

    def _open_window(self) -> None:
        """Lets the window see the user's objects as they are now, with the edge of a shallow clone."""
        info = self.window / "objects" / "info"
        objects = str(self.checkout.common / "objects")
        if "\n" in objects:
            raise UsageError(
                f"the path {objects!r} holds a line break", next_step="move the repository to a plainer path"
            )
        # git takes a line that starts with a double quote as a quoted path, and # as a comment.
        quoted = '"' + objects.replace("\\", "\\\\").replace('"', '\\"') + '"'
        replace_file(info / "alternates", os.fsencode(quoted + "\n"))
        shallow = self.checkout.common / "shallow"
        lines = shallow.read_text("ascii", "replace").split() if shallow.is_file() else []
        edge = [line for line in lines if _OID.fullmatch(line)]
        if edge:
            replace_file(self.window / "shallow", ("\n".join(edge) + "\n").encode())
        else:
            (self.window / "shallow").unlink(missing_ok=True)

    def look(self, args: Sequence[str], *, check: bool = True, stdin: bytes | None = None) -> Finished:
        """Runs a reading command over the user's objects, in the window."""
        return command.run(args, git_dir=self.window, check=check, stdin=stdin)

    def work(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        stdin: bytes | None = None,
        check: bool = True,
    ) -> Finished:
        """Runs a command that takes input, or that may fail, in the private store."""
        return command.run(args, git_dir=self.private, env=env, stdin=stdin, check=check)

    @contextlib.contextmanager
    def index(self, tree: str | None) -> Iterator[dict[str, str | None]]:
        """The environment of commands that share a private index, which holds `tree` or nothing."""
        with tempfile.TemporaryDirectory(prefix="index-", dir=self.private) as folder:
            env: dict[str, str | None] = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
            if tree is not None:
                self.work(["read-tree", tree], env=env)
            yield env

    # GitPython, over the private store only: its repository, and so all configuration, is ours.

    @property
    def repo(self) -> git.Repo:
        """The private store as GitPython sees it."""
        with self._lock:
            if self._repo is None:
                git = _gitpython()
                self._repo = git.Repo(self.private, odbt=git.GitCmdObjectDB)
                # GitPython passes on the whole environment of this process; what could lead its git
                # elsewhere (bedev may be started by a git hook or an alias) is overridden by name.
                self._repo.git.update_environment(
                    **command.environment(
                        {
                            "GIT_DIR": str(self.private),
                            "GIT_OBJECT_DIRECTORY": str(self.private / "objects"),
                            "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
                            "GIT_INDEX_FILE": str(self.private / "index"),
                            "GIT_CONFIG_COUNT": "0",
                            "GIT_CONFIG_PARAMETERS": "",
                            "GIT_NAMESPACE": "",
                            "GIT_EXTERNAL_DIFF": "",
                            "GIT_DIFF_OPTS": "",
                            "GIT_TRACE": "0",
                        }
                    )
                )
            return self._repo

    def query(self, *args: str) -> bytes:
        """What a reading command prints, run in the private store through GitPython's command interface.

        For commands whose work the limits of a tree bound; it has no time limit of its own.
        Raises EnvironmentUnusable where the command fails.
        """
        git = _gitpython()
        line = command.command_line(args, git_dir=self.private)
        try:
            return self.repo.git.execute(
                line,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except git.GitCommandError as error:
            raise EnvironmentUnusable(
                f"git {args[0]} failed in the private store",
                where=str(self.private),
                next_step="remove that folder; the next run copies the commits again",
                detail=str(error.stderr)[-2000:],
            ) from error

    def blob(self, oid: str) -> bytes:
        """The bytes of a blob of the private store, through one long-lived `cat-file --batch`."""
        if self.oid_length != 40:
            return self.work(["cat-file", "blob", oid]).out  # GitPython reads SHA-1 ids only
        with self._lock:
            data: bytes = self.repo.odb.stream(bytes.fromhex(oid)).read()
        return data

    def close(self) -> None:
        """Ends the reading process; the store can be used again afterwards."""
        with self._lock:
            if self._repo is not None:
                with contextlib.suppress(OSError):
                    self._repo.close()
                self._repo = None

    # Import

    def holds(self, commit: str) -> bool:
        """Whether the commit, with all its files, was imported."""
        return (self.private / "refs" / "bedev" / "commits" / commit).exists()

    def import_commits(self, commits: Sequence[str], *, check_sizes: bool = True) -> None:
        """Copies commits with their trees and blobs, without history, from the user's repository.

        Every object is hashed and checked by `index-pack --strict` on the way. Runs nothing with the
        user's git folder: the sending side is the window. Raises UsageError for a tree that is too large
        or that git refuses, and where objects are missing (partial or damaged clone).
        """
        if all(map(self.holds, commits)):
            return
        with self._one_import_at_a_time():
            self._import([commit for commit in dict.fromkeys(commits) if not self.holds(commit)], check_sizes)

    @contextlib.contextmanager
    def _one_import_at_a_time(self) -> Iterator[None]:
        """Two fetches into one repository fail on each other's lock files; the second waits here instead.

        Lock files that are there now were left by a process that was killed, and are removed.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.private.with_name("import.lock"), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in (self.private / "shallow.lock", *(self.private / "refs" / "bedev").rglob("*.lock")):
                left.unlink(missing_ok=True)
            yield
        finally:
            # Half of what was copied before the disk was full, or the process killed, is of no use.
            for left in (self.private / "objects" / "pack").glob("tmp_*"):
                left.unlink(missing_ok=True)
            os.close(descriptor)

    def _import(self, wanted: Sequence[str], check_sizes: bool) -> None:
        if not wanted:
            return
        if check_sizes:
            for commit in wanted:
                self._check_size(commit)
        rules = [f"fetch.fsck.{fault}=ignore" for fault in _OLD_FAULTS]
        done = command.run(
            [
                *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-auto-gc"),
                *("--no-recurse-submodules", "--end-of-options", str(self.window)),
                *(f"+{commit}:refs/bedev/commits/{commit}" for commit in wanted),
            ],
            git_dir=self.private,
            config=["transfer.fsckObjects=true", "fetch.fsckObjects=true", *rules],
            env={"GIT_ALLOW_PROTOCOL": "file"},
            timeout_s=IMPORT_TIMEOUT_S,
            check=False,
        )
        if done.status != 0 or not all(self.holds(commit) for commit in wanted):
            raise _import_failed(done.err, self.checkout.top)

    def _check_size(self, commit: str) -> None:
        """Counts a tree's entries and bytes before anything is copied; also finds what is missing."""
        listed = command.run(
            ["ls-tree", "-r", "-z", "--format=%(objecttype) %(objectsize)", commit],
            git_dir=self.window,
            limit=self.limits.files * 24,
            check=False,
        )
        if listed.status != 0:
            raise _import_failed(listed.err, self.checkout.top)
        rows = listed.out.split(b"\0")[:-1]
        sizes = [row[5:] for row in rows if row.startswith(b"blob ")]
        if b"BAD" in sizes:
            raise _import_failed("missing blob object", self.checkout.top)
        total = sum(map(int, sizes))
        if len(rows) > self.limits.files or total > self.limits.bytes:
            raise UsageError(
                f"the tree of {commit[:12]} holds {len(rows):,} entries and {total:,} bytes; "
                f"bedev takes {self.limits.files:,} and {self.limits.bytes:,}",
                where=str(self.checkout.top),
                next_step="run it in a smaller repository, or remove large files from this one",
            )


def _gitpython() -> ModuleType:
    """GitPython, imported when it is first needed (0.2 s).

    At import it runs `git version` with whatever git the PATH names first, and with a PATH that holds `.`
    that is a program of the repository; so it is told which git to take.
    """
    name = "GIT_PYTHON_GIT_EXECUTABLE"
    before = os.environ.get(name)
    os.environ[name] = command.git_program()
    try:
        import git
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
    return git


def _make_bare(folder: Path, object_format: str) -> None:
    """Makes an empty bare repository in one step, so that a run beside this one never sees half of it."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        command.run(
            ["init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(made)],
            git_dir=None,
        )
        (made / "objects" / "info").mkdir(exist_ok=True)
        try:
            made.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _import_failed(err: str, top: Path) -> UsageError:
    if re.search(
        r"missing|not our ref|bad (?:object|tree)|unable to read|could not (?:read|fetch|get object info)",
        err,
    ):
        return UsageError(
            "objects of the commit are missing (a partial or damaged clone)",
            where=str(top),
            next_step="fetch them first: git fetch --refetch --no-filter (bedev itself never fetches)",
            detail=err[-2000:],
        )
    if "fsck" in err or re.search(r"error in (?:tree|blob|commit)", err):
        return UsageError(
            "the commit holds something that git refuses to take over",
            where=str(top),
            next_step="look at it with `git fsck --strict` and remove the entry",
            detail=err[-2000:],
        )
    return UsageError(
        "the commit could not be read from the repository",
        where=str(top),
        next_step="check the repository with `git fsck`",
        detail=err[-2000:],
    )


def replace_file(path: Path, data: bytes) -> None:
    """Writes a small file whole or not at all; a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFull(
            "No space is left on the disk.", where=str(path), next_step=command.MAKE_ROOM
        ) from error
