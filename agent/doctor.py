"""Looks at the machine and the repository without changing either, for `bedev doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bedev.sandboxes.errors import BedevError

if TYPE_CHECKING:
    from bedev.agent.repository import Repository

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


def examine(repo: Path, path: str = "", engine: str = "", sandbox: str = "") -> list[Row]:
    """All rows, the machine first; the arguments are as in `bedev fix`. Never raises for a lack."""
    rows = [_system(), _python(), _git(), _disk()]
    repository, images = _repository(repo, path, engine, sandbox)
    return [*rows, *_SANDBOXES[_sandbox_name(sandbox)](images, repository)]


def _sandbox_name(sandbox: str) -> str:
    """The one that a run would use; wrong settings have a row of their own."""
    from bedev.agent.settings import load

    try:
        return load({"sandbox": sandbox}).sandbox
    except BedevError:
        return "docker"


def _with_docker(images: tuple[str, ...], repository: list[Row]) -> list[Row]:
    status, memory, usable = _engine()
    return [status, *memory, *repository, *(_images(images) if usable else [])]


def _with_process(images: tuple[str, ...], repository: list[Row]) -> list[Row]:
    """Without containers: the programs that the recipe's images stand for."""
    from bedev.sandboxes import choose
    from bedev.sandboxes.process_programs import find, machine
    from bedev.sandboxes.sandbox import ImageSpec

    kind = choose.load("process")
    rows = [Row("sandbox", "warning", f"{kind.title}: it {kind.risk}", "your trust in the repository")]
    for image in images:
        try:
            found = find(ImageSpec(image))
            rows.append(Row("programs", "ok", f"{machine(found.versions)}, for {image}"))
            rows += [Row("programs", "warning", note) for note in found.notes]
        except BedevError as error:
            rows.append(_wrong("programs", error, f"what {image} stands for"))
    return [*rows[:1], *repository, *rows[1:]]


_SANDBOXES: Mapping[str, Callable[[tuple[str, ...], list[Row]], list[Row]]] = {
    "docker": _with_docker,
    "process": _with_process,
}


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


def _repository(repo: Path, path: str, engine: str, sandbox: str) -> tuple[list[Row], tuple[str, ...]]:
    """The repository's state, and what a run would detect in HEAD; the images that it would need."""
    from bedev.agent.repository import Repository

    try:
        with Repository.open(repo) as repository:
            branch = repository.head_branch or "a detached HEAD"
            found = f"{repository.top}, {branch} at {repository.head[:12]}"
            row = Row("repository", "ok", found)
            if repository.is_dirty():
                row = Row(
                    "repository",
                    "warning",
                    f"{found}; with changes that are not committed",
                    "nothing: base is HEAD, and these changes are neither seen nor touched",
                )
            rows, images = _recipe(repository, path, engine, sandbox)
            return [row, *rows], images
    except BedevError as error:
        return [_wrong("repository", error, "a git repository with a commit")], ()


def _recipe(
    repository: Repository, path: str, engine: str, sandbox: str
) -> tuple[list[Row], tuple[str, ...]]:
    """What detection says of HEAD, each finding with its source; the same code as a run's."""
    from bedev.agent.settings import load
    from bedev.agent.subject import open_subject
    from bedev.sandboxes.services import service as services

    try:
        settings = load({"engine": engine, "sandbox": sandbox})
    except BedevError as error:
        return [_wrong("settings", error, "")], ()
    try:
        repository.import_commits(repository.head)
        subject = open_subject(
            repository,
            repository.head,
            path=path,
            engine=settings.engine,
            sandbox=settings.sandbox,
            settings=settings,
            allow_images=settings.allow_images,
        )
    except BedevError as error:
        wrong = _wrong("application", error, "an application that bedev can bring up")
        return [wrong, *_guesses(repository, path, engine)], ()
    recipe = subject.recipe
    database = recipe.engine_image or subject.engine.default_image()
    rows = [
        Row("application", "ok", f"{subject.stack.title} on {recipe.image}"),
        Row("database", "ok", f"{subject.engine.title} on {database or 'the application itself'}"),
        *(Row("service", "ok", f"{services.load(k).title} on {i}") for k, i in recipe.services.items()),
        *(Row("detected", "ok", f"{f.key} = {f.value}  [{f.source}]") for f in recipe.findings),
    ]
    images = (recipe.image, database, *recipe.services.values())
    return rows, tuple(dict.fromkeys(filter(None, images)))


def _guesses(repository: Repository, path: str, engine: str) -> list[Row]:
    """Of a repository whose framework is not recognised: what `bedev init` would write, with its sources."""
    from bedev.agent.proposed_toml import propose
    from bedev.agent.subject import sub_tree

    try:
        tree = sub_tree(repository, repository.head, path)
        proposal = propose(tree, repository.head, engine)
    except BedevError:
        return []  # said already: it is why there is no application
    return [] if proposal.stack else [Row("guessed", "unknown", line) for line in proposal.found[1:]]


def _wrong(name: str, error: BedevError, needed: str) -> Row:
    return Row(
        name,
        "missing",
        f"{error.what} ({error.where})" if error.where else error.what,
        needed,
        error.next_step,
    )


def _images(names: tuple[str, ...]) -> list[Row]:
    """Which images a run needs; one that is not there is pulled at the first run."""
    from bedev.sandboxes.docker_engine import engine, explanation, is_engine_error, is_missing

    rows = []
    for name in names:
        try:
            size = int(engine().inspect_image(name)["Size"])
            rows.append(Row("image", "ok", f"{name}, {size / 1e6:,.0f} MB"))
        except Exception as error:
            if not is_engine_error(error):
                raise
            if is_missing(error):
                found, fix = f"{name} is not here yet", f"docker pull {name}"
                rows.append(Row("image", "warning", found, "it is pulled at the first run", fix))
            else:
                rows.append(Row("image", "unknown", f"{name}: {explanation(error)}"))
    return rows


def _gib(size: float) -> str:
    return f"{size / (1 << 30):.1f} GiB"
