"""A pod whose database is a file beside the application: who sees what, and that nothing is left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from bedev.sandboxes.docker_engine import KIND_LABEL, RUN_LABEL, engine
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.sandbox import DATABASE_UID, Pod, PodSpec

from .conftest import quiet

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def template(docker_sandbox: DockerSandbox, image: str) -> Iterator[str]:
    key = f"shared-{secrets.token_hex(8)}"
    docker_sandbox.new_template(key)
    pod = docker_sandbox.open_pod(
        PodSpec(app_image=image, tree="", templates=key, templates_writable=True, shared_data=True), quiet
    )
    assert pod.db.run("mkdir /bedev/templates/one && echo kept > /bedev/templates/one/file", cwd="/").ok
    pod.close()
    docker_sandbox.seal_template(key, {})
    yield key
    docker_sandbox.drop_template(key)


@pytest.fixture(scope="module")
def shared(docker_sandbox: DockerSandbox, image: str, template: str) -> Iterator[Pod]:
    spec = PodSpec(app_image=image, tree="", templates=template, shared_data=True)
    opened = docker_sandbox.open_pod(spec, quiet)
    yield opened
    opened.close()


def test_application_probe_and_copying_box_share_one_folder(shared: Pod) -> None:
    assert shared.db.run("id -u; mkdir -m 777 /bedev/data/main", cwd="/").stdout.text == f"{DATABASE_UID}\n"
    path = "/bedev/data/main/app.sqlite"
    admin = shared.probe.connect("sqlite", user="admin", database=path)
    admin.query("CREATE TABLE t (a)")
    code = f"import sqlite3; c = sqlite3.connect('{path}'); c.execute('INSERT INTO t VALUES (7)'); c.commit()"
    assert shared.app.run(f'python3 -c "{code}"').ok
    assert admin.query("SELECT a FROM t").scalar == 7
    admin.close()
    assert shared.db.run(f"cp {path} /bedev/data/copy", cwd="/").ok


def test_a_file_that_is_not_there_is_made_for_the_admin_alone(shared: Pod) -> None:
    for role in ("application", "reader"):
        with pytest.raises(DatabaseError, match="unable to open"):
            shared.probe.connect("sqlite", user=role, database="/bedev/data/none.sqlite")


def test_the_application_does_not_reach_templates_and_nobody_changes_them(shared: Pod) -> None:
    assert shared.db.read_file("/bedev/templates/one/file") == b"kept\n"
    assert not shared.db.run("echo x > /bedev/templates/one/file", cwd="/").ok
    assert not shared.app.run("cat /bedev/templates/one/file").ok
    assert not shared.app.run("touch /bedev/templates/mine").ok


def test_the_folder_ends_with_its_pod(docker_sandbox: DockerSandbox, image: str) -> None:
    before = _volumes(docker_sandbox.run)
    pod = docker_sandbox.open_pod(PodSpec(app_image=image, tree="", shared_data=True), quiet)
    assert len(_volumes(docker_sandbox.run) - before) == 1
    pod.close()
    assert _volumes(docker_sandbox.run) == before


def _volumes(run: str) -> set[str]:
    """The sweep knows them by these labels where a run is killed."""
    filters = {"label": [f"{RUN_LABEL}={run}", f"{KIND_LABEL}=shared-data"]}
    return {str(volume["Name"]) for volume in engine().volumes(filters=filters).get("Volumes") or ()}
