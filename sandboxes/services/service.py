"""Servers that an application wants beside its database: a cache, a broker. One file each, with `SERVICE`.

Each is a container of the pod, on the port where every client library looks for it. It starts empty with
every pod, before the migrations, and keeps nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.sandbox import Box, Probe

START_SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """One kind of server. `command` starts it in the foreground, from any image that has its program, as a
    user who may write to /tmp alone. It is ready when it listens, and `ready` (a command beside it) succeeds
    where there is one."""

    name: str
    title: str
    port: int
    command: str
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)


def names() -> tuple[str, ...]:
    import bedev.sandboxes.services as package

    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name != "service"))


def load(name: str) -> Kind:
    """The kind of the file `name`. Raises UsageError for a name that is not there."""
    if name not in names():
        raise UsageError(
            f"There is no service named {name!r}.",
            where="[services]",
            next_step=f"Use one of: {', '.join(names())}.",
        )
    kind: Kind = importlib.import_module(f"bedev.sandboxes.services.{name}").SERVICE
    return kind


def start(kind: Kind, box: Box, probe: Probe, seconds: float = START_SECONDS) -> None:
    """Start it in its box and wait until it answers. Raises SetUpFailed with the last lines of its log."""
    running = box.start(kind.name, kind.command, cwd="/tmp", env=kind.environment)
    deadline = time.monotonic() + seconds
    while not _answers(kind, box, probe):
        if time.monotonic() > deadline or not running.alive():
            raise SetUpFailed(
                f"{kind.title} did not start.",
                where=f"[services] {kind.name}",
                next_step=f"Name an image that is based on Debian or Ubuntu and has {kind.title}: "
                f'{kind.name} = "{kind.name}:TAG"',
                detail="\n".join(running.log().splitlines()[-20:]),
            )


def _answers(kind: Kind, box: Box, probe: Probe) -> bool:
    if not probe.wait_for_port(kind.port, 0.25):
        return False
    return not kind.ready or box.run(kind.ready, cwd="/tmp", env=kind.environment, timeout=10.0).ok
