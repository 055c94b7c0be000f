"""The repository that a run works on: base read from git, recipe detected from its files, both as values."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bedev.agent.git.trees import Change, Tree
from bedev.agent.repository import Repository
from bedev.agent.settings import RepositorySettings, Settings
from bedev.sandboxes import choose as sandboxes
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import Engine
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.patterns import matches
from bedev.sandboxes.ports import check_ports
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess, TreeFile
from bedev.sandboxes.stacks import stack as stacks
from bedev.sandboxes.stacks.stack import Stack

SECRET_FILES = (
    "**/.env", "**/.env.local", "**/.env.production", "**/.env.staging", "**/auth.json", "**/.npmrc",
    "**/.netrc",
)  # fmt: skip
"""Not copied into a sandbox, whatever the repository holds: the recipe makes its own environment file."""


class SubTree:
    """A tree, or the part of it below `path`, as a TreeReader whose paths begin at that folder."""

    def __init__(self, tree: Tree, path: str = "") -> None:
        self.tree = tree
        self.prefix = path.strip("/") + "/" if path.strip("/") else ""

    @property
    def id(self) -> str:
        return f"{self.tree.id}:{self.prefix}"

    def paths(self) -> tuple[str, ...]:
        cut = len(self.prefix)
        return tuple(p[cut:] for p in self.tree.paths() if p.startswith(self.prefix))

    def read(self, path: str) -> bytes | None:
        return self.tree.read(self.prefix + path)

    def files(self) -> Iterator[TreeFile]:
        """Every file on its way into a sandbox, secrets left out."""
        cut = len(self.prefix)
        for entry, content in self.tree.files():
            if entry.path.startswith(self.prefix) and not matches(entry.path, SECRET_FILES):
                yield TreeFile(entry.path[cut:], int(entry.mode, 8), content)


def sub_tree(repository: Repository, commit: str, path: str) -> SubTree:
    """The files of a commit below `--path`. Raises UsageError where there is no such folder."""
    path = posixpath.normpath(path) if path else ""
    path = "" if path == "." else path
    if path.startswith(("/", "..")):
        raise UsageError(
            f"--path {path} is not a folder of the repository.", next_step="Give it relative to the top."
        )
    tree = SubTree(repository.tree(commit), path)
    if path and not tree.paths():
        raise UsageError(
            f"There is no folder {path!r} in {commit[:12]}.", next_step="Give --path a folder of the commit."
        )
    return tree


@dataclass(frozen=True)
class Subject:
    """One base commit with everything that detection and settings say of it."""

    repository: Repository
    base: str
    path: str
    tree: SubTree
    stack: Stack
    engine: Engine
    recipe: Recipe
    settings: Settings
    access: HostAccess
    repository_settings: RepositorySettings

    def patch_tree(self, tree: str) -> SubTree:
        return SubTree(self.repository.tree(tree), self.path)

    def changes(self, tree: str) -> tuple[Change, ...]:
        """What differs, by path below `--path`. Raises UsageError where the patch leaves that folder."""
        from dataclasses import replace

        prefix = self.tree.prefix
        found = self.repository.changes(self.base, tree)
        outside = [c.path for c in found if not c.path.startswith(prefix)]
        if outside:
            raise UsageError(
                f"The patch changes {outside[0]}, which lies outside --path {self.path}.",
                next_step="Verify from the top of the repository, or split the patch.",
            )
        return tuple(replace(c, path=c.path[len(prefix) :]) for c in found)

    def edits(self, edits: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Paths below `--path` as paths of the repository."""
        return {self.tree.prefix + path: content for path, content in edits.items()}


def open_subject(
    repository: Repository,
    base: str,
    *,
    path: str,
    engine: str,
    sandbox: str,
    settings: Settings,
    allow_images: tuple[str, ...],
) -> Subject:
    """Detect the recipe of base and apply its bedev.toml. Raises UsageError with what to do next."""
    sandboxes.load(sandbox)
    tree = sub_tree(repository, base, path)
    path = tree.prefix.rstrip("/")
    content = tree.read("bedev.toml")
    own = RepositorySettings.parse(content) if content is not None else RepositorySettings()
    if engine and engine != own.engine:
        own = own.without_database_server()
    settings = settings.with_repository(own)
    stack, recipe = stacks.detect(tree, engine or own.engine, own.stack)
    recipe = own.apply(recipe)
    name = engine or own.engine or recipe.engine
    if not name:
        raise UsageError(
            "bedev could not tell which database this application uses.",
            next_step="Say it: --engine mariadb.",
        )
    if name not in engines.names():
        if engine:
            raise UsageError(
                f"There is no database engine named {engine!r} in this version.",
                where="--engine",
                next_step=f"Use one of: {', '.join(engines.names())}.",
            )
        raise UsageError(
            f"The application is configured for {name!r}, for which this version has no engine.",
            where=next((f.source for f in recipe.findings if f.key in ("engine", "database")), ""),
            next_step=f"Where a compatible one will do, say so, and the proof will state it: "
            f"--engine {' or --engine '.join(engines.names())}.",
        )
    _confirm_images(own, (*allow_images, *settings.allow_images))
    check_ports(recipe, engines.load(name))
    access = HostAccess(settings.pass_env, settings.ca_file, settings.proxy)
    return Subject(repository, base, path, tree, stack, engines.load(name), recipe, settings, access, own)


def _confirm_images(own: RepositorySettings, allowed: tuple[str, ...]) -> None:
    """An image that the repository names is used only when it is an official one or the user allows it."""
    for image in own.images:
        if "/" in image and image not in allowed:
            raise UsageError(
                f"The repository asks for the image {image!r}, which is not an official one.",
                where="bedev.toml",
                next_step=f"If you trust it: --allow-image {image}",
            )


def repository_of(path: Path) -> Repository:
    return Repository.open(path)
