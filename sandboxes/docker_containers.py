"""One hardened container: how it is created, how that is checked, and how it ends when its owner does.

PID 1 waits for the end of its stdin, which this process holds open: when the process dies, however it
dies, the engine closes that stdin, the container ends, and the engine removes it with its anonymous
volumes. A hard deadline inside does the same for a machine that sleeps or hangs.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any

from bedev.sandboxes.docker_engine import (
    engine,
    engine_errors,
    is_busy,
    is_engine_error,
    is_missing,
)
from bedev.sandboxes.docker_isolation import (
    KEEPER_UID,
    ContainerSpec,
    assert_isolation,
    security_options,
    ulimits,
)
from bedev.sandboxes.errors import EnvironmentUnusable


class Container:
    """A container of ours that is created, and started once."""

    def __init__(self, spec: ContainerSpec, identity: str, lifeline: Any) -> None:
        self.spec = spec
        self.id = identity
        self._lifeline = lifeline
        self._removed = False

    @property
    def name(self) -> str:
        return f"{self.spec.kind} container {self.id[:12]}"

    def start(self) -> None:
        with engine_errors("A container could not be started.", self.name):
            engine().start(self.id)

    def running(self) -> bool:
        try:
            return bool(engine().inspect_container(self.id)["State"]["Running"])
        except Exception as error:
            if is_missing(error):
                return False
            raise

    def remove(self, patience: float = 15.0) -> None:
        """Remove it with its own volumes, and wait until it is gone. Idempotent; never raises for absence."""
        if self._removed:
            return
        self._removed = True
        remove_container(self.id, patience)
        close_socket(self._lifeline)


def remove_container(identity: str, patience: float = 15.0) -> None:
    """Kill and remove a container with its anonymous volumes, and wait until the engine has forgotten it."""
    client = engine()
    deadline = time.monotonic() + patience
    while True:
        try:
            client.remove_container(identity, v=True, force=True)
            return
        except Exception as error:
            if is_missing(error):
                return
            # 409: it removes itself at this moment (AutoRemove), which the loop waits for.
            if not is_busy(error) or time.monotonic() > deadline:
                with engine_errors("A container could not be removed.", identity[:12]):
                    raise
        time.sleep(0.05)


def close_socket(held: Any) -> None:
    sock = getattr(held, "_sock", held)
    with contextlib.suppress(OSError, AttributeError):
        sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError, AttributeError):
        held.close()


def create_container(spec: ContainerSpec) -> Container:
    """Create a container, compare what the engine made with `spec`, and take hold of its stdin.

    Raises EnvironmentUnusable when it cannot be created or is not what was asked for (it is then removed).
    """
    client = engine()
    with engine_errors("A container could not be created.", spec.kind):
        made = client.create_container(
            spec.image,
            command=spec.command,
            entrypoint=["timeout", "-s", "KILL"],
            user=f"{KEEPER_UID}:{KEEPER_UID}",
            working_dir="/",
            stdin_open=True,
            environment=dict(spec.environment),
            labels=dict(spec.labels),
            host_config=_host_config(client, spec),
            healthcheck={"test": ["NONE"]},
            # The user's ~/.docker/config.json may hold a proxy with a password; it must not get in.
            use_config_proxy=False,
        )
    identity = str(made["Id"])
    lifeline: Any = None
    try:
        with engine_errors("A container could not be inspected.", spec.kind):
            assert_isolation(client.inspect_container(identity), spec)
            lifeline = client.attach_socket(identity, {"stdin": 1, "stream": 1})
    except BaseException:
        close_socket(lifeline)
        remove_container(identity)
        raise
    return Container(spec, identity, lifeline)


def _host_config(client: Any, spec: ContainerSpec) -> Any:
    from docker.types import DriverConfig, LogConfig, Mount, Ulimit  # type: ignore[import-untyped]

    mounts = [
        Mount(
            target=mount.target,
            source=mount.name,
            type="volume",
            read_only=mount.read_only,
            # Labelled, so that the sweep finds what a crashed engine left.
            labels=None if mount.name else dict(spec.labels),
            driver_config=DriverConfig("local", memory_volume(mount.size_mb)) if mount.size_mb else None,
        )
        for mount in spec.mounts
    ]
    return client.create_host_config(
        network_mode=spec.network,
        init=True,
        auto_remove=True,
        privileged=False,
        cap_drop=["ALL"],
        security_opt=security_options(spec),
        read_only=True,
        mem_limit=spec.memory_mb << 20,
        memswap_limit=spec.memory_mb << 20,
        nano_cpus=int(spec.cpus * 1_000_000_000),
        pids_limit=spec.processes,
        oom_score_adj=500,
        shm_size=64 << 20,
        ulimits=[Ulimit(name=name, soft=value, hard=value) for name, value in ulimits(spec).items()],
        tmpfs=dict(spec.tmpfs),
        mounts=mounts,
        ipc_mode="private",
        log_config=LogConfig(type="none"),
        restart_policy={"Name": "no", "MaximumRetryCount": 0},
    )


def memory_volume(size_mb: int) -> dict[str, str]:
    """Options of the engine's local driver for a volume in memory that holds at most `size_mb`."""
    return {"type": "tmpfs", "device": "tmpfs", "o": f"size={size_mb}m"}


def image_facts(image: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """What an image declares: its environment and its volumes. Raises EnvironmentUnusable."""
    try:
        config: Mapping[str, Any] = engine().inspect_image(image).get("Config") or {}
    except Exception as error:
        if is_engine_error(error) and is_missing(error):
            raise EnvironmentUnusable(
                f"The image {image} is no longer there.", next_step="Run the command again: it is built anew."
            ) from error
        with engine_errors("An image could not be inspected.", image):
            raise
        raise
    environment = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    return environment, tuple(config.get("Volumes") or ())
