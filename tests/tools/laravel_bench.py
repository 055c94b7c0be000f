"""A workbench on the Laravel example, for the tests beside it."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataWish, make_data
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess, TreeFile
from bedev.sandboxes.set_up import Brought, bring_up
from bedev.sandboxes.stacks import stack as stacks
from bedev.tools.database.grow import grow_database
from bedev.tools.scenarios.measured import measure_question
from bedev.tools.scenarios.scenario import Scenario, http_question
from bedev.tools.workbench import Known, Workbench

EXAMPLE = Path(__file__).parents[2] / "examples" / "laravel-slow-users"
ROWS = {"users": 5000, "orders": 20000}
SCENARIO = Scenario((http_question("GET /api/users?page=40"),))


class FilesTree:
    """The files of a folder."""

    def __init__(self, folder: Path) -> None:
        found = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink())
        self._files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)


def quiet(_: str) -> None:
    """Nobody watches."""


def example_recipe(tree: FilesTree) -> Recipe:
    """With what the example's bedev.toml overrides."""
    recipe = stacks.load("laravel").detect(tree, "mariadb")
    assert recipe is not None
    said = tomllib.loads((EXAMPLE / "bedev.toml").read_text())["recipe"]
    return replace(
        recipe,
        image=said["image"],
        packages=tuple(said["packages"]),
        image_lines=(),
        install=tuple(said["install"]),
    )


@dataclass
class Shop:
    """What the benches of one file of tests share: images, files and grown data."""

    tree: FilesTree
    brought: Brought
    data: str

    @classmethod
    def make(cls, sandbox: DockerSandbox) -> Shop:
        tree = FilesTree(EXAMPLE)
        executable = ("artisan", "bin/debian-autoload")

        def files() -> list[TreeFile]:
            return [
                TreeFile(p, 0o100755 if p in executable else 0o100644, tree.read(p) or b"")
                for p in tree.paths()
            ]

        brought = bring_up(
            sandbox,
            stacks.load("laravel"),
            engines.load("mariadb"),
            example_recipe(tree),
            secrets.token_hex(8),
            files,
            HostAccess(),
            quiet,
        )
        return cls(tree, brought, make_data(brought, DataWish(ROWS), grow_database, quiet).key)

    def open(self, edits: Mapping[str, bytes | None]) -> Application:
        return Application.open(self.brought, self.data, quiet, edits=edits)

    def bench(self) -> Workbench:
        """A bench that knows what base does for the scenario."""
        bench = Workbench(self.open, self.tree, SCENARIO)
        app = bench.serving()
        bench.known = tuple(
            Known.of(measure_question(app, q, SCENARIO, rows=True)) for q in SCENARIO.questions
        )
        return bench
