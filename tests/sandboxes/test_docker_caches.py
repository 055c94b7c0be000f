"""`bedev gc --caches` removes images, trees and templates for real: those of an owner of the test's own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from bedev.agent import cli
from bedev.sandboxes import docker_engine, docker_images, docker_sweep
from bedev.sandboxes.docker_engine import engine
from bedev.sandboxes.docker_images import IMAGE_OWNER_LABEL
from bedev.sandboxes.docker_pod import DockerSandbox, cache_usage, sweep
from bedev.sandboxes.docker_volumes import remove_volume
from bedev.sandboxes.sandbox import HostAccess, ImageSpec, PodSpec, TreeFile

pytestmark = pytest.mark.docker

BASE = "debian:trixie-slim"
MB = 1 << 20
HOUR = 3600.0


def quiet(line: str) -> None:
    del line


class Caches:
    """Two images, the second built on the first, a tree of 3 MB and a template."""

    def __init__(self, owner: str, others: str) -> None:
        self.owner, self.others = owner, others
        self.sandbox = DockerSandbox(f"caches-{secrets.token_hex(4)}", lifetime_seconds=600)
        content = secrets.token_bytes(2 * MB)
        self.image = self.sandbox.ensure_image(ImageSpec(BASE, files={"/opt/cached": content}), quiet)
        self.derived = self.sandbox.ensure_image(
            ImageSpec(self.image, files={"/opt/more": secrets.token_bytes(MB)}), quiet
        )
        files = [TreeFile("big", 0o100644, secrets.token_bytes(3 * MB))]
        self.tree = self.sandbox.prepare_tree(
            secrets.token_hex(8), lambda: files, self.image, (), HostAccess(), quiet
        )
        self.template = secrets.token_hex(8)
        self.sandbox.new_template(self.template)
        self.sandbox.seal_template(self.template, {"rows": 1})

    def names(self) -> list[str]:
        """The volumes of this owner, seals included."""
        found = engine().volumes(filters={"label": f"dev.bedev.owner={self.owner}"}).get("Volumes") or ()
        return sorted(str(volume["Name"]) for volume in found)

    def images(self, owner: str = "") -> set[str]:
        found = engine().images(filters={"label": f"{IMAGE_OWNER_LABEL}={owner or self.owner}"})
        return {str(image["Id"]) for image in found}


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[Caches]:
    """What it makes belongs to somebody who has nothing else in this engine; all others are strangers."""
    owner, others = secrets.token_hex(8), docker_engine.owner()
    for module in (docker_engine, docker_images, docker_sweep):
        monkeypatch.setattr(module, "owner", lambda: owner)
    made = Caches(owner, others)
    yield made
    made.sandbox.close()
    for name in made.names():
        remove_volume(name)
    for image in (made.derived, made.image):
        if image in made.images():
            engine().remove_image(image, force=True)


def test_old_caches_are_removed_and_counted(caches: Caches) -> None:
    strangers = caches.images(caches.others)
    report = sweep(include_caches=True, older_than_seconds=0)
    assert (report.images, report.trees, report.templates) == (2, 1, 1)
    assert report.kept_in_use == 0
    assert report.freed_bytes >= 3 * MB, "the tree's; the images' too, unless somebody builds meanwhile"
    assert caches.names() == []
    assert caches.images() == set()
    assert not caches.sandbox.has_template(caches.template)
    assert strangers <= caches.images(caches.others), "nothing of anybody else's is touched"
    usage = cache_usage()
    assert (usage.images, usage.trees, usage.templates) == (0, 0, 0)


def test_young_caches_stay(caches: Caches) -> None:
    before = caches.names()
    report = sweep(include_caches=True, older_than_seconds=HOUR)
    assert report == docker_sweep.SweepReport()
    assert caches.names() == before
    assert caches.images() == {caches.image, caches.derived}
    usage = cache_usage()
    assert (usage.images, usage.trees, usage.templates) == (2, 1, 1)
    assert usage.tree_bytes >= 3 * MB


def test_what_a_pod_uses_stays_until_it_is_closed(caches: Caches) -> None:
    spec = PodSpec(caches.image, caches.tree, db_image=caches.image, templates=caches.template)
    pod = caches.sandbox.open_pod(spec, quiet)
    report = sweep(include_caches=True, older_than_seconds=0)
    assert (report.images, report.trees, report.templates) == (1, 0, 0), "the image that nobody uses"
    assert report.kept_in_use == 3
    assert caches.images() == {caches.image}
    assert caches.sandbox.has_template(caches.template)
    assert pod.app.run("stat -c %s big /opt/cached").stdout.text.split() == [str(3 * MB), str(2 * MB)]
    again = caches.sandbox.open_pod(replace(spec, kind="again"), quiet)
    again.close()
    pod.close()
    report = sweep(include_caches=True, older_than_seconds=0)
    assert (report.images, report.trees, report.templates) == (1, 1, 1)
    assert caches.names() == []
    assert caches.images() == set()


def test_an_image_that_one_in_use_is_built_on_keeps_its_name(caches: Caches) -> None:
    """Without its name it would be built again, and could not be built upon."""
    pod = caches.sandbox.open_pod(PodSpec(caches.derived, ""), quiet)
    report = sweep(include_caches=True, older_than_seconds=0)
    assert report.images == 0
    assert caches.images() == {caches.image, caches.derived}
    assert engine().inspect_image(caches.image)["RepoTags"]
    pod.close()


def test_the_command_says_how_many_and_how_much(caches: Caches, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gc", "--caches", "--older", "1h"]) == 0
    said = capsys.readouterr().out
    assert "0 images, 0 prepared trees, 0 data templates\n" in said
    assert "(2), trees" in said
    assert cli.run(["gc", "--caches", "--older", "0d"]) == 0
    said = capsys.readouterr().out
    assert "2 images, 1 prepared trees, 1 data templates; freed " in said
    assert "MiB" in said.splitlines()[0]
    assert "images 0 bytes (0), trees 0 bytes (0), templates 0 bytes (0)" in said
    assert cli.run(["gc", "--caches", "--older", "0d", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["removed"]["images"] == 0
    assert document["removed"]["freed_bytes"] == 0
