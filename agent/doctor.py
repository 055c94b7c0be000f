"""Looks at the machine and the repository without changing either, for `bedev doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bedev.sandboxes.errors import BedevError

if TYPE_CHECKING:
    from bedev.sandboxes.recipe import Recipe

Status = Literal["ok", "missing", "warning", "unknown"]

DISK_NEEDED = 5 << 30  # images, a grown database and its clones
DISK_GOOD = 15 << 30
MEMORY_NEEDED = 3 << 30  # the containers of a pod, and one side measured beside another
MEMORY_GOOD = 6 << 30


@dataclass(frozen=True)
class Row:
    """One thing that was looked at: what was `found`, what is `needed`, and the command that fixes it."""

    name: str
    status: Status
    found: str
    needed: str = ""
    fix: str = ""


def examine(repo: Path) -> list[Row]:
    """All rows, the machine first. Never raises for what is missing."""
    rows = [_system(), _python(), _git(), _disk()]
    engine, memory, usable = _engine()
    rows += [engine, *memory]
    repository, recipe = _repository(repo)
    rows += repository
    if recipe is not None and usable:
        rows += _images(recipe)
    return rows


def _system() -> Row:
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    if sys.platform == "win32":
        return Row("system", "missing", name, "Linux, macOS or WSL2", "Run bedev inside WSL2.")
    return Row("system", "ok", name)


def _python() -> Row:
    return Row("python", "ok", f"{platform.python_version()} ({sys.executable})", "3.11 or newer")


def _git() -> Row:
    needed = "git 2.30 or newer"
    install = "brew install git" if sys.platform == "darwin" else "sudo apt-get install git"
    try:
        from bedev.agent.git import command

        text = command.run(["--version"], git_dir=None).text
        return Row("git", "ok", f"{text} ({command.git_program()})", needed)
    except BedevError as error:
        return Row("git", "missing", error.what, needed, install)


def _disk() -> Row:
    from bedev.agent.commands.output import state_root

    folder = state_root()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{_gib(free)} free at {folder}"
    needed = f"{_gib(DISK_NEEDED)} free, {_gib(DISK_GOOD)} for large tables"
    if free < DISK_NEEDED:
        return Row("disk", "missing", found, needed, "bedev gc --caches --older 0d")
    if not os.access(folder, os.W_OK):
        return Row(
            "disk", "missing", f"{folder} is not writable", "a folder for journals", "Set BEDEV_STATE_DIR."
        )
    return Row("disk", "ok" if free >= DISK_GOOD else "warning", found, needed)


def _engine() -> tuple[Row, list[Row], bool]:
    from bedev.sandboxes.docker_engine import docker_engine_status

    status = docker_engine_status()
    needed = "a container engine that answers the Docker API"
    if not status.available:
        return Row("engine", "missing", status.message, needed, status.next_step), [], False
    found = f"{status.message}, API {status.api_version}, {status.storage_driver}, {status.cpus} CPUs"
    rows = [Row("engine", "warning", warning) for warning in status.warnings]
    memory = status.memory_bytes
    more = "Give the engine's virtual machine more memory." if status.desktop else "Close what uses memory."
    if memory:
        state: Status = "ok" if memory >= MEMORY_GOOD else "warning" if memory >= MEMORY_NEEDED else "missing"
        rows.append(
            Row(
                "memory",
                state,
                f"{_gib(memory)} at the engine",
                f"{_gib(MEMORY_NEEDED)}, {_gib(MEMORY_GOOD)} for large tables",
                "" if state == "ok" else more,
            )
        )
    return Row("engine", "ok", found, needed), rows, True


def _repository(repo: Path) -> tuple[list[Row], Recipe | None]:
    from bedev.agent.repository import Repository

    try:
        with Repository.open(repo) as repository:
            dirty = repository.is_dirty()
            branch = repository.head_branch or "a detached HEAD"
            found = f"{repository.top}, {branch} at {repository.head[:12]}"
            row = Row("repository", "ok", found)
            if dirty:
                row = Row(
                    "repository",
                    "warning",
                    f"{found}; with changes that are not committed",
                    "nothing: base is HEAD, and these changes are neither seen nor touched",
                )
            rows, recipe = _recipe(repository)
            return [row, *rows], recipe
    except BedevError as error:
        row = Row(
            "repository",
            "missing",
            f"{error.what} ({error.where or repo})",
            "a git repository",
            error.next_step,
        )
        return [row], None


def _recipe(repository: object) -> tuple[list[Row], Recipe | None]:
    """What detection says of HEAD, each finding with its source."""
    from bedev.agent.repository import Repository
    from bedev.agent.settings import RepositorySettings
    from bedev.sandboxes.stacks import stack as stacks

    assert isinstance(repository, Repository)
    repository.import_commits(repository.head)
    tree = repository.tree(repository.head)
    try:
        content = tree.read("bedev.toml")
        chosen = RepositorySettings.parse(content) if content is not None else RepositorySettings()
        stack, recipe = stacks.detect(tree, chosen.engine, chosen.stack)
        recipe = chosen.apply(recipe)
    except BedevError as error:
        return [
            Row("stack", "missing", f"{error.what} ({error.where})", "a framework", error.next_step)
        ], None
    rows = [Row("stack", "ok", f"{stack.title}; {len(recipe.findings)} findings, below")]
    if recipe.engine:
        rows.append(Row("database", "ok", f"{recipe.engine} ({recipe.engine_image or 'its usual image'})"))
    else:
        rows.append(
            Row(
                "database",
                "missing",
                "no engine was detected",
                "a database",
                "bedev fix ... --engine mariadb",
            )
        )
    rows += [Row("finding", "ok", f"{f.key} = {f.value}  [{f.source}]") for f in recipe.findings]
    return rows, recipe


def _images(recipe: Recipe) -> list[Row]:
    """Which images a run needs; one that is not there is pulled at the first run."""
    from bedev.sandboxes.docker_engine import engine, explanation, is_engine_error, is_missing

    rows = []
    for name in filter(None, (recipe.image, recipe.engine_image)):
        try:
            size = int(engine().inspect_image(name)["Size"])
            rows.append(Row("image", "ok", f"{name}, {size / 1e6:,.0f} MB"))
        except Exception as error:
            if not is_engine_error(error):
                raise
            if is_missing(error):
                fix = f"docker pull {name}"
                rows.append(
                    Row("image", "warning", f"{name} is not here yet", "it is pulled at the first run", fix)
                )
            else:
                rows.append(Row("image", "unknown", f"{name}: {explanation(error)}"))
    return rows


def _gib(size: float) -> str:
    return f"{size / (1 << 30):.1f} GiB"
