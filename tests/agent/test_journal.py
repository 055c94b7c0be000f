"""The journal keeps what it acknowledged: through crashes, full disks and damage."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bedev.agent.failpoints import FAILPOINTS
from bedev.agent.journal import Journal, RunLock, list_runs
from bedev.agent.redaction import HIDDEN, Redactor
from bedev.agent.runlock import running
from bedev.sandboxes.errors import Paused, UsageError
from hypothesis import given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def run(code: str, *args: object, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, which a failpoint may kill."""
    env = {**os.environ, "BEDEV_FAILPOINT": failpoint}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], env=env, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "r1"


def test_records_are_read_back_in_order_with_all_their_fields(folder: Path) -> None:
    with Journal.create(folder, "r1") as journal:
        returned = journal.append(
            "turn", text="naïve \n \u2028 \ud800", number=3, deep={"a": [1, None, True]}
        )
    with Journal.open(folder) as journal:
        first, second = journal.records()
    assert (first.seq, first.kind, first.fields["run"]) == (0, "created", "r1")
    assert second == returned
    assert second.fields["text"] == "naïve \n \u2028 \ud800"
    assert second.fields["deep"] == {"a": [1, None, True]}


@settings(max_examples=40, deadline=None)
@given(values=st.lists(JSON, max_size=4))
def test_any_json_value_survives(tmp_path_factory: pytest.TempPathFactory, values: list[object]) -> None:
    folder = tmp_path_factory.mktemp("journal") / "r"
    with Journal.create(folder, "r", redact=str) as journal:
        for value in values:
            journal.append("value", value=value)
    with Journal.open(folder) as journal:
        assert [record.fields["value"] for record in journal.records()[1:]] == values


def test_the_frame_is_what_the_format_says(folder: Path) -> None:
    Journal.create(folder, "r1").close()
    line = (folder / "journal").read_bytes()
    magic, length, _crc, body = line.split(b" ", 3)
    assert (magic, int(length, 16)) == (b"BJ1", len(body) - 1)
    assert json.loads(body)["v"] == 1
    assert line.isascii()


def test_folder_and_files_are_private(folder: Path) -> None:
    with Journal.create(folder, "r1") as journal:
        blob = journal.put_blob(b"payload")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (folder / "journal", folder / "blobs" / blob[:2] / blob):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_prefix_of_a_journal_opens_with_the_whole_records_before_the_cut(folder: Path) -> None:
    with Journal.create(folder, "r1") as journal:
        for number in range(3):
            journal.append("n", number=number)
    data = (folder / "journal").read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        (folder / "journal").write_bytes(data[:cut])
        with Journal.open(folder) as journal:
            assert len(journal.records()) == sum(end <= cut for end in ends), cut
            journal.append("after", cut=cut)
        with Journal.open(folder) as journal:
            assert journal.records()[-1].fields["cut"] == cut


def test_a_torn_record_is_saved_before_it_is_cut_off(folder: Path) -> None:
    Journal.create(folder, "r1").close()
    with (folder / "journal").open("ab") as file:
        file.write(b"BJ1 000000ff 12345678 {torn")
    Journal.open(folder).close()
    (saved,) = folder.glob("journal.torn.*")
    assert saved.read_bytes() == b"BJ1 000000ff 12345678 {torn"


def test_reading_only_leaves_a_record_alone_that_is_being_written(folder: Path) -> None:
    Journal.create(folder, "r1").close()
    with (folder / "journal").open("ab") as file:
        file.write(b"BJ1 0000")
    before = (folder / "journal").read_bytes()
    with Journal.open(folder, read_only=True) as journal:
        assert len(journal.records()) == 1
    assert (folder / "journal").read_bytes() == before


def test_a_flipped_bit_before_an_intact_record_is_refused_and_kept(folder: Path) -> None:
    with Journal.create(folder, "r1") as journal:
        journal.append("a", x=1)
        journal.append("b", x=2)
    data = bytearray((folder / "journal").read_bytes())
    for at in range(data.rindex(b"BJ1 ")):
        damaged = data.copy()
        damaged[at] ^= 1
        (folder / "journal").write_bytes(damaged)
        with pytest.raises(UsageError, match="damaged at byte"):
            Journal.open(folder)
        assert (folder / "journal").read_bytes() == damaged


def test_a_missing_record_in_the_middle_is_refused(folder: Path) -> None:
    with Journal.create(folder, "r1") as journal:
        journal.append("a")
        journal.append("b")
    lines = (folder / "journal").read_bytes().splitlines(keepends=True)
    (folder / "journal").write_bytes(lines[0] + lines[2])
    with pytest.raises(UsageError, match="damaged"):
        Journal.open(folder)


def test_a_journal_of_a_newer_version_is_refused(folder: Path) -> None:
    from bedev.agent import journal as module

    Journal.create(folder, "r1").close()
    with (folder / "journal").open("ab") as file:
        file.write(module._frame({"v": 2, "seq": 1, "at": "", "kind": "x"}))
    with pytest.raises(UsageError, match="another version"):
        Journal.open(folder)


def test_creating_a_run_twice_is_refused(folder: Path) -> None:
    Journal.create(folder, "r1").close()
    with pytest.raises(UsageError, match="exists already"):
        Journal.create(folder, "r1")


def test_a_link_or_fifo_as_journal_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        Journal.open(folder)
    (folder / "journal").unlink()
    os.mkfifo(folder / "journal")
    with pytest.raises(UsageError, match="no regular file"):
        Journal.open(folder, read_only=True)


def test_reserved_names_and_values_that_are_no_json_are_refused(folder: Path) -> None:
    with Journal.create(folder, "r1") as journal:
        with pytest.raises(ValueError, match="reserved"):
            journal.append("x", seq=1)
        for bad in (b"bytes", object(), float("nan")):
            with pytest.raises(ValueError, match=r"JSON"):
                journal.append("x", value=bad)
        assert len(journal.records()) == 1


WRITER = """
import sys
from pathlib import Path
from bedev.agent.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
for number in range(3):
    blob = journal.put_blob(b"payload %d" % number)
    record = journal.append("n", number=number, blob=blob)
    print(record.seq, flush=True)
"""


def _journal_failpoints() -> list[str]:
    return [name for name in FAILPOINTS if name.startswith(("journal.", "blob."))]


@pytest.mark.parametrize("name", _journal_failpoints())
def test_after_a_kill_at_any_point_what_was_acknowledged_is_there(folder: Path, name: str) -> None:
    Journal.create(folder, "r1").close()
    done = run(WRITER, folder, failpoint=f"{name}:kill")
    assert done.returncode == -signal.SIGKILL, "the failpoint was not reached"
    with Journal.open(folder) as journal:
        known = {record.seq for record in journal.records()}
        assert known >= set(map(int, done.stdout.split()))
        for record in journal.records()[1:]:
            assert journal.get_blob(record.fields["blob"]).startswith(b"payload")
    done = run(WRITER, folder)
    assert done.returncode == 0, done.stderr
    with Journal.open(folder) as journal:
        assert [record.seq for record in journal.records()] == list(range(len(journal.records())))


@pytest.mark.parametrize("action", ["enospc", "eio"])
@pytest.mark.parametrize("name", _journal_failpoints())
def test_a_full_or_failing_disk_pauses_and_leaves_a_journal_that_opens(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, action: str
) -> None:
    with Journal.create(folder, "r1") as journal:
        before = journal.records()
        monkeypatch.setenv("BEDEV_FAILPOINT", f"{name}:{action}")
        with pytest.raises(Paused, match="disk refused"):
            journal.append("n", blob=journal.put_blob(b"payload"))
        monkeypatch.delenv("BEDEV_FAILPOINT")
        if name.startswith("journal."):
            with pytest.raises(Paused, match="takes no more records"):
                journal.append("again")
    with Journal.open(folder) as journal:
        assert journal.records() == before
        assert not list(folder.glob("journal.torn.*"))
        journal.append("on")


def test_an_interrupt_between_two_writes_leaves_no_half_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bedev.agent import journal as module

    def interrupt(name: str) -> None:
        if name == "journal.half_written":
            raise KeyboardInterrupt

    with Journal.create(folder, "r1") as journal:
        monkeypatch.setattr(module, "failpoint", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.append("lost")
        monkeypatch.undo()
        journal.append("kept")
    with Journal.open(folder) as journal:
        assert [record.kind for record in journal.records()] == ["created", "kept"]


def test_blobs_are_named_by_their_hash_and_checked(folder: Path) -> None:
    with Journal.create(folder, "r1") as journal:
        blob = journal.put_blob(b"x" * 100_000)
        assert journal.put_blob(b"x" * 100_000) == blob
        assert journal.get_blob(blob) == b"x" * 100_000
        (folder / "blobs" / blob[:2] / blob).write_bytes(b"y")
        with pytest.raises(UsageError, match="damaged"):
            journal.get_blob(blob)
        with pytest.raises(UsageError, match="missing"):
            journal.get_blob("0" * 64)
        with pytest.raises(UsageError, match="no payload id"):
            journal.get_blob("../../etc/passwd")


def test_secrets_do_not_reach_the_file_by_any_field_or_encoding(folder: Path) -> None:
    secret = "hunter2-Correct+Horse/9"
    import base64
    import urllib.parse

    hidden = [
        secret,
        secret[::-1],
        urllib.parse.quote(secret, safe=""),
        secret.encode().hex(),
        *(base64.b64encode(b"abc"[:pad] + secret.encode() + b"tail").decode() for pad in range(3)),
    ]
    shapes = ["sk-ant-CANARY-0123456789abcdef", "AKIAABCDEFGHIJKLMNOP", "postgres://app:pa55w0rd@db/x"]
    shapes.append("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----")
    with Journal.create(folder, "r1", redact=Redactor([secret])) as journal:
        for text in hidden + shapes:
            journal.append("out", text=text, deep=[{"k": text, text: 1}])
    data = (folder / "journal").read_bytes()
    canaries = [
        secret,
        secret[::-1],
        secret.encode().hex(),
        "Horse%2F9",
        "CANARY",
        "ABCDEFGH",
        "pa55w0rd",
        "MIIE",
    ]
    assert [word for word in canaries if word.encode() in data] == []
    for pad in range(3):
        middle = base64.b64encode(b"abc"[:pad] + secret.encode()).decode()[4:-4]
        assert middle.encode() not in data
    assert data.count(HIDDEN.encode()) >= 3 * len(hidden + shapes)


def test_ordinary_text_is_not_redacted() -> None:
    text = "SELECT * FROM users WHERE email = ? -- https://example.org/a:b@c task sk-ip"
    assert Redactor(["short", "another-secret"])(text) == text


def test_a_second_run_is_refused_with_pid_and_time(tmp_path: Path) -> None:
    with RunLock(tmp_path, "r1"):
        code = (
            "import sys; from pathlib import Path; from bedev.agent.journal import RunLock\n"
            "try: RunLock(Path(sys.argv[1])).acquire()\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        said = run(code, tmp_path).stdout
        assert "UsageError" in said
        assert f"pid {os.getpid()}, run r1, since 20" in said
    with RunLock(tmp_path):
        pass


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from bedev.agent.journal import RunLock\n"
        "RunLock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    assert run(code, tmp_path).returncode == -signal.SIGKILL
    with RunLock(tmp_path):
        pass


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(Exception, match="lock file cannot be used"):
        RunLock(tmp_path).acquire()
    assert target.read_text() == "precious"


def test_runs_are_listed_newest_first_with_what_became_of_them(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "r1", "r1") as journal:
        journal.append("started", task="slow users", base="a" * 40, repo="/x")
        journal.append("finished", outcome="verified", branch="bedev/slow-users-r1", commit="b" * 40)
    with Journal.create(tmp_path / "r2", "r2") as journal:
        journal.append("started", task="slow orders", base="a" * 40, repo="/x")
    with Journal.create(tmp_path / "r3", "r3") as journal:
        journal.append("started", task="x")
    path = tmp_path / "r3" / "journal"
    path.write_bytes(path.read_bytes().replace(b"created", b"CREATED"))
    (tmp_path / "repo.git").mkdir()
    third, *rest = sorted(list_runs(tmp_path), key=lambda run: run.damaged is None)
    assert third.run == "r3"
    assert third.damaged is not None
    assert [(run.run, run.task, run.outcome, run.branch) for run in rest] == [
        ("r2", "slow orders", None, None),
        ("r1", "slow users", "verified", "bedev/slow-users-r1"),
    ]


GOING_ON = """
import sys
from pathlib import Path
from bedev.agent.journal import Journal, RunLock
state = Path(sys.argv[1])
with RunLock(state, "r1"), Journal.create(state / "r1", "r1") as journal:
    journal.append("started", task="slow users")
    print("started", flush=True)
    sys.stdin.read()
    journal.append("finished", outcome="verified")
"""


def test_a_run_that_was_killed_is_told_from_one_that_is_going_on(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "r0", "r0") as journal:
        journal.append("started", task="an older one")
    process = subprocess.Popen(
        [sys.executable, "-c", GOING_ON, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        states = {found.run: found.state for found in list_runs(tmp_path)}
        assert states == {"r0": "killed", "r1": "running"}
        assert running(tmp_path) == "r1"
    finally:
        process.kill()
        process.communicate()
    assert running(tmp_path) is None, "the lock file still names it"
    assert {found.run: found.state for found in list_runs(tmp_path)} == {"r0": "killed", "r1": "killed"}


def test_a_run_that_ended_is_finished_until_it_is_resumed(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "r1", "r1") as journal:
        journal.append("started", task="slow users")
        journal.append("finished", outcome="paused")
        assert [found.state for found in list_runs(tmp_path)] == ["finished"]
        journal.append("resumed")
    assert [found.state for found in list_runs(tmp_path)] == ["killed"]
    with RunLock(tmp_path, "r1"):
        assert [found.state for found in list_runs(tmp_path)] == ["running"]


def test_looking_who_has_the_lock_never_keeps_a_run_from_it(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        pass
    code = (
        "import sys; from pathlib import Path; from bedev.agent.runlock import running\n"
        "while True: running(Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    try:
        for _ in range(100):
            with RunLock(tmp_path):
                pass
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
