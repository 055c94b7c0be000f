"""Docker keeps every promise of a sandbox, and some of its own: what is isolated, and what is left."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from bedev.sandboxes.docker_engine import RUN_LABEL, engine, labels
from bedev.sandboxes.docker_images import IMAGE_LABEL
from bedev.sandboxes.docker_pod import DockerPod, DockerSandbox, cache_usage, docker_engine_status, sweep
from bedev.sandboxes.docker_volumes import inspect_volume
from bedev.sandboxes.errors import DatabaseError, EnvironmentUnusable, SandboxBroken, UsageError
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

from . import contract, contract_pods, contract_probe

pytestmark = pytest.mark.docker


def quiet(line: str) -> None:
    del line


class TestBox(contract.BoxContract):
    pass


class TestFiles(contract.FileContract):
    pass


class TestServices(contract.ServiceContract):
    pass


class TestPod(contract_pods.PodContract):
    pass


class TestSetUp(contract_pods.SetUpContract):
    pass


class TestHttp(contract_probe.HttpContract):
    pass


MARIADB = (
    "mariadb-install-db --no-defaults --datadir=/bedev/data/d --skip-test-db >/tmp/init.log 2>&1 && "
    "printf '%s\\n' \"CREATE USER probe@localhost IDENTIFIED BY 'right';\" "
    "'GRANT ALL ON *.* TO probe@localhost;' 'CREATE DATABASE app;' "
    ">/tmp/init.sql && exec mariadbd --no-defaults --datadir=/bedev/data/d --socket=/tmp/s --port=3306 "
    "--bind-address=127.0.0.1 --pid-file=/tmp/p --init-file=/tmp/init.sql"
)
POSTGRES = (
    "export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) && echo right >/tmp/pw && "
    "initdb -D /bedev/data/pg -U probe -A scram-sha-256 --pwfile=/tmp/pw >/tmp/initdb.log 2>&1 && "
    "exec postgres -D /bedev/data/pg -k /tmp -h 127.0.0.1 -p 5432 -c fsync=off"
)


@pytest.fixture(scope="module")
def database(sandbox: Sandbox, image: str) -> Iterator[Pod]:
    servers = sandbox.ensure_image(
        ImageSpec("debian:trixie-slim", packages=("mariadb-server", "postgresql")), quiet
    )
    opened = sandbox.open_pod(PodSpec(app_image=image, tree="", db_image=servers), quiet)
    services = [opened.db.start("mariadb", MARIADB, cwd="/"), opened.db.start("postgres", POSTGRES, cwd="/")]
    for port, service in zip((3306, 5432), services, strict=True):
        assert opened.probe.wait_for_port(port, 30), service.log()
    yield opened
    opened.close()


class TestMySql(contract_probe.SqlContract):
    @pytest.fixture
    def connection(self) -> dict[str, object]:
        return {
            "driver": "mysql",
            "port": 3306,
            "user": "probe",
            "password": "right",
            "database": "app",
            "sleep": "SLEEP(30)",
        }

    def test_bytes_and_odd_values(self, database: Pod, connection: dict[str, object]) -> None:
        session = self.open(database, connection)
        row = session.query(
            "SELECT x'00ff' AS b, CAST(1e300 AS DOUBLE) AS f, 18446744073709551615 AS u, "
            "CAST('0000-00-00' AS DATE) AS z, TIME('-100:00:01') AS t, %s AS p",
            [b"\x00\xfe"],
        ).rows[0]
        assert row == (
            {"base64": "AP8="},
            1e300,
            18446744073709551615,
            "0000-00-00",
            "-100:00:01",
            {"base64": "AP4="},
        )
        session.close()

    def test_no_file_of_the_client_is_sent(self, database: Pod, connection: dict[str, object]) -> None:
        session = self.open(database, connection)
        session.query("CREATE TEMPORARY TABLE t (x TEXT)")
        with pytest.raises(DatabaseError):
            session.query("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t")
        session.close()


class TestPostgres(contract_probe.SqlContract):
    @pytest.fixture
    def connection(self) -> dict[str, object]:
        return {
            "driver": "postgres",
            "port": 5432,
            "user": "probe",
            "password": "right",
            "sleep": "pg_sleep(30)",
        }


class TestInterruption:
    def test_a_host_that_leaves_in_the_middle_finds_the_box_in_order(self, pod: Pod, marker: str) -> None:
        def alarm(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            with pytest.raises(KeyboardInterrupt):
                pod.app.run(f"exec -a marker-{marker} sleep 60")
        finally:
            signal.signal(signal.SIGALRM, before)
        assert pod.app.run("echo fine").stdout.text == "fine\n"
        assert contract.still_running(pod.app, marker) == 0


class TestParallel:
    def test_pods_open_at_the_same_time_and_do_not_meet(
        self, sandbox: Sandbox, image: str, tree: str
    ) -> None:
        with ThreadPoolExecutor(4) as threads:
            pods = list(
                threads.map(lambda _: sandbox.open_pod(PodSpec(app_image=image, tree=tree), quiet), range(4))
            )
            for number, opened in enumerate(pods):
                opened.app.write_file("/work/mine", str(number).encode())
                opened.app.start("server", "python3 -m http.server 8000 --bind 127.0.0.1")
            assert all(threads.map(lambda opened: opened.probe.wait_for_port(8000, 20), pods))
            answers = threads.map(
                lambda opened: opened.probe.http(8000, HttpRequest("GET", "/mine")).body, pods
            )
            assert list(answers) == [b"0", b"1", b"2", b"3"]
            list(threads.map(lambda opened: opened.close(), pods))


class TestIsolation:
    """What a command in a pod can reach: nothing."""

    def test_no_network_but_loopback(self, pod: Pod) -> None:
        for address in ("169.254.169.254/80", "172.17.0.1/22", "1.1.1.1/53"):
            result = pod.app.run(f"exec 3<>/dev/tcp/{address}", timeout=5)
            assert result.exit_code == 1
            assert "unreachable" in result.stderr.text
        assert pod.app.run("tail -n +3 /proc/net/dev | grep -vc 'lo:'").stdout.text == "0\n"
        assert pod.app.run("getent hosts example.com").exit_code != 0

    def test_the_network_check_can_fail(self, sandbox: Sandbox, image: str) -> None:
        key = f"control-{secrets.token_hex(6)}"
        look = SetUpStep(
            "look", "tail -n +3 /proc/net/dev | grep -vc 'lo:' >count; test $(cat count) -gt 0", True
        )
        sandbox.prepare_tree(key, list, image, (look,), HostAccess(), quiet)

    def test_no_privileges_and_no_way_to_get_them(self, pod: Pod) -> None:
        status = pod.app.run("cat /proc/self/status").stdout.text
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {0}
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
        assert pod.app.run("unshare -Ur true").exit_code != 0
        assert pod.app.run("su -c id").exit_code != 0

    def test_the_root_is_read_only_and_the_host_is_absent(self, pod: Pod) -> None:
        for path in ("/x", "/etc/x", "/usr/bin/x", "/bedev/x", "/bedev/stack/x", "/dev/x"):
            assert pod.app.run(f"touch {path}").exit_code != 0, path
        sockets = pod.app.run("find / -xdev -type s 2>/dev/null; ls /var/run/docker.sock 2>/dev/null")
        assert sockets.stdout.text == ""

    def test_first_process_cannot_be_killed_or_read(self, pod: Pod) -> None:
        result = pod.app.run("kill -9 1; cat /proc/1/environ; echo x >/proc/1/fd/1; id -u")
        assert result.stdout.text == "10001\n"
        assert result.stderr.text.count("ermitted") + result.stderr.text.count("denied") >= 3

    def test_a_key_of_the_host_is_nowhere(
        self, sandbox: Sandbox, image: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        canary = f"sk-ant-CANARY{secrets.token_hex(8)}"
        monkeypatch.setenv("ANTHROPIC_API_KEY", canary)
        opened = sandbox.open_pod(PodSpec(app_image=image, tree=""), quiet)
        try:
            found = opened.app.run("cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; env").stdout.text
            assert canary not in found
            assert "ANTHROPIC" not in found
            assert isinstance(opened, DockerPod)
            for container in opened._containers:
                assert canary not in str(engine().inspect_container(container.id))
        finally:
            opened.close()

    def test_memory_and_processes_are_bounded(self, sandbox: Sandbox, image: str) -> None:
        opened = sandbox.open_pod(PodSpec(app_image=image, tree="", memory_mb=128), quiet)
        try:
            hog = opened.app.run("python3 -c 'x = bytearray(1 << 30)'", timeout=30)
            assert hog.exit_code == 137
            assert opened.app.run("echo alive").stdout.text == "alive\n"
            many = opened.app.run(
                "for i in $(seq 700); do sleep 1 & done 2>&1 | grep -ci unavailable", timeout=20
            )
            assert many.stdout.text != "0\n"
        finally:
            opened.close()

    def test_a_box_whose_container_is_gone_says_so(self, sandbox: Sandbox, image: str) -> None:
        opened = sandbox.open_pod(PodSpec(app_image=image, tree=""), quiet)
        assert isinstance(opened, DockerPod)
        engine().kill(opened.app.container.id)
        with pytest.raises(SandboxBroken, match="no longer runs"):
            opened.app.run("true")
        opened.close()

    def test_an_image_with_its_own_entrypoint_and_volumes_works(self, sandbox: Sandbox) -> None:
        image = sandbox.ensure_image(
            ImageSpec(
                "debian:trixie-slim",
                lines=(
                    'ENTRYPOINT ["/bin/false"]',
                    "RUN mkdir /var/lib/thing && echo kept >/var/lib/thing/file",
                    "VOLUME /var/lib/thing",
                    "HEALTHCHECK CMD false",
                    "ENV FROM_IMAGE=yes",
                ),
            ),
            quiet,
        )
        opened = sandbox.open_pod(PodSpec(app_image=image, tree="", db_image=image), quiet)
        assert isinstance(opened, DockerPod)
        assert (
            opened.db.run("cat /var/lib/thing/file; echo $FROM_IMAGE", cwd="/").stdout.text == "kept\nyes\n"
        )
        used = [
            point["Name"]
            for container in opened._containers
            for point in engine().inspect_container(container.id)["Mounts"]
            if point["Type"] == "volume"
        ]
        assert len(used) == 4, "two of ours, two that the image declares"
        opened.close()
        assert [name for name in used if inspect_volume(name) is not None] == []


def volumes(run: str) -> list[str]:
    found = engine().volumes(filters={"label": f"dev.bedev.run={run}"})
    return [str(volume["Name"]) for volume in found.get("Volumes") or ()]


def containers(run: str) -> list[str]:
    found = engine().containers(all=True, filters={"label": f"dev.bedev.run={run}"})
    return [str(container["Id"]) for container in found]


OWNER = """
import sys, time
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.sandbox import PodSpec
sandbox = DockerSandbox(sys.argv[1])
pod = sandbox.open_pod(PodSpec(app_image=sys.argv[2], tree="", db_image=sys.argv[2]), lambda line: None)
pod.app.start("s", "sleep 600")
sandbox.new_template(sys.argv[1])
print("ready", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def other_owner(image: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Another bedev process with an open pod."""
    run = f"other-{secrets.token_hex(4)}"
    process = subprocess.Popen([sys.executable, "-c", OWNER, run, image], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield run, process
    finally:
        process.kill()
        process.wait()


class TestWhatIsLeft:
    def test_nothing_after_close(self, image: str) -> None:
        mine = DockerSandbox(f"closing-{secrets.token_hex(4)}")
        mine.open_pod(PodSpec(app_image=image, tree="", db_image=image), quiet)
        mine.new_template(f"unfinished-{secrets.token_hex(4)}")
        assert len(containers(mine.run)) == 3
        mine.close()
        mine.close()
        assert containers(mine.run) == []
        assert volumes(mine.run) == []

    def test_nothing_after_kill_9(self, image: str) -> None:
        with other_owner(image) as (run, process):
            assert len(containers(run)) == 3
            assert len(volumes(run)) == 3
            sweep()
            assert len(containers(run)) == 3, "its owner lives"
            assert len(volumes(run)) == 3
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            deadline = time.monotonic() + 10
            while (containers(run) or volumes(run)) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert containers(run) == []
        assert volumes(run) == [], "the template in the making goes with the watchdog's sweep"

    def test_a_container_ends_at_its_deadline_whatever_happens(self, image: str) -> None:
        mine = DockerSandbox(f"deadline-{secrets.token_hex(4)}", lifetime_seconds=2)
        opened = mine.open_pod(PodSpec(app_image=image, tree=""), quiet)
        deadline = time.monotonic() + 10
        while containers(mine.run) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert containers(mine.run) == []
        opened.close()
        mine.close()

    def test_the_sweep_leaves_what_is_not_ours(self, image: str) -> None:
        client = engine()
        spoofs = {
            "no owner": {"dev.bedev.run": "x", "dev.bedev.pid": "999999", "dev.bedev.deadline": "1"},
            "another owner": {
                "dev.bedev.run": "x",
                "dev.bedev.owner": "0" * 16,
                "dev.bedev.pid": "999999",
                "dev.bedev.pid_start": "x",
                "dev.bedev.deadline": "1",
            },
        }
        made = []
        try:
            for spoof in spoofs.values():
                made.append(
                    client.create_container(
                        "debian:trixie-slim", ["sleep", "60"], labels=spoof, use_config_proxy=False
                    )["Id"]
                )
            # Ours by every label, but not a container that bedev makes: an image may bring labels.
            dead = {**labels("x", "work", -10), "dev.bedev.pid": "999999"}
            made.append(
                client.create_container(
                    "debian:trixie-slim", ["sleep", "60"], labels=dead, use_config_proxy=False
                )["Id"]
            )
            sweep()
            for identity in made:
                assert client.inspect_container(identity)
        finally:
            for identity in made:
                client.remove_container(identity, force=True, v=True)

    def test_a_container_that_starts_from_our_image_carries_no_label_of_a_run(self, image: str) -> None:
        held = engine().inspect_image(image)["Config"]["Labels"]
        assert IMAGE_LABEL in held
        # an image keeps the labels of the one that it is built on; a stand-in has one of its own
        others = {name for name in held if not name.startswith(IMAGE_LABEL)} - {"dev.bedev.standin"}
        assert not {name for name in others if name.startswith("dev.bedev.")}

    def test_caches_go_only_when_asked_and_old_enough(self, sandbox: Sandbox, image: str) -> None:
        key = f"cache-{secrets.token_hex(6)}"
        sandbox.prepare_tree(key, lambda: [TreeFile("a", 0o100644, b"1")], image, (), HostAccess(), quiet)
        assert cache_usage().trees >= 1
        assert cache_usage().images >= 1
        sweep()
        sweep(include_caches=True, older_than_seconds=10 * 365 * 86400)
        opened = sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet)
        assert opened.app.read_file("/work/a") == b"1"
        opened.close()

    def test_a_template_in_use_is_dropped_later(self, sandbox: Sandbox) -> None:
        key = f"raced-{secrets.token_hex(6)}"
        sandbox.new_template(key)
        with pytest.raises(UsageError):
            sandbox.new_template(key)
        other = DockerSandbox(f"racer-{secrets.token_hex(4)}")
        other.new_template(key)
        other.seal_template(key, {"by": "other"})
        sandbox.seal_template(key, {"by": "me"})
        assert sandbox.template_facts(key) == {"by": "other"}, "the first to seal wins"
        sandbox.drop_template(key)
        other.close()


class TestEngine:
    def test_its_status_is_complete(self) -> None:
        status = docker_engine_status()
        assert status.available
        assert status.version
        assert status.cpus >= 1
        assert status.memory_bytes > 1 << 28

    def test_an_engine_that_does_not_answer_is_said_with_the_next_step(self) -> None:
        program = (
            "from bedev.sandboxes.docker_pod import docker_engine_status as s; x = s(); "
            "print(x.available, x.next_step != '', 'Traceback' in x.message)"
        )
        result = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout == "False True False\n"

    def test_importing_the_sandbox_does_not_import_docker(self) -> None:
        program = (
            "import sys, bedev.sandboxes.docker_pod; "
            "print('docker' in sys.modules, 'requests' in sys.modules)"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert result.stdout == "False False\n"

    def test_a_missing_image_is_said_with_the_command_that_gets_it(self, sandbox: Sandbox) -> None:
        name = f"127.0.0.1:1/bedev/{secrets.token_hex(4)}:1"
        with pytest.raises(EnvironmentUnusable) as caught:
            sandbox.ensure_image(ImageSpec(name), quiet)
        assert f"docker pull {name}" in caught.value.next_step
        assert caught.value.exit_code == 3


def test_what_was_created_and_not_started_is_removed_after_its_owner_was_killed(image: str) -> None:
    """Such a container cannot end by itself: the watchdog of the run, which outlives it, removes it."""
    program = (
        "import os, signal, sys\n"
        "from bedev.sandboxes.docker_engine import engine\n"
        "from bedev.sandboxes.docker_pod import DockerSandbox\n"
        "sandbox = DockerSandbox(sys.argv[1])\n"
        "made = engine().create_container("
        "    sys.argv[2], ['9', 'cat'], entrypoint=['timeout'], labels=sandbox._labels('app'))\n"
        "print(made['Id'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = f"killed-{secrets.token_hex(4)}"
    command = [sys.executable, "-c", program, run, image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = {"label": f"{RUN_LABEL}={run}"}
    deadline = time.monotonic() + 20
    while engine().containers(all=True, filters=left) and time.monotonic() < deadline:
        time.sleep(0.3)
    assert engine().containers(all=True, filters=left) == []
