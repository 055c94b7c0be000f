"""The ports of a pod: one namespace for all, so that two servers cannot have the same one.

Whoever connects sees only that somebody answers: the probe would take the database for the application.
"""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Engine
from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.services import service as services

TEST_PORT_OFFSET = 1  # from the database's port to that of the copy for the tests


def check_ports(recipe: Recipe, engine: Engine) -> None:
    """Raises UsageError where the recipe wants a port of the database's, or of a service."""
    taken = _of_the_database(recipe.served_port, engine) or _of_a_service(recipe)
    if taken and recipe.serve:
        raise UsageError(
            f"The port {recipe.served_port}, on which the application is to be served, is {taken}.",
            where=source(recipe),
            next_step=_next_step(recipe),
        )


def port_taken(recipe: Recipe, engine: Engine, log: str = "") -> SetUpFailed:
    """The error where somebody else listens on the application's port."""
    who = (
        _of_the_database(recipe.served_port, engine)
        or _of_a_service(recipe)
        or "taken by another program of the pod"
    )
    return SetUpFailed(
        f"The application's server cannot have the port {recipe.served_port}: it is {who}.",
        where=source(recipe),
        next_step=_next_step(recipe),
        detail=log,
    )


def source(recipe: Recipe) -> str:
    """Where `served_port` is said: `bedev.toml:12`, or that it is the default of the stack."""
    said = next((f.source for f in reversed(recipe.findings) if f.key == "served_port"), "")
    return f"{said}: served_port" if said else f"served_port, {recipe.stack}'s default"


def _of_the_database(port: int, engine: Engine) -> str:
    if not engine.port:
        return ""
    names = {
        engine.port: f"the port of {engine.title} in the pod",
        engine.port + TEST_PORT_OFFSET: f"the port of {engine.title}'s copy for the tests",
    }
    return names.get(port, "")


def _of_a_service(recipe: Recipe) -> str:
    kinds = (services.load(name) for name in recipe.services)
    found = next((kind.title for kind in kinds if kind.port == recipe.served_port), "")
    return f"the port of {found} in the pod" if found else ""


def _next_step(recipe: Recipe) -> str:
    other = 8000 if recipe.served_port != 8000 else 8080
    return (
        f"Choose another one in the base commit's bedev.toml, and let `serve` listen there: "
        f"[recipe] served_port = {other}"
    )
