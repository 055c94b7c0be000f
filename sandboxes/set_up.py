"""Set-up: what a tree's recipe makes once and every pod of it shares: images and prepared files."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bedev.sandboxes import repair
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import Engine, library
from bedev.sandboxes.errors import DiskFull, EnvironmentUnusable, SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import STACK_FILES, HostAccess, ImageSpec, Progress, Sandbox, TreeFile
from bedev.sandboxes.stacks.stack import Stack


@dataclass(frozen=True)
class Brought:
    """What set-up made out of one tree, shared by every pod of it: stack, engine, recipe, images, files.
    `db_image` is empty where the engine is a library; `services` are image ids by kind."""

    sandbox: Sandbox
    stack: Stack
    engine: Engine
    recipe: Recipe
    app_image: str
    db_image: str
    tree_key: str
    seconds: float
    services: Mapping[str, str] = field(default_factory=dict)


def bring_up(
    sandbox: Sandbox,
    stack: Stack,
    engine: Engine,
    recipe: Recipe,
    tree_id: str,
    files: Callable[[], Iterable[TreeFile]],
    access: HostAccess,
    progress: Progress,
) -> Brought:
    """Build the images and prepare the tree (cached). Where a step lacks what `repair` knows how to add, it
    is tried again with the corrected recipe, which `Brought` then has. Raises SetUpFailed, with the likely
    cause where one is known, and EnvironmentUnusable."""
    started = time.monotonic()
    corrections = 0
    while True:
        try:
            return _bring_up(sandbox, stack, engine, recipe, tree_id, files, access, progress, started)
        except SetUpFailed as error:
            found = repair.explain(error, recipe)
            better = repair.corrected(recipe, found)
            if better is None or found is None or corrections == repair.MOST_CORRECTIONS:
                if corrections and not error.cause:
                    error.cause = f"It fails with {', '.join(recipe.packages)} too, which bedev added."
                raise
            progress(f"{found.cause} Trying again with the packages {', '.join(found.packages)}")
            recipe, corrections = better, corrections + 1


def _bring_up(
    sandbox: Sandbox,
    stack: Stack,
    engine: Engine,
    recipe: Recipe,
    tree_id: str,
    files: Callable[[], Iterable[TreeFile]],
    access: HostAccess,
    progress: Progress,
    started: float,
) -> Brought:
    stack_files = {f"{STACK_FILES}/{name}": content for name, content in stack.files().items()}
    app_image = sandbox.ensure_image(
        ImageSpec(recipe.image, recipe.packages, recipe.image_lines, stack_files), progress
    )
    db_image = _database_image(sandbox, engine, recipe, progress)
    services = {n: sandbox.ensure_image(ImageSpec(image), progress) for n, image in recipe.services.items()}
    steps = stack.set_up_steps(recipe)
    key = key_of(tree_id, app_image, [(s.command, s.network, dict(s.env)) for s in steps])
    tree_key = sandbox.prepare_tree(key, files, app_image, steps, access, progress)
    seconds = time.monotonic() - started
    return Brought(sandbox, stack, engine, recipe, app_image, db_image, tree_key, seconds, services)


def _database_image(sandbox: Sandbox, engine: Engine, recipe: Recipe, progress: Progress) -> str:
    """Where the server's image cannot be had, the error says which other engine may stand in."""
    if library(engine) is not None:
        return ""
    try:
        return sandbox.ensure_image(
            engine.image_spec(recipe.engine_image or engine.default_image()), progress
        )
    except EnvironmentUnusable as error:
        others = engines.compatible(engine)
        if others and not isinstance(error, DiskFull):
            titles = " or ".join(other.title for other in others)
            flags = " or ".join(f"--engine {other.name}" for other in others)
            error.next_step += (
                f"; or, where {titles} will do in place of {engine.title}, say so, "
                f"and the proof states it: {flags}"
            )
        raise


def key_of(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=lambda v: hashlib.sha256(v).hexdigest())
    return hashlib.sha256(text.encode()).hexdigest()[:24]
