"""One sandbox for each file of tests, closed at its end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from bedev.sandboxes.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    from bedev.sandboxes.docker_pod import DockerSandbox

    opened = DockerSandbox(f"test-{secrets.token_hex(4)}", lifetime_seconds=600)
    yield opened
    opened.close()
