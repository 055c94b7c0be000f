"""What a container of ours may have, and the comparison of what the engine made with it.

Everything here is data and pure functions: `assert_isolation` is tested by flipping each field of a real
container's description.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bedev.sandboxes.docker_engine import KIND_LABEL
from bedev.sandboxes.errors import EnvironmentUnusable

KEEPER_UID = 10000
"""Who PID 1 runs as: another user than any command, so that `kill -9 -1` in a box cannot end the box."""

# What no environment of a container may hold. The exact comparison in `assert_isolation` is what protects;
# this names the worst case in words that a person understands.
_SECRET_WORDS = ("API_KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


@dataclass(frozen=True)
class VolumeMount:
    """A volume at `target`. Without a `name` it is the container's own and ends with it; it then holds at
    most `size_mb`, in memory (None: what the engine's disk has left)."""

    target: str
    name: str | None = None
    read_only: bool = False
    size_mb: int | None = None


@dataclass(frozen=True)
class ContainerSpec:
    """Everything that one of our containers may have; `assert_isolation` refuses anything else.

    `network` is `none`, `container:ID`, or `bridge` for the set-up phase only. `tmpfs` is path -> options.
    `file_size` bounds one file in bytes (None: no bound, database servers need big files).
    `image_environment` and `image_volumes` are what the image itself declares. `seccomp` is a profile as
    JSON text, None for the engine's own.
    """

    kind: str
    image: str
    network: str
    labels: Mapping[str, str]
    mounts: tuple[VolumeMount, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    image_environment: Mapping[str, str] = field(default_factory=dict)
    image_volumes: tuple[str, ...] = ()
    memory_mb: int = 2048
    cpus: float = 2.0
    processes: int = 512
    open_files: int = 4096
    file_size: int | None = 1 << 30
    deadline_seconds: int = 4 * 3600
    seccomp: str | None = None

    @property
    def command(self) -> list[str]:
        return [str(self.deadline_seconds), "cat"]

    @property
    def full_environment(self) -> dict[str, str]:
        return {**self.image_environment, **self.environment}


def ulimits(spec: ContainerSpec) -> dict[str, int]:
    limits = {"core": 0, "nofile": spec.open_files}
    return limits if spec.file_size is None else {**limits, "fsize": spec.file_size}


def security_options(spec: ContainerSpec) -> list[str]:
    options = ["no-new-privileges"]
    return options if spec.seccomp is None else [*options, f"seccomp={spec.seccomp}"]


def assert_isolation(inspected: Mapping[str, Any], spec: ContainerSpec) -> None:
    """Compare a created container, as the engine describes it, with what was asked for.

    Raises EnvironmentUnusable that names every difference: an engine, a proxy in front of it or a
    configured default may change what was sent, and then nothing is run.
    """
    host: Mapping[str, Any] = inspected["HostConfig"]
    config: Mapping[str, Any] = inspected["Config"]
    differences = [
        f"{name} is {found!r}, not {wanted!r}"
        for name, found, wanted in (*_expected_host(host, spec), *_expected_config(config, spec))
        if found != wanted
    ]
    differences += _differing_mounts(inspected, host, spec)
    differences += _differing_environment(config, spec)
    if differences:
        raise EnvironmentUnusable(
            f"The engine did not make the {spec.kind} container as isolated as it was asked to: "
            + "; ".join(sorted(differences)),
            where=f"container {str(inspected.get('Id', ''))[:12]}",
            next_step="Nothing was run. Look at the engine's daemon.json and at what filters its socket.",
        )


def _expected_host(host: Mapping[str, Any], spec: ContainerSpec) -> list[tuple[str, Any, Any]]:
    def empty(name: str) -> tuple[str, Any, Any]:
        return name, host.get(name) or None, None

    def listed(name: str) -> list[str]:
        return sorted(str(entry) for entry in host.get(name) or ())

    limits = {entry["Name"]: (entry["Soft"], entry["Hard"]) for entry in host.get("Ulimits") or ()}
    # The engine writes the option with or without its default value.
    options = sorted(
        "no-new-privileges" if o == "no-new-privileges:true" else o for o in listed("SecurityOpt")
    )
    namespaces = [(name, host.get(name) in ("", "private", None), True) for name in ("PidMode", "UTSMode")]
    return [
        ("NetworkMode", host.get("NetworkMode"), spec.network),
        ("Privileged", host.get("Privileged"), False),
        ("ReadonlyRootfs", host.get("ReadonlyRootfs"), True),
        ("CapDrop", [name.removeprefix("CAP_") for name in listed("CapDrop")], ["ALL"]),
        ("SecurityOpt", options, sorted(security_options(spec))),
        ("Init", host.get("Init"), True),
        ("AutoRemove", host.get("AutoRemove"), True),
        ("Memory", host.get("Memory"), spec.memory_mb << 20),
        ("MemorySwap", host.get("MemorySwap"), spec.memory_mb << 20),
        ("NanoCpus", host.get("NanoCpus"), int(spec.cpus * 1_000_000_000)),
        ("PidsLimit", host.get("PidsLimit"), spec.processes),
        ("OomScoreAdj", host.get("OomScoreAdj"), 500),
        ("OomKillDisable", bool(host.get("OomKillDisable")), False),
        ("ShmSize", host.get("ShmSize"), 64 << 20),
        ("Ulimits", limits, {name: (value, value) for name, value in ulimits(spec).items()}),
        ("Tmpfs", dict(host.get("Tmpfs") or {}), dict(spec.tmpfs)),
        ("IpcMode", host.get("IpcMode"), "private"),
        ("LogConfig", (host.get("LogConfig") or {}).get("Type"), "none"),
        ("RestartPolicy", (host.get("RestartPolicy") or {}).get("Name") or "no", "no"),
        ("UsernsMode", host.get("UsernsMode") or "", ""),
        ("PublishAllPorts", bool(host.get("PublishAllPorts")), False),
        # A private cgroup namespace is the default on cgroup v2; on v1 the engine's default shows paths only.
        ("CgroupnsMode", host.get("CgroupnsMode") in (None, "", "private", "host"), True),
        ("MaskedPaths", bool(host.get("MaskedPaths")), True),
        ("ReadonlyPaths", bool(host.get("ReadonlyPaths")), True),
        *namespaces,
        *(
            empty(name)
            for name in (
                "Binds",
                "CapAdd",
                "CgroupParent",
                "DeviceCgroupRules",
                "DeviceRequests",
                "Devices",
                "Dns",
                "ExtraHosts",
                "GroupAdd",
                "Links",
                "PortBindings",
                "StorageOpt",
                "Sysctls",
                "VolumesFrom",
            )
        ),
    ]


def _expected_config(config: Mapping[str, Any], spec: ContainerSpec) -> list[tuple[str, Any, Any]]:
    held = config.get("Labels") or {}
    return [
        ("User", config.get("User"), f"{KEEPER_UID}:{KEEPER_UID}"),
        ("Entrypoint", config.get("Entrypoint"), ["timeout", "-s", "KILL"]),
        ("Cmd", config.get("Cmd"), spec.command),
        ("OpenStdin", config.get("OpenStdin"), True),
        ("StdinOnce", config.get("StdinOnce"), True),
        ("Tty", config.get("Tty"), False),
        ("Healthcheck", (config.get("Healthcheck") or {}).get("Test"), ["NONE"]),
        ("Labels", {name: held.get(name) for name in spec.labels}, dict(spec.labels)),
        (KIND_LABEL, held.get(KIND_LABEL), spec.kind),
    ]


def _differing_mounts(
    inspected: Mapping[str, Any], host: Mapping[str, Any], spec: ContainerSpec
) -> list[str]:
    wanted = {mount.target: mount for mount in spec.mounts}
    differences = []
    asked = host.get("Mounts") or ()
    if sorted(str(entry.get("Target")) for entry in asked) != sorted(wanted):
        differences.append(f"Mounts are {[entry.get('Target') for entry in asked]}, not {sorted(wanted)}")
    for entry in asked:
        mount = wanted.get(str(entry.get("Target")))
        if mount and (entry.get("Source") or None) != mount.name:
            differences.append(
                f"the mount at {mount.target} is of {entry.get('Source')!r}, not {mount.name!r}"
            )
    for point in inspected.get("Mounts") or ():
        target = str(point.get("Destination"))
        if point.get("Type") == "tmpfs" and target in spec.tmpfs:
            continue
        if point.get("Type") != "volume":
            differences.append(f"{point.get('Type')} mount of {point.get('Source')} at {target}")
        elif point.get("Driver") not in ("local", "", None):
            differences.append(f"the volume at {target} has driver {point.get('Driver')}")
        elif target in wanted:
            if bool(point.get("RW")) == wanted[target].read_only:
                differences.append(f"the mount at {target} is {'' if point.get('RW') else 'not '}writable")
            if wanted[target].name not in (None, point.get("Name")):
                differences.append(f"the mount at {target} is volume {point.get('Name')}")
        elif target not in spec.image_volumes:
            differences.append(f"a volume at {target} that nobody asked for")
    return differences


def _differing_environment(config: Mapping[str, Any], spec: ContainerSpec) -> list[str]:
    found = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    wanted = spec.full_environment
    differences = [
        f"variable {name} {'differs' if name in found else 'is missing'}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    differences += [f"variable {name} was added" for name in found.keys() - wanted.keys()]
    for name, value in os.environ.items():
        if (
            len(value) >= 12
            and any(word in name.upper() for word in _SECRET_WORDS)
            and value in found.values()
        ):
            differences.append(f"the host's {name} is in the environment")
    return differences
