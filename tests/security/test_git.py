"""Git's share of the faults that bedev withstands, by their numbers (docs: security).

Each test plants a harmless canary, drives everything that bedev does with a repository, and asserts that
the canary is silent and the checkout is byte-identical; a control shows that the canary can fire.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import stat
import subprocess
import sys
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from bedev.agent.git import command, messages, names, publish
from bedev.agent.repository import Branch, Limits, Repository
from bedev.sandboxes.errors import BedevError, UsageError
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = re.compile(r"(logs/)?refs/(heads/bedev(/|-|$)|notes(/bedev)?$)|objects/[0-9a-f]{2}(/|$)")
HOOKS = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
]


@dataclass
class Project:
    """A repository on the disk with a marker script that an attack would run."""

    top: Path
    state: Path
    marker: Path
    script: Path

    def git(self, *args: str, stdin: bytes | None = None, check: bool = True) -> str:
        """Plain git, as a user would run it."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": "U", f"GIT_{role}_EMAIL": "u@example.org"}
        done = subprocess.run(["git", "-C", str(self.top), *args], input=stdin, capture_output=True, env=env)
        assert not check or done.returncode == 0, done.stderr.decode()
        return os.fsdecode(done.stdout).strip()

    def open(self, **options: Limits) -> Repository:
        return Repository.open(self.top, self.state, **options)

    def fired(self) -> bool:
        found = self.marker.exists()
        self.marker.unlink(missing_ok=True)
        return found

    def commit_all(self, message: str = "more") -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def object(self, kind: str, data: bytes) -> str:
        """Writes an object that git itself would refuse to make."""
        raw = f"{kind} {len(data)}\0".encode() + data
        oid = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
        path = self.top / ".git" / "objects" / oid[:2] / oid[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(raw))
        return oid

    def commit_of(self, *entries: tuple[str, bytes, str]) -> str:
        """A commit whose tree has exactly these entries: mode, name, oid."""
        tree = b"".join(m.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for m, name, oid in entries)
        who = b"U <u@example.org> 1700000000 +0000"
        data = b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (self.object("tree", tree).encode(), who, who)
        return self.object("commit", data)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    top = tmp_path / "repo"
    marker, script = tmp_path / "HOST_CANARY", tmp_path / "marker.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\n')
    script.chmod(0o755)
    top.mkdir()
    made = Project(top, tmp_path / "state", marker, script)
    made.git("init", "-q", "-b", "main")
    (top / "app").mkdir()
    (top / "app" / "User.php").write_text("<?php\n\nclass User\n{\n}\n")
    (top / "README").write_text("readme\n")
    made.commit_all("base")
    (top / "README").write_text("staged\n")
    made.git("add", "README")
    made.git("stash")
    (top / "app" / "User.php").write_text("<?php\n\nclass User\n{\n    // the user's own work\n}\n")
    (top / "README").write_text("staged\n")
    made.git("add", "README")
    return made


def digest(project: Project, *, allowed: re.Pattern[str] = ALLOWED) -> dict[str, tuple[object, ...]]:
    """Everything in the checkout and its .git, but the one branch, the notes and new objects."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(project.top):
        for name in folders + files:
            path = Path(folder, name)
            relative = path.relative_to(project.top).as_posix()
            info = path.lstat()
            inside = relative.removeprefix(".git/") if relative.startswith(".git/") else ""
            if inside and allowed.match(inside):
                continue
            if stat.S_ISDIR(info.st_mode):
                found[relative] = (info.st_mode, () if inside or relative == ".git" else info.st_mtime_ns)
            else:
                data = os.readlink(path) if path.is_symlink() else path.read_bytes()
                found[relative] = (info.st_mode, info.st_mtime_ns, info.st_ino, data)
    # Folders for logs of notes may come; nothing else in logs may.
    return {k: v for k, v in found.items() if k not in (".git/logs/refs/notes", ".git/refs/notes")}


PATCH = b"""--- a/app/User.php
+++ b/app/User.php
@@ -1,5 +1,5 @@
 <?php
 
-class User
+final class User
 {
 }
"""


def everything(project: Project, run: str = "r1") -> Branch:
    """All that bedev does with a repository, once."""
    with project.open() as repo:
        repo.is_dirty()
        base = repo.resolve("HEAD")
        assert repo.merge_base(base, repo.head) == base
        repo.parents(base)
        repo.message(base)
        repo.tree_of(base)
        repo.import_commits(base)
        tree = repo.tree(base)
        assert {entry.path: data for entry, data in tree.files()}["app/User.php"]
        assert tree.read("app/User.php") == b"<?php\n\nclass User\n{\n}\n"
        patched = repo.apply_patch(base, PATCH)
        edited = repo.write_tree(base, {"app/User.php": tree.read("app/User.php"), "new.txt": b"new\n"})
        repo.diff(base, patched)
        assert {change.path for change in repo.changes(base, edited)} == {"new.txt"}
        branch = repo.create_branch(patched, base, "slow users", run, "bedev: faster\n")
        repo.write_note(branch.commit, b'{"verdict":"verified"}\n')
        assert repo.read_note(branch.commit) == b'{"verdict":"verified"}\n'
    return branch


def stays_silent(project: Project) -> Branch:
    """Drives everything; the marker is silent and the checkout unchanged."""
    before = digest(project)
    branch = everything(project)
    assert not project.fired()
    assert digest(project) == before
    assert project.git("rev-parse", f"refs/heads/{branch.name}") == branch.commit
    return branch


def test_s01_no_hook_runs(project: Project) -> None:
    for name in HOOKS:
        hook = project.top / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\n{project.script} {name}\n")
        hook.chmod(0o755)
    stays_silent(project)
    # The same through a folder that the configuration names.
    (project.top / ".git" / "hooks").rename(project.top / ".git" / "elsewhere")
    project.git("config", "core.hooksPath", ".git/elsewhere")
    before = digest(project)
    everything(project, "r2")
    assert not project.fired()
    assert digest(project) == before
    project.git("update-ref", "refs/heads/control", "HEAD")
    assert project.fired(), "control: git itself runs the hooks"


def test_s01_a_hook_defined_in_the_configuration_is_switched_off_by_name(project: Project) -> None:
    # Hooks in the configuration came with git 2.54; with an older one this shows what is passed to it.
    project.git("config", "hook.evil.event", "reference-transaction")
    project.git("config", "hook.evil.command", str(project.script))
    with project.open() as repo:
        assert publish._configured_hooks_off(repo.store) == ["hook.evil.enabled=false"]
    assert "hook.reference-transaction.enabled=false" in command._CONFIG
    stays_silent(project)


@pytest.mark.parametrize("through", ["config", "include", "worktree"])
def test_s02_no_file_system_monitor_runs(project: Project, through: str) -> None:
    if through == "config":
        project.git("config", "core.fsmonitor", str(project.script))
    elif through == "include":
        (project.top / "evil.inc").write_text(f"[core]\n\tfsmonitor = {project.script}\n")
        project.git("config", "include.path", str(project.top / "evil.inc"))
    else:
        project.git("config", "extensions.worktreeConfig", "true")
        project.git("config", "--worktree", "core.fsmonitor", str(project.script))
    stays_silent(project)
    project.git("status")
    assert project.fired(), "control"


@pytest.mark.parametrize("where", [".gitattributes", ".git/info/attributes"])
def test_s03_no_filter_runs(project: Project, where: str) -> None:
    path = project.top / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("* filter=evil diff=evil merge=evil\n")
    if where == ".gitattributes":
        project.git("add", where)
        project.git("commit", "-qm", "attributes", "--", where)
    for kind in ("clean", "smudge", "process"):
        project.git("config", f"filter.evil.{kind}", str(project.script))
    project.git("config", "filter.evil.required", "true")
    os.utime(project.top / "README")
    stays_silent(project)
    project.git("add", "app/User.php", check=False)
    assert project.fired(), "control"


def test_s04_no_diff_or_merge_driver_runs(project: Project) -> None:
    (project.top / ".git" / "info").mkdir(exist_ok=True)
    (project.top / ".git" / "info" / "attributes").write_text("* diff=evil merge=evil\n")
    for key in (
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "merge.evil.driver",
        "core.pager",
    ):
        project.git("config", key, str(project.script))
    stays_silent(project)
    project.git("diff", check=False)
    assert project.fired(), "control"


def test_s05_no_transport_credential_or_signing_program_runs(project: Project) -> None:
    other = project.top.parent / "other"
    project.git("clone", "-q", "--bare", str(project.top), str(other))
    project.git("remote", "add", "origin", str(other))
    project.git("config", "remote.origin.uploadpack", str(project.script))
    project.git("config", f"url.ext::{project.script} .insteadOf", str(project.state))
    for key in ("core.sshCommand", "credential.helper", "gpg.program", "uploadpack.packObjectsHook"):
        project.git("config", key, str(project.script))
    for key in ("commit.gpgSign", "tag.gpgSign", "log.showSignature"):
        project.git("config", key, "true")
    stays_silent(project)
    project.git("fetch", "origin", check=False)
    assert project.fired(), "control: uploadpack"
    project.git("commit", "-qm", "x", "--allow-empty", check=False)
    assert project.fired(), "control: gpg.program"


def test_s06_a_missing_object_is_named_and_never_fetched(project: Project) -> None:
    blob = project.git("rev-parse", "HEAD:README")
    (project.top / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": f"ext::{project.script}",
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": str(project.script),
        "protocol.ext.allow": "always",
    }.items():
        project.git("config", key, value)
    before = digest(project)
    with project.open() as repo:
        repo.is_dirty()
        with pytest.raises(UsageError, match="objects of the commit are missing") as raised:
            repo.import_commits(repo.head)
    assert "git fetch" in raised.value.next_step
    assert not project.fired()
    assert digest(project) == before
    project.git("cat-file", "-p", blob, check=False)
    assert project.fired(), "control: git fetches lazily"


def test_s06_a_git_without_the_lazy_fetch_switch_is_stopped_by_the_protocol_list(project: Project) -> None:
    commit = project.git("rev-parse", "HEAD")
    (project.top / ".git" / "objects" / commit[:2] / commit[2:]).unlink()
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", "extensions.partialClone", "origin")
    project.git("config", "remote.origin.url", str(project.top))
    project.git("config", "remote.origin.promisor", "true")
    project.git("config", "remote.origin.uploadpack", str(project.script))
    args = ["rev-parse", "--verify", "HEAD^{commit}"]
    old: dict[str, str | None] = {"GIT_NO_LAZY_FETCH": None}
    command.run(args, git_dir=project.top / ".git", env=old, check=False)
    assert not project.fired()
    allowed = old | {"GIT_ALLOW_PROTOCOL": "file"}
    command.run(args, git_dir=project.top / ".git", env=allowed, check=False)
    assert project.fired(), "control: with the file protocol allowed it runs"


def test_s07_a_work_tree_elsewhere_is_not_touched(project: Project) -> None:
    victim = project.top.parent / "victim"
    victim.mkdir()
    (victim / "README").write_text("precious")
    project.git("config", "core.worktree", str(victim))
    with project.open() as repo:
        assert repo.top == project.top
        assert repo.is_dirty(), "the checkout's own files are looked at"
    everything(project)
    assert [(p.name, p.read_text()) for p in victim.iterdir()] == [("README", "precious")]
    assert "README" in project.git("diff", "--name-only"), "control: git itself obeys it"


def test_s08_a_git_file_that_leads_elsewhere_is_refused(project: Project, tmp_path: Path) -> None:
    victim = tmp_path / "lured"
    victim.mkdir()
    (victim / ".git").write_text(f"gitdir: {project.top}/.git\n")
    with pytest.raises(UsageError, match="does not know this checkout"):
        Repository.open(victim, project.state)
    control = subprocess.run(["git", "-C", str(victim), "rev-parse", "HEAD"], capture_output=True)
    assert control.returncode == 0, "control: git obeys it"
    (victim / ".git").unlink()
    (victim / ".git").symlink_to(project.top / ".git")
    with pytest.raises(UsageError, match="symbolic link"):
        Repository.open(victim, project.state)


def test_s08_a_copied_worktree_file_does_not_open_the_real_worktree(project: Project, tmp_path: Path) -> None:
    project.git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    (tmp_path / "thief").mkdir()
    (tmp_path / "thief" / ".git").write_bytes((tmp_path / "tree" / ".git").read_bytes())
    with pytest.raises(UsageError, match="does not know this checkout"):
        Repository.open(tmp_path / "thief", project.state)


def test_s09_an_embedded_bare_repository_is_refused_and_runs_nothing(project: Project) -> None:
    inner = project.top / "app" / "inner"
    project.git("init", "-q", "--bare", str(inner))
    with (inner / "config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = {project.script}\n\tbare = false\n\tworktree = .\n")
    with pytest.raises(UsageError, match="bare repository"):
        Repository.open(inner, project.state)
    stays_silent(project)
    subprocess.run(["git", "-C", str(inner), "status"], capture_output=True)
    assert project.fired(), "control: git uses it"


def test_s10_submodules_pass_through_and_run_nothing(project: Project) -> None:
    inner = project.top / "vendor"
    project.git("init", "-q", str(inner))
    (inner / "x").write_text("x")
    inner_project = Project(inner, project.state, project.marker, project.script)
    tip = inner_project.commit_all()
    inner_project.git("config", "core.fsmonitor", str(project.script))
    modules = '[submodule "vendor"]\n\tpath = vendor\n\turl = https://example.org/v\n'
    modules += f"\tupdate = !{project.script}\n"
    (project.top / ".gitmodules").write_text(modules)
    project.git("update-index", "--add", "--cacheinfo", f"160000,{tip},vendor")
    project.git("config", "submodule.vendor.update", f"!{project.script}")
    project.git("config", "submodule.vendor.url", "https://example.org/v")
    project.git("commit", "-qm", "submodule", "--", "vendor")
    project.fired()
    branch = stays_silent(project)
    assert project.git("rev-parse", f"{branch.commit}:vendor") == tip
    with project.open() as repo:
        tree = repo.tree(branch.commit)
        assert tree.mode("vendor") == "160000"
        assert tree.read("vendor") is None
    project.git("config", "--unset", "submodule.vendor.update")
    project.git("rm", "-q", "--cached", ".gitmodules", check=False)
    (project.top / ".gitmodules").write_text(modules.replace(f"!{project.script}", "checkout"))
    project.git("status")
    assert project.fired(), "control: git status enters the submodule"


def read(repo: Repository, commit: str) -> tuple[str, ...]:
    repo.import_commits(commit)
    return repo.tree(commit).paths()


HOSTILE_NAMES = [
    b".git",
    b".GIT",
    b".Git",
    b"git~1",
    b"GIT~2",
    b".git ",
    b".git.",
    b".git::$INDEX_ALLOCATION",
    ".g\u200cit".encode(),
    ".git\ufeff".encode(),
    b"..",
    b".",
    b"a\\..\\b",
    b".git\\hooks",
    b"C:x",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
@pytest.mark.parametrize("nested", [False, True])
def test_s11_a_hostile_entry_is_refused(project: Project, name: bytes, nested: bool) -> None:
    blob = project.object("blob", b"x")
    entry = ("100644", name, blob)
    if nested:
        inner = project.object("tree", b"100644 " + name + b"\0" + bytes.fromhex(blob))
        entry = ("40000", b"d", inner)
    commit = project.commit_of(entry)
    if nested and name == b"C:x":
        return  # a drive only means something at the start
    with project.open() as repo, pytest.raises(UsageError):
        read(repo, commit)


def test_s11_a_hostile_entry_is_refused_by_a_comparison_too(project: Project) -> None:
    blob = project.object("blob", b"x")
    commit = project.commit_of(("100644", b"a\\..\\b", blob))
    with project.open() as repo:
        repo.import_commits(commit, repo.head)
        with pytest.raises(UsageError, match="backslash"):
            repo.changes(repo.head, commit)
        assert [change.kind for change in repo.changes(commit, repo.head) if "\\" in change.path] == [
            "deleted"
        ]


def test_s11_control_ordinary_names_pass(project: Project) -> None:
    blob = project.object("blob", b"x")
    ordinary = [b".gitignore", b"a b", b"gitlab", "\u00e9".encode(), b"\xff\xfe", b"line\nbreak"]
    commit = project.commit_of(*(("100644", name, blob) for name in sorted(ordinary)))
    with project.open() as repo:
        repo.import_commits(commit)
        assert {os.fsencode(path) for path in repo.tree(commit).paths()} == set(ordinary)


def test_s11_names_that_differ_only_in_case_are_refused(project: Project) -> None:
    blob = project.object("blob", b"x")
    for first, second in ((b"User.php", b"user.php"), ("\u00c9".encode(), "e\u0301".encode())):
        commit = project.commit_of(*(("100644", name, blob) for name in sorted((first, second))))
        with project.open() as repo, pytest.raises(UsageError, match="only in case"):
            read(repo, commit)


LINK_PATCH = """diff --git a/{name} b/{name}
new file mode 120000
--- /dev/null
+++ b/{name}
@@ -0,0 +1 @@
+{target}
\\ No newline at end of file
"""


def test_s12_links_are_data_and_new_ones_stay_inside(project: Project) -> None:
    (project.top / "passwd").symlink_to("/etc/passwd")
    project.git("add", "passwd")
    project.git("commit", "-qm", "link", "--", "passwd")
    with project.open() as repo:
        repo.import_commits(repo.head)
        assert repo.tree(repo.head).mode("passwd") == "120000"
        assert repo.tree(repo.head).read("passwd") == b"/etc/passwd"
        with pytest.raises(UsageError, match="symbolic link"):
            repo.write_tree(repo.head, {"passwd": b"x"})
        for name, target in (("l", "/etc/passwd"), ("d/l", "../../x"), ("l", ".."), ("l", ".git/config")):
            with pytest.raises(UsageError):
                repo.apply_patch(repo.head, LINK_PATCH.format(name=name, target=target).encode())
        inside = repo.apply_patch(repo.head, LINK_PATCH.format(name="d/l", target="../README").encode())
        assert repo.tree(inside).read("d/l") == b"../README"


def test_s13_a_hard_linked_file_is_never_written(project: Project) -> None:
    outside = project.top.parent / "outside.txt"
    outside.write_text("precious\n")
    (project.top / "linked.txt").hardlink_to(outside)
    stays_silent(project)
    assert outside.read_text() == "precious\n"
    (project.top / "linked.txt").write_text("through")
    assert outside.read_text() == "through", "control: writing the checkout's file would have reached it"


@pytest.mark.parametrize(
    "part", ["refs/heads/bedev", "refs/heads", "objects/aa", "objects/pack", "logs", "HEAD"]
)
def test_s14_a_link_inside_the_git_folder_is_refused(project: Project, part: str) -> None:
    outside = project.top.parent / "outside"
    path = project.top / ".git" / part
    if path.exists():
        path.rename(outside)
    else:
        outside.mkdir()
    path.symlink_to(outside)
    with pytest.raises(UsageError, match="symbolic link"):
        project.open()


def test_s14_a_link_planted_during_the_run_is_refused_before_writing(project: Project) -> None:
    outside = project.top.parent / "outside"
    outside.mkdir()
    with project.open() as repo:
        repo.import_commits(repo.head)
        tree = repo.apply_patch(repo.head, PATCH)
        (project.top / ".git" / "refs" / "heads" / "bedev").symlink_to(outside)
        with pytest.raises(UsageError, match="symbolic link"):
            repo.create_branch(tree, repo.head, "x", "r1", "m\n")
    assert list(outside.iterdir()) == []
    project.git("update-ref", "refs/heads/bedev/control", "HEAD")
    assert [path.name for path in outside.iterdir()] == ["control"], "control: git writes through it"


def test_s15_a_planted_symbolic_ref_does_not_move_the_branch_behind_it(project: Project) -> None:
    main = project.git("rev-parse", "main")
    project.git("symbolic-ref", "refs/heads/bedev/slow-users-r1", "refs/heads/main")
    with pytest.raises(BedevError):
        everything(project)
    assert project.git("rev-parse", "main") == main
    project.git("symbolic-ref", "refs/heads/bedev/slow-users-r2", "refs/heads/not-yet")
    branch = everything(project, "r2")
    assert "not-yet" not in project.git("for-each-ref")
    assert project.git("rev-parse", "bedev/slow-users-r2") == branch.commit
    assert project.git("symbolic-ref", "-q", "refs/heads/bedev/slow-users-r2", check=False) == ""
    project.git("symbolic-ref", "refs/heads/bedev/control", "refs/heads/not-yet")
    project.git("update-ref", "refs/heads/bedev/control", "HEAD")
    assert "refs/heads/not-yet" in project.git("for-each-ref"), "control: without --no-deref it is written"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-x", "x"),
        ("HEAD", "head"),
        ("@{-1}", "1"),
        ("$(id)`id`", "id-id"),
        ("a\nb\0c", "a-b-c"),
        ("x.lock", "x-lock"),
        ("../../main", "main"),
        ("Größe der Übersicht", "grosse-der-ubersicht"),
        ("☃", "task"),
        ("", "task"),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_s16_a_branch_name_is_the_hosts(project: Project, text: str, expected: str) -> None:
    assert messages.slug(text) == expected
    with project.open() as repo:
        repo.import_commits(repo.head)
        branch = repo.create_branch(repo.apply_patch(repo.head, PATCH), repo.head, text, "r1", "m\n")
        assert branch.name == f"bedev/{expected}-r1"
        for run_id in ("", "../x", "-r", "a b", "R1", "x.lock"):
            with pytest.raises(UsageError, match="run id"):
                repo.create_branch(repo.apply_patch(repo.head, PATCH), repo.head, "x", run_id, "m\n")


@pytest.mark.parametrize("existing", ["bedev", "Bedev", "BEDEV/x"])
def test_s17_a_branch_in_the_way_gives_another_name(project: Project, existing: str) -> None:
    project.git("branch", existing)
    before = digest(project)
    assert everything(project).name == "bedev-slow-users-r1"
    assert digest(project) == before


def test_s18_a_commit_message_carries_nothing_of_a_models_but_prose() -> None:
    subject = "-m \x1b[31mFaster\x1b[0m\0 [skip ci]\nusers Fixes #12"
    body = (
        "Adds an index.\u202e \x1b]52;c;aGk=\x07done\r\n"
        "Closes: #7 and resolves https://example.org/i/9, thanks @team\n\n"
        "Signed-off-by: Linus <l@example.org>\nCo-authored-by: A <a@example.org>\n"
        "skip-checks: true\n***NO_CI***"
    )
    message = messages.commit_message(subject, body, [("Bedev-Proof", "sha256:ab\ncd")])
    assert message == (
        "m Faster (skip ci] users Fixes issue no. 12\n\n"
        "Adds an index. done\n"
        "Closes - issue no. 7 and resolves issue https://example.org/i/9, thanks (at)team\n\n"
        "Signed-off-by - Linus <l@example.org>\nCo-authored-by - A <a@example.org>\n"
        "skip-checks - true\n(NO_CI***\n\n"
        "Bedev-Proof: sha256:ab cd\n"
    )


def test_s18_git_sees_only_the_hosts_trailers(project: Project) -> None:
    body = "why\n\nSigned-off-by: Linus <l@example.org>\nReviewed-by: B <b@example.org>"
    with project.open() as repo:
        repo.import_commits(repo.head)
        tree = repo.apply_patch(repo.head, PATCH)
        host = messages.commit_message("-F /etc/passwd", body, [("Bedev-Run", "r1")])
        clean = repo.create_branch(tree, repo.head, "x", "r1", host)
        naive = repo.create_branch(tree, repo.head, "x", "r2", "s\n\n" + body + "\n")
    read = ("log", "-1", "--format=%(trailers)")
    assert project.git(*read, clean.commit) == "Bedev-Run: r1"
    assert "Linus" in project.git(*read, naive.commit), "control"


def test_s19_a_tree_larger_than_the_limits_is_refused_before_it_is_copied(project: Project) -> None:
    lines = [b"commit refs/heads/huge\ncommitter U <u@example.org> 1700000000 +0000\ndata 1\nx\n"]
    lines += [b"M 100644 inline d/%d\ndata 3\nabc\n" % number for number in range(3000)]
    project.git("fast-import", "--quiet", stdin=b"".join(lines))
    huge = project.git("rev-parse", "huge")
    for limits in (Limits(files=2999), Limits(bytes=8999)):
        with project.open(limits=limits) as repo:
            repo.import_commits(repo.head)
            with pytest.raises(UsageError, match=r"3,000 entries|printed more than"):
                repo.import_commits(huge)
            assert not repo.store.holds(huge)
    with project.open(limits=Limits(files=3000, bytes=9000)) as repo:
        repo.import_commits(huge)
        assert len(repo.tree(huge).paths()) == 3000


def test_s19_a_tree_that_unfolds_without_end_is_refused(project: Project) -> None:
    inner = project.object("blob", b"x")
    mode = b"100644"
    for _ in range(12):
        names_ = [b"%s d%d\0%s" % (mode, number, bytes.fromhex(inner)) for number in range(10)]
        inner, mode = project.object("tree", b"".join(names_)), b"40000"
    bomb = project.commit_of(("40000", b"d", inner))
    with project.open(limits=Limits(files=10_000)) as repo, pytest.raises(UsageError):
        repo.import_commits(bomb)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_s19_objects_borrowed_from_another_user_are_refused(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    project.git("clone", "-q", "--bare", str(project.top), str(other))
    listing = project.top / ".git" / "objects" / "info" / "alternates"
    listing.write_text(f"{other}/objects\n")
    project.open().close()
    os.chown(other / "objects", 12345, 12345)
    with pytest.raises(UsageError, match="another user"):
        project.open()


def test_s19_missing_and_endless_alternates_end_in_a_clear_message(project: Project) -> None:
    listing = project.top / ".git" / "objects" / "info" / "alternates"
    listing.write_text("../../.git/objects\n")
    project.open().close()
    listing.write_text("/nowhere/objects\n")
    with pytest.raises(UsageError, match="not there"):
        project.open()
    listing.unlink()
    os.mkfifo(listing)
    with pytest.raises(UsageError, match="no small regular file"):
        project.open()


@pytest.mark.parametrize("point", ["publish.objects_written", "publish.ref_written"])
def test_s20_objects_that_gc_takes_away_are_written_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    swept: list[str] = []

    def gc(name: str) -> None:
        if name == point and not swept:
            swept.append(name)
            # With the ref written gc would keep the objects: what is lost then was lost before.
            if point == "publish.ref_written":
                ref = project.top / ".git" / "refs" / "heads" / "bedev" / "x-r1"
                value = ref.read_text()
                ref.unlink()
                project.git("reflog", "expire", "--expire=now", "--all")
                project.git("prune", "--expire=now")
                ref.write_text(value)
            else:
                project.git("prune", "--expire=now")

    monkeypatch.setattr(publish, "failpoint", gc)
    with project.open() as repo:
        repo.import_commits(repo.head)
        branch = repo.create_branch(repo.apply_patch(repo.head, PATCH), repo.head, "x", "r1", "m\n")
    assert swept == [point]
    project.git("fsck", "--connectivity-only", "--no-dangling")
    assert "final class" in project.git("show", f"{branch.commit}:app/User.php")


def test_s21_replace_refs_and_grafts_are_not_followed(project: Project) -> None:
    real = project.git("rev-parse", "HEAD")
    fake = project.commit_of(("100644", b"README", project.object("blob", b"fake")))
    project.git("replace", real, fake)
    (project.top / ".git" / "info").mkdir(exist_ok=True)
    (project.top / ".git" / "info" / "grafts").write_text(f"{real} {fake}\n")
    stays_silent(project)
    with project.open() as repo:
        assert repo.tree(real).read("README") == b"readme\n"
        assert repo.parents(real) == ()
    assert project.git("show", "HEAD:README") == "fake", "control: git shows the other content"


def test_s21_a_commit_graph_that_lies_is_not_believed(project: Project) -> None:
    second = project.git("commit-tree", "-p", "HEAD", "-m", "2", "HEAD^{tree}")
    project.git("update-ref", "refs/heads/two", second)
    project.git("commit-graph", "write", "--reachable")
    graph = project.top / ".git" / "objects" / "info" / "commit-graph"
    data = bytearray(graph.read_bytes())
    offset = int.from_bytes(data[8 + 24 + 4 : 8 + 24 + 12], "big")  # the chunk after OIDF and OIDL: CDAT
    order = sorted([project.git("rev-parse", "HEAD"), project.git("rev-parse", "stash"), second])
    listed = project.git("rev-list", "--all").split()
    order = sorted(listed)
    at = offset + 36 * order.index(second) + 20
    assert data[at : at + 4] == order.index(project.git("rev-parse", "HEAD")).to_bytes(4, "big")
    data[at : at + 4] = (0x70000000).to_bytes(4, "big")
    graph.chmod(0o644)
    graph.write_bytes(data)
    assert project.git("rev-list", "--parents", "-1", second) == second, "control: git believes the graph"
    with project.open() as repo:
        assert repo.parents(second) == (repo.head,)


@pytest.mark.parametrize(
    "content",
    [
        b"a\r\nb\r\n",
        b"a\nb\r\nc\r",
        b"\xef\xbb\xbfbom\n",
        b"no final newline",
        b"$Id$\n$Id: x $\n",
        "utf16 \u00e4\n".encode("utf-16"),
        b"\xe4\xf6\xfc latin\n",
        b"\0\1\2",
        b"",
    ],
    ids=ascii,
)
def test_s22_bytes_are_never_converted(project: Project, content: bytes) -> None:
    project.git("config", "core.autocrlf", "true")
    project.git("config", "core.eol", "crlf")
    (project.top / ".git" / "info").mkdir(exist_ok=True)
    (project.top / ".git" / "info" / "attributes").write_text(
        "* text=auto ident working-tree-encoding=UTF-16\n"
    )
    blob = project.object("blob", content)
    attributes = project.object("blob", b"* text=auto eol=crlf ident\n")
    commit = project.commit_of(("100644", b".gitattributes", attributes), ("100644", b"file", blob))
    with project.open() as repo:
        repo.import_commits(commit)
        tree = repo.tree(commit)
        assert tree.read("file") == content
        assert {entry.path: data for entry, data in tree.files()}["file"] == content
        after = repo.write_tree(commit, {"other": content})
        assert {change.path for change in repo.changes(commit, after)} == {"other"}
        assert repo.tree(after).read("other") == content
        assert repo.tree(after).entry("other").oid == blob  # type: ignore[union-attr]


def test_s23_only_the_git_folder_runs_git_and_gitpython_sees_the_private_store_only() -> None:
    importers, starters = set(), set()
    for folder in ("agent", "tools", "sandboxes"):
        for path in (ROOT / folder).rglob("*.py"):
            relative = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                if any(module.split(".")[0] in ("git", "gitdb") for module in modules):
                    importers.add(relative)
                if isinstance(node, ast.List | ast.Tuple) and node.elts:
                    first = node.elts[0]
                    if isinstance(first, ast.Constant) and first.value in ("git", "/usr/bin/git"):
                        starters.add(relative)
    assert importers == {"agent/git/store.py"}
    # A ("git", ...) in other words, such as a list of packages to install, is looked at by people.
    assert not {path for path in starters if path.startswith("agent/")} - {"agent/git/command.py"}
    store = (ROOT / "agent" / "git" / "store.py").read_text()
    assert re.findall(r"git\.Repo\(([^,)]*)", store) == ["self.private"]


def test_s23_the_users_environment_does_not_lead_git_elsewhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    project.git("init", "-q", str(other))
    for name, value in {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / "index"),
        "GIT_OBJECT_DIRECTORY": str(other / ".git" / "objects"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": str(project.script),
        "GIT_EXTERNAL_DIFF": str(project.script),
        "GIT_PAGER": str(project.script),
        "GIT_SSH_COMMAND": str(project.script),
    }.items():
        monkeypatch.setenv(name, value)
    before = sorted(path.name for path in other.rglob("*"))
    stays_silent(project)
    assert sorted(path.name for path in other.rglob("*")) == before


def test_s23_a_git_that_the_repository_brings_does_not_run(project: Project) -> None:
    for name in ("git", "ps", "pgrep"):
        (project.top / name).write_text(
            f'#!/bin/sh\necho {name} >> {project.marker}\nexec /usr/bin/{name} "$@"\n'
        )
        (project.top / name).chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from bedev.agent.repository import Repository\n"
        "repo = Repository.open(Path('.'), Path(sys.argv[1])); repo.import_commits(repo.head)\n"
        "repo.is_dirty()\n"
        "assert repo.tree(repo.head).read('README') == b'readme\\n'; repo.close()"
    )
    env = {**os.environ, "PATH": f".:{project.top}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.state)],
        cwd=project.top,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not project.fired()
    control = [sys.executable, "-c", "import git"]
    subprocess.run(control, cwd=project.top, env=env, check=True)
    assert project.fired(), "control: GitPython by itself runs it at import"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_s24_a_repository_of_another_user_needs_the_users_word(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.chown(project.top, 12345, 12345)
    os.chown(project.top / ".git", 12345, 12345)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    with pytest.raises(UsageError, match="belongs to another user") as raised:
        project.open()
    assert raised.value.next_step.endswith(f"git config --global --add safe.directory {project.top}")
    with (project.top / ".git" / "config").open("a") as file:
        file.write("[safe]\n\tdirectory = *\n")
    with pytest.raises(UsageError, match="belongs to another user"):
        project.open()
    (home / ".gitconfig").write_text(f"[safe]\n\tdirectory = {project.top}\n")
    assert project.open().head


def test_s24_a_sha256_repository_works_whole(tmp_path: Path, project: Project) -> None:
    top = tmp_path / "sha256"
    top.mkdir()
    other = Project(top, project.state, project.marker, project.script)
    other.git("init", "-q", "-b", "main", "--object-format=sha256")
    (top / "app").mkdir()
    (top / "app" / "User.php").write_text("<?php\n\nclass User\n{\n}\n")
    assert len(other.commit_all()) == 64
    branch = stays_silent(other)
    assert other.git("notes", "--ref=bedev", "show", branch.commit) == '{"verdict":"verified"}'


def test_s24_a_format_that_this_git_does_not_know_is_refused_clearly(project: Project) -> None:
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", "extensions.refStorage", "some-future-format")
    with pytest.raises(UsageError, match="git cannot open the repository") as raised:
        project.open()
    assert "newer git" in raised.value.next_step


# B. Patches and edits

BAD_PATHS = [
    "../x",
    "/etc/x",
    "C:\\x",
    "C:/x",
    "a/./b",
    "a//b",
    "a/../b",
    "nul\0byte",
    "",
    "a/",
    ".",
    ".git/hooks/pre-commit",
    ".GIT/config",
    "d/.git/config",
    "d/.GiT/hooks/x",
    "git~1/x",
    ".g\u200cit/config",
    "d\\..\\x",
    "\ud800",
    "x" * 300,
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_s25_s26_an_edit_at_a_bad_path_is_refused(project: Project, path: str) -> None:
    with project.open() as repo:
        repo.import_commits(repo.head)
        with pytest.raises(UsageError):
            repo.write_tree(repo.head, {path: b"x"})


# git reads "a//b" as "a/b", an empty name as no patch at all, and any bytes but NUL are a name on Linux.
BAD_FOR_EDITS_ONLY = ("", "a/", "a/./b", "a//b", "\ud800")


def new_file(path: str) -> bytes:
    return f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n".encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("path", [path for path in BAD_PATHS if path not in BAD_FOR_EDITS_ONLY], ids=ascii)
def test_s25_s26_a_patch_at_a_bad_path_is_refused(project: Project, path: str) -> None:
    before = digest(project)
    with project.open() as repo:
        repo.import_commits(repo.head)
        with pytest.raises(UsageError):
            repo.apply_patch(repo.head, new_file(path))
    assert digest(project) == before
    assert not (project.top.parent / "x").exists()


def test_s25_control_the_same_patch_at_a_good_path_applies(project: Project) -> None:
    with project.open() as repo:
        repo.import_commits(repo.head)
        tree = repo.apply_patch(repo.head, new_file("fine/x"))
        assert repo.tree(tree).read("fine/x") == b"x\n"


def test_s27_nothing_is_written_through_a_link(project: Project) -> None:
    (project.top / "out").symlink_to("/tmp")
    project.git("add", "out")
    project.git("commit", "-qm", "link", "--", "out")
    with project.open() as repo:
        repo.import_commits(repo.head)
        with pytest.raises(UsageError, match="no folder"):
            repo.write_tree(repo.head, {"out/x": b"x"})
        with pytest.raises(UsageError):
            repo.apply_patch(repo.head, new_file("out/x"))
        both = (
            LINK_PATCH.format(name="l", target="app").encode() + b"diff --git a/l/x b/l/x\n" + new_file("l/x")
        )
        with pytest.raises(UsageError):
            repo.apply_patch(repo.head, both)


def test_s28_modes_are_gits_two_and_a_change_is_listed(project: Project) -> None:
    def mode(new: str) -> bytes:
        return f"diff --git a/README b/README\nold mode 100644\nnew mode {new}\n".encode()

    with project.open() as repo:
        repo.import_commits(repo.head)
        for given in ("100755", "104755", "100777"):
            tree = repo.apply_patch(repo.head, mode(given))
            assert repo.tree(tree).mode("README") == "100755"
            (change,) = repo.changes(repo.head, tree)
            assert (change.path, change.kind, change.new_mode) == ("README", "mode", "100755")
        for given in ("160000", "020666", "040000", "999999"):
            try:
                tree = repo.apply_patch(repo.head, mode(given))
            except UsageError:
                continue
            assert repo.tree(tree).mode("README") in ("100644", "100755")
        edited = repo.write_tree(repo.apply_patch(repo.head, mode("100755")), {"README": b"x"})
        assert repo.tree(edited).mode("README") == "100755", "an edit keeps the mode"
    link = b"diff --git a/sub b/sub\nnew file mode 160000\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n"
    link += b"+Subproject commit "
    with project.open() as repo, pytest.raises(UsageError, match="submodule"):
        repo.apply_patch(repo.head, link + repo.head.encode() + b"\n")


def test_s30_large_and_binary_patches_are_refused_quickly(project: Project) -> None:
    with project.open() as repo:
        repo.import_commits(repo.head)
        with pytest.raises(UsageError, match="the patch holds"):
            repo.apply_patch(repo.head, b"x" * (21 * 1024**2))
        with pytest.raises(UsageError, match="binary"):
            repo.apply_patch(
                repo.head,
                b"diff --git a/x b/x\nnew file mode 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n",
            )
        with pytest.raises(UsageError, match="too large"):
            repo.write_tree(repo.head, {f"f{number}": b"" for number in range(10_001)})
        with pytest.raises(UsageError, match="too large"):
            repo.write_tree(repo.head, {"min.js": b"x" * (51 * 1024**2)})


def test_s31_a_rename_out_of_the_tree_is_refused(project: Project) -> None:
    patch = (
        b"diff --git a/README b/../README\nsimilarity index 100%\nrename from README\nrename to ../README\n"
    )
    with project.open() as repo:
        repo.import_commits(repo.head)
        with pytest.raises(UsageError):
            repo.apply_patch(repo.head, patch)
        inside = repo.apply_patch(repo.head, patch.replace(b"../README", b"d/README"))
        assert {change.kind for change in repo.changes(repo.head, inside)} == {"added", "deleted"}


def test_s31_an_empty_change_and_a_deletion_of_everything_leave_no_branch(project: Project) -> None:
    with project.open() as repo:
        repo.import_commits(repo.head)
        with pytest.raises(UsageError, match="nothing to commit"):
            repo.create_branch(repo.tree_of(repo.head), repo.head, "x", "r1", "m\n")
        empty = repo.write_tree(repo.head, dict.fromkeys(repo.tree(repo.head).paths()))
        with pytest.raises(UsageError, match="delete everything"):
            repo.create_branch(empty, repo.head, "x", "r1", "m\n")
        for patch in (b"", b"\n", b"hello\n"):
            with pytest.raises(UsageError, match="damaged or empty"):
                repo.apply_patch(repo.head, patch)
    assert "bedev" not in project.git("for-each-ref")


def test_s32_the_commit_is_the_tree_that_was_verified_whatever_happens_to_the_files(project: Project) -> None:
    stop = threading.Event()

    def edit() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (project.top / "app" / "User.php").write_text(f"<?php // {number}\n")

    with project.open() as repo:
        repo.import_commits(repo.head)
        tree = repo.apply_patch(repo.head, PATCH)
        thread = threading.Thread(target=edit)
        thread.start()
        try:
            branch = repo.create_branch(tree, repo.head, "x", "r1", "m\n")
        finally:
            stop.set()
            thread.join()
    assert project.git("rev-parse", f"{branch.commit}^{{tree}}") == tree


def test_s34_any_text_as_a_path_is_judged_and_never_crashes() -> None:
    @given(path=st.text() | st.text(alphabet="/.git~1 :\\\0\u200cA"))
    def judged(path: str) -> None:
        names.folded(path)
        assert names.shown(path).isprintable()
        if names.fault(path) is None:
            parts = path.split("/")
            assert "" not in parts
            assert ".." not in parts
            assert ".git" not in [part.lower().rstrip(" .") for part in parts]

    judged()
    assert names.fault("app/User.php") is None
    assert all(names.fault(path) for path in BAD_PATHS)
