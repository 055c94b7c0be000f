"""Read-only views of trees in the private store, and what differs between two of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from bedev.agent.git import command, names
from bedev.agent.git.store import Store
from bedev.sandboxes.errors import EnvironmentUnusable, UsageError

#: Modes that git gives to the entries of a tree.
FILE, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
#: Most bytes of one file that is read into memory, and of all files that `diff` shows.
MAX_FILE_BYTES = 256 * 1024**2
MAX_DIFF_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class TreeEntry:
    """One file, link or submodule of a tree.

    `path` is relative, with `/`; bytes that are no UTF-8 are kept as surrogate escapes (os.fsencode gives
    the bytes back). `mode` is git's octal text (`100644`, `100755`, `120000` link, `160000` submodule),
    `size` is in bytes (0 for a submodule), `oid` names the content (a commit for a submodule).
    """

    path: str
    mode: str
    size: int
    oid: str


@dataclass(frozen=True)
class Change:
    """One path that differs between two trees. A side that does not exist has an empty mode and oid."""

    path: str
    kind: Literal["added", "modified", "deleted", "mode"]
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str


class Tree:
    """A tree of the private store. `id` is git's id of it; nothing here can change it."""

    def __init__(self, store: Store, tree_id: str) -> None:
        self.id = tree_id
        self._store = store

    @cached_property
    def _entries(self) -> dict[str, TreeEntry]:
        out = self._store.query("ls-tree", "-r", "-z", "--long", "--full-tree", self.id)
        where = f"tree {self.id[:12]}"
        found: dict[str, TreeEntry] = {}
        for record in out.split(b"\0")[:-1]:
            meta, _, raw = record.partition(b"\t")
            mode, _, oid, size = meta.decode("ascii").split()
            path = os.fsdecode(raw)
            names.check(path, where)
            found[path] = TreeEntry(path, mode, 0 if size == "-" else int(size), oid)
            if len(found) > self._store.limits.files:
                raise UsageError(
                    f"the tree holds more than {self._store.limits.files:,} entries",
                    where=where,
                    next_step="run bedev in a smaller repository",
                )
        names.check_twins(found, where)
        return found

    def paths(self) -> tuple[str, ...]:
        """Every path, in git's order. Raises UsageError for a tree with an entry that is refused."""
        return tuple(self._entries)

    def entries(self) -> Iterator[TreeEntry]:
        """Every entry, in git's order, submodules among them (listed, never followed)."""
        return iter(self._entries.values())

    def entry(self, path: str) -> TreeEntry | None:
        """The entry at `path`, or None."""
        return self._entries.get(path)

    def mode(self, path: str) -> str | None:
        """The mode of `path` as git writes it, or None where the tree has no such entry."""
        entry = self._entries.get(path)
        return entry.mode if entry else None

    def read(self, path: str) -> bytes | None:
        """The bytes of a file exactly as committed (for a link: its target), or None if there is none.

        Raises UsageError for a file of more than MAX_FILE_BYTES.
        """
        entry = self._entries.get(path)
        if entry is None or entry.mode == SUBMODULE:
            return None
        _check_readable(entry)
        return self._store.blob(entry.oid)

    def files(self) -> Iterator[tuple[TreeEntry, bytes]]:
        """Every file and link with its bytes, streamed by one `cat-file --batch`; one is held at a time."""
        wanted = [entry for entry in self._entries.values() if entry.mode != SUBMODULE]
        for entry in wanted:
            _check_readable(entry)
        with command.pipe(["cat-file", "--batch", "--buffer"], git_dir=self._store.private) as process:
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            def ask() -> None:
                # In a thread: with both ends in one, git blocks on its output and we on its input.
                try:
                    stdin.write("".join(f"{entry.oid}\n" for entry in wanted).encode())
                    stdin.close()
                except (BrokenPipeError, ValueError):
                    return  # the reader stopped early and closed the pipe

            asking = threading.Thread(target=ask, daemon=True)
            asking.start()
            for entry in wanted:
                header = stdout.readline().split()
                data = stdout.read(entry.size + 1)
                if len(header) != 3 or header[1] != b"blob" or len(data) != entry.size + 1:
                    raise EnvironmentUnusable(
                        f"{names.shown(entry.path)} is missing from the private store",
                        where=str(self._store.private),
                        next_step="remove that folder; the next run copies the commits again",
                    )
                yield entry, data[:-1]
            asking.join()


def changes(store: Store, base: str, tree: str) -> tuple[Change, ...]:
    """What differs between two trees (or commits), by path; renames are a deletion and an addition.

    Raises UsageError where `tree` brings an entry that is refused.
    """
    out = store.query("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", base, tree)
    fields = iter(os.fsdecode(out).split("\0")[:-1])
    found = []
    for meta in fields:
        old_mode, new_mode, old_oid, new_oid, status = meta.lstrip(":").split(" ")
        path = next(fields)
        kind: Literal["added", "modified", "deleted", "mode"]
        if status == "A":
            kind, old_mode, old_oid = "added", "", ""
        elif status == "D":
            kind, new_mode, new_oid = "deleted", "", ""
        else:
            kind = "mode" if old_oid == new_oid else "modified"
        if kind != "deleted":
            names.check(path, f"tree {tree[:12]}")
        found.append(Change(path, kind, old_mode, new_mode, old_oid, new_oid))
    return tuple(found)


def diff(store: Store, base: str, tree: str) -> str:
    """The unified diff of two trees, for people; a binary file is only said to differ.

    Bytes that are no UTF-8 become U+FFFD: this text is never applied. The text is untrusted.
    Raises UsageError where the changed files are larger than MAX_DIFF_BYTES together.
    """
    oids = [oid for change in changes(store, base, tree) for oid in (change.old_oid, change.new_oid) if oid]
    listed = store.work(
        ["cat-file", "--batch-check=%(objectsize)"], stdin="".join(f"{o}\n" for o in oids).encode()
    )
    # A submodule's commit is not in the store: its line ends with "missing" and has no size.
    total = sum(int(line) for line in listed.out.split(b"\n") if line.isdigit())
    if total > MAX_DIFF_BYTES:
        raise UsageError(
            f"the changed files hold {total:,} bytes; a diff of more than {MAX_DIFF_BYTES:,} is not drawn",
            next_step="take large files out of the patch",
        )
    options = (
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--patch",
        "--no-indent-heuristic",
    )
    # Not through GitPython: drawing a diff may take long, and needs the time limit.
    return store.work(["diff", *options, base, tree]).out.decode("utf-8", "replace")


def _check_readable(entry: TreeEntry) -> None:
    if entry.size > MAX_FILE_BYTES:
        raise UsageError(
            f"{names.shown(entry.path)} holds {entry.size:,} bytes; bedev reads up to {MAX_FILE_BYTES:,}",
            next_step="keep such a file out of the repository (git LFS, an artifact store)",
        )
