"""Pods of Django applications, for the tests beside it."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import (
    STACK_FILES,
    HostAccess,
    ImageSpec,
    Pod,
    PodSpec,
    Sandbox,
    TreeFile,
)
from bedev.sandboxes.stacks.stack import load

from .contract import FilesTree

EXAMPLE = Path(__file__).parents[3] / "examples" / "django-slow-users"
DJANGO = load("django")


def quiet(_: str) -> None:
    """Nobody watches."""


def tree_files(tree: FilesTree) -> Iterable[TreeFile]:
    for path in tree.paths():
        content = tree.read(path)
        assert content is not None
        yield TreeFile(path, 0o100644, content)


def come_up(
    sandbox: Sandbox,
    tree: FilesTree,
    recipe: Recipe,
    db_image: str | None = None,
    access: HostAccess | None = None,
) -> Pod:
    files = {f"{STACK_FILES}/{name}": content for name, content in DJANGO.files().items()}
    image = sandbox.ensure_image(ImageSpec(recipe.image, recipe.packages, recipe.image_lines, files), quiet)
    key = sandbox.prepare_tree(
        secrets.token_hex(8),
        lambda: tree_files(tree),
        image,
        DJANGO.set_up_steps(recipe),
        access or HostAccess(),
        quiet,
    )
    return sandbox.open_pod(PodSpec(image, key, db_image, environment=recipe.environment), quiet)


def example_recipe(tree: FilesTree, engine: str) -> Recipe:
    """The example's recipe with what its bedev.toml overrides (Django from Debian's packages)."""
    recipe = DJANGO.detect(tree, engine)
    assert recipe is not None
    said = tomllib.loads((EXAMPLE / "bedev.toml").read_text())["recipe"]
    return replace(
        recipe,
        image=said["image"],
        packages=tuple(said["packages"]),
        image_lines=(),
        install=tuple(said["install"]),
    )
