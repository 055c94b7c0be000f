"""One sandbox, one small image and one prepared tree for the tests of a session."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from bedev.sandboxes.docker_engine import RUN_LABEL, engine
from bedev.sandboxes.docker_pod import DockerSandbox, docker_engine_status
from bedev.sandboxes.docker_volumes import remove_volume
from bedev.sandboxes.sandbox import HostAccess, ImageSpec, Pod, PodSpec, Sandbox, TreeFile

pytest.register_assert_rewrite(
    "tests.sandboxes.contract", "tests.sandboxes.contract_pods", "tests.sandboxes.contract_probe"
)
BASE = "debian:trixie-slim"


def quiet(line: str) -> None:
    del line


@pytest.fixture(scope="session")
def docker_sandbox() -> Iterator[DockerSandbox]:
    status = docker_engine_status()
    if not status.available:
        pytest.skip(f"no container engine: {status.message}")
    sandbox = DockerSandbox(f"test-{secrets.token_hex(4)}")
    yield sandbox
    sandbox.close()
    # What tests prepared would otherwise stay in the cache. The data of a seal goes with it.
    for volume in engine().volumes(filters={"label": f"{RUN_LABEL}={sandbox.run}"}).get("Volumes") or ():
        remove_volume(str(volume["Name"]))


@pytest.fixture(scope="session")
def sandbox(docker_sandbox: DockerSandbox) -> Sandbox:
    """Typed as the protocol, so that the type checker compares the class with it."""
    return docker_sandbox


@pytest.fixture(scope="session")
def image(sandbox: Sandbox) -> str:
    """Bash and coreutils, and Python for programs that shells cannot write."""
    return sandbox.ensure_image(ImageSpec(BASE, packages=("python3",)), quiet)


@pytest.fixture(scope="session")
def tree(sandbox: Sandbox, image: str) -> str:
    files = [
        TreeFile("readme.txt", 0o100644, b"hello\n"),
        TreeFile("bin/run", 0o100755, b"#!/bin/sh\necho ran\n"),
        TreeFile("link", 0o120000, b"readme.txt"),
    ]
    return sandbox.prepare_tree(
        f"contract-{secrets.token_hex(8)}", lambda: files, image, (), HostAccess(), quiet
    )


@pytest.fixture(scope="module")
def pod(sandbox: Sandbox, image: str, tree: str) -> Iterator[Pod]:
    opened = sandbox.open_pod(
        PodSpec(app_image=image, tree=tree, db_image=image, environment={"APP_ENV": "testing"}), quiet
    )
    yield opened
    opened.close()


@pytest.fixture
def marker() -> str:
    """A word by which a test's own processes are found."""
    return secrets.token_hex(6)
