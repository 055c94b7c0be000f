"""The user's repository: read safely, written to only as one new branch and one note.

Nothing of the repository is executed, imported or obeyed as configuration. Objects are read through a
window of ours onto its object folder and copied, checked, into a private store (agent/git/store.py); all
computing happens there. With the user's own git folder these commands run, hardened, and no others:

* `rev-parse`, `symbolic-ref`, `for-each-ref`: what refs point to;
* `config --global` (the user's own configuration) and `config --local --name-only` (names of hooks);
* `unpack-objects`, `update-ref`: the new branch or note (agent/git/publish.py).

The checkout, index, stash, HEAD, reflogs and all refs but `refs/heads/bedev/*` and `refs/notes/bedev` are
byte-identical before and after.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bedev.agent.git import checkout as checkouts
from bedev.agent.git import command, patches, publish, status, trees
from bedev.agent.git.checkout import Checkout
from bedev.agent.git.publish import Branch
from bedev.agent.git.store import Limits, Store
from bedev.agent.git.trees import Change, Tree, TreeEntry
from bedev.sandboxes.errors import EnvironmentUnusable, UsageError

__all__ = ["Branch", "Change", "Limits", "Repository", "Tree", "TreeEntry"]

#: The oldest git that knows what is used here (`ls-tree --format`).
MIN_GIT = (2, 36)


@dataclass(frozen=True)
class _Opened:
    """What `open` found out, before anything is written."""

    checkout: Checkout
    object_format: str
    head: str
    head_branch: str | None


class Repository:
    """One checkout and its git repository. Make it with `Repository.open`; a context manager.

    `top` is the checkout's top folder; `identity` names the repository on this machine (all worktrees of
    one repository share it); `state` is the private folder for its runs; `head` is the commit that was
    checked out at opening, `head_branch` its branch (None when detached).
    """

    def __init__(self, opened: _Opened, identity: str, state: Path, limits: Limits) -> None:
        self.checkout = opened.checkout
        self.top = opened.checkout.top
        self.identity = identity
        self.state = state
        self.head = opened.head
        self.head_branch = opened.head_branch
        self.store = Store(opened.checkout, state, opened.object_format, limits)
        self._trees: dict[str, Tree] = {}

    @classmethod
    def open(cls, path: Path, state_dir: Path | None = None, *, limits: Limits | None = None) -> Repository:
        """Opens the repository that `path` lies in, from any folder of the checkout.

        `state_dir` replaces the root of the private folders ($BEDEV_STATE_DIR, else
        $XDG_STATE_HOME/bedev, else ~/.local/state/bedev).

        Raises UsageError: not a repository, bare, without a commit, of another user, a `.git` that leads
        elsewhere, links inside it. EnvironmentUnusable: no usable git, or the state folder is not private.
        """
        _check_git_version()
        opened = _look(checkouts.find(path))
        common = opened.checkout.common
        info = common.stat()
        key = f"{common}\0{info.st_dev}\0{info.st_ino}"
        identity = hashlib.sha256(os.fsencode(key)).hexdigest()[:16]
        state = _private_folder(_private_folder(state_dir or _state_root()) / identity)
        return cls(opened, identity, state, limits or Limits())

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the helper process that reads objects."""
        self.store.close()

    # Looking at the user's repository

    def resolve(self, ref: str) -> str:
        """The commit that a branch, tag, commit or expression such as `main~2` means.

        Raises UsageError where there is none, with branches of a similar name.
        """
        bad = (
            not ref
            or ref.startswith("-")
            or len(ref) > 1000
            or any(ord(c) < 32 or ord(c) == 127 for c in ref)
        )
        if not bad:
            found = command.run(
                ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"],
                git_dir=self.checkout.git_dir,
                check=False,
            )
            if found.status == 0 and re.fullmatch(r"[0-9a-f]{40,64}", found.text):
                return found.text
        listed = command.run(
            ["for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes", "refs/tags"],
            git_dir=self.checkout.git_dir,
        ).text.splitlines()
        names = [name.split("/", 2)[2] for name in listed]
        near = difflib.get_close_matches(ref[:200], names[:5000], n=3, cutoff=0.5)
        shallow = (self.checkout.common / "shallow").is_file()
        step = f"did you mean {' or '.join(near)}?" if near else "list the branches with `git branch --all`"
        if shallow:
            step += " (the clone is shallow: `git fetch --unshallow` brings older commits)"
        raise UsageError(f"no such branch or commit: {ref[:200]!r}", where=str(self.top), next_step=step)

    def merge_base(self, a: str, b: str) -> str | None:
        """The best common ancestor of two commits, or None (in a shallow clone also where it is cut off)."""
        found = self.store.look(["merge-base", a, b], check=False)
        if found.status not in (0, 1):
            raise self._missing(f"the history of {a[:12]} and {b[:12]}", found.err)
        return found.text or None

    def parents(self, commit: str) -> tuple[str, ...]:
        """The parents of a commit; at the edge of a shallow clone there are none."""
        found = self.store.look(["rev-list", "--no-walk", "--parents", commit, "--"], check=False)
        if found.status != 0:
            raise self._missing(f"commit {commit[:12]}", found.err)
        return tuple(found.text.split()[1:])

    def tree_of(self, commit: str) -> str:
        """The tree id of a commit (of a tree: itself)."""
        for look in (self.store.look, self.store.work):
            found = look(["rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}"], check=False)
            if found.status == 0:
                return found.text
        raise self._missing(f"commit {commit[:12]}", found.err)

    def message(self, commit: str) -> str:
        """The message of a commit as text. It is untrusted."""
        found = self.store.look(["cat-file", "commit", commit], check=False)
        if found.status != 0:
            raise self._missing(f"commit {commit[:12]}", found.err)
        header, _, body = found.out.partition(b"\n\n")
        encoding = re.search(rb"^encoding (\S+)$", header, re.MULTILINE)
        try:
            return body.decode(encoding[1].decode("ascii") if encoding else "utf-8", "replace")
        except (LookupError, UnicodeDecodeError):
            return body.decode("utf-8", "replace")

    def is_dirty(self) -> bool:
        """Whether the checkout differs from HEAD (changed, staged or new files), for a warning only.

        None of the repository's filters, monitors or submodules is started; a file that a filter
        rewrites (LFS) may therefore count as changed.
        """
        return status.is_dirty(self.store, self.head)

    def _missing(self, what: str, detail: str) -> UsageError:
        return UsageError(
            f"{what} cannot be read: objects are missing",
            where=str(self.top),
            next_step="fetch them first: git fetch --unshallow, or --refetch in a partial clone",
            detail=detail[-2000:],
        )

    # The private store

    def import_commits(self, *commits: str) -> None:
        """Copies these commits (ids) with their files into the private store; a second time it is free.

        Raises UsageError for a tree that is too large or hostile, or whose objects are missing.
        """
        self.store.import_commits(commits)

    def tree(self, commit_or_tree: str) -> Tree:
        """A read-only view of an imported commit's tree, or of a tree that was made here."""
        found = self.store.work(
            ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit_or_tree}^{{tree}}"],
            check=False,
        )
        if found.status != 0:
            raise UsageError(
                f"{commit_or_tree[:64]!r} is not in the private store", next_step="import the commit first"
            )
        return self._trees.setdefault(found.text, Tree(self.store, found.text))

    def changes(self, base: str, tree: str) -> tuple[Change, ...]:
        """The paths that differ between two imported commits or trees, without rename detection."""
        return trees.changes(self.store, self.tree(base).id, self.tree(tree).id)

    def diff(self, base: str, tree: str) -> str:
        """Their unified diff, for people; untrusted text, and not for applying."""
        return trees.diff(self.store, self.tree(base).id, self.tree(tree).id)

    def write_tree(self, base: str, edits: Mapping[str, bytes | None]) -> str:
        """The id of base's tree with these files written, or deleted where the value is None.

        Modes are kept. Raises UsageError for a path that is refused (see agent/git/names.py).
        """
        return patches.write_tree(self.store, self.tree(base), edits)

    def apply_patch(self, base: str, patch: bytes) -> str:
        """The id of base's tree with a unified diff applied. Raises UsageError that names the bad hunk."""
        return patches.apply_patch(self.store, self.tree(base), patch)

    # Writing into the user's repository

    def create_branch(self, tree: str, base: str, slug: str, run_id: str, message: str) -> Branch:
        """Commits exactly `tree` on `base` as the new branch `bedev/<slug>-<run_id>`; idempotent.

        `message` is the host's template (agent/git/messages.py cleans what a model wrote in it).
        Raises UsageError where that branch holds something else, or the tree changes nothing.
        """
        return publish.create_branch(self.store, tree, base, slug, run_id, message)

    def write_note(self, commit: str, payload: bytes) -> None:
        """Puts the payload as bedev's note on a commit (`git notes --ref=bedev show COMMIT`)."""
        publish.write_note(self.store, commit, payload)

    def read_note(self, commit: str) -> bytes | None:
        """bedev's note on a commit, or None. It came with the repository and is untrusted."""
        return publish.read_note(self.store, commit)


def _look(checkout: Checkout) -> _Opened:
    """Reads format and HEAD; says clearly what stands in the way."""
    formats = command.run(["rev-parse", "--show-object-format"], git_dir=checkout.git_dir, check=False)
    if formats.status != 0:
        raise UsageError(
            "git cannot open the repository",
            where=str(checkout.git_dir),
            next_step="try `git status` there; a newer repository format needs a newer git",
            detail=formats.err[-2000:],
        )
    head = command.run(
        ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], git_dir=checkout.git_dir, check=False
    )
    branch = command.run(["symbolic-ref", "-q", "HEAD"], git_dir=checkout.git_dir, check=False)
    if head.status != 0:
        known = command.run(
            ["rev-parse", "--verify", "--quiet", "HEAD"], git_dir=checkout.git_dir, check=False
        )
        if known.status == 0:
            raise UsageError(
                f"the commit that is checked out ({known.text[:12]}) is missing from the repository",
                where=str(checkout.top),
                next_step="fetch it again, or clone the repository anew",
            )
        raise UsageError(
            "the repository has no commit yet, so there is nothing to compare a patch with",
            where=str(checkout.top),
            next_step="commit first: git add -A && git commit -m base",
        )
    name = branch.text.removeprefix("refs/heads/") if branch.status == 0 else None
    return _Opened(checkout, formats.text, head.text, name)


def _check_git_version() -> None:
    text = command.run(["version"], git_dir=None).text
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) < MIN_GIT:
        raise EnvironmentUnusable(
            f"bedev needs git {MIN_GIT[0]}.{MIN_GIT[1]} or newer; this is {text[:60]!r}",
            where=command.git_program(),
            next_step="install a newer git",
        )


def _state_root() -> Path:
    if own := os.environ.get("BEDEV_STATE_DIR"):
        return Path(own).absolute()
    xdg = os.environ.get("XDG_STATE_HOME", "")
    # The specification of the base directories says to ignore a relative one.
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".local" / "state") / "bedev"


def _private_folder(path: Path) -> Path:
    """Makes a folder that only this user can enter; journals and sources of private code lie below it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            raise EnvironmentUnusable(
                f"{path} is a link or belongs to somebody else",
                next_step="remove it, or set BEDEV_STATE_DIR to a folder of your own",
            )
        if stat.S_IMODE(info.st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise EnvironmentUnusable(
            f"{path} cannot be made: {error.strerror}",
            next_step="make it writable, or set BEDEV_STATE_DIR to a folder that is",
        ) from error
    return path
