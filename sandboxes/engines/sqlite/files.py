"""SQLite's files in the pod: made, copied, put in order, removed.

An instance is a folder below DATA with one file a database, `NAME.sqlite`, and what SQLite itself puts beside
it (`-journal`, `-wal`, `-shm`). The application, the probe and the box that copies are three users, so the
folder and the files are everybody's to write; no one else is in the pod. Templates are nobody's.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bedev.sandboxes.engines.data_directory import COPY_SECONDS, checked
from bedev.sandboxes.engines.engine import Instance, Role
from bedev.sandboxes.errors import SandboxBroken, UsageError
from bedev.sandboxes.sandbox import DATA, TEMPLATES, Box, Probe, SqlSession

ORDER_SECONDS = 600.0
PROGRAM = (Path(__file__).with_name("in_box.py")).read_text(encoding="utf-8")


def program(*words: str) -> str:
    """The command that runs our own program (in_box.py) in the `db` box."""
    return " ".join(shlex.quote(word) for word in ("python3", "-I", "-c", PROGRAM, *words))


def path_of(instance: Instance) -> str:
    """The file of the instance's database. Raises UsageError for a name that cannot be a file's."""
    name = instance.database
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise UsageError(f"{name!r} cannot be the name of a database.", next_step="Leave slashes out.")
    return f"{instance.data_dir}/{name}.sqlite"


def create(db: Box, name: str, port: int, database: str, passwords: Mapping[Role, str]) -> Instance:
    instance = Instance(name, f"{DATA}/{checked(name)}", port, database, dict(passwords))
    place, file = shlex.quote(instance.data_dir), shlex.quote(path_of(instance))
    result = db.run(f"mkdir -m 777 {place} && chmod 777 {place} && : > {file} && chmod 666 {file}", cwd="/")
    if not result.ok:
        raise SandboxBroken(
            "An empty SQLite database could not be made.",
            where=f"{db.name}: {instance.data_dir}, port {port}",
            next_step="Give each database of a pod a name of its own.",
            detail=result.last_lines,
        )
    return instance


def put_in_order(db: Box, instance: Instance) -> None:
    """Write what lies in a write-ahead log into the file itself. Raises SandboxBroken where somebody still
    writes. Idempotent."""
    result = db.run(program("order", instance.data_dir), cwd="/", timeout=ORDER_SECONDS)
    if not result.ok:
        raise SandboxBroken(
            "The SQLite database could not be put in order.",
            where=instance.data_dir,
            next_step="Look whether a process of the application still has it open and locked.",
            detail=result.last_lines,
        )


def save_template(db: Box, instance: Instance, template: str) -> None:
    put_in_order(db, instance)
    _copy(db, instance.data_dir, f"{TEMPLATES}/{checked(template)}", "755", "444")


def clone(db: Box, template: str, name: str, port: int, like: Instance) -> Instance:
    instance = replace(like, name=name, data_dir=f"{DATA}/{checked(name)}", port=port)
    _copy(db, f"{TEMPLATES}/{checked(template)}", instance.data_dir, "777", "666")
    return instance


def copy(db: Box, source: Instance, name: str, port: int) -> Instance:
    instance = replace(source, name=name, data_dir=f"{DATA}/{checked(name)}", port=port)
    put_in_order(db, source)
    _copy(db, source.data_dir, instance.data_dir, "777", "666")
    return instance


def destroy(db: Box, instance: Instance) -> None:
    db.run(f"rm -rf {shlex.quote(instance.data_dir)}", cwd="/", timeout=COPY_SECONDS)


def _copy(db: Box, source: str, target: str, folder_mode: str, file_mode: str) -> None:
    """Regular files alone: an application may have left a link there."""
    a, b = shlex.quote(source), shlex.quote(target)
    result = db.run(
        f"[ -d {a} ] && mkdir -m 700 {b} || exit 17; "  # somebody else's: not ours to remove below
        f'for file in {a}/*.sqlite; do [ -f "$file" ] && [ ! -L "$file" ] || continue; '
        f'cp --reflink=auto --sparse=auto -- "$file" {b}/ || {{ rm -rf {b}; exit 1; }}; done; '
        f"find {b} -type f -exec chmod {file_mode} {{}} + && chmod {folder_mode} {b}",
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


def connect(probe: Probe, instance: Instance, role: Role) -> SqlSession:
    return probe.connect("sqlite", user=role, database=path_of(instance))
