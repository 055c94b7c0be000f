"""A database server's folder in the `db` box: how it is named, copied, and its server ended.

For engines whose database is a folder that can be copied while its server is down. Below
`Instance.data_dir` lie `data` (the server's own directory, all that a copy takes), `pid`, `socket` and `tmp`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace

from bedev.sandboxes.engines.engine import Instance
from bedev.sandboxes.errors import SandboxBroken, UsageError
from bedev.sandboxes.sandbox import DATA, TEMPLATES, Box, Probe

STOP_SECONDS = 60.0
COPY_SECONDS = 900.0

Start = Callable[[Box, Probe, Instance], None]
"""An engine's `start`."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}\Z")


def checked(name: str) -> str:
    """`name`, if it can be a folder's. Raises UsageError."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be the name of a database server or template.",
            next_step="Use up to 41 lower-case letters, digits, - and _.",
        )
    return name


def stop(db: Box, instance: Instance, title: str, signal: str = "TERM") -> None:
    """A clean shutdown by `signal`; `title` is what people call the server. Idempotent."""
    place = shlex.quote(instance.data_dir)
    tenths = int(STOP_SECONDS * 10)
    result = db.run(
        f"pid=$(cat {place}/pid 2>/dev/null) || exit 0; kill -{signal} $pid 2>/dev/null || exit 0; "
        f"for ((i = 0; i < {tenths * 5}; i++)); do kill -0 $pid 2>/dev/null || exit 0; sleep 0.02; done; "
        f"kill -KILL $pid; exit 9",
        cwd="/",
        timeout=STOP_SECONDS + 30,
    )
    if not result.ok:
        raise SandboxBroken(
            f"{title} did not shut down in {STOP_SECONDS:.0f} s and was ended.",
            where=instance.data_dir,
            next_step="Its data may need recovery; make the copy again.",
            detail=result.last_lines,
        )


def save_template(db: Box, instance: Instance, template: str) -> None:
    """Passwords go with it, but every start sets them anew."""
    target = f"{TEMPLATES}/{checked(template)}"
    if db.run(f"[ -e {shlex.quote(instance.data_dir)}/pid ]", cwd="/").ok:
        raise SandboxBroken(
            f"The server {instance.name} is still running.",
            where=instance.data_dir,
            next_step="Stop it before its template is saved.",
        )
    _copy_data(db, instance.data_dir, target)


def clone(
    db: Box, probe: Probe, template: str, name: str, port: int, like: Instance, start: Start
) -> Instance:
    instance = replace(like, name=name, data_dir=f"{DATA}/{checked(name)}", port=port)
    _copy_data(db, f"{TEMPLATES}/{checked(template)}", instance.data_dir)
    start(db, probe, instance)
    return instance


def copy(
    db: Box,
    probe: Probe,
    source: Instance,
    name: str,
    port: int,
    start: Start,
    title: str,
    signal: str = "TERM",
) -> Instance:
    instance = replace(source, name=name, data_dir=f"{DATA}/{checked(name)}", port=port)
    stop(db, source, title, signal)
    try:
        _copy_data(db, source.data_dir, instance.data_dir)
    finally:
        start(db, probe, source)
    start(db, probe, instance)
    return instance


def destroy(db: Box, instance: Instance, signal: str = "KILL") -> None:
    """Nothing is kept, so the server is not asked to put its data in order first. Idempotent."""
    place = shlex.quote(instance.data_dir)
    db.run(
        f"if pid=$(cat {place}/pid 2>/dev/null); then kill -{signal} $pid 2>/dev/null; "
        "for ((i = 0; i < 500; i++)); do kill -0 $pid 2>/dev/null || break; sleep 0.01; done; fi; "
        f"rm -rf {place}",
        cwd="/",
        timeout=COPY_SECONDS,
    )


def _copy_data(db: Box, source: str, target: str) -> None:
    """The data directory alone: no socket, no temporary file, no log."""
    a, b = shlex.quote(source), shlex.quote(target)
    result = db.run(
        f"mkdir -m 700 {b} || exit 17; "  # somebody else's: not ours to remove below
        f"cp -a --reflink=auto --sparse=auto {a}/data {b}/data && rm -f {b}/data/ibtmp1 "
        f"|| {{ rm -rf {b}; exit 1; }}",
        cwd="/",
        timeout=COPY_SECONDS,
    )
    if not result.ok:
        raise SandboxBroken(
            "A copy of the database could not be made.",
            where=f"{source} to {target}",
            next_step="Look whether the disk is full (docker system df), and whether that name is taken.",
            detail=result.last_lines,
        )
