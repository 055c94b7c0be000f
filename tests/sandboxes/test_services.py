"""Servers beside the database: in every pod, on their ports, as isolated as the rest, gone with the pod."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bedev.sandboxes.docker_engine import engine
from bedev.sandboxes.docker_pod import DockerPod, DockerSandbox
from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.ports import check_ports
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import ImageSpec, PodSpec
from bedev.sandboxes.services import service

docker = pytest.mark.docker

PACKAGES = {
    "redis": "redis-server",
    "valkey": "valkey-server",
    "memcached": "memcached",
    "rabbitmq": "rabbitmq-server",
}
"""Debian's package of each, in the place of its official image."""

SAYS = {
    "redis": ("PING\\r\\n", "+PONG"),
    "valkey": ("PING\\r\\n", "+PONG"),
    "memcached": ("version\\r\\n", "VERSION"),
    "rabbitmq": ("AMQP\\0\\0\\x09\\x01", "capabilities"),
}
"""What a client sends, and what the server's answer holds."""


def quiet(_: str) -> None:
    """Nobody watches."""


def asked(pod: DockerPod, kind: str, words: str) -> str:
    """What the service answers to an application in the pod."""
    port = service.load(kind).port
    command = f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf '{words}' >&3 && timeout 1 cat <&3 | tr -d '\\0'"
    return pod.app.run(f"{{ {command}; }} 2>&1", timeout=20).stdout.text


@pytest.fixture(scope="module")
def redis(docker_sandbox: DockerSandbox) -> str:
    return docker_sandbox.ensure_image(ImageSpec("debian:trixie-slim", packages=("redis-server",)), quiet)


@pytest.fixture
def pod(docker_sandbox: DockerSandbox, image: str, redis: str) -> Iterator[DockerPod]:
    opened = docker_sandbox.open_pod(PodSpec(image, "", services={"redis": redis}), quiet)
    yield opened
    opened.close()


@docker
@pytest.mark.parametrize("kind", service.names())
def test_each_kind_answers_before_the_pod_is_handed_out(
    docker_sandbox: DockerSandbox, image: str, kind: str
) -> None:
    own = docker_sandbox.ensure_image(ImageSpec("debian:trixie-slim", packages=(PACKAGES[kind],)), quiet)
    pod = docker_sandbox.open_pod(PodSpec(image, "", services={kind: own}), quiet)
    try:
        sent, answer = SAYS[kind]
        assert answer in asked(pod, kind, sent)
        pod.app.run("true")
        assert answer in asked(pod, kind, sent)
    finally:
        pod.close()


@docker
def test_its_container_has_the_pods_network_and_nothing_else(pod: DockerPod) -> None:
    container = pod.services[0].container
    found = engine().inspect_container(container.id)
    shared = engine().inspect_container(pod.app.container.id)["HostConfig"]["NetworkMode"]
    assert shared.startswith("container:")
    assert found["HostConfig"]["NetworkMode"] == shared
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert not found["HostConfig"]["Binds"]
    assert [m for m in found["Mounts"] if m["Type"] != "volume"] == []
    assert pod.services[0].run("id -u", cwd="/tmp").stdout.text.strip() == "10002"


@docker
def test_nothing_of_one_pod_is_seen_in_another(
    docker_sandbox: DockerSandbox, image: str, redis: str, pod: DockerPod
) -> None:
    other = docker_sandbox.open_pod(PodSpec(image, "", services={"redis": redis}), quiet)
    try:
        assert "+OK" in asked(pod, "redis", "SET colour green\\r\\n")
        assert "green" in asked(pod, "redis", "GET colour\\r\\n")
        assert "green" not in asked(other, "redis", "GET colour\\r\\n")
    finally:
        other.close()


@docker
def test_it_goes_with_its_pod(docker_sandbox: DockerSandbox, image: str, redis: str) -> None:
    pod = docker_sandbox.open_pod(PodSpec(image, "", services={"redis": redis}), quiet)
    identity = pod.services[0].container.id
    names = [m["Name"] for m in engine().inspect_container(identity)["Mounts"] if m["Type"] == "volume"]
    pod.close()
    assert engine().containers(all=True, filters={"id": identity}) == []
    volumes = {v["Name"] for v in engine().volumes().get("Volumes") or ()}
    assert volumes.isdisjoint(names)


@docker
def test_an_image_without_the_server_is_said_with_its_words_and_leaves_nothing(
    docker_sandbox: DockerSandbox, image: str
) -> None:
    def ours() -> set[str]:
        found = engine().containers(all=True, filters={"label": f"dev.bedev.run={docker_sandbox.run}"})
        return {c["Id"] for c in found}

    before = ours()
    with pytest.raises(SetUpFailed, match="Redis did not start") as caught:
        docker_sandbox.open_pod(PodSpec(image, "", services={"redis": image}), quiet)
    assert "redis-server: not found" in caught.value.detail
    assert "[services] redis" in caught.value.where
    assert ours() == before


def test_an_unknown_service_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no service named 'oracle'") as caught:
        service.load("oracle")
    assert "rabbitmq, redis" in caught.value.next_step


def test_an_application_cannot_be_served_on_a_services_port() -> None:
    from bedev.sandboxes.engines.engine import load

    recipe = Recipe("generic", "x", serve="./serve", served_port=6379, services={"redis": "redis:8"})
    with pytest.raises(UsageError, match="the port of Redis in the pod"):
        check_ports(recipe, load("mariadb"))
