"""What the repository promises: it finds, reads and compares commits, and leaves one branch and one note."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from bedev.agent.failpoints import FAILPOINTS
from bedev.agent.git import publish
from bedev.agent.repository import Branch, Change, Repository
from bedev.sandboxes.errors import EnvironmentUnusable, UsageError

Git = Callable[..., str]


def plain_git(top: Path) -> Git:
    """Git as the user of that checkout would run it."""

    def git(*args: str, check: bool = True) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": "User", f"GIT_{role}_EMAIL": "user@example.org"}
        done = subprocess.run(["git", "-C", str(top), *args], capture_output=True, env=env)
        assert not check or done.returncode == 0, done.stderr.decode()
        return os.fsdecode(done.stdout).strip("\n")

    return git


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "repo"
    (top / "app" / "Models").mkdir(parents=True)
    git = plain_git(top)
    git("init", "-q", "-b", "main")
    (top / "app" / "Models" / "User.php").write_text("<?php\n\nclass User\n{\n}\n")
    (top / "artisan").write_text("#!/usr/bin/env php\n")
    (top / "artisan").chmod(0o755)
    git("add", "-A")
    git("commit", "-qm", "base")
    (top / "README").write_text("second\n")
    git("add", "-A")
    git("commit", "-qm", "second: ünïcode")
    return top


@pytest.fixture
def git(top: Path) -> Git:
    return plain_git(top)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def repo(top: Path, state: Path) -> Repository:
    return Repository.open(top, state)


def edited(repo: Repository) -> str:
    repo.import_commits(repo.head)
    return repo.write_tree(repo.head, {"app/Models/User.php": b"<?php\n"})


# Finding it


def test_the_top_is_found_from_any_folder_or_file_and_through_a_link(
    top: Path, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(top)
    for path in (top, top / "app" / "Models", top / "artisan", tmp_path / "link" / "app"):
        found = Repository.open(path, state)
        assert (found.top, found.head_branch) == (top, "main")


def test_what_is_opened_is_described(repo: Repository, git: Git, state: Path) -> None:
    assert repo.head == git("rev-parse", "HEAD")
    assert repo.state == state / repo.identity
    assert re.fullmatch(r"[0-9a-f]{16}", repo.identity)
    assert repo.state.stat().st_mode & 0o777 == 0o700


def test_the_private_folder_follows_the_environment(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BEDEV_STATE_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert Repository.open(top).state.parent == tmp_path / "home" / ".local" / "state" / "bedev"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert Repository.open(top).state.parent == tmp_path / "home" / ".local" / "state" / "bedev"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert Repository.open(top).state.parent == tmp_path / "xdg" / "bedev"
    monkeypatch.setenv("BEDEV_STATE_DIR", str(tmp_path / "own"))
    assert Repository.open(top).state.parent == tmp_path / "own"


def test_a_state_folder_that_is_a_link_is_refused(top: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EnvironmentUnusable, match="link or belongs to somebody else"):
        Repository.open(top, tmp_path / "state")


def test_the_identity_is_the_repositorys_not_the_paths_alone(
    top: Path, git: Git, state: Path, tmp_path: Path
) -> None:
    git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    git("clone", "-q", str(top), str(tmp_path / "clone"))
    main = Repository.open(top, state)
    tree = Repository.open(tmp_path / "tree", state)
    clone = Repository.open(tmp_path / "clone", state)
    assert main.identity == tree.identity != clone.identity
    assert (tree.top, tree.head_branch) == (tmp_path / "tree", "side")


def test_outside_of_a_repository_the_error_says_what_to_do(tmp_path: Path, state: Path) -> None:
    with pytest.raises(UsageError, match="not in a git repository") as raised:
        Repository.open(tmp_path, state)
    assert "git init" in raised.value.next_step
    with pytest.raises(UsageError, match="cannot be read"):
        Repository.open(tmp_path / "missing", state)


def test_without_a_commit_it_is_refused(tmp_path: Path, state: Path) -> None:
    plain_git(tmp_path)("init", "-q")
    with pytest.raises(UsageError, match="no commit yet") as raised:
        Repository.open(tmp_path, state)
    assert "git commit" in raised.value.next_step


def test_a_bare_repository_and_gits_own_folder_are_refused(
    top: Path, git: Git, state: Path, tmp_path: Path
) -> None:
    git("clone", "-q", "--bare", str(top), str(tmp_path / "bare"))
    with pytest.raises(UsageError, match="bare repository"):
        Repository.open(tmp_path / "bare", state)
    with pytest.raises(UsageError, match="git's own folder"):
        Repository.open(top / ".git" / "refs", state)


def test_a_detached_head_has_no_branch(git: Git, top: Path, state: Path) -> None:
    git("checkout", "-q", "--detach")
    assert Repository.open(top, state).head_branch is None


def test_a_submodules_checkout_is_a_repository_of_its_own(
    top: Path, git: Git, state: Path, tmp_path: Path
) -> None:
    git("clone", "-q", str(top), str(tmp_path / "inner"))
    git(
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(tmp_path / "inner"),
        "vendor/inner",
    )
    inner = Repository.open(top / "vendor" / "inner", state)
    assert inner.top == top / "vendor" / "inner"
    branch = inner.create_branch(edited(inner), inner.head, "x", "r1", "m\n")
    assert plain_git(inner.top)("rev-parse", branch.name) == branch.commit


# Resolving and history


def test_refs_of_every_form_resolve(repo: Repository, git: Git) -> None:
    head = repo.head
    git("tag", "-a", "v1", "-m", "v1")
    git("branch", "feature/slow")
    for ref in ("HEAD", "main", "refs/heads/main", "v1", head, head[:10], "feature/slow"):
        assert repo.resolve(ref) == head
    assert repo.resolve("main~1") == git("rev-parse", "HEAD~1")


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "--all",
        "-x",
        "--git-dir=/x",
        "a\nb",
        "no-such",
        "HEAD:README",
        "HEAD^{tree}",
        "main..v1",
        "x" * 2000,
    ],
)
def test_a_ref_that_is_no_commit_is_refused(repo: Repository, ref: str) -> None:
    with pytest.raises(UsageError, match="no such branch or commit"):
        repo.resolve(ref)


def test_a_misspelled_branch_gets_a_suggestion(repo: Repository, git: Git) -> None:
    git("branch", "feature/slow-users")
    with pytest.raises(UsageError) as raised:
        repo.resolve("feature/slow-user")
    assert raised.value.next_step == "did you mean feature/slow-users?"


def test_history_is_read(repo: Repository, git: Git) -> None:
    base, head = git("rev-parse", "HEAD~1"), repo.head
    git("checkout", "-q", "-b", "side", base)
    git("commit", "-q", "--allow-empty", "-m", "side")
    side = git("rev-parse", "HEAD")
    git("merge", "-q", "-m", "both", head)
    merge = git("rev-parse", "HEAD")
    assert repo.merge_base(side, head) == base
    assert repo.parents(merge) == (side, head)
    assert repo.parents(base) == ()
    assert repo.message(head) == "second: ünïcode\n"
    assert repo.tree_of(head) == git("rev-parse", f"{head}^{{tree}}")
    git("checkout", "-q", "--orphan", "island")
    git("commit", "-q", "--allow-empty", "-m", "island")
    assert repo.merge_base(git("rev-parse", "HEAD"), head) is None
    with pytest.raises(UsageError, match="objects are missing"):
        repo.parents("1" * 40)


def test_a_message_in_another_encoding_is_read(repo: Repository, git: Git) -> None:
    git(
        "-c",
        "i18n.commitEncoding=ISO-8859-1",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        os.fsdecode("größe".encode("latin-1")),
    )
    assert repo.message(git("rev-parse", "HEAD")) == "größe\n"


def test_a_shallow_clone_works_and_says_what_it_lacks(
    top: Path, git: Git, state: Path, tmp_path: Path
) -> None:
    git("clone", "-q", "--depth=1", f"file://{top}", str(tmp_path / "shallow"))
    shallow = Repository.open(tmp_path / "shallow", state)
    assert shallow.parents(shallow.head) == ()
    with pytest.raises(UsageError) as raised:
        shallow.resolve("HEAD~1")
    assert "git fetch --unshallow" in raised.value.next_step
    branch = shallow.create_branch(edited(shallow), shallow.head, "x", "r1", "m\n")
    assert plain_git(tmp_path / "shallow")("show", f"{branch.commit}:app/Models/User.php") == "<?php"
    plain_git(tmp_path / "shallow")("fetch", "-q", "--unshallow")
    assert len(Repository.open(tmp_path / "shallow", state).parents(shallow.head)) == 1


def test_a_borrowing_clone_works(top: Path, git: Git, state: Path, tmp_path: Path) -> None:
    git("clone", "-q", "--shared", str(top), str(tmp_path / "shared"))
    shared = Repository.open(tmp_path / "shared", state)
    assert shared.create_branch(edited(shared), shared.head, "x", "r1", "m\n").commit


def test_a_partial_clone_works_for_what_it_holds(top: Path, git: Git, state: Path, tmp_path: Path) -> None:
    (top / "README").write_text("third\n")
    git("commit", "-qam", "third")
    git("config", "uploadpack.allowFilter", "true")
    git("clone", "-q", "--filter=blob:none", f"file://{top}", str(tmp_path / "partial"))
    with Repository.open(tmp_path / "partial", state) as partial:
        branch = partial.create_branch(edited(partial), partial.head, "x", "r1", "m\n")
        assert plain_git(tmp_path / "partial")("show", f"{branch.commit}:app/Models/User.php") == "<?php"
        with pytest.raises(UsageError, match="objects of the commit are missing") as raised:
            partial.import_commits(partial.resolve("HEAD~1"))
    assert "partial" in raised.value.what


# The dirty warning


def test_a_clean_checkout_is_clean_and_each_kind_of_change_is_seen(
    repo: Repository, top: Path, git: Git
) -> None:
    assert not repo.is_dirty()
    os.utime(top / "README")
    assert not repo.is_dirty(), "a new time alone is no change"
    (top / "new.txt").write_text("x")
    assert repo.is_dirty()
    (top / ".git" / "info").mkdir(exist_ok=True)
    (top / ".git" / "info" / "exclude").write_text("new.txt\n")
    assert not repo.is_dirty()
    (top / "README").write_text("changed\n")
    assert repo.is_dirty()
    git("add", "README")
    (top / "README").write_text("second\n")
    assert repo.is_dirty(), "staged only"


def test_line_endings_of_the_checkout_are_no_change(top: Path, git: Git, state: Path) -> None:
    git("config", "core.autocrlf", "true")
    (top / "README").unlink()
    git("checkout", "-q", "README")
    assert (top / "README").read_bytes() == b"second\r\n"
    os.utime(top / "README", (1, 1))
    assert not Repository.open(top, state).is_dirty()


# Import and trees


def test_an_imported_tree_is_read_back(repo: Repository, top: Path, git: Git) -> None:
    (top / "link").symlink_to("README")
    (top / "a b\n\u00e9").write_bytes(b"\0\xff")
    git("add", "-A")
    git("commit", "-qm", "odd")
    head = repo.resolve("HEAD")
    repo.import_commits(head, repo.head)
    tree = repo.tree(head)
    assert tree.id == git("rev-parse", "HEAD^{tree}")
    assert set(tree.paths()) == {"README", "a b\n\u00e9", "app/Models/User.php", "artisan", "link"}
    assert tree.read("a b\n\u00e9") == b"\0\xff"
    assert tree.read("nothing") is None
    assert (tree.mode("artisan"), tree.mode("link"), tree.mode("nothing")) == ("100755", "120000", None)
    files = {entry.path: data for entry, data in tree.files()}
    assert files == {path: tree.read(path) for path in tree.paths()}
    assert all(entry.size == len(files[entry.path]) for entry in tree.entries())


def test_streaming_may_stop_early(repo: Repository) -> None:
    repo.import_commits(repo.head)
    entry, data = next(iter(repo.tree(repo.head).files()))
    assert (entry.path, data) == ("README", b"second\n")


def test_what_was_imported_outlives_the_users_repository(repo: Repository, git: Git, top: Path) -> None:
    git("commit", "-q", "--allow-empty", "-m", "gone soon")
    gone = repo.resolve("HEAD")
    (top / "x").write_text("only there")
    git("add", "-A")
    git("commit", "-q", "--amend", "-m", "gone soon")
    gone = repo.resolve("HEAD")
    repo.import_commits(gone)
    git("reset", "-q", "--hard", "HEAD~1")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    with pytest.raises(UsageError):
        repo.resolve(gone)
    assert repo.tree(gone).read("x") == b"only there"
    repo.import_commits(gone)


def test_locks_that_a_killed_import_left_are_no_obstacle(repo: Repository) -> None:
    refs = repo.store.private / "refs" / "bedev" / "commits"
    refs.mkdir(parents=True)
    (refs / f"{repo.head}.lock").write_text("")
    (repo.store.private / "shallow.lock").write_text("")
    repo.import_commits(repo.head)
    assert repo.tree(repo.head).read("README") == b"second\n"


def test_a_tree_that_was_not_imported_is_named(repo: Repository) -> None:
    with pytest.raises(UsageError, match="not in the private store"):
        repo.tree(repo.head)


def test_old_harmless_faults_of_commits_do_not_stop_an_import(repo: Repository, git: Git, top: Path) -> None:
    raw = (
        f"tree {git('rev-parse', 'HEAD^{tree}')}\nauthor U<u@x> 1 +0000\ncommitter U <u@x> 1 +051800\n\nold\n"
    )
    path = top.parent / "commit"
    path.write_text(raw)
    old = git("hash-object", "-t", "commit", "-w", "--literally", str(path))
    repo.import_commits(old)
    assert repo.tree(old).read("README") == b"second\n"


# Comparing and editing


def test_changes_name_each_kind(repo: Repository, git: Git, top: Path) -> None:
    base = repo.head
    (top / "README").chmod(0o755)
    (top / "artisan").unlink()
    (top / "app" / "Models" / "User.php").write_text("<?php\n")
    (top / "new").write_text("")
    git("add", "-A")
    git("commit", "-qm", "all")
    head = repo.resolve("HEAD")
    repo.import_commits(base, head)
    changes = {change.path: change for change in repo.changes(base, head)}
    assert {path: change.kind for path, change in changes.items()} == {
        "README": "mode",
        "artisan": "deleted",
        "app/Models/User.php": "modified",
        "new": "added",
    }
    assert changes["artisan"].new_oid == ""
    assert changes["new"] == Change("new", "added", "", "100644", "", git("rev-parse", "HEAD:new"))
    assert repo.changes(base, base) == ()


def test_a_diff_is_text_for_people_and_applies_again(repo: Repository) -> None:
    tree = edited(repo)
    text = repo.diff(repo.head, tree)
    assert "--- a/app/Models/User.php" in text
    assert "-class User" in text
    assert repo.apply_patch(repo.head, text.encode()) == tree
    binary = repo.write_tree(repo.head, {"logo": b"\0\1\2"})
    assert "Binary files /dev/null and b/logo differ" in repo.diff(repo.head, binary)


def test_writing_a_tree_writes_deletes_and_keeps_the_rest(repo: Repository) -> None:
    repo.import_commits(repo.head)
    tree = repo.tree(
        repo.write_tree(repo.head, {"artisan": b"x", "README": None, "a/b/c": b"", "\u00e9": b"1"})
    )
    assert set(tree.paths()) == {"artisan", "a/b/c", "\u00e9", "app/Models/User.php"}
    assert tree.mode("artisan") == "100755"
    assert repo.write_tree(repo.head, {}) == repo.tree(repo.head).id
    replaced = repo.write_tree(repo.head, {"app/Models/User.php": None, "app": b"a file now"})
    assert repo.tree(replaced).read("app") == b"a file now"


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"nothing": None}, "is not there"),
        ({"app": b"x"}, "is a folder"),
        ({"README/x": b"x"}, "which is no folder"),
        ({"readme": b"x"}, "only in case"),
        ({"x": b"1", "X": b"2"}, "only in case"),
        ({"x": b"1", "x/y": b"2"}, "which is no folder"),
    ],
)
def test_an_edit_that_cannot_be_is_refused(
    repo: Repository, edits: dict[str, bytes | None], said: str
) -> None:
    repo.import_commits(repo.head)
    with pytest.raises(UsageError, match=said):
        repo.write_tree(repo.head, edits)


def test_a_rename_of_case_only_is_possible(repo: Repository) -> None:
    repo.import_commits(repo.head)
    tree = repo.write_tree(repo.head, {"README": None, "Readme": b"second\n"})
    assert "Readme" in repo.tree(tree).paths()


def test_a_patch_that_does_not_fit_names_file_and_line(repo: Repository) -> None:
    repo.import_commits(repo.head)
    patch = b"--- a/README\n+++ b/README\n@@ -1,1 +1,1 @@\n-other\n+x\n"
    with pytest.raises(UsageError, match="the hunk at line 1 of 'README' does not fit"):
        repo.apply_patch(repo.head, patch)
    with pytest.raises(UsageError, match="damaged or empty"):
        repo.apply_patch(repo.head, b"--- a/README\n+++ b/README\n@@ -1,9 +1,9 @@\n-second\n+x\n")


# The branch


def test_a_branch_is_the_tree_on_base_under_the_users_name(
    repo: Repository, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work.inc").write_text("[user]\n\temail = at-work@example.org\n")
    (tmp_path / "gitconfig").write_text(
        f"[user]\n\tname = Ada <L>\n\temail = ada@example.org\n"
        f'[includeIf "gitdir:{repo.top}/"]\n\tpath = work.inc\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    tree = edited(repo)
    branch = repo.create_branch(tree, repo.head, "Slow users query", "r1", "Faster\n\nBecause.\n")
    assert branch.name == "bedev/slow-users-query-r1"
    assert git("log", "-1", "--format=%T|%P|%an|%ae|%cn|%B", branch.name).rstrip() == (
        f"{tree}|{repo.head}|Ada L|at-work@example.org|Ada L|Faster\n\nBecause."
    )
    git("config", "user.email", "here@example.org")
    assert publish.identity(repo.store).email == "here@example.org"
    assert git("reflog", branch.name).count("\n") == 0
    git("fsck", "--strict")


def test_without_a_name_anywhere_the_branch_is_bedevs(
    repo: Repository, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    branch = repo.create_branch(edited(repo), repo.head, "x", "r1", "m\n")
    assert git("log", "-1", "--format=%an <%ae>", branch.name) == "bedev <bedev@localhost>"


def test_the_same_branch_twice_is_one_and_another_one_is_refused(repo: Repository) -> None:
    tree = edited(repo)
    first = repo.create_branch(tree, repo.head, "x", "r1", "m\n")
    assert repo.create_branch(tree, repo.head, "x", "r1", "m\n") == first
    other = repo.write_tree(repo.head, {"README": b"other\n"})
    with pytest.raises(UsageError, match="holds something else"):
        repo.create_branch(other, repo.head, "x", "r1", "m\n")


def test_a_branch_on_bedevs_own_branch_works(repo: Repository) -> None:
    first = repo.create_branch(edited(repo), repo.head, "x", "r1", "m\n")
    repo.import_commits(first.commit)
    tree = repo.write_tree(first.commit, {"README": b"more\n"})
    second = repo.create_branch(tree, first.commit, "x", "r2", "m\n")
    assert repo.parents(second.commit) == (first.commit,)


def test_a_worktree_gets_its_branch_in_the_common_repository(
    top: Path, git: Git, state: Path, tmp_path: Path
) -> None:
    git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    with Repository.open(tmp_path / "tree", state) as tree:
        branch = tree.create_branch(edited(tree), tree.head, "x", "r1", "m\n")
    assert git("rev-parse", branch.name) == branch.commit


def test_a_checkout_in_the_middle_of_something_is_no_obstacle(repo: Repository, top: Path) -> None:
    (top / ".git" / "index.lock").write_text("")
    (top / ".git" / "MERGE_HEAD").write_text(repo.head + "\n")
    assert not repo.is_dirty()
    assert repo.create_branch(edited(repo), repo.head, "x", "r1", "m\n").commit
    assert (top / ".git" / "index.lock").read_text() == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_repository_that_cannot_be_written_is_named(repo: Repository, top: Path) -> None:
    tree = edited(repo)
    (top / ".git" / "objects").chmod(0o500)
    with pytest.raises(EnvironmentUnusable, match="could not be written"):
        repo.create_branch(tree, repo.head, "x", "r1", "m\n")


def test_a_locked_ref_is_named(repo: Repository, top: Path) -> None:
    tree = edited(repo)
    folder = top / ".git" / "refs" / "heads" / "bedev"
    folder.mkdir()
    (folder / "x-r1.lock").write_text("")
    with pytest.raises(EnvironmentUnusable, match="could not be written") as raised:
        repo.create_branch(tree, repo.head, "x", "r1", "m\n")
    assert "x-r1.lock" in raised.value.detail


# Notes


def test_a_note_is_read_by_git_and_replaced_alone(repo: Repository, git: Git) -> None:
    first, second = git("rev-parse", "HEAD~1"), repo.head
    assert repo.read_note(first) is None
    repo.write_note(first, b"one\n")
    repo.write_note(second, b"two\n")
    repo.write_note(first, b"one again\n")
    repo.write_note(first, b"one again\n")
    assert git("notes", "--ref=bedev", "show", first) == "one again"
    assert (repo.read_note(first), repo.read_note(second)) == (b"one again\n", b"two\n")
    assert git("rev-list", "--count", "refs/notes/bedev") == "3"
    git("notes", "--ref=bedev", "add", "-f", "-m", "by hand", second)
    assert repo.read_note(second) == b"by hand\n"


@pytest.mark.parametrize("depth", [1, 2])
def test_notes_that_git_fanned_out_are_found_and_kept(
    repo: Repository, git: Git, top: Path, depth: int
) -> None:
    def fan(oid: str) -> str:
        return "/".join([*(oid[2 * at : 2 * at + 2] for at in range(depth)), oid[2 * depth :]])

    others = [f"{number:02x}" + "ab" * 19 for number in range(40)]
    stream = b"commit refs/notes/bedev\ncommitter U <u@example.org> 1700000000 +0000\ndata 1\nx\n"
    for oid in [*others, repo.head]:
        stream += f"M 100644 inline {fan(oid)}\ndata 4\nold\n\n".encode()
    subprocess.run(["git", "-C", str(top), "fast-import", "--quiet"], input=stream, check=True)
    assert repo.read_note(repo.head) == b"old\n"
    repo.write_note(repo.head, b"new\n")
    repo.write_note(git("rev-parse", "HEAD~1"), b"first\n")
    listed = git("ls-tree", "-r", "--name-only", "refs/notes/bedev").splitlines()
    parent = git("rev-parse", "HEAD~1")
    assert sorted(listed) == sorted(fan(oid) for oid in [*others, repo.head, parent])
    assert git("notes", "--ref=bedev", "show", "HEAD") == "new"
    assert git("notes", "--ref=bedev", "show", "HEAD~1") == "first"


def test_notes_written_at_the_same_time_are_all_kept(top: Path, git: Git, state: Path) -> None:
    commits = [git("commit-tree", "-m", str(number), "HEAD^{tree}") for number in range(4)]

    def write(commit: str) -> None:
        with Repository.open(top, state) as repo:
            repo.write_note(commit, commit.encode())

    threads = [threading.Thread(target=write, args=(commit,)) for commit in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Repository.open(top, state) as repo:
        assert [repo.read_note(commit) for commit in commits] == [commit.encode() for commit in commits]


# Crashes


BRANCHER = """
import sys
from pathlib import Path
from bedev.agent.repository import Repository
with Repository.open(Path(sys.argv[1]), Path(sys.argv[2])) as repo:
    base = repo.resolve("main")
    repo.import_commits(base)
    tree = repo.write_tree(base, {"README": b"patched"})
    branch = repo.create_branch(tree, base, "x", "r1", "m\\n")
    repo.write_note(branch.commit, b"proof")
    print(branch.name, branch.commit)
"""


@pytest.mark.parametrize(
    "name", [name for name in FAILPOINTS if name.startswith(("branch.", "note.", "publish."))]
)
def test_killed_anywhere_and_run_again_it_leaves_exactly_one_branch(
    top: Path, git: Git, state: Path, name: str
) -> None:
    def go(failpoint: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "BEDEV_FAILPOINT": failpoint}
        return subprocess.run(
            [sys.executable, "-c", BRANCHER, top, state], env=env, capture_output=True, text=True, timeout=60
        )

    assert go(f"{name}:kill").returncode == -signal.SIGKILL, "the failpoint was not reached"
    done = go("")
    assert done.returncode == 0, done.stderr
    branch = Branch(*done.stdout.split())
    assert git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads/bedev").split() == [
        branch.name,
        branch.commit,
    ]
    assert git("notes", "--ref=bedev", "show", branch.commit) == "proof"
    git("fsck", "--connectivity-only", "--no-dangling")


# Cost


def test_looking_at_a_repository_does_not_import_gitpython() -> None:
    code = "import sys, bedev.agent.repository; print('git' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
