"""A set-up step that lacks a Debian package is tried again with it, in a real image."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess, TreeFile
from bedev.sandboxes.set_up import Brought, bring_up
from bedev.sandboxes.stacks import stack as stacks

pytestmark = pytest.mark.docker


@pytest.fixture
def sandbox() -> Iterator[DockerSandbox]:
    opened = DockerSandbox(run=f"repair-{uuid.uuid4().hex[:8]}", lifetime_seconds=900)
    yield opened
    opened.close()


def brought(sandbox: DockerSandbox, command: str, said: list[str]) -> Brought:
    recipe = Recipe(stack="generic", image="debian:trixie-slim", build=(command,))
    files = (TreeFile("a.txt", 0o100644, command.encode()),)
    return bring_up(
        sandbox,
        stacks.load("generic"),
        engines.load("sqlite"),
        recipe,
        "tree",
        lambda: files,
        HostAccess((), "", ""),
        said.append,
    )


def test_a_missing_tool_is_added_and_the_step_runs_again(sandbox: DockerSandbox) -> None:
    said: list[str] = []
    made = brought(sandbox, "unzip -v >/dev/null", said)
    assert made.recipe.packages == ("unzip",)
    assert "packages: unzip added" in made.recipe.substitutions[-1]
    assert any("Trying again with the packages unzip" in line for line in said)


def test_a_step_that_fails_for_another_reason_is_not_tried_again(sandbox: DockerSandbox) -> None:
    said: list[str] = []
    with pytest.raises(SetUpFailed) as caught:
        brought(sandbox, "echo \"KeyError: 'STRIPE_KEY'\" >&2; exit 1", said)
    assert 'STRIPE_KEY = "..."' in caught.value.toml
    assert not any("Trying again" in line for line in said)
