"""New trees from a base tree: some files written, or a patch applied, in the private store only.

No file is ever checked out: contents go in as objects, names through a private index, so filters, line
ending conversion and links play no part and bytes outside the edit stay as they were.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping

from bedev.agent.git import names
from bedev.agent.git.store import Store
from bedev.agent.git.trees import FILE, LINK, SUBMODULE, Tree, changes
from bedev.sandboxes.errors import UsageError

MAX_PATCH_BYTES = 20 * 1024**2
MAX_EDIT_BYTES = 50 * 1024**2
MAX_EDITS = 10_000


def write_tree(store: Store, base: Tree, edits: Mapping[str, bytes | None]) -> str:
    """The id of `base` with each file of `edits` written, or deleted where its value is None.

    A file that exists keeps its mode, a new one is a plain file. Raises UsageError for a path that is
    refused, a link or submodule as target, a folder in the way, or a deletion of what is not there.
    """
    if len(edits) > MAX_EDITS or sum(len(data or b"") for data in edits.values()) > MAX_EDIT_BYTES:
        raise UsageError(
            f"the edit is too large: at most {MAX_EDITS:,} files and {MAX_EDIT_BYTES:,} bytes",
            next_step="split it, or commit it on a branch and use `bedev verify`",
        )
    _check_edits(base, edits)
    zero = "0" * store.oid_length
    # Deletions first, so that a file can take the place of a folder whose files go away.
    lines = [f"0 {zero}\t".encode() + os.fsencode(path) for path, data in edits.items() if data is None]
    for path, data in edits.items():
        if data is not None:
            oid = store.work(["hash-object", "-w", "--no-filters", "--stdin"], stdin=data).text
            lines.append(f"{base.mode(path) or FILE} {oid}\t".encode() + os.fsencode(path))
    with store.index(base.id) as env:
        store.work(["update-index", "-z", "--index-info"], env=env, stdin=b"".join(x + b"\0" for x in lines))
        return store.work(["write-tree"], env=env).text


def apply_patch(store: Store, base: Tree, patch: bytes) -> str:
    """The id of `base` with a unified diff (of `git diff`, `diff -u`) applied to it.

    Raises UsageError where the patch is too large, binary, does not apply (naming file and line of the
    hunk), or makes an entry that is refused: a link that leaves the tree, a submodule, a name of git's.
    """
    if len(patch) > MAX_PATCH_BYTES:
        raise UsageError(
            f"the patch holds {len(patch):,} bytes; bedev takes {MAX_PATCH_BYTES:,}",
            next_step="commit it on a branch and verify the branch",
        )
    # A NUL byte would also cut a file name short, where git reads names as C strings.
    if b"\0" in patch or re.search(rb"^GIT binary patch$", patch, re.MULTILINE):
        raise UsageError(
            "the patch changes a binary file",
            next_step="commit it on a branch and verify the branch; patches are taken as text only",
        )
    base.paths()  # refuses a base that is hostile itself
    with store.index(base.id) as env:
        done = store.work(
            ["apply", "--cached", "--whitespace=nowarn", "-"], env=env, stdin=patch, check=False
        )
        if done.status != 0:
            raise _refused(done.err)
        result = store.work(["write-tree"], env=env).text
    after = Tree(store, result)
    after.paths()
    for change in changes(store, base.id, result):
        if change.new_mode == SUBMODULE:
            raise UsageError(
                f"the patch adds or moves the submodule {names.shown(change.path)}",
                next_step="leave submodules out of the patch",
            )
        if change.new_mode == LINK:
            _check_link(after, change.path)
    return result


def _check_edits(base: Tree, edits: Mapping[str, bytes | None]) -> None:
    existing = set(base.paths())
    deleted = {path for path, data in edits.items() if data is None}
    kept = existing - deleted
    folders = {path[:at] for path in kept for at in _slashes(path)}
    case: dict[str, str] | None = None
    for path, data in edits.items():
        names.check(path, "the edit")
        mode = base.mode(path)
        if mode in (LINK, SUBMODULE) and data is not None:
            raise UsageError(
                f"{names.shown(path)} is a {'symbolic link' if mode == LINK else 'submodule'}",
                next_step="edit the file that it points to",
            )
        if data is None:
            if mode is None:
                raise UsageError(
                    f"{names.shown(path)} is to be deleted but is not there", next_step="check the path"
                )
            continue
        if path in folders:
            raise UsageError(f"{names.shown(path)} is a folder", next_step="name a file below it")
        for at in _slashes(path):
            if path[:at] in kept or edits.get(path[:at]) is not None:
                raise UsageError(
                    f"{names.shown(path)} lies below {names.shown(path[:at])}, which is no folder",
                    next_step="choose another path; nothing is written through a file or a link",
                )
        if mode is None:
            case = case if case is not None else {names.folded(name): name for name in kept}
            other = case.setdefault(names.folded(path), path)
            if other != path:
                raise UsageError(
                    f"{names.shown(path)} differs from {names.shown(other)} only in case",
                    next_step="choose another name: on macOS and Windows only one can exist",
                )


def _slashes(path: str) -> Iterator[int]:
    return (at for at, letter in enumerate(path) if letter == "/")


def _check_link(tree: Tree, path: str) -> None:
    target = os.fsdecode(tree.read(path) or b"")
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if not target or target.startswith("/") or resolved == ".." or resolved.startswith("../"):
        raise UsageError(
            f"the patch links {names.shown(path)} to {names.shown(target)}, outside of the repository",
            next_step="links in a patch must be relative and stay inside",
        )
    names.check(resolved, f"the target of link {names.shown(path)}")


def _refused(err: str) -> UsageError:
    """Git's complaint about a patch as an error that names the place."""
    place = re.search(r"^error: patch failed: (.+):(\d+)$", err, re.MULTILINE)
    if place:
        what = (
            f"the patch does not apply: the hunk at line {place[2]} of {names.shown(place[1])} does not fit"
        )
        step = "make the patch against this base (--base), e.g. git diff BASE > FILE"
    elif "corrupt patch" in err or "No valid patches" in err or "fragment without header" in err:
        what = "the patch is damaged or empty"
        step = "make it with `git diff BASE > FILE`; copying from a terminal changes white space"
    elif re.search(r"invalid path|beyond a symbolic link|invalid file name", err):
        what = "the patch writes outside of the repository's files"
        step = "take that path out of the patch"
    else:
        what = "the patch does not apply"
        step = "make it against this base (--base), e.g. git diff BASE > FILE"
    return UsageError(what, where="the patch", next_step=step, detail=err[-2000:])
