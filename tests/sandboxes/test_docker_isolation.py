"""Every single field that isolates a container is compared: flip one, and nothing is run in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from bedev.sandboxes.docker_containers import create_container
from bedev.sandboxes.docker_engine import engine, labels
from bedev.sandboxes.docker_isolation import ContainerSpec, VolumeMount, assert_isolation
from bedev.sandboxes.docker_parts import APP, container_spec
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.errors import EnvironmentUnusable

pytestmark = pytest.mark.docker

Inspected = dict[str, Any]


@pytest.fixture(scope="module")
def made(docker_sandbox: DockerSandbox, image: str) -> tuple[Inspected, ContainerSpec]:
    """A real container's description, as the engine gives it, and what was asked for."""
    spec = container_spec(
        APP,
        "app",
        image,
        "none",
        labels("isolation", "app", 60),
        mounts=(VolumeMount("/work"),),
        deadline_seconds=60,
        seccomp=None,
    )
    container = create_container(spec)
    inspected: Inspected = engine().inspect_container(container.id)
    container.remove()
    return inspected, spec


def set_host(name: str, value: Any) -> Callable[[Inspected], None]:
    return lambda inspected: inspected["HostConfig"].__setitem__(name, value)


def set_config(name: str, value: Any) -> Callable[[Inspected], None]:
    return lambda inspected: inspected["Config"].__setitem__(name, value)


def add_environment(entry: str) -> Callable[[Inspected], None]:
    def change(inspected: Inspected) -> None:
        inspected["Config"]["Env"] = [*(inspected["Config"]["Env"] or []), entry]

    return change


def add_mount(**fields: Any) -> Callable[[Inspected], None]:
    point = {
        "Type": "volume",
        "Name": "x",
        "Source": "/x",
        "Destination": "/x",
        "Driver": "local",
        "RW": True,
    }
    return lambda inspected: inspected["Mounts"].append({**point, **fields})


FLIPS: dict[str, Callable[[Inspected], None]] = {
    "privileged": set_host("Privileged", True),
    "host network": set_host("NetworkMode", "host"),
    "bridge network": set_host("NetworkMode", "bridge"),
    "another container's network": set_host("NetworkMode", "container:abc"),
    "writable root": set_host("ReadonlyRootfs", False),
    "capabilities kept": set_host("CapDrop", None),
    "capabilities dropped in part": set_host("CapDrop", ["NET_RAW"]),
    "a capability added": set_host("CapAdd", ["SYS_ADMIN"]),
    "new privileges": set_host("SecurityOpt", []),
    "seccomp off": set_host("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
    "apparmor off": set_host("SecurityOpt", ["no-new-privileges", "apparmor=unconfined"]),
    "no init": set_host("Init", None),
    "kept after its end": set_host("AutoRemove", False),
    "no memory limit": set_host("Memory", 0),
    "swap": set_host("MemorySwap", -1),
    "no CPU limit": set_host("NanoCpus", 0),
    "no process limit": set_host("PidsLimit", None),
    "unlimited processes": set_host("PidsLimit", -1),
    "OOM preference": set_host("OomScoreAdj", -900),
    "OOM killer off": set_host("OomKillDisable", True),
    "shared memory": set_host("ShmSize", 1 << 40),
    "no ulimits": set_host("Ulimits", None),
    "another tmpfs": set_host("Tmpfs", {"/tmp": "exec,suid"}),
    "host IPC": set_host("IpcMode", "host"),
    "shareable IPC": set_host("IpcMode", "shareable"),
    "host processes": set_host("PidMode", "host"),
    "host UTS": set_host("UTSMode", "host"),
    "host users": set_host("UsernsMode", "host"),
    "a log": set_host("LogConfig", {"Type": "json-file", "Config": {}}),
    "restarts": set_host("RestartPolicy", {"Name": "always"}),
    "a bind": set_host("Binds", ["/:/host"]),
    "a device": set_host("Devices", [{"PathOnHost": "/dev/kvm"}]),
    "a device request": set_host("DeviceRequests", [{"Driver": "nvidia"}]),
    "a device rule": set_host("DeviceCgroupRules", ["a *:* rwm"]),
    "a group": set_host("GroupAdd", ["docker"]),
    "a cgroup": set_host("CgroupParent", "/"),
    "an extra host": set_host("ExtraHosts", ["host.docker.internal:host-gateway"]),
    "a resolver": set_host("Dns", ["8.8.8.8"]),
    "a link": set_host("Links", ["/other:/this"]),
    "a published port": set_host("PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
    "all ports published": set_host("PublishAllPorts", True),
    "a sysctl": set_host("Sysctls", {"net.ipv4.ip_forward": "1"}),
    "another's volumes": set_host("VolumesFrom", ["other"]),
    "unmasked paths": set_host("MaskedPaths", []),
    "writable proc": set_host("ReadonlyPaths", []),
    "another mount asked": set_host("Mounts", []),
    "root": set_config("User", ""),
    "the user of commands": set_config("User", "10001:10001"),
    "another entry point": set_config("Entrypoint", ["/entrypoint.sh"]),
    "another command": set_config("Cmd", ["sleep", "infinity"]),
    "no stdin": set_config("OpenStdin", False),
    "stdin stays open": set_config("StdinOnce", False),
    "a terminal": set_config("Tty", True),
    "a health check": set_config("Healthcheck", {"Test": ["CMD", "x"]}),
    "no labels": set_config("Labels", {}),
    "a proxy's password": add_environment("HTTP_PROXY=http://user:password@proxy"),
    "a variable that differs": add_environment("PATH=/evil"),
    "a bind mount": add_mount(Type="bind", Source="/var/run/docker.sock"),
    "a volume nobody asked for": add_mount(),
    "a volume of another driver": add_mount(Destination="/work", Driver="nfs"),
    "the workspace read-only": lambda inspected: inspected["Mounts"][0].__setitem__("RW", False),
}


def test_what_the_engine_made_is_what_was_asked_for(made: tuple[Inspected, ContainerSpec]) -> None:
    assert_isolation(*made)


@pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS.keys())
def test_a_difference_is_refused(
    made: tuple[Inspected, ContainerSpec], flip: Callable[[Inspected], None]
) -> None:
    inspected, spec = copy.deepcopy(made[0]), made[1]
    flip(inspected)
    with pytest.raises(EnvironmentUnusable, match="as isolated as it was asked"):
        assert_isolation(inspected, spec)
