"""The command line as scripts and people meet it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from bedev.agent import cli
from bedev.agent.commands import demo, gc, options, verify
from bedev.agent.gate.claims import NEEDS
from bedev.agent.gate.proof import Check, Proof
from bedev.agent.requests import FixRequest, RunResult, VerifyRequest, VerifyResult
from bedev.agent.runlock import RunLock
from bedev.sandboxes.errors import EnvironmentUnusable, Paused, UsageError

BEDEV = Path(sys.executable).with_name("bedev")
Runs = Callable[..., None]


def installed(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The installed console script, as a user's shell starts it."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "NO_COLOR": "1", **(env or {})}
    return subprocess.run(
        [BEDEV, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEDEV_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Puts functions of the test in the place of a run, which takes minutes and an engine."""

    def put(**functions: Callable[..., Any]) -> None:
        module = types.ModuleType("bedev.agent.run")
        for name, function in functions.items():
            setattr(module, name, function)
        monkeypatch.setitem(sys.modules, "bedev.agent.run", module)

    return put


def a_proof(verdict: Any = "verified") -> Proof:
    checks = (Check("less_work", "passed", "9 x less work"),)
    scenario = {"questions": [{"kind": "http", "text": "GET /a"}], "brought_by": "user"}
    return Proof("b" * 40, "c" * 40, "faster", scenario, {}, verdict, checks, "grown", {}, 1, "9 x less work")


def a_result(**changes: Any) -> RunResult:
    values: dict[str, Any] = {
        "run": "ab12",
        "outcome": "verified",
        "branch": "bedev/x-ab12",
        "commit": "d" * 40,
        "base": "b" * 40,
        "scenario": {},
        "proof": a_proof(),
        "usage": {"seconds": 3.5},
        "report": None,
    }
    return RunResult(**{**values, **changes})


# Starting


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bedev.agent.cli import run\nstatus = run(['--help']) or run(['models', '--help'])\n"
        "print(sorted({'anthropic', 'httpx2', 'docker', 'sqlglot', 'git', 'rich', 'jinja2',"
        " 'requests', 'msgspec'} & set(sys.modules)), status)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert found.stdout.splitlines()[-1] == "[] 0"


def test_help_takes_less_than_a_fifth_of_a_second_of_cpu(tmp_path: Path) -> None:
    def cpu() -> float:
        before = os.times()
        installed("--help", cwd=tmp_path)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(cpu() for _ in range(3)) < 0.2


@pytest.mark.parametrize("command", ["fix", "verify", "runs", "show", "gc", "doctor", "demo", "models"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: bedev {command}" in text
    for flag in [word for word in text.split() if word.startswith("--")]:
        assert flag.strip(",").islower()


def test_the_version_is_the_distributions(tmp_path: Path) -> None:
    assert installed("--version", cwd=tmp_path).stdout.startswith("bedev 0.")


def test_nothing_of_the_users_repository_is_imported(tmp_path: Path) -> None:
    trap = (
        "import pathlib; pathlib.Path(__file__).with_suffix('.ran').write_text('x'); raise SystemExit(99)\n"
    )
    for name in (
        "typer",
        "rich",
        "docker",
        "git",
        "sqlglot",
        "msgspec",
        "jinja2",
        "platformdirs",
    ):
        (tmp_path / f"{name}.py").write_text(trap)
    for name in ("agent", "tools", "sandboxes", "click"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(trap)
        (tmp_path / name / "errors.py").write_text(trap)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for path in (".", str(tmp_path), f"/nowhere:.:{tmp_path}"):
        env = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        assert installed("--help", cwd=tmp_path, env=env).returncode == 0
        assert installed("verify", "--rules", cwd=tmp_path, env=env).returncode == 0
        assert installed("runs", cwd=tmp_path, env=env).returncode == 2
        assert "fault" not in installed("doctor", cwd=tmp_path, env=env).stderr
    assert list(tmp_path.rglob("*.ran")) == []


def test_it_starts_as_a_module_too(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise SystemExit(99)\n")
    found = subprocess.run(
        [sys.executable, "-m", "bedev.agent.entry", "--version"], cwd=tmp_path, check=False,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    assert found.returncode == 0
    assert found.stdout.startswith("bedev ")


def test_a_folder_that_is_gone_is_no_traceback(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    found = subprocess.run(
        ["bash", "-c", f"cd {gone} && rmdir {gone} && {BEDEV} runs"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "Traceback" not in found.stderr


# What a run is asked


def test_fix_passes_on_what_the_flags_say(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[FixRequest] = []

    def fix(request: FixRequest, screen: object) -> RunResult:
        asked.append(request)
        return a_result()

    runs(fix=fix)
    (tmp_path / "ids.txt").write_bytes(b"1\n")
    flags = (
        "--repo shop --path api --base main~1 --http 'GET /a' --http /b --sql 'select 1' --as users:1 "
        "--header 'Accept: text/html' --with ids.txt --data 'php seed.php' --rows users=200k,orders=1M "
        "--seed 4 --engine mariadb --max-minutes 9 --allow-image php:8.3-cli"
    )
    status = cli.run(["fix", "slow users query", *shlex.split(flags)])
    assert status == 0
    request = asked[0]
    assert request.task == "slow users query"
    assert (request.repo, request.path, request.base) == (Path("shop"), "api", "main~1")
    assert request.scenario is not None
    assert [q.text for q in request.scenario.questions] == ["GET /a", "GET /b", "select 1"]
    assert request.scenario.as_user == "users:1"
    assert request.scenario.headers == (("Accept", "text/html"),)
    assert request.scenario.files == {"ids.txt": b"1\n"}
    assert request.scenario.data == "php seed.php"
    assert request.rows == {"users": 200_000, "orders": 1_000_000}
    assert (request.seed, request.engine, request.max_minutes) == (4, "mariadb", 9.0)
    assert request.allow_images == ("php:8.3-cli",)
    assert request.model == ""
    out = capsys.readouterr().out
    assert "VERIFIED" in out
    assert "branch   bedev/x-ab12" in out
    assert "bedev verify bedev/x-ab12 --repo shop" in out


def test_fix_without_a_scenario_leaves_finding_it_to_the_run(runs: Runs) -> None:
    asked: list[FixRequest] = []

    def fix(request: FixRequest, screen: object) -> RunResult:
        asked.append(request)
        return a_result(outcome="nothing_slow", branch=None, proof=None, exit_code=1)

    runs(fix=fix)
    assert cli.run(["fix", "slow", "--as", "users:1", "--header", "A: b"]) == 1
    assert asked[0].scenario is None
    assert asked[0].as_user == "users:1"
    assert asked[0].headers == (("A", "b"),)


def test_json_is_exactly_one_object_with_the_contracts_keys(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix(request: FixRequest, screen: Any) -> RunResult:
        screen.say("working \x1b[2J")
        return a_result(message="evil \x1b[2J\x7f\u202e")

    runs(fix=fix)
    assert cli.run(["fix", "slow", "--json"]) == 0
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert document["schema"] == "bedev.run/1"
    keys = {"schema", "run", "outcome", "branch", "commit", "base", "scenario", "proof", "usage", "report"}
    assert keys <= set(document)
    assert document["proof"]["schema"] == "bedev.proof/1"
    assert all(c == "\n" or " " <= c <= "~" for c in found.out)
    assert "working" in found.err


@pytest.mark.parametrize(("verdict", "code"), [("verified", 0), ("rejected", 1), ("unproven", 5)])
def test_verify_ends_with_the_verdicts_code(
    runs: Runs, verdict: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(request: VerifyRequest, screen: object) -> VerifyResult:
        assert request.ref == "topic"
        return VerifyResult(a_proof(verdict), code, "b" * 40, "d" * 40, "ab12")

    runs(verify=judge)
    assert cli.run(["verify", "topic", "--json", "--out", "markdown=proof.md"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["outcome"] == verdict
    assert document["report"] == "proof.md"
    assert "bedev verify topic" in (tmp_path / "proof.md").read_text()


def test_verify_wants_a_branch_or_a_patch_but_not_both(tmp_path: Path) -> None:
    (tmp_path / "p.diff").write_text("x")
    assert cli.run(["verify"]) == 2
    assert cli.run(["verify", "topic", "--patch", "p.diff"]) == 2


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fix", "x", "--http", "users"], "--http 'users' is not a request"),
        (["fix", "x", "--as", "me"], "TABLE:ID"),
        (["fix", "x", "--header", "me"], "Name: value"),
        (["fix", "x", "--rows", "users=many"], "no number of rows"),
        (["fix", "x", "--with", "nothing.txt"], "There is no file nothing.txt"),
        (["fix", "x", "--dump", "nothing.sql"], "There is no file nothing.sql"),
        (["fix", "x", "--sandbox", "none"], "no sandbox named 'none'"),
        (["fix", "x", "--max-minutes", "0"], "between 0 and 1440"),
        (["fix", " "], "The task is empty"),
        (["fix"], "Missing argument 'TASK'"),
        (["fix", "x", "--htp", "/a"], "No such option"),
        (["verfy"], "Did you mean 'verify'"),
        (["verify", "x", "--claim", "best"], "no claim 'best'"),
        (["verify", "x", "--out", "html=a"], "not in this version"),
        (["gc", "--older", "soon"], "is not an age"),
        (["runs"], "not"),
        (["show", "ab12"], "not"),
    ],
)
def test_wrong_usage_is_2_and_says_what_to_do(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    found = capsys.readouterr()
    assert says in found.err
    assert "Traceback" not in found.err
    assert found.out == ""


@pytest.mark.parametrize(
    ("raised", "code", "outcome"),
    [
        (UsageError("wrong", where="here", next_step="do"), 2, "failed"),
        (EnvironmentUnusable("no engine"), 3, "failed"),
        (Paused("later", next_step="bedev resume ab12"), 4, "paused"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("a bug"), 1, "failed"),
    ],
)
def test_an_error_is_one_json_object_and_never_a_traceback(
    runs: Runs, raised: BaseException, code: int, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix(request: FixRequest, screen: object) -> RunResult:
        raise raised

    runs(fix=fix)
    assert cli.run(["fix", "slow", "--json"]) == code
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert document["outcome"] == outcome
    assert document["schema"] == "bedev.run/1"
    assert found.err.startswith("bedev: ")
    assert "Traceback" not in found.err


def test_the_traceback_of_a_fault_is_kept_in_a_private_file(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix(request: FixRequest, screen: object) -> RunResult:
        raise RuntimeError("a bug")

    runs(fix=fix)
    assert cli.run(["fix", "slow"]) == 1
    (kept,) = (tmp_path / "state" / "crashes").iterdir()
    assert str(kept) in capsys.readouterr().err
    assert "RuntimeError: a bug" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_output_of_the_repository_in_an_error_is_encoded(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix(request: FixRequest, screen: object) -> RunResult:
        raise UsageError("bad \x1b]0;title\x07name", where="\u202efile", detail="out\x1b[2Jput")

    runs(fix=fix)
    cli.run(["fix", "slow"])
    assert capsys.readouterr().err == "bedev: bad name\n  where: file\n  output:\n    output\n"


def test_sigterm_ends_like_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, types\n"
        "from bedev.agent import cli\n"
        "m = types.ModuleType('bedev.agent.run')\n"
        "m.fix = lambda request, screen: os.kill(os.getpid(), signal.SIGTERM) or signal.pause()\n"
        "sys.modules['bedev.agent.run'] = m\n"
        "sys.exit(cli.run(['fix', 'x']))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert found.returncode == 130
    assert "interrupted" in found.stderr


def test_a_reader_that_goes_away_and_a_closed_stdout_are_no_faults(tmp_path: Path) -> None:
    for command in (f"{BEDEV} verify --rules --json | true", f"{BEDEV} verify --rules >&-"):
        found = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (found.returncode, found.stderr) == (0, "")


# The other commands


def test_rules_say_a_sentence_for_every_check_of_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    assert {check for checks in NEEDS.values() for check in checks} <= set(verify.RULES)
    assert cli.run(["verify", "--rules"]) == 0
    assert "less_work" in capsys.readouterr().out
    assert cli.run(["verify", "--rules", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["claims"]["faster"][0]["check"] == "scope"


def test_runs_and_show_read_the_journals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bedev.agent.journal import Journal
    from bedev.agent.repository import Repository

    repository = demo.make_repository(demo.example_folder(), tmp_path / "shop")
    assert cli.run(["runs", "--repo", str(repository)]) == 0
    assert "No runs yet" in capsys.readouterr().out
    with Repository.open(repository) as opened:
        state = opened.state
    with Journal.create(state / "ab12", "ab12") as journal:
        journal.append("started", task="slow \x1b[2Jquery", base="b" * 40)
        journal.append("proof", proof=a_proof().to_dict())
        journal.append("finished", outcome="verified", branch="bedev/x-ab12", commit="d" * 40)
    assert cli.run(["runs", "--repo", str(repository)]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("ab12")
    assert "verified" in line
    assert line.endswith("slow query")
    assert cli.run(["show", "ab", "--repo", str(repository)]) == 0
    text = capsys.readouterr().out
    assert "finished" in text
    assert "VERIFIED" in text
    assert "\x1b" not in text
    assert cli.run(["runs", "--json", "--repo", str(repository)]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["outcome"] == "verified"
    assert cli.run(["show", "zz", "--repo", str(repository)]) == 2
    with Journal.create(state / "cd34", "cd34") as journal:
        journal.append("started", task="killed at once", base="b" * 40)
    capsys.readouterr()
    assert cli.run(["runs", "--repo", str(repository)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3] == "killed"
    assert cli.run(["show", "cd34", "--repo", str(repository)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "killed; to go on with it: bedev resume cd34"
    with RunLock(state, "cd34"):
        assert cli.run(["runs", "--repo", str(repository)]) == 0
        assert "going on" in capsys.readouterr().out
        assert cli.run(["show", "cd34", "--repo", str(repository)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "going on"


def test_an_interrupted_run_says_which_one_it_was(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix(request: FixRequest, screen: object) -> RunResult:
        with RunLock(tmp_path, "ef56"):
            raise KeyboardInterrupt

    runs(fix=fix)
    assert cli.run(["fix", "slow", "--json"]) == 130
    document = json.loads(capsys.readouterr().out)
    assert (document["run"], document["outcome"]) == ("ef56", "interrupted")


def test_the_demo_makes_a_repository_of_the_example(tmp_path: Path) -> None:
    target = demo.make_repository(demo.example_folder(), tmp_path / "shop")
    log = subprocess.run(
        ["git", "-C", target, "log", "--format=%an %s"], capture_output=True, text=True, check=True
    ).stdout
    assert log == "bedev demo A small shop, slow at looking customers up\n"
    status = subprocess.run(
        ["git", "-C", target, "status", "--porcelain"], capture_output=True, text=True, check=True
    ).stdout
    assert status == ""
    with pytest.raises(UsageError):
        demo.make_repository(demo.example_folder(), target)


def test_the_demo_fixes_and_then_verifies_the_branch(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix(request: FixRequest, screen: object) -> RunResult:
        assert (request.repo / "artisan").is_file()
        assert "debian:trixie-slim" in request.allow_images
        return a_result()

    def judge(request: VerifyRequest, screen: object) -> VerifyResult:
        assert request.ref == "bedev/x-ab12"
        return VerifyResult(a_proof(), 0, "b" * 40, "d" * 40, "cd34")

    runs(fix=fix, verify=judge)
    assert cli.run(["demo", "--folder", str(tmp_path / "shop")]) == 0
    found = capsys.readouterr()
    assert str(tmp_path / "shop") in found.err
    assert "verify   verified" in found.out


def test_doctor_without_an_engine_is_3_and_says_how_to_get_one(tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    found = installed("doctor", "--json", cwd=tmp_path, env=env)
    assert found.returncode == 3
    rows = {row["name"]: row for row in json.loads(found.stdout)["rows"]}
    assert rows["engine"]["status"] == "missing"
    assert rows["engine"]["fix"]
    assert rows["python"]["status"] == "ok"
    assert rows["git"]["status"] == "ok"
    assert rows["repository"]["status"] == "missing"


def test_doctor_names_what_was_detected_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bedev.agent.doctor import examine

    target = demo.make_repository(demo.example_folder(), tmp_path / "shop")
    rows = examine(target)
    found = [(row.name, row.found) for row in rows]
    assert ("application", "ok") in [(row.name, row.status) for row in rows]
    assert any(
        name == "detected" and "image = debian:trixie-slim  [bedev.toml:3]" in text for name, text in found
    )


def test_ages_are_read() -> None:
    assert gc.age_seconds("14d") == 14 * 86400
    assert gc.age_seconds("0d") == 0
    with pytest.raises(UsageError):
        gc.age_seconds("14")


def test_two_files_of_one_name_cannot_be_brought(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for path in (tmp_path / "x", tmp_path / "a" / "x"):
        path.write_text("1")
    with pytest.raises(UsageError, match="Two files"):
        options.scenario_files([tmp_path / "x", tmp_path / "a" / "x"])


# The screen


SHOW = """
import sys, time
from bedev.agent.gate.proof import Check
from bedev.agent.screen import make_screen
screen = make_screen()
with screen.step("bring up the pod"):
    screen.detail("pulling \\x1b[2J image")
    with screen.step("inner"):
        time.sleep(0.3)
    screen.check(Check("tests", "passed", "14 tests"))
    screen.table("tried", [("index (email)", "1,590"), ("index (name)", "2")], ("what", "x less"))
try:
    with screen.step("measure"):
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
"""


def test_in_a_pipe_each_event_is_a_line_with_the_time(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert found.stdout == ""
    assert "\x1b" not in found.stderr
    lines = [line[12:] for line in found.stderr.splitlines()]
    assert all(line.startswith("[") and line[8:11] == " s]" for line in found.stderr.splitlines())
    assert lines[0] == "bring up the pod"
    assert lines[1] == "  pulling image"
    assert lines[3].startswith("done: inner (0.3 s)")
    assert "✓ tests: passed: 14 tests" in lines
    assert lines[-1].startswith("failed: measure")


def on_a_terminal(code: str, seconds: float = 30) -> str:
    """What a program writes to a terminal of 80 columns; it is killed where it takes longer."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="80")
        os.execv(sys.executable, [sys.executable, "-c", code])
    written = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end and select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        try:
            written += os.read(terminal, 65536)
        except OSError:
            break
    if time.monotonic() >= end:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(terminal)
    return written.decode()


def test_many_threads_can_use_a_live_screen_at_once() -> None:
    text = on_a_terminal("""
import threading, time
from bedev.agent.gate.proof import Check
from bedev.agent.screen import make_screen
screen = make_screen()
def work(number):
    for turn in range(60):
        with screen.step(f"step {number}"):
            screen.detail(f"turn {turn}")
            screen.check(Check("tests", "passed", "fine"))
            screen.say("said")
with screen.step("all"):
    # Refreshed as often as can be: a lock taken in the wrong order would stop it for good.
    screen._live.refresh_per_second = 2000
    spin = threading.Thread(target=lambda: [screen._live.refresh() for _ in range(1500)])
    threads = [spin, *(threading.Thread(target=work, args=(n,)) for n in range(4))]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("the end")
""")
    assert text.rstrip().endswith("the end")
    assert text.count("said") == 240


def test_a_table_that_is_too_wide_is_cut_and_never_wrapped() -> None:
    text = on_a_terminal(
        "from bedev.agent.screen import LiveScreen\n"
        "LiveScreen().table('t', [('GET /' + 'a' * 70, '12', 'why ' * 20)], ('request', 'ms', 'note'))"
    )
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in text.splitlines() if line]
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert "  12  why" in lines[2]


def test_on_a_terminal_steps_are_live_and_the_cursor_comes_back() -> None:
    text = on_a_terminal(SHOW)
    assert "✓ " in text
    assert "bring up the pod" in text
    assert "✗ " in text
    assert "\x1b[2J" not in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0
