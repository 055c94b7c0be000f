"""The container engine itself: one client, what it is, and who owns what we make in it.

The API version is negotiated (newer engines refuse old ones) and the user's Docker context is followed.
The `docker` package is imported here alone, and only when an engine is needed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedev.sandboxes.errors import BedevError, DiskFull, EnvironmentUnusable
from bedev.sandboxes.full_disk import MAKE_ROOM, said_in

RUN_LABEL = "dev.bedev.run"
OWNER_LABEL = "dev.bedev.owner"
PID_LABEL = "dev.bedev.pid"
PID_START_LABEL = "dev.bedev.pid_start"
KIND_LABEL = "dev.bedev.kind"
DEADLINE_LABEL = "dev.bedev.deadline"
CREATED_LABEL = "dev.bedev.created"

_client_lock = threading.Lock()
_client: Any = None


@dataclass(frozen=True)
class EngineStatus:
    """What `bedev doctor` says of the container engine.

    `available` is whether it answers and can hold our containers; otherwise `message` says what is wrong
    and `next_step` what to do. `memory_bytes` and `cpus` are the engine's (a virtual machine's, on
    Docker Desktop). `warnings` are things that work, but less well.
    """

    available: bool
    message: str
    next_step: str = ""
    endpoint: str = ""
    version: str = ""
    api_version: str = ""
    operating_system: str = ""
    storage_driver: str = ""
    cgroup_version: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    rootless: bool = False
    desktop: bool = False
    remote: bool = False
    seccomp: bool = False
    warnings: tuple[str, ...] = ()


def engine() -> Any:
    """The low-level client (`docker.APIClient`), made once. Raises EnvironmentUnusable where none answers."""
    global _client
    with _client_lock:
        if _client is None:
            client = _connect(timeout=15)
            # Starting a container on a busy machine, or adding up a large disk, may take longer.
            client.timeout = 180
            _client = client
        return _client


def _connect(timeout: int) -> Any:
    if sys.platform == "win32":
        raise EnvironmentUnusable(
            "Native Windows is not supported: the sandbox needs a Linux-style container engine socket.",
            next_step="Run bedev inside WSL2 with Docker Desktop's WSL integration.",
        )
    try:
        import docker  # type: ignore[import-untyped]
    except ImportError as error:  # pragma: no cover - a broken installation
        raise EnvironmentUnusable(
            "The Python package `docker` is missing.", next_step="pip install docker"
        ) from error
    try:
        # from_env follows DOCKER_HOST, then the current context; "auto" negotiates the API version.
        return docker.from_env(version="auto", timeout=timeout, max_pool_size=100).api
    except Exception as error:
        raise EnvironmentUnusable(
            "No container engine answers.",
            where=os.environ.get("DOCKER_HOST") or "the current Docker context",
            next_step=_install_hint(error),
            detail=str(error),
        ) from error


WITHOUT = (
    "Or go without a container, for a repository that you trust: --sandbox process "
    "(its code then runs as you, isolated from nothing)."
)


def _install_hint(error: Exception) -> str:
    return f"{_how_to_get_one(error)} {WITHOUT}"


def _how_to_get_one(error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return "Add yourself to the group of the socket: sudo usermod -aG docker $USER, then log in again."
    if sys.platform == "darwin":
        return (
            "Start Docker Desktop, or `colima start`, or install one (brew install colima docker); "
            "`docker info` must answer."
        )
    return (
        "Start it (sudo systemctl start docker), or install it (sudo apt-get install docker.io); "
        "`docker info` must answer, then: bedev doctor."
    )


def docker_engine_status() -> EngineStatus:
    """Look at the engine without changing anything. Never raises."""
    try:
        client = engine()
        info: Mapping[str, Any] = client.info()
        version: Mapping[str, Any] = client.version()
    except EnvironmentUnusable as error:
        return EngineStatus(False, f"{error.what} {error.detail}".strip(), error.next_step)
    except Exception as error:  # noqa: BLE001 - a status is asked for, not an exception
        return EngineStatus(False, f"The container engine does not answer rightly: {error}", "docker info")
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    endpoint = str(client.base_url)
    remote = endpoint.startswith(("http://", "https://", "http+docker://ssh"))
    rootless = any("rootless" in option for option in options)
    seccomp = any("seccomp" in option and "unconfined" not in option for option in options)
    warnings = []
    if not seccomp:
        warnings.append("the engine filters no system calls (seccomp is off)")
    if remote:
        warnings.append("the engine is on another machine: what is copied into the sandbox goes there")
    if rootless and str(info.get("CgroupVersion", "1")) == "1":
        warnings.append("rootless on cgroup v1: limits of memory, CPU and processes are not enforced")
    status = EngineStatus(
        available=True,
        message=f"{info.get('OperatingSystem', '?')}, engine {version.get('Version', '?')}",
        endpoint=endpoint,
        version=str(version.get("Version", "")),
        api_version=str(client._version),
        operating_system=str(info.get("OperatingSystem", "")),
        storage_driver=str(info.get("Driver", "")),
        cgroup_version=str(info.get("CgroupVersion", "1")),
        cpus=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        rootless=rootless,
        desktop="Docker Desktop" in str(info.get("OperatingSystem", "")),
        remote=remote,
        seccomp=seccomp,
        warnings=tuple(warnings),
    )
    if info.get("OSType") != "linux":
        return EngineStatus(
            False, "The engine runs Windows containers.", "Switch Docker Desktop to Linux containers."
        )
    missing = [name for name in ("MemoryLimit", "PidsLimit") if info.get(name) is False]
    if missing and not rootless:
        return EngineStatus(
            False,
            f"The engine cannot limit what a container uses: {', '.join(missing)} is off.",
            "Enable the memory and pids cgroup controllers of the kernel that runs the engine.",
        )
    return status


@functools.cache
def seccomp_enforced() -> bool:
    """Whether this engine filters system calls at all; one that cannot is warned of by `doctor`."""
    status = docker_engine_status()
    return status.seccomp or not status.available


@contextlib.contextmanager
def engine_errors(what: str, where: str = "") -> Iterator[None]:
    """Turn whatever the engine or the connection to it raises into EnvironmentUnusable(`what`)."""
    try:
        yield
    except BedevError:
        raise
    except Exception as error:
        if not is_engine_error(error):
            raise
        words = explanation(error)
        if said_in(words):
            raise DiskFull(
                f"{what} No space is left.",
                where=where or "the engine",
                next_step=MAKE_ROOM,
                detail=words,
            ) from error
        raise EnvironmentUnusable(
            what,
            where=where,
            next_step="Look at `docker info` and the engine's own log, then try again.",
            detail=words,
        ) from error


def is_engine_error(error: BaseException) -> bool:
    """Whether it comes from the engine, or from the connection to it."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in {
        "docker",
        "requests",
        "urllib3",
    }


def is_missing(error: BaseException) -> bool:
    """Whether the engine answered 404: no such image, container or volume."""
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None) == 404


def is_busy(error: BaseException) -> bool:
    """Whether the engine answered 409: in use, or its removal is already going on."""
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None) == 409


def explanation(error: BaseException) -> str:
    """The engine's own words for an error."""
    return str(getattr(error, "explanation", None) or error)


@functools.cache
def owner() -> str:
    """This machine and user, as one label value: what others made in a shared engine is never ours."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = f"{uuid.getnode():x}"
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return hashlib.sha256(f"{platform.node()}/{machine}/{user}".encode()).hexdigest()[:16]


def process_start(pid: int) -> str | None:
    """When a process started, as text that no later process with the same number shares; None if dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        fields = stat.rpartition(")")[2].split()
        # A zombie has ended, even though its parent has not asked yet.
        return None if fields[0] in "ZX" else f"{boot}-{fields[19]}"
    except (OSError, IndexError):
        if sys.platform.startswith("linux"):
            return None
    found = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return "-".join(found.stdout.split()) or None


def labels(run: str, kind: str, lifetime_seconds: float) -> dict[str, str]:
    """The labels of everything that a run makes: who, since when, until when."""
    now = time.time()
    return {
        RUN_LABEL: run,
        OWNER_LABEL: owner(),
        PID_LABEL: str(os.getpid()),
        PID_START_LABEL: process_start(os.getpid()) or "",
        KIND_LABEL: kind,
        CREATED_LABEL: str(int(now)),
        DEADLINE_LABEL: str(int(now + lifetime_seconds)),
    }


def is_orphan(labelled: Mapping[str, str], now: float | None = None) -> bool:
    """Whether something is ours and its process is dead, or its deadline has passed."""
    if labelled.get(OWNER_LABEL) != owner() or not labelled.get(RUN_LABEL):
        return False
    try:
        pid, deadline = int(labelled[PID_LABEL]), int(labelled[DEADLINE_LABEL])
    except (KeyError, ValueError):
        return False
    if (time.time() if now is None else now) > deadline:
        return True
    return process_start(pid) != labelled.get(PID_START_LABEL)
