"""A full disk, made for real with small volumes in memory, ends in one clear error and leaves nothing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataWish, make_data
from bedev.sandboxes.docker_engine import RUN_LABEL, engine
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.docker_volumes import TREE_KIND, find_seal, remove_volume
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.errors import DiskFull, EnvironmentUnusable, SetUpFailed
from bedev.sandboxes.full_disk import said_in
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import (
    DATA,
    TEMPLATES,
    WORKSPACE,
    HostAccess,
    ImageSpec,
    Pod,
    PodSpec,
    Sandbox,
    SetUpStep,
    TreeFile,
)
from bedev.sandboxes.set_up import Brought
from bedev.sandboxes.shell import OUTPUT_FOLDER
from bedev.sandboxes.stacks.stack import load

pytestmark = pytest.mark.docker

MARIADB = engines.load("mariadb")
IMAGE = "debian:trixie-slim"
BIG = "head -c 900000000 /dev/zero >"
AT_ONCE = 20.0  # seconds: far below any timeout


def quiet(line: str) -> None:
    del line


@contextmanager
def small(volume_mb: Mapping[str, int]) -> Iterator[DockerSandbox]:
    """A sandbox whose volumes hold little; afterwards nothing of its run may be there."""
    made = DockerSandbox(f"small-{secrets.token_hex(4)}", lifetime_seconds=600, volume_mb=volume_mb)
    try:
        yield made
        assert left(made.run, "containers") == []
        assert left(made.run, "volumes") == []
    finally:
        made.close()
        for name in left(made.run, "volumes"):
            remove_volume(name)


def left(run: str, what: str) -> list[str]:
    filters = {"label": f"{RUN_LABEL}={run}"}
    if what == "containers":
        return [str(found["Id"]) for found in engine().containers(all=True, filters=filters)]
    return [str(found["Name"]) for found in engine().volumes(filters=filters).get("Volumes") or ()]


@contextmanager
def at_once() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_ONCE


# -- a box


@pytest.fixture
def small_pod(image: str) -> Iterator[Pod]:
    with small({WORKSPACE: 16}) as sandbox:
        opened = sandbox.open_pod(PodSpec(app_image=image, tree=""), quiet)
        yield opened
        opened.close()


@pytest.mark.parametrize("place", ["/tmp", WORKSPACE])
def test_a_full_place_is_named_until_there_is_room_again(small_pod: Pod, place: str) -> None:
    assert small_pod.full_disk() is None
    assert not small_pod.app.run(f"{BIG}{place}/big").ok
    full = small_pod.full_disk()
    assert full is not None
    assert (full.box, full.path, full.memory) == ("app", place, place == "/tmp")
    error = full.error("the seed")
    assert error.exit_code == 3
    assert place in error.what
    assert "MB" in error.what
    assert ("written below /work" if full.memory else "bedev gc --caches") in error.next_step
    assert small_pod.app.run(f"rm {place}/big").ok
    assert small_pod.full_disk() is None


def test_a_file_that_does_not_fit_is_an_error_at_once_and_the_box_goes_on(small_pod: Pod) -> None:
    """Its bytes are all read: a shell that waited for the rest would hang, or take it for a request."""
    for size in (10, 300_000, 20 << 20):
        small_pod.app.run(f"{BIG}{WORKSPACE}/big")
        with at_once(), pytest.raises(DiskFull):
            small_pod.app.write_file(f"{WORKSPACE}/new", b"x" * size)
        assert small_pod.app.read_file(f"{WORKSPACE}/new") is None
        small_pod.app.remove_file(f"{WORKSPACE}/big")
    small_pod.app.write_file(f"{WORKSPACE}/new", b"fits")
    assert small_pod.app.read_file(f"{WORKSPACE}/new") == b"fits"


def test_input_for_which_the_disk_has_no_room_does_not_stop_the_shell(small_pod: Pod) -> None:
    small_pod.app.run(f"{BIG}{OUTPUT_FOLDER}/big")
    with at_once():
        small_pod.app.run("cat", stdin=b"y" * 300_000)
    small_pod.app.run(f"rm {OUTPUT_FOLDER}/big")
    assert small_pod.app.run("echo alive").stdout.text == "alive\n"


# -- trees


def files() -> list[TreeFile]:
    return [TreeFile(f"f{i}", 0o100644, bytes([i]) * (2 << 20)) for i in range(10)]


def prepare(sandbox: Sandbox, key: str, image: str, *steps: SetUpStep) -> str:
    return sandbox.prepare_tree(key, files, image, steps, HostAccess(), quiet)


def test_a_tree_that_does_not_fit_is_not_taken_as_complete_later(image: str, sandbox: Sandbox) -> None:
    key = f"full-{secrets.token_hex(6)}"
    with small({WORKSPACE: 8}) as cramped, at_once():
        with pytest.raises(DiskFull, match=r"/work of the set-up container is full \(8 MB\)") as caught:
            prepare(cramped, key, image)
        assert "files could not be copied" in caught.value.where
        assert find_seal(TREE_KIND, key) is None
    assert prepare(sandbox, key, image) == key
    opened = sandbox.open_pod(PodSpec(app_image=image, tree=key), quiet)
    assert len(opened.app.read_file("/work/f9") or b"") == 2 << 20
    opened.close()


def test_a_step_of_set_up_that_fills_the_disk_is_named(image: str) -> None:
    key = f"full-{secrets.token_hex(6)}"
    step = SetUpStep("dependencies", f"{BIG}vendor.bin", network=False)
    with small({WORKSPACE: 40}) as cramped:
        with pytest.raises(DiskFull, match="/work") as caught:
            prepare(cramped, key, image, step)
        assert "dependencies" in caught.value.where
        assert "No space left" in caught.value.detail
        assert find_seal(TREE_KIND, key) is None


def test_a_step_that_cleans_up_after_itself_is_believed(image: str) -> None:
    step = SetUpStep("dependencies", f"{BIG}vendor.bin || {{ rm vendor.bin; exit 1; }}", network=False)
    with small({WORKSPACE: 40}) as cramped, pytest.raises(DiskFull, match="was full"):
        prepare(cramped, f"full-{secrets.token_hex(6)}", image, step)


def test_a_step_that_fails_for_another_reason_is_no_full_disk(image: str) -> None:
    step = SetUpStep("dependencies", "echo the lock file is wrong >&2; exit 1", network=False)
    with small({WORKSPACE: 40}) as roomy, pytest.raises(SetUpFailed, match="ended with 1"):
        prepare(roomy, f"full-{secrets.token_hex(6)}", image, step)


def test_a_workspace_that_the_tree_does_not_fit_in(image: str, sandbox: Sandbox) -> None:
    key = prepare(sandbox, f"full-{secrets.token_hex(6)}", image)
    with (
        small({WORKSPACE: 8}) as cramped,
        pytest.raises(DiskFull, match="/work of the app container is full"),
    ):
        cramped.open_pod(PodSpec(app_image=image, tree=key), quiet)


# -- the engine


def test_a_build_that_finds_no_space(sandbox: Sandbox) -> None:
    """/dev/shm of a build holds 64 MB."""
    line = f"RUN head -c 90000000 /dev/zero >/dev/shm/{secrets.token_hex(4)}"
    with pytest.raises(DiskFull) as caught:
        sandbox.ensure_image(ImageSpec(IMAGE, lines=(line,)), quiet)
    assert caught.value.exit_code == 3
    assert "docker system df" in caught.value.next_step
    assert "No space left on device" in caught.value.detail


def test_an_engine_that_finds_no_space(sandbox: Sandbox) -> None:
    """It copies what the image has at a volume's place into the volume."""
    image = sandbox.ensure_image(ImageSpec(IMAGE, files={"/work/big": b"z" * (3 << 20)}), quiet)
    with small({WORKSPACE: 1}) as cramped, pytest.raises(DiskFull, match="No space is left") as caught:
        cramped.open_pod(PodSpec(app_image=image, tree=""), quiet)
    assert "bedev gc --caches" in caught.value.next_step


# -- the database


@pytest.fixture(scope="module")
def brought(sandbox: Sandbox) -> Brought:
    """An application without a framework: its image is the database's, which has the client."""
    image = sandbox.ensure_image(MARIADB.image_spec(IMAGE), quiet)
    stack = load("laravel")
    recipe = Recipe(stack.name, image, migrate="true", dotenv_path=".env", engine="mariadb")
    key = sandbox.prepare_tree(secrets.token_hex(8), lambda: (), image, (), HostAccess(), quiet)
    return Brought(sandbox, stack, MARIADB, recipe, image, image, key, 0.0)


def within(brought: Brought, sandbox: Sandbox, **recipe: str) -> Brought:
    return replace(brought, sandbox=sandbox, recipe=replace(brought.recipe, **recipe))


TABLE = "CREATE TABLE {name} (s VARCHAR(400), t VARCHAR(400)) ENGINE={engine}"
ROWS = "INSERT INTO {name} SELECT REPEAT('x', 400), REPEAT(seq, 50) FROM seq_1_to_{count}"
CLIENT = (
    '. ./.env; mariadb --skip-ssl -h127.0.0.1 -P$DB_PORT -u$DB_USERNAME -p"$DB_PASSWORD" $DB_DATABASE -e '
)


def growing(engine_name: str, count: int) -> Any:
    def grow(_: Any, admin: Any, *__: Any) -> Mapping[str, int]:
        admin.query(TABLE.format(name="a", engine=engine_name))
        admin.query(ROWS.format(name="a", count=count), timeout=300)
        return {"a": count}

    return grow


def nothing(*_: Any) -> Mapping[str, int]:
    return {}


def refused(brought: Brought, grow: Any) -> DiskFull:
    """No template is there afterwards (`small` looks for volumes and containers)."""
    with pytest.raises(DiskFull) as caught, at_once():
        make_data(brought, DataWish(), grow, quiet)
    assert caught.value.exit_code == 3
    assert "--rows" in caught.value.next_step
    return caught.value


def test_no_room_for_an_empty_database(brought: Brought) -> None:
    with small({DATA: 40}) as cramped:
        error = refused(within(brought, cramped), nothing)
        assert "empty MariaDB database could not be made" in error.where


@pytest.mark.parametrize("engine_name", ["InnoDB", "MyISAM", "Aria"])
def test_data_that_outgrows_the_disk(brought: Brought, engine_name: str) -> None:
    """MyISAM and Aria would wait for somebody to make room."""
    with small({DATA: 220}) as cramped:
        error = refused(within(brought, cramped), growing(engine_name, 300_000))
        assert "db container" in error.what
        assert error.where


@pytest.fixture(scope="module")
def on_mysql(sandbox: Sandbox, brought: Brought) -> Brought:
    engine = engines.load("mysql")
    try:
        image = sandbox.ensure_image(engine.image_spec(engine.default_image()), quiet)
    except EnvironmentUnusable as error:
        pytest.skip(error.what)
    return replace(brought, engine=engine, db_image=image)


def test_no_room_for_an_empty_mysql(on_mysql: Brought) -> None:
    with small({DATA: 60}) as cramped:
        refused(within(on_mysql, cramped), nothing)


@pytest.mark.parametrize("engine_name", ["InnoDB", "MyISAM"])
def test_data_that_outgrows_the_disk_of_mysql(on_mysql: Brought, engine_name: str) -> None:
    def grow(_: Any, admin: Any, *__: Any) -> Mapping[str, int]:
        admin.query(TABLE.format(name="a", engine=engine_name))
        admin.query("INSERT INTO a VALUES (REPEAT('x', 400), REPEAT('y', 400))")
        for _ in range(20):
            admin.query("INSERT INTO a SELECT * FROM a", timeout=300)
        return {}

    with small({DATA: 320}) as cramped:
        refused(within(on_mysql, cramped), grow)


def test_a_seeder_that_would_wait_for_room(brought: Brought) -> None:
    statements = f"{TABLE.format(name='a', engine='MyISAM')}; {ROWS.format(name='a', count=300_000)}"
    with small({DATA: 220}) as cramped:
        error = refused(within(brought, cramped, seed=f'{CLIENT}"{statements}"'), nothing)
        assert "the command ended with 1" in error.where


def test_an_index_that_does_not_fit_is_not_said_to_be_corrupt(brought: Brought) -> None:
    def grow(_: Any, admin: Any, *__: Any) -> Mapping[str, int]:
        growing("InnoDB", 60_000)(_, admin)
        admin.query("CREATE INDEX i ON a (s)")
        return {}

    with small({DATA: 225}) as cramped:
        error = refused(within(brought, cramped), grow)
        assert "No space left on device" in error.detail or DATA in error.what


def test_a_template_that_does_not_fit_is_not_taken_as_complete_later(
    brought: Brought, sandbox: Sandbox
) -> None:
    with small({TEMPLATES: 100}) as cramped:
        error = refused(within(brought, cramped), nothing)
        assert error.what == f"{TEMPLATES} of the pod was full."
    facts = make_data(brought, DataWish(), growing("InnoDB", 10), quiet)
    try:
        assert facts.rows == {"a": 10}
    finally:
        sandbox.drop_template(facts.key)


def test_a_clone_that_does_not_fit(brought: Brought, sandbox: Sandbox) -> None:
    facts = make_data(brought, DataWish(), growing("InnoDB", 1000), quiet)
    try:
        with small({DATA: 100}) as cramped, at_once(), pytest.raises(DiskFull, match=DATA):
            Application.open(within(brought, cramped), facts.key, quiet)
        with small({DATA: 300}) as cramped:
            app = Application.open(within(brought, cramped, test="true"), facts.key, quiet)
            with pytest.raises(DiskFull):  # room for one copy, not for that of the tests
                app.run_tests({})
            app.close()
    finally:
        sandbox.drop_template(facts.key)


def test_a_command_that_fails_on_a_full_disk_is_not_taken_for_the_applications_fault(
    brought: Brought, sandbox: Sandbox
) -> None:
    facts = make_data(brought, DataWish(), nothing, quiet)
    app = Application.open(brought, facts.key, quiet)
    try:
        assert app.run("exit 1").exit_code == 1
        with pytest.raises(DiskFull, match="/tmp of the app container"):
            app.run(f"{BIG}/tmp/big")
    finally:
        app.close()
        sandbox.drop_template(facts.key)


def test_what_a_program_says_of_a_full_disk() -> None:
    assert said_in("a\ncp: error writing 'b': No space left on device\n").startswith("cp: ")
    assert said_in("ENOSPC: no space left on device, write")
    assert said_in(
        "[ERROR] InnoDB: preallocating 100663296 bytes for file ./ib_logfile101 failed with error 28"
    )
    assert said_in("fatal: sha1 file 'x' write error. Out of diskspace")
    assert said_in("cURL error 28: Operation timed out") == ""
    assert said_in("the parking space left of the device") == ""
