"""The sandbox without containers keeps what needs no isolation; what it cannot is named, with the reason."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bedev.sandboxes import process_programs, process_store
from bedev.sandboxes.errors import EnvironmentUnusable, SandboxBroken, SetUpFailed, UsageError
from bedev.sandboxes.process import ProcessSandbox, cache_usage, sweep
from bedev.sandboxes.process_box import MARKER, marked
from bedev.sandboxes.sandbox import (
    HostAccess,
    HttpRequest,
    ImageSpec,
    Pod,
    PodSpec,
    Sandbox,
    SetUpStep,
    TreeFile,
)
from bedev.sandboxes.services import service

from . import contract, contract_pods, contract_probe


def quiet(line: str) -> None:
    del line


def left_out(reason: str) -> Any:
    """In place of a contract test that this sandbox does not promise."""

    @pytest.mark.skip(reason=f"not promised without containers: {reason}")
    def test(self: object) -> None:
        del self

    return test


SAME_USER = "commands run as the user, who may end every process of the user's"
NO_USERS = "there is one user, the one who runs bedev"
WRITABLE = "folders of one user are writable for everything that the user runs"
NETWORK = "nothing cuts a command off from the network"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def sandbox(state: Path) -> Iterator[Sandbox]:
    """Typed as the protocol, so that the type checker compares the class with it."""
    opened = ProcessSandbox("test", state)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def image(sandbox: Sandbox) -> str:
    return sandbox.ensure_image(ImageSpec("python:3"), quiet)


@pytest.fixture(scope="module")
def tree(sandbox: Sandbox, image: str) -> str:
    files = [
        TreeFile("readme.txt", 0o100644, b"hello\n"),
        TreeFile("bin/run", 0o100755, b"#!/bin/sh\necho ran\n"),
        TreeFile("link", 0o120000, b"readme.txt"),
    ]
    return sandbox.prepare_tree(f"c-{secrets.token_hex(8)}", lambda: files, image, (), HostAccess(), quiet)


@pytest.fixture(scope="module")
def pod(sandbox: Sandbox, image: str, tree: str) -> Iterator[Pod]:
    opened = sandbox.open_pod(
        PodSpec(app_image=image, tree=tree, db_image=image, environment={"APP_ENV": "testing"}), quiet
    )
    yield opened
    opened.close()


class TestBox(contract.BoxContract):
    test_a_fork_bomb_ends_with_its_command = left_out("the number of processes is not bounded for root")
    test_a_command_that_kills_everything_it_can_ends_alone = left_out(SAME_USER)
    test_a_service_that_kills_every_shell_costs_no_command = left_out(SAME_USER)
    test_a_command_that_stops_its_supervisor_ends_by_the_hosts_clock = left_out(SAME_USER)

    def test_a_command_that_kills_its_supervisor_leaves_nothing(self, app: Any, marker: str) -> None:
        app.write_file("/tmp/survive", b'exec -a "marker-$1" sleep 100\n')
        result = app.run(
            f"echo before; setsid bash /tmp/survive {marker} & sleep 0.2; kill -9 $PPID; sleep 9"
        )
        assert result.exit_code == 137
        assert not result.timed_out
        assert result.stdout.text == "before\n"
        assert contract.still_running(app, marker) == 0

    @pytest.mark.slow
    def test_a_command_that_stops_its_own_supervisor_ends_by_the_hosts_clock(
        self, app: Any, marker: str
    ) -> None:
        began = time.monotonic()
        result = app.run(f"kill -STOP $PPID; exec -a marker-{marker} sleep 60", timeout=0.3)
        assert result.timed_out
        assert time.monotonic() - began < 15
        assert contract.still_running(app, marker) == 0

    def test_a_command_sees_nothing_of_the_users_environment(
        self, app: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "BEDEV_MODEL"):
            monkeypatch.setenv(name, "canary-1234")
        seen = app.run("env; env >&2; cat /proc/$PPID/environ").stdout.text
        assert "canary-1234" not in seen
        names = {line.partition("=")[0] for line in app.run("env").stdout.text.splitlines()}
        assert names <= {
            "APP_ENV", "DEBIAN_FRONTEND", "EDITOR", "GIT_EDITOR", "GIT_PAGER", "GIT_TERMINAL_PROMPT", "HOME",
            "LANG", "OLDPWD", "PAGER", "PATH", "PWD", "SHLVL", "TERM", "TMPDIR", "_", MARKER,
        }  # fmt: skip
        assert app.run("cd; pwd").stdout.text == "/tmp\n"

    def test_a_process_is_bounded(self, app: Any) -> None:
        result = app.run("python -c 'x = bytearray(6 << 30)'", timeout=30)
        assert "MemoryError" in result.stderr.text
        assert app.run("ulimit -c; ulimit -n").stdout.text == "0\n4096\n"


class TestFiles(contract.FileContract):
    test_a_full_disk_is_an_error_not_a_broken_box = left_out("a folder has no size of its own")

    def test_a_link_out_of_the_sandbox_is_never_written_through(
        self, pod: Any, app: Any, tmp_path: Path
    ) -> None:
        victim = tmp_path / "victim"
        victim.write_text("mine")
        folder = tmp_path / "folder"
        folder.mkdir()
        (pod.folder / "work" / "out").symlink_to(victim)
        (pod.folder / "work" / "away").symlink_to(folder)
        with pytest.raises(SandboxBroken, match="leads out"):
            app.write_file("/work/out", b"theirs")
        with pytest.raises(SandboxBroken, match="leads out"):
            app.write_file("/work/away/x", b"theirs")
        assert victim.read_text() == "mine"
        assert not any(folder.iterdir())
        app.remove_file("/work/out")
        assert victim.exists()


class TestServices(contract.ServiceContract):
    pass


class TestPod(contract_pods.PodContract):
    test_the_workspace_is_the_tree_and_the_pods_own = left_out(f"{NO_USERS}; the rest is tested below")
    test_the_database_has_its_own_user_and_folders = left_out(NO_USERS)
    test_scenario_files_are_there_and_read_only = left_out(f"{WRITABLE}; the rest is tested below")
    test_a_template_is_written_once_and_read_after_it_is_sealed = left_out(
        f"{WRITABLE}; the rest is tested below"
    )

    def test_each_pod_has_its_own_copy_of_the_tree(
        self, sandbox: Sandbox, image: str, tree: str, pod: Pod
    ) -> None:
        seen = pod.app.run("cat readme.txt; bin/run; readlink link")
        assert seen.stdout.text == "hello\nran\nreadme.txt\n"
        pod.app.run("echo changed >readme.txt; echo mine >/tmp/x; mkdir new")
        other = sandbox.open_pod(PodSpec(app_image=image, tree=tree), quiet)
        try:
            assert other.app.read_file("/work/readme.txt") == b"hello\n"
            assert other.app.read_file("/tmp/x") is None
            with pytest.raises(SandboxBroken):
                _ = other.db
        finally:
            other.close()
            other.close()

    def test_scenario_files_are_there(self, sandbox: Sandbox, image: str, tree: str) -> None:
        spec = PodSpec(app_image=image, tree=tree, scenario_files={"ask me.sql": b"\x00binary\n"})
        opened = sandbox.open_pod(spec, quiet)
        assert opened.app.read_file("/scenario/ask me.sql") == b"\x00binary\n"
        assert opened.app.run("wc -c <'/scenario/ask me.sql'").stdout.text.strip() == "8"
        opened.close()
        for name in ("a/b", "", ".."):
            with pytest.raises(UsageError):
                sandbox.open_pod(PodSpec(app_image=image, tree=tree, scenario_files={name: b""}), quiet)

    def test_a_template_is_found_only_when_it_is_sealed(self, sandbox: Sandbox, image: str) -> None:
        key = f"contract-{secrets.token_hex(6)}"
        facts = {"tables": {"users": 3}, "text": "ä\n" * 1000, "none": None}
        assert not sandbox.has_template(key)
        sandbox.new_template(key)
        maker = sandbox.open_pod(
            PodSpec(app_image=image, tree="", db_image=image, templates=key, templates_writable=True), quiet
        )
        maker.db.run("echo data >/bedev/templates/file", cwd="/")
        maker.close()
        assert not sandbox.has_template(key)
        with pytest.raises(UsageError):
            sandbox.open_pod(PodSpec(app_image=image, tree="", db_image=image, templates=key), quiet)
        sandbox.seal_template(key, facts)
        assert sandbox.has_template(key)
        assert sandbox.template_facts(key) == facts
        user = sandbox.open_pod(PodSpec(app_image=image, tree="", db_image=image, templates=key), quiet)
        assert user.db.read_file("/bedev/templates/file") == b"data\n"
        assert (
            user.db.run("cp -a /bedev/templates/file /bedev/data/; cat /bedev/data/file").stdout.text
            == "data\n"
        )
        user.close()
        sandbox.drop_template(key)
        sandbox.drop_template(key)
        assert not sandbox.has_template(key)

    def test_a_database_that_is_a_file_is_seen_by_application_and_box(
        self, sandbox: Sandbox, image: str, tree: str
    ) -> None:
        opened = sandbox.open_pod(PodSpec(app_image=image, tree=tree, shared_data=True), quiet)
        opened.db.run("mkdir /bedev/data/main && echo one >/bedev/data/main/file", cwd="/")
        assert opened.app.run("cat $PLACE", env={"PLACE": "/bedev/data/main/file"}).stdout.text == "one\n"
        opened.close()

    def test_nothing_of_a_pod_is_left_when_it_is_closed(
        self, sandbox: Sandbox, image: str, tree: str, state: Path, marker: str
    ) -> None:
        opened = sandbox.open_pod(PodSpec(app_image=image, tree=tree), quiet)
        opened.app.start("daemon", f"setsid bash -c 'exec -a marker-{marker} sleep 99' & sleep 99")
        folder = opened.folder  # type: ignore[attr-defined]
        assert folder.is_relative_to(state)
        opened.close()
        assert not folder.exists()
        listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert f"marker-{marker}" not in listing


class TestSetUp(contract_pods.SetUpContract):
    test_steps_run_in_two_phases_and_only_the_files_survive = left_out(f"{NETWORK}; the rest is tested below")
    test_an_image_that_cannot_be_built_says_why = left_out("there are no images; see TestPrograms")

    def test_what_a_first_step_leaves_running_or_in_tmp_does_not_reach_the_second(
        self, sandbox: Sandbox, image: str, marker: str
    ) -> None:
        key = f"contract-{secrets.token_hex(6)}"
        steps = (
            SetUpStep("second", "ls /tmp/secret >>log 2>&1; ls $HOME/* >>log 2>&1; true", False),
            SetUpStep(
                "first", f"echo x >/tmp/secret; setsid bash -c 'exec -a marker-{marker} sleep 99' &", True
            ),
        )
        lines: list[str] = []
        files = [TreeFile("a", 0o100644, b"1")]
        assert sandbox.prepare_tree(key, lambda: files, image, steps, HostAccess(), lines.append) == key
        assert [line for line in lines if line in ("first", "second")] == ["first", "second"]
        pod = sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet)
        log = (pod.app.read_file("/work/log") or b"").decode()
        assert contract.still_running(pod.app, marker) == 0
        pod.close()
        assert "No such file" in log.splitlines()[0]

        def never() -> list[TreeFile]:
            raise AssertionError("a prepared tree is cached")

        assert sandbox.prepare_tree(key, never, image, steps, HostAccess(), quiet) == key

    def test_what_set_up_made_knows_the_folder_that_it_is_copied_to(
        self, sandbox: Sandbox, image: str
    ) -> None:
        """A virtual environment has its own path in the first line of every script."""
        key = f"contract-{secrets.token_hex(6)}"
        steps = (
            SetUpStep("environment", "python -m venv --without-pip .venv", True),
            SetUpStep(
                "script",
                "printf '#!%s/.venv/bin/python\\nimport sys; print(sys.prefix)\\n' \"$PWD\" >.venv/bin/tool; "
                'chmod +x .venv/bin/tool; ln -s "$PWD/.venv" environment; printf "\\0$PWD" >binary',
                False,
            ),
        )
        sandbox.prepare_tree(key, list, image, steps, HostAccess(), quiet)
        pod = sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet)
        assert pod.app.run(
            ".venv/bin/tool; readlink environment; . .venv/bin/activate; which python"
        ).stdout.text == ("/work/.venv\n/work/.venv\n/work/.venv/bin/python\n")
        pod.close()

    def test_packages_are_linked_and_what_one_pod_replaces_stays_its_own(
        self, sandbox: Sandbox, image: str
    ) -> None:
        key = f"contract-{secrets.token_hex(6)}"
        package = ".venv/lib/python3/site-packages/paid.py"
        steps = (
            SetUpStep(
                "environment",
                f'python -m venv --without-pip .venv && mkdir -p "$(dirname {package})" && '
                f"echo 'x = 1' >{package} && echo \"$PWD\" >.venv/lib/here.pth",
                True,
            ),
        )
        sandbox.prepare_tree(key, list, image, steps, HostAccess(), quiet)
        first, second = (sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet) for _ in range(2))
        assert (
            first.app.run(f"stat -c '%h %a' {package}; cat .venv/lib/here.pth").stdout.text
            == "3 444\n/work\n"
        )
        first.app.run(f"echo 'x = 2' >new && mv -f new {package}; rm -r .venv/lib/here.pth")
        first.app.write_file(f"/work/{package}.also", b"")
        assert second.app.run(f"cat {package} .venv/lib/here.pth").stdout.text == "x = 1\n/work\n"
        for pod in (first, second):
            pod.close()

    def test_a_missing_template_of_the_run_is_an_error(self, sandbox: Sandbox, image: str) -> None:
        for writable in (True, False):
            with pytest.raises(UsageError):
                sandbox.open_pod(
                    PodSpec(app_image=image, tree="", templates="nothing", templates_writable=writable), quiet
                )


class TestHttp(contract_probe.HttpContract):
    def test_two_pods_serve_on_the_same_port(
        self, sandbox: Sandbox, server: Pod, image: str, tree: str
    ) -> None:
        other = sandbox.open_pod(PodSpec(app_image=image, tree=tree), quiet)
        other.app.write_file("/tmp/server.py", contract_probe.SERVER.encode())
        service = other.app.start("server", "python3 /tmp/server.py")
        assert other.probe.wait_for_port(8000, 20), service.log()
        for number, pod in enumerate((server, other)):
            answer = pod.probe.http(8000, HttpRequest("GET", f"/{number}"))
            seen = json.loads(answer.body)
            assert seen["path"] == f"/{number}"
            assert dict(seen["headers"])["Host"] == "127.0.0.1:8000"
        other.close()

    def test_a_port_that_another_pod_has_or_somebody_listens_on_is_not_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process_store, "PORTS", range(31_990, 31_993))
        monkeypatch.setattr(process_store.random, "sample", lambda ports, _: list(ports))
        one = process_store.Store(tmp_path)
        code = (
            "import sys; from pathlib import Path; import bedev.sandboxes.process_store as p; "
            "p.PORTS = range(31990, 31993); p.random.sample = lambda ports, _: list(ports); "
            "print(p.Store(Path(sys.argv[1])).take_port())"
        )
        assert one.take_port() == 31_990
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 31_991))
            other = subprocess.run(
                [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
            )
            assert other.stdout == "31992\n"
            assert one.take_port() == 31_992
            with pytest.raises(EnvironmentUnusable, match="No free port"):
                one.take_port()
        one.give_ports([31_990])
        assert one.take_port() == 31_990
        one.close()

    def test_a_command_reaches_what_is_served_by_the_known_port(self, server: Pod) -> None:
        code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/x').status)"
        assert server.app.run(f'python3 -c "{code}"').stdout.text == "201\n"


class TestPrograms:
    def test_what_is_missing_is_named_with_how_to_get_it(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process_programs, "program", lambda name: None)
        with pytest.raises(EnvironmentUnusable) as caught:
            sandbox.ensure_image(ImageSpec("library/php:8.3-cli"), quiet)
        assert "php and composer of PHP are not on this machine" in caught.value.what
        assert "apt-get install php-cli" in caught.value.next_step
        assert "--sandbox docker" in caught.value.next_step
        assert caught.value.exit_code == 3

    def test_packages_of_a_bare_image_are_looked_for_too(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = ImageSpec("debian:trixie-slim", packages=("python3-django", "tzdata"))
        image = sandbox.ensure_image(spec, quiet)
        assert sandbox.image_digest(image).startswith("this machine: Python 3.")
        monkeypatch.setattr(process_programs, "program", lambda name: None)
        with pytest.raises(EnvironmentUnusable) as caught:
            sandbox.ensure_image(ImageSpec("debian:trixie-slim", packages=("php-cli",)), quiet)
        assert caught.value.what.startswith("php of PHP is not on this machine")
        assert "php-cli on debian:trixie-slim" in caught.value.where

    def test_a_server_that_refuses_root_is_said(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "getuid", lambda: 0)
        with pytest.raises(EnvironmentUnusable, match="refuses to run as root"):
            sandbox.ensure_image(ImageSpec("postgres:17"), quiet)

    def test_another_version_than_the_recipes_is_said_and_stated(self, sandbox: Sandbox) -> None:
        lines: list[str] = []
        image = sandbox.ensure_image(ImageSpec("python:2.7"), lines.append)
        assert lines[0].startswith("the recipe asks for Python 2.7; this machine has 3.")
        assert sandbox.image_digest(image).startswith("this machine: Python 3.")

    def test_python_is_not_the_environment_that_bedev_is_installed_in(
        self, sandbox: Sandbox, image: str, pod: Pod
    ) -> None:
        code = "import importlib.util as u, sys; print(u.find_spec('bedev'), sys.prefix == sys.base_prefix)"
        assert pod.app.run(f'python -c "{code}"').stdout.text == "None True\n"
        assert sandbox.image_digest(image).startswith("this machine: Python 3.")

    def test_a_path_of_an_image_keeps_the_pods_folders_and_this_machines_programs(
        self, sandbox: Sandbox, image: str, tree: str
    ) -> None:
        path = {"PATH": "/work/bin:/usr/local/bin:/usr/bin:/bin"}
        pod = sandbox.open_pod(PodSpec(app_image=image, tree=tree, environment=path), quiet)
        plain = sandbox.open_pod(PodSpec(app_image=image, tree=tree), quiet)
        for env in ({}, path):
            assert pod.app.run("run", env=env).stdout.text == "ran\n"
            where = "import sys; print(sys.executable, sys.version)"
            seen = [p.app.run(f"python3 -c '{where}'", env=env).stdout.text for p in (pod, plain)]
            assert seen[0] == seen[1]
        assert plain.app.run("run").exit_code == 127
        for opened in (pod, plain):
            opened.close()

    def test_files_of_an_image_lie_where_the_stack_says(self, sandbox: Sandbox, tree: str) -> None:
        files = {
            "/bedev/stack/a/show.py": b"print('/bedev/stack', '/work')",
            "/etc/tool.conf": b"home=/work\n",
        }
        image = sandbox.ensure_image(ImageSpec("python:3", files=files), quiet)
        pod = sandbox.open_pod(PodSpec(app_image=image, tree=tree), quiet)
        shown = pod.app.run("cd /bedev/stack/a && python show.py | while read -r p q; do ls -d $p $q; done")
        assert shown.stdout.text == "/bedev/stack\n/work\n"
        assert pod.app.run("cat /etc/tool.conf").stdout.text == "home=/work\n"
        pod.close()


LEAVING = """
import sys, time
from pathlib import Path
from bedev.sandboxes.process import ProcessSandbox
from bedev.sandboxes.sandbox import HostAccess, ImageSpec, PodSpec
quiet = lambda line: None
sandbox = ProcessSandbox("left", Path(sys.argv[1]))
image = sandbox.ensure_image(ImageSpec("python:3"), quiet)
sandbox.prepare_tree("whole", list, image, (), HostAccess(), quiet)
sandbox.new_template("half")
pod = sandbox.open_pod(PodSpec(app_image=image, tree="whole"), quiet)
pod.app.start("daemon", "setsid bash -c 'exec -a marker-%s sleep 99' & sleep 99" % sys.argv[2])
print("ready", flush=True)
time.sleep(60)
"""


class TestServers:
    """Servers beside the application; a program that listens stands in for them."""

    LISTENS = service.Kind(
        "redis", "Redis", 6379, "exec python3 -m http.server 6379 --bind 127.0.0.1", "false"
    )

    def test_a_server_of_the_pod_answers_where_the_application_looks_for_it(
        self, sandbox: Sandbox, image: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "load", lambda name: self.LISTENS)
        pods = [
            sandbox.open_pod(PodSpec(app_image=image, tree="", services={"redis": image}), quiet)
            for _ in range(2)
        ]
        code = "import os, urllib.request as r; print(r.urlopen(os.environ['REDIS_URL']).status)"
        for pod in pods:
            seen = pod.app.run(f'python3 -c "{code}"', env={"REDIS_URL": "http://127.0.0.1:6379/"})
            assert seen.stdout.text == "200\n"
            pod.close()

    def test_one_that_does_not_start_is_said_with_its_last_words(
        self, sandbox: Sandbox, image: str, monkeypatch: pytest.MonkeyPatch, state: Path
    ) -> None:
        ends = service.Kind("redis", "Redis", 6379, "echo no luck; exit 1", "false")
        monkeypatch.setattr(service, "load", lambda name: ends)
        with pytest.raises(SetUpFailed, match="Redis did not start") as caught:
            sandbox.open_pod(PodSpec(app_image=image, tree="", services={"redis": image}), quiet)
        assert "no luck" in caught.value.detail


class TestWhatIsLeft:
    def leave(self, state: Path, marker: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", LEAVING, str(state), marker], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    def test_after_kill_9_processes_end_by_themselves_and_the_next_run_removes_the_rest(
        self, tmp_path: Path, marker: str
    ) -> None:
        child = self.leave(tmp_path, marker)
        runs = tmp_path / "process" / "runs"
        (name,) = (entry.name for entry in runs.iterdir())
        assert sweep(tmp_path).volumes == 0, "a living run is left alone"
        assert marked(name)
        child.send_signal(signal.SIGKILL)
        child.wait()
        deadline = time.monotonic() + 10
        while marked(name) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not marked(name)
        opened = ProcessSandbox("next", tmp_path)
        assert not (runs / name).exists()
        assert not opened.has_template("half")
        opened.close()
        while any(runs.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(runs.iterdir())

    def test_what_outlived_its_supervisor_is_found_by_its_marker(self, tmp_path: Path) -> None:
        child = self.leave(tmp_path, secrets.token_hex(6))
        (name,) = (entry.name for entry in (tmp_path / "process" / "runs").iterdir())
        for process in marked(name):
            if "process_supervisor" in Path(f"/proc/{process.pid}/cmdline").read_text():
                os.kill(process.pid, signal.SIGKILL)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert marked(name), "the control: something is left"
        assert sweep(tmp_path).volumes == 1
        assert not marked(name)

    def test_caches_stay_and_are_removed_when_asked_unless_they_are_in_use(
        self, tmp_path: Path, marker: str
    ) -> None:
        child = self.leave(tmp_path, marker)
        usage = cache_usage(tmp_path)
        assert (usage.images, usage.trees, usage.templates) == (1, 1, 0)
        assert usage.tree_bytes > 0
        assert sweep(tmp_path, include_caches=True, older_than_seconds=3600).trees == 0, "too young"
        report = sweep(tmp_path, include_caches=True)
        assert (report.trees, report.images, report.kept_in_use) == (1, 0, 1), "a pod uses the image"
        child.kill()
        child.wait()
        assert sweep(tmp_path, include_caches=True).images == 1
        assert cache_usage(tmp_path).trees == 0

    def test_a_failed_preparation_leaves_nothing(self, tmp_path: Path) -> None:
        opened = ProcessSandbox("fails", tmp_path)
        image = opened.ensure_image(ImageSpec("python:3"), quiet)
        with pytest.raises(SetUpFailed):
            opened.prepare_tree("k", list, image, (SetUpStep("no", "exit 1", False),), HostAccess(), quiet)
        assert cache_usage(tmp_path).trees == 0
        assert not any((tmp_path / "process" / "runs").glob("*/t*"))
        opened.close()
