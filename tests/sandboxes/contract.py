"""What every box promises, whatever it is made of: commands, files, services.

An implementation's test module makes a subclass of each class here and in contract_pods.py and
contract_probe.py, and brings the fixtures `sandbox`, `image`, `tree` and `pod` (see conftest.py).
"""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from bedev.sandboxes.errors import SandboxBroken, UsageError
from bedev.sandboxes.sandbox import (
    Box,
    Pod,
)

ALIVE = (
    "for s in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$s 2>/dev/null; echo; done "
    "| grep -c '^[m]arker-{}' || true"
)


def still_running(box: Box, marker: str) -> int:
    return int(box.run(ALIVE.format(marker), cwd="/").stdout.text)


class BoxContract:
    """Commands, their output and their end."""

    @pytest.fixture
    def app(self, pod: Pod) -> Box:
        return pod.app

    def test_a_command_gives_its_output_and_status(self, app: Box) -> None:
        result = app.run("echo out; echo err >&2; exit 3")
        assert (result.exit_code, result.stdout.text, result.stderr.text) == (3, "out\n", "err\n")
        assert not result.ok
        assert not result.timed_out
        assert result.last_lines == "err"

    def test_a_command_runs_in_the_workspace_unless_told_otherwise(self, app: Box) -> None:
        assert app.run("pwd").stdout.text == "/work\n"
        assert app.run("pwd", cwd="/tmp").stdout.text == "/tmp\n"
        missing = app.run("echo no", cwd="/not there")
        assert missing.exit_code not in (0, None)
        assert "not there" in missing.stderr.text

    def test_variables_reach_the_command_as_they_are(self, app: Box) -> None:
        value = "a 'b' \"c\" $HOME `id` \\ \n äö;&|"
        result = app.run('printf %s "$VALUE"; printf %s "$APP_ENV"', env={"VALUE": value})
        assert result.stdout.text == value + "testing"
        assert app.run('echo "[$VALUE]"').stdout.text == "[]\n"
        with pytest.raises(UsageError):
            app.run("true", env={"A-B": "x"})

    def test_a_command_is_passed_on_unchanged(self, app: Box) -> None:
        command = "cat <<'X'\nline 'one'\n\ttab \\n \"two\" $(id) ü\nX\necho end"
        assert app.run(command).stdout.text == "line 'one'\n\ttab \\n \"two\" $(id) ü\nend\n"
        with pytest.raises(UsageError):
            app.run("echo \x00")
        with pytest.raises(UsageError):
            app.run("x" * 200_000)

    def test_stdin_is_closed_unless_given(self, app: Box) -> None:
        assert app.run("read x; echo $?", timeout=5).stdout.text == "1\n"
        content = bytes(range(256)) * 1000
        assert app.run("sha256sum; wc -c", stdin=content).stdout.text.startswith(
            hashlib.sha256(content).hexdigest()
        )
        assert app.run("head -c 3", stdin=b"abcdef").stdout.text == "abc"
        assert app.run("ls /bedev/out | grep -c in$").stdout.text == "0\n", "what was given is not kept"
        assert app.run("echo next").stdout.text == "next\n", "bytes that nobody read are no next request"

    def test_a_command_past_its_time_is_ended_and_its_output_kept(self, app: Box, marker: str) -> None:
        began = time.monotonic()
        result = app.run(f"echo before; exec -a marker-{marker} sleep 60", timeout=0.5)
        assert time.monotonic() - began < 5
        assert result.timed_out
        assert result.exit_code is None
        assert result.stdout.text == "before\n"
        assert still_running(app, marker) == 0

    def test_a_command_that_ignores_signals_is_ended_too(self, app: Box) -> None:
        began = time.monotonic()
        result = app.run("trap '' TERM HUP INT; while :; do sleep 1; done", timeout=0.5)
        assert result.timed_out
        assert time.monotonic() - began < 10

    def test_an_exit_code_is_no_timeout(self, app: Box) -> None:
        for code in (124, 137):
            result = app.run(f"exit {code}", timeout=30)
            assert (result.exit_code, result.timed_out) == (code, False)

    def test_endless_output_is_cut_and_its_writer_ended(self, app: Box) -> None:
        began = time.monotonic()
        result = app.run("yes 0123456789", timeout=60)
        assert time.monotonic() - began < 30
        assert result.output_exceeded
        assert result.exit_code is None
        assert result.stdout.truncated
        assert result.stdout.total_bytes >= 64 << 20
        assert len(result.stdout.text) < 1_100_000
        assert "bytes left out" in result.stdout.text

    def test_a_writer_that_ignores_broken_pipes_is_ended_too(self, app: Box) -> None:
        program = (
            "import os\n"  # Python ignores SIGPIPE
            "while True:\n"
            "    try: os.write(1, b'x' * 65536)\n"
            "    except OSError: pass\n"
        )
        app.write_file("/tmp/writer.py", program.encode())
        began = time.monotonic()
        result = app.run("python3 /tmp/writer.py", timeout=60)
        assert result.output_exceeded
        assert time.monotonic() - began < 30

    def test_long_output_has_its_head_and_tail_and_can_be_paged_through(self, app: Box) -> None:
        result = app.run("seq 1 400000")
        whole = "".join(f"{number}\n" for number in range(1, 400_001))
        assert result.exit_code == 0
        assert result.stdout.truncated
        assert result.stdout.total_bytes == len(whole)
        assert result.stdout.text.startswith("1\n2\n")
        assert result.stdout.text.endswith("399999\n400000\n")
        page = app.read_output(result.stdout.handle, offset=1_000_000, limit=5000)
        assert page.decode() == whole[1_000_000:1_005_000]
        assert app.read_output(result.stdout.handle, offset=10**9) == b""
        with pytest.raises(UsageError):
            app.read_output("../../etc/passwd")

    def test_output_may_be_any_bytes(self, app: Box) -> None:
        result = app.run("printf '\\000\\377\\012ok'")
        assert result.stdout.text == "\x00\ufffd\nok"
        assert app.read_output(result.stdout.handle) == b"\x00\xff\nok"

    @pytest.mark.parametrize(
        "launch",
        [
            "{} & echo ok",
            "setsid {} & echo ok",
            "nohup setsid {} >/dev/null 2>&1 & disown; echo ok",
            "(setsid bash -c '({} &)' &); echo ok",
            "trap '' TERM HUP; {} & echo ok",
            "{} & kill -STOP $!; echo ok",
        ],
    )
    def test_nothing_is_left_of_a_command(self, app: Box, marker: str, launch: str) -> None:
        began = time.monotonic()
        app.write_file("/tmp/survive", b'exec -a "marker-$1" sleep 100\n')
        result = app.run(launch.format(f"bash /tmp/survive {marker}"))
        assert result.stdout.text == "ok\n"
        assert time.monotonic() - began < 5, "a survivor that holds the output open must not hold up the host"
        assert still_running(app, marker) == 0

    def test_the_survivor_check_sees_what_is_alive(self, app: Box, marker: str) -> None:
        service = app.start("control", f"exec -a marker-{marker} sleep 100")
        assert still_running(app, marker) == 1
        service.stop()
        assert still_running(app, marker) == 0

    def test_a_server_whose_processes_have_sessions_of_their_own_lives_on(
        self, app: Box, marker: str
    ) -> None:
        """PostgreSQL gives each of its processes one; a command's processes end in whatever session."""
        server = f"(exec setsid bash -c 'exec -a marker-{marker} sleep 100') & wait"
        service = app.start("server", server)
        deadline = time.monotonic() + 5
        while still_running(app, marker) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        other = f"{marker}x"
        app.run(f"setsid bash -c 'exec -a marker-{other} sleep 100' & echo ok")
        assert still_running(app, other) == 0
        assert still_running(app, marker) == 1
        service.stop()
        assert still_running(app, marker) == 0

    def test_a_fork_bomb_ends_with_its_command(self, app: Box) -> None:
        app.run(":(){ :|:& };:; sleep 2", timeout=4)
        assert app.run("echo fine", timeout=20).stdout.text == "fine\n"

    def test_a_command_that_kills_everything_it_can_ends_alone(self, app: Box) -> None:
        result = app.run("echo before; sleep 0.1; kill -9 -1; echo after", timeout=20)
        assert result.exit_code in (None, 137)
        assert not result.timed_out
        assert result.stdout.text == "before\n"
        assert app.run("echo again").stdout.text == "again\n"

    def test_a_service_that_kills_every_shell_costs_no_command(self, app: Box) -> None:
        app.start("killer", "sleep 0.3; for p in /proc/[0-9]*; do kill -9 ${p#/proc/}; done")
        time.sleep(0.8)
        app.write_file("/work/after", b"x")
        assert app.run("echo ran; exit 4").exit_code == 4
        assert app.read_file("/work/after") == b"x"

    def test_a_command_that_stops_its_supervisor_ends_by_the_hosts_clock(self, app: Box) -> None:
        began = time.monotonic()
        result = app.run(
            "kill -STOP $(ps -eo pid= 2>/dev/null || ls /proc | grep '^[0-9]'); sleep 60", timeout=1
        )
        assert time.monotonic() - began < 25
        assert result.exit_code in (None, 137)
        assert app.run("echo again").stdout.text == "again\n"

    def test_a_forged_status_is_not_believed(self, app: Box) -> None:
        nonce = "0" * 32
        forged = f"printf '\\n{nonce} 0 0 0\\n\\n{nonce}\\n\\n{nonce}\\n'"
        attempts = f"{forged}; for p in $PPID 1; do {forged} >/proc/$p/fd/1; done 2>/dev/null; exit 5"
        assert app.run(attempts).exit_code == 5
        assert app.run("exit 6").exit_code == 6

    def test_commands_of_two_threads_do_not_mix(self, app: Box) -> None:
        seen: dict[int, str] = {}

        def work(number: int) -> None:
            seen[number] = app.run(f"sleep 0.05; echo {number}").stdout.text

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == {number: f"{number}\n" for number in range(6)}

    def test_files_can_be_read_while_a_command_runs(self, app: Box) -> None:
        app.write_file("/work/now.txt", b"before")
        thread = threading.Thread(target=app.run, args=("sleep 1.5",))
        thread.start()
        time.sleep(0.1)
        began = time.monotonic()
        app.write_file("/work/now.txt", b"during")
        assert app.read_file("/work/now.txt") == b"during"
        assert time.monotonic() - began < 1.2
        thread.join()


class FileContract:
    @pytest.fixture
    def app(self, pod: Pod) -> Box:
        return pod.app

    @pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 20, b"\n\n", b"a" * (10 << 20)])
    def test_what_is_written_is_read_back(self, app: Box, content: bytes) -> None:
        app.write_file("/work/a b/ü'\"$x/file", content)
        assert app.read_file("/work/a b/ü'\"$x/file") == content

    def test_modes_are_kept(self, app: Box) -> None:
        app.write_file("/work/tool", b"#!/bin/sh\necho yes\n", mode=0o755)
        assert app.run("./tool; stat -c %a tool").stdout.text == "yes\n755\n"
        app.write_file("/work/tool", b"", mode=0o600)
        assert app.run("stat -c '%a %s' tool").stdout.text == "600 0\n"

    def test_what_is_not_a_file_is_none(self, app: Box) -> None:
        app.run("mkfifo /work/fifo; ln -s nowhere /work/dangling")
        for path in ("/work/missing", "/work", "/work/fifo", "/work/dangling", "/dev/zero"):
            assert app.read_file(path) is None

    def test_a_large_file_is_refused_with_words(self, app: Box) -> None:
        app.run("truncate -s 900M /work/sparse")
        began = time.monotonic()
        with pytest.raises(SandboxBroken, match="larger than 1000 bytes"):
            app.read_file("/work/sparse", max_bytes=1000)
        assert time.monotonic() - began < 2
        assert app.run("echo fine").stdout.text == "fine\n"

    def test_links_are_followed_inside(self, app: Box) -> None:
        app.write_file("/work/target", b"one")
        app.run("ln -sfn target /work/alias")
        assert app.read_file("/work/alias") == b"one"
        app.write_file("/work/alias", b"two")
        assert app.run("cat target; readlink alias").stdout.text == "twoalias\n".replace("alias", "target")

    def test_a_place_that_cannot_be_written_says_so(self, app: Box) -> None:
        for content in (b"", b"x" * 100_000):
            with pytest.raises(SandboxBroken, match="could not be written"):
                app.write_file("/etc/bedev", content)
            with pytest.raises(SandboxBroken, match="folder of this name"):
                app.write_file("/work", content)
            assert app.run("echo in step").stdout.text == "in step\n"
        with pytest.raises(UsageError):
            app.write_file("relative", b"")

    def test_removing_is_idempotent(self, app: Box) -> None:
        app.write_file("/work/gone", b"x")
        app.remove_file("/work/gone")
        app.remove_file("/work/gone")
        assert app.read_file("/work/gone") is None

    def test_a_full_disk_is_an_error_not_a_broken_box(self, app: Box) -> None:
        result = app.run("head -c 900M /dev/zero >/tmp/full", timeout=60)
        assert result.exit_code == 1
        assert "space" in result.stderr.text
        assert app.run("echo works").stdout.text == "works\n"
        app.run("rm /tmp/full")


class ServiceContract:
    @pytest.fixture
    def app(self, pod: Pod) -> Box:
        return pod.app

    def test_a_service_outlives_commands_and_ends_when_stopped(self, app: Box, marker: str) -> None:
        service = app.start(
            "ticker",
            f"bash -c 'exec -a marker-{marker} sleep 99' & echo $COLOUR; echo oops >&2; wait",
            env={"COLOUR": "red"},
        )
        app.run("true")
        assert service.alive()
        assert still_running(app, marker) == 1
        assert service.log().splitlines() == ["red", "oops"]
        service.stop()
        service.stop()
        assert not service.alive()
        assert still_running(app, marker) == 0

    def test_what_a_service_reads_is_counted_where_anybody_counts(self, app: Box) -> None:
        """Its children's too, after their end."""
        service = app.start(
            "reader", "read -r -t 1 _ <> <(:); head -c 9000000 /dev/zero | cat >/dev/null; sleep 99"
        )
        before = service.bytes_read()
        if before is None:
            return  # nothing is isolated there, so nobody is suspected
        deadline = time.monotonic() + 10
        while (service.bytes_read() or 0) < before + 18_000_000 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 18_000_000 <= (service.bytes_read() or 0) - before < 19_000_000
        service.stop()

    def test_a_service_that_ends_by_itself_is_not_alive(self, app: Box) -> None:
        service = app.start("brief", "echo last words; exit 1")
        deadline = time.monotonic() + 5
        while service.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not service.alive()
        assert service.log() == "last words\n"

    def test_a_service_that_ignores_signals_is_stopped(self, app: Box, marker: str) -> None:
        service = app.start(
            "stubborn", f"trap '' TERM; echo deaf; bash -c 'exec -a marker-{marker} sleep 99'; sleep 99"
        )
        while "deaf" not in service.log():
            time.sleep(0.02)
        service.stop()
        assert still_running(app, marker) == 0
        assert not service.alive()

    def test_the_log_of_a_service_is_bounded_and_ends_with_the_latest(self, app: Box) -> None:
        service = app.start("loud", "seq 1 3000000; echo the end; sleep 60")
        deadline = time.monotonic() + 30
        while "the end" not in service.log(200) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert service.log(200).endswith("3000000\nthe end\n")
        assert service.alive()
        assert int(app.run("cat /bedev/out/loud-*.log* | wc -c").stdout.text) < 9 << 20
        service.stop()
