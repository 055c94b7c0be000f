"""What every sandbox promises of pods, templates and the set-up phase; see contract.py."""

from __future__ import annotations

import secrets

import pytest
from bedev.sandboxes.errors import SandboxBroken, SetUpFailed, UsageError
from bedev.sandboxes.sandbox import (
    DATABASE_UID,
    WORK_UID,
    HostAccess,
    ImageSpec,
    Pod,
    PodSpec,
    Sandbox,
    SetUpStep,
    TreeFile,
)


def quiet(line: str) -> None:
    del line


class PodContract:
    def test_the_workspace_is_the_tree_and_the_pods_own(
        self, sandbox: Sandbox, image: str, tree: str, pod: Pod
    ) -> None:
        seen = pod.app.run("cat readme.txt; bin/run; readlink link; stat -c %u . readme.txt bin; id -u")
        assert seen.stdout.text == f"hello\nran\nreadme.txt\n{WORK_UID}\n{WORK_UID}\n{WORK_UID}\n{WORK_UID}\n"
        pod.app.run("echo changed >readme.txt; mkdir new")
        other = sandbox.open_pod(PodSpec(app_image=image, tree=tree), quiet)
        try:
            assert other.app.read_file("/work/readme.txt") == b"hello\n"
            assert other.app.run("touch /bedev/tree/x").exit_code != 0
            with pytest.raises(SandboxBroken):
                _ = other.db
        finally:
            other.close()
            other.close()

    def test_the_database_has_its_own_user_and_folders(self, pod: Pod) -> None:
        assert (
            pod.db.run("id -u; touch /bedev/data/x && echo ok", cwd="/").stdout.text
            == f"{DATABASE_UID}\nok\n"
        )
        assert pod.app.run("ls /bedev/data").exit_code != 0
        assert "APP_ENV" not in pod.db.run("env", cwd="/").stdout.text

    def test_the_boxes_share_their_loopback(self, pod: Pod) -> None:
        server = pod.db.start("echo", "python3 -m http.server 8099 --bind 127.0.0.1", cwd="/tmp")
        assert pod.probe.wait_for_port(8099, 20)
        assert pod.app.run("exec 3<>/dev/tcp/127.0.0.1/8099 && echo reached").stdout.text == "reached\n"
        server.stop()
        assert not pod.probe.wait_for_port(8099, 0.2)

    def test_scenario_files_are_there_and_read_only(self, sandbox: Sandbox, image: str, tree: str) -> None:
        content = b"\x00binary\n"
        spec = PodSpec(app_image=image, tree=tree, scenario_files={"ask me.sql": content})
        opened = sandbox.open_pod(spec, quiet)
        try:
            assert opened.app.read_file("/scenario/ask me.sql") == content
            assert opened.app.run("echo x >>'/scenario/ask me.sql'").exit_code != 0
            assert opened.app.run("rm -f '/scenario/ask me.sql'").exit_code != 0
        finally:
            opened.close()

    def test_a_template_is_written_once_and_read_after_it_is_sealed(
        self, sandbox: Sandbox, image: str
    ) -> None:
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
        sandbox.seal_template(key, facts)
        assert sandbox.has_template(key)
        assert sandbox.template_facts(key) == facts
        user = sandbox.open_pod(PodSpec(app_image=image, tree="", db_image=image, templates=key), quiet)
        try:
            assert user.db.read_file("/bedev/templates/file") == b"data\n"
            assert user.db.run("touch /bedev/templates/no", cwd="/").exit_code != 0
        finally:
            user.close()
        sandbox.drop_template(key)
        sandbox.drop_template(key)
        assert not sandbox.has_template(key)


class SetUpContract:
    def test_steps_run_in_two_phases_and_only_the_files_survive(self, sandbox: Sandbox, image: str) -> None:
        key = f"contract-{secrets.token_hex(6)}"
        routes = "tail -n +2 /proc/net/route | wc -l"
        steps = (
            SetUpStep(
                "second",
                f"{routes} >>log; ls /tmp/secret >>log 2>&1; ls /proc | grep -c '^[0-9]' >/tmp/n",
                False,
            ),
            SetUpStep(
                "first",
                f"[ $({routes}) -gt 0 ] && echo online >log; echo x >/tmp/secret; setsid sleep 500 &",
                True,
            ),
        )
        lines: list[str] = []
        files = [TreeFile("a", 0o100644, b"1")]
        assert sandbox.prepare_tree(key, lambda: files, image, steps, HostAccess(), lines.append) == key
        assert [line for line in lines if line in ("first", "second")] == ["first", "second"]
        pod = sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet)
        log = (pod.app.read_file("/work/log") or b"").decode().splitlines()
        pod.close()
        assert log[:2] == ["online", "0"]
        assert "No such file" in log[2]

        def never() -> list[TreeFile]:
            raise AssertionError("a prepared tree is cached")

        assert sandbox.prepare_tree(key, never, image, steps, HostAccess(), quiet) == key

    def test_a_failing_step_is_named_and_leaves_nothing(
        self, sandbox: Sandbox, image: str, tree: str
    ) -> None:
        key = f"contract-{secrets.token_hex(6)}"
        steps = (SetUpStep("install the impossible", "echo because >&2; exit 7", False),)
        for _ in range(2):
            with pytest.raises(SetUpFailed, match="install the impossible") as caught:
                sandbox.prepare_tree(key, list, image, steps, HostAccess(), quiet)
            assert "because" in caught.value.detail
        with pytest.raises(UsageError):
            sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet)

    @pytest.mark.parametrize("path", ["../x", "/abs", "a/../b", ".git/hooks/x", "a//b", "d/.GIT/config", ""])
    def test_a_path_that_leaves_the_workspace_is_refused(
        self, sandbox: Sandbox, image: str, path: str
    ) -> None:
        with pytest.raises(UsageError):
            sandbox.prepare_tree(
                f"contract-{secrets.token_hex(6)}",
                lambda: [TreeFile(path, 0o100644, b"")],
                image,
                (),
                HostAccess(),
                quiet,
            )

    def test_only_steps_with_network_see_what_the_user_passes(
        self, sandbox: Sandbox, image: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = f"contract-{secrets.token_hex(6)}"
        monkeypatch.setenv("BEDEV_TEST_CANARY", "seen-1234567890")
        ca = f"{tmp_path}/ca.pem"
        with open(ca, "w") as file:
            file.write("-----BEGIN CERTIFICATE-----\n")
        access = HostAccess(
            pass_env=("BEDEV_TEST_CANARY", "BEDEV_NOT_SET"), ca_file=ca, proxy="http://127.0.0.1:9"
        )
        show = "echo $BEDEV_TEST_CANARY,$https_proxy,$(tail -n 1 $SSL_CERT_FILE)"
        steps = (
            SetUpStep("on", f"{show} >on", True),
            SetUpStep("off", "(env; cat /tmp/.bedev-ca.pem) >off 2>&1; true", False),
        )
        sandbox.prepare_tree(key, list, image, steps, access, quiet)
        pod = sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet)
        on, off = (pod.app.read_file(f"/work/{name}") or b"" for name in ("on", "off"))
        everything = pod.app.run("env; env | base64").stdout.text
        pod.close()
        assert on == b"seen-1234567890,http://127.0.0.1:9,-----BEGIN CERTIFICATE-----\n"
        assert b"seen-" not in off
        assert b"127.0.0.1:9" not in off
        assert b"No such file" in off
        assert "seen-" not in everything

    def test_an_image_that_cannot_be_built_says_why(self, sandbox: Sandbox) -> None:
        with pytest.raises(SetUpFailed) as caught:
            sandbox.ensure_image(
                ImageSpec("debian:trixie-slim", packages=("no-such-package-of-debian",)), quiet
            )
        assert "no-such-package-of-debian" in caught.value.detail
        with pytest.raises(SetUpFailed) as caught:
            sandbox.ensure_image(ImageSpec("debian:trixie-slim", lines=("RUN rm /usr/bin/setsid",)), quiet)
        assert "bedev needs setsid in an image" in caught.value.detail
        with pytest.raises(UsageError):
            sandbox.ensure_image(ImageSpec("debian:trixie-slim", packages=("x; id",)), quiet)
