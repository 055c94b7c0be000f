"""Writes what bedev made into the user's repository: objects, one new branch, one note. Nothing else.

The commands that run with the user's git folder are `unpack-objects`, `update-ref`, `rev-parse`,
`for-each-ref` and `config --get-regexp`; none of them starts a program under the flags of command.py.
The order is objects, ref, look again: a `git gc --prune=now` of the user may take the objects in between
(SECURITY.md 20), so connectivity is checked after the ref is there, and the objects are sent once more.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from bedev.agent.failpoints import failpoint
from bedev.agent.git import checkout as checkouts
from bedev.agent.git import command, messages
from bedev.agent.git.store import Store
from bedev.agent.git.trees import FILE
from bedev.sandboxes.errors import EnvironmentUnusable, UsageError

NOTES_REF = "refs/notes/bedev"
MAX_NOTE_BYTES = 50 * 1024**2


@dataclass(frozen=True)
class Identity:
    """Whose name a commit carries."""

    name: str
    email: str

    @property
    def env(self) -> dict[str, str | None]:
        """The variables that `git commit-tree` reads."""
        return {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", self.name), ("EMAIL", self.email))
        }


@dataclass(frozen=True)
class Branch:
    """A branch that bedev made: its short name (without refs/heads/) and the commit at its tip."""

    name: str
    commit: str


def identity(store: Store) -> Identity:
    """The user's own user.name and user.email: the repository's `[user]` section, else the global one.

    The repository's file is parsed as data, without its includes. Falls back to bedev <bedev@localhost>.
    """
    found = {}
    for key, fallback in (("name", "bedev"), ("email", "bedev@localhost")):
        local = command.run(
            [
                "config",
                "--file",
                str(store.checkout.common / "config"),
                "--no-includes",
                "--get",
                f"user.{key}",
            ],
            git_dir=None,
            check=False,
        )
        values = [local.text] if local.status == 0 else []
        values = values or checkouts.global_setting(f"user.{key}", store.checkout.git_dir)[-1:]
        # git drops these itself, and refuses a name of which nothing is left.
        clean = re.sub(r"[<>\n]", "", messages.clean(values[0] if values else "")).strip(" .,:;\"'")
        found[key] = clean[:200] or fallback
    return Identity(found["name"], found["email"])


def create_branch(store: Store, tree: str, base: str, slug: str, run_id: str, message: str) -> Branch:
    """Commits `tree` on `base` and points the new branch `bedev/<slug>-<run_id>` at it.

    Where a branch `bedev` is in the way the name is `bedev-<slug>-<run_id>`. Called again with the same
    tree, base, slug and run it returns the branch that is there. Raises UsageError where the branch exists
    with something else, or the tree changes nothing, and EnvironmentUnusable where it cannot be written.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", run_id):
        raise UsageError(
            f"the run id {run_id!r} is no part of a branch name", next_step="use a-z, 0-9 and - only"
        )
    base_tree = store.work(["rev-parse", "--verify", "--end-of-options", f"{base}^{{tree}}"]).text
    if tree == base_tree:
        raise UsageError(
            "the tree equals base: there is nothing to commit", next_step="change something first"
        )
    if not store.query("ls-tree", tree):
        raise UsageError("the tree is empty: it would delete everything", next_step="keep some files")
    part = f"{messages.slug(slug)}-{run_id}"
    refs = _refs(store)
    # A branch called `bedev`, in any case (one folder on macOS), leaves no room for `bedev/...`.
    taken = any(ref.lower() == "refs/heads/bedev" for ref in refs)
    twins = any(
        ref.lower().startswith("refs/heads/bedev/") and not ref.startswith("refs/heads/bedev/")
        for ref in refs
    )
    name = f"bedev-{part}" if taken or twins else f"bedev/{part}"
    ref = f"refs/heads/{name}"
    if ref in refs:
        return Branch(name, _same_commit(store, ref, refs[ref], tree, base))
    commit = _commit(store, tree, [base], message)
    failpoint("branch.committed")
    _publish(store, commit, base, ref, "0" * store.oid_length, f"bedev: run {run_id}")
    return Branch(name, commit)


def read_note(store: Store, commit: str) -> bytes | None:
    """The payload of the note on `commit` in refs/notes/bedev, or None."""
    notes = _refs(store, NOTES_REF).get(NOTES_REF)
    if notes is None:
        return None
    paths = _note_entries(store.look(["ls-tree", "-z", notes, "--", *_fan_outs(commit)]).out)
    if not paths:
        return None
    oid = next(iter(paths.values()))
    size = store.look(["cat-file", "-s", oid], check=False)
    if size.status != 0 or int(size.text) > MAX_NOTE_BYTES:
        raise UsageError(
            f"the note of {commit[:12]} is missing or larger than {MAX_NOTE_BYTES:,} bytes",
            where=NOTES_REF,
            next_step=f"remove it: git notes --ref=bedev remove {commit[:12]}",
        )
    return store.look(["cat-file", "blob", oid]).out


def write_note(store: Store, commit: str, payload: bytes) -> None:
    """Puts the note on `commit` in refs/notes/bedev, in place of the one there; all others stay.

    Readable with `git notes --ref=bedev show COMMIT`. Raises UsageError for a payload above
    MAX_NOTE_BYTES, EnvironmentUnusable where the ref keeps moving under us or cannot be written.
    """
    if len(payload) > MAX_NOTE_BYTES:
        raise UsageError(f"a note holds at most {MAX_NOTE_BYTES:,} bytes", next_step="shorten the proof")
    blob = store.work(["hash-object", "-w", "--no-filters", "--stdin"], stdin=payload).text
    zero = "0" * store.oid_length
    for attempt in range(5):
        old = _refs(store, NOTES_REF).get(NOTES_REF)
        lines: list[str] = []
        # Notes are fanned out (`ab/cdef...`) once there are many; a new one goes where its neighbours are.
        target = commit
        with store.index(None) as env:
            if old is not None:
                store.import_commits([old], check_sizes=False)
                store.work(["read-tree", old], env=env)
                present = _note_entries(store.query("ls-tree", "-z", old, "--", *_fan_outs(commit)))
                lines = [f"0 {zero}\t{path}\0" for path in present]
                target = _fanned(commit, store.query("ls-tree", "-r", "-z", "--name-only", old))
            lines.append(f"{FILE} {blob}\t{target}\0")
            store.work(["update-index", "-z", "--index-info"], env=env, stdin="".join(lines).encode())
            tree = store.work(["write-tree"], env=env).text
        if old is not None and tree == store.work(["rev-parse", f"{old}^{{tree}}"]).text:
            return
        new = _commit(store, tree, [old] if old else [], "Notes added by bedev\n")
        failpoint("note.committed")
        try:
            _publish(store, new, old, NOTES_REF, old or zero, "bedev: note")
        except _RefMoved as error:
            if attempt == 4:
                raise EnvironmentUnusable(
                    "the notes keep changing while bedev writes its own",
                    where=NOTES_REF,
                    next_step="try again when no other program writes notes",
                ) from error
            continue
        return


class _RefMoved(EnvironmentUnusable):
    """The ref was no longer at the value that it was read with."""


def _commit(store: Store, tree: str, parents: list[str], message: str) -> str:
    args = ["commit-tree", tree]
    for parent in parents:
        args += ["-p", parent]
    who = identity(store).env
    return store.work([*args, "-F", "-"], env=who, stdin=messages.clean(message).encode()).text


def _publish(store: Store, new: str, have: str | None, ref: str, old: str, reason: str) -> None:
    """Sends `new` (without what `have` holds) to the user's repository and points `ref` at it."""
    user = store.checkout.common
    revisions = f"{new}\n" + (f"^{have}\n" if have else "")
    pack = store.work(
        ["pack-objects", "--quiet", "--revs", "--thin", "--stdout", "--delta-base-offset"],
        stdin=revisions.encode(),
    ).out
    config = _configured_hooks_off(store)
    moved = False
    for _ in range(3):
        checkouts.check_components(store.checkout, ref)
        unpacked = command.run(
            ["unpack-objects", "--strict", "-q"], git_dir=user, stdin=pack, config=config, check=False
        )
        if unpacked.status != 0:
            raise _unwritable("the objects", user, unpacked.err)
        failpoint("publish.objects_written")
        if not moved:
            updated = command.run(
                ["update-ref", "--no-deref", "--create-reflog", "-m", reason, ref, new, old],
                git_dir=user,
                config=config,
                env=identity(store).env,
                check=False,
            )
            if updated.status != 0 and "nonexistent object" in updated.err:
                continue  # pruned between the two commands: send them again
            if updated.status != 0:
                raise _not_updated(store, ref, updated.err)
            failpoint("publish.ref_written")
            moved = True
        if _refs(store, ref).get(ref) != new:
            raise _RefMoved(
                f"{ref} was changed by another program just after bedev wrote it",
                where=str(user),
                next_step="see `git reflog` of that ref; run bedev again",
            )
        whole = store.look(
            ["rev-list", "--objects", "--quiet", new, *([f"^{have}"] if have else [])], check=False
        )
        if whole.status == 0:
            return
    raise EnvironmentUnusable(
        f"objects of {ref} vanish as soon as they are written",
        where=str(user / "objects"),
        next_step="let `git gc` end, then run bedev again",
    )


def _not_updated(store: Store, ref: str, err: str) -> EnvironmentUnusable:
    if re.search(r"but expected|already exists|unable to resolve reference|is at ", err):
        return _RefMoved(
            f"{ref} is there already, or changed while bedev wrote it",
            where=str(store.checkout.common),
            next_step="remove that ref if you do not need it, then run bedev again",
            detail=err[-2000:],
        )
    return _unwritable(ref, store.checkout.common, err)


def _unwritable(what: str, user: os.PathLike[str], err: str) -> EnvironmentUnusable:
    return EnvironmentUnusable(
        f"{what} could not be written into the repository",
        where=os.fspath(user),
        next_step="check that it is writable, the disk has room, and no other git command runs there",
        detail=err[-2000:],
    )


def _configured_hooks_off(store: Store) -> list[str]:
    """Settings that switch off each hook that the repository's configuration defines (git 2.54)."""
    listed = command.run(
        ["config", "--local", "--includes", "--null", "--name-only", "--get-regexp", r"^hook\."],
        git_dir=store.checkout.common,
        check=False,
    )
    keys = os.fsdecode(listed.out).split("\0")[:-1]
    hooks = {key[len("hook.") :].rpartition(".")[0] for key in keys}
    return [
        f"hook.{hook}.enabled=false"
        for hook in sorted(hooks)
        if hook and "=" not in hook and "\n" not in hook
    ]


def _refs(store: Store, *patterns: str) -> dict[str, str]:
    """Refs of the user's repository by full name; a symbolic one with what it points to."""
    out = command.run(
        ["for-each-ref", "--format=%(objectname) %(refname)", *(patterns or ("refs/heads",))],
        git_dir=store.checkout.common,
    ).text
    rows = (line.split(" ", 1) for line in out.splitlines())
    return {name: oid for oid, name in rows}


def _same_commit(store: Store, ref: str, commit: str, tree: str, base: str) -> str:
    """The commit at `ref` if it is the very thing that is to be committed there."""
    raw = store.look(["cat-file", "commit", commit], check=False)
    header = raw.out.split(b"\n\n", 1)[0].decode("ascii", "replace").split("\n")
    if (
        raw.status == 0
        and f"tree {tree}" in header
        and [x for x in header if x.startswith("parent ")] == [f"parent {base}"]
    ):
        return commit
    raise UsageError(
        f"{ref} exists already and holds something else",
        where=str(store.checkout.top),
        next_step=f"rename or delete it: git branch -m {ref.removeprefix('refs/heads/')} NEW-NAME",
    )


def _fan_outs(commit: str) -> list[str]:
    """The paths at which a note on `commit` may lie: flat, or with one, two or three folders."""
    return [
        "/".join([*(commit[at : at + 2] for at in range(0, 2 * depth, 2)), commit[2 * depth :]])
        for depth in range(4)
    ]


def _note_entries(listing: bytes) -> dict[str, str]:
    found = {}
    for record in listing.split(b"\0")[:-1]:
        meta, _, path = record.decode("ascii", "replace").partition("\t")
        _, kind, oid = meta.split(" ")
        if kind == "blob":
            found[path] = oid
    return found


def _fanned(commit: str, listing: bytes) -> str:
    """The path for a new note among those of the listing: at the depth where most of them are."""
    depths = [name.count(b"/") for name in listing.split(b"\0")[:-1]]
    depth = max(set(depths), key=depths.count) if depths else 0
    return _fan_outs(commit)[min(depth, 3)]
