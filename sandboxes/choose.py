"""Which ways to contain there are, by the name that `--sandbox` gives. Nothing is imported before its use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bedev.sandboxes.errors import EnvironmentUnusable, UsageError

if TYPE_CHECKING:
    from bedev.sandboxes.docker_sweep import CacheUsage, SweepReport
    from bedev.sandboxes.sandbox import Sandbox


@dataclass(frozen=True)
class Kind:
    """One way to contain. `title` is what the proof states; `risk`, where it is not empty, what the user has
    to agree to first, as the end of a sentence. `state` is always bedev's state folder.

    open: a sandbox for the run of that id. sweep: remove what dead runs left, and caches where asked, older
    than so many seconds. usage: what the caches hold. missing: why it cannot be used here, None where it can;
    never raises.
    """

    name: str
    title: str
    risk: str
    open: Callable[[str, Path], Sandbox]
    sweep: Callable[[Path, bool, float], SweepReport]
    usage: Callable[[Path], CacheUsage]
    missing: Callable[[], EnvironmentUnusable | None]


def _open_docker(run: str, state: Path) -> Sandbox:
    from bedev.sandboxes.docker_pod import DockerSandbox

    del state  # the engine keeps everything
    return DockerSandbox(run)


def _sweep_docker(state: Path, include_caches: bool, older_than_seconds: float) -> SweepReport:
    from bedev.sandboxes.docker_sweep import sweep

    del state
    return sweep(include_caches, older_than_seconds)


def _docker_usage(state: Path) -> CacheUsage:
    from bedev.sandboxes.docker_sweep import cache_usage

    del state
    return cache_usage()


def _docker_missing() -> EnvironmentUnusable | None:
    from bedev.sandboxes.docker_engine import docker_engine_status

    status = docker_engine_status()
    if status.available:
        return None
    return EnvironmentUnusable(status.message, where=status.endpoint, next_step=status.next_step)


def _open_process(run: str, state: Path) -> Sandbox:
    from bedev.sandboxes.process import ProcessSandbox

    return ProcessSandbox(run, state)


def _sweep_process(state: Path, include_caches: bool, older_than_seconds: float) -> SweepReport:
    from bedev.sandboxes.process import sweep

    return sweep(state, include_caches, older_than_seconds)


def _process_usage(state: Path) -> CacheUsage:
    from bedev.sandboxes.process import cache_usage

    return cache_usage(state)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("docker", "docker", "", _open_docker, _sweep_docker, _docker_usage, _docker_missing),
        Kind(
            "process",
            "process (not isolated)",
            "runs the repository's code as you, on this machine, with your network; nothing is isolated",
            _open_process,
            _sweep_process,
            _process_usage,
            lambda: None,
        ),
    )
}


def names() -> tuple[str, ...]:
    return tuple(KINDS)


def load(name: str, where: str = "--sandbox") -> Kind:
    """The kind of that name. Raises UsageError for one that is not there."""
    if name not in KINDS:
        raise UsageError(
            f"There is no sandbox named {name!r} in this version.",
            where=where,
            next_step=f"Use one of: {', '.join(KINDS)}.",
        )
    return KINDS[name]
