"""Volumes that outlive a pod, and how one of them is known to be complete.

A volume's labels never change after it is made, so a finished volume is named by a second, empty one,
the seal: its labels say which volume holds the data, and carry the facts about it. Making the seal is one
atomic call to the engine, the first of two makers wins, and a seal is read without any container.
"""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.docker_containers import memory_volume
from bedev.sandboxes.docker_engine import (
    KIND_LABEL,
    engine,
    engine_errors,
    is_busy,
    is_engine_error,
    is_missing,
)
from bedev.sandboxes.errors import EnvironmentUnusable

DATA_LABEL = "dev.bedev.data"  # of a seal: the volume that it names
FACTS_LABEL = "dev.bedev.facts"  # of a seal: compressed JSON
TREE_KIND = "tree"
TEMPLATE_KIND = "template"


@dataclass(frozen=True)
class Seal:
    """A finished volume: the `volume` with the data, and the facts that were given when it was sealed."""

    name: str
    volume: str
    facts: Mapping[str, Any]


def seal_name(kind: str, key: str) -> str:
    return f"bedev-{kind}-{key}"


def new_volume(kind: str, key: str, labels: Mapping[str, str], size_mb: int | None = None) -> str:
    """Make an empty data volume, which nobody else finds before it is sealed; its name.

    `size_mb` as in VolumeMount: one in memory is empty again once no container has it."""
    name = f"bedev-{kind}-{key[:40]}-{secrets.token_hex(6)}"
    with engine_errors("A volume could not be made.", name):
        engine().create_volume(
            name=name,
            driver="local",
            driver_opts=memory_volume(size_mb) if size_mb else None,
            labels={**labels, KIND_LABEL: f"{kind}-data"},
        )
    return name


def inspect_volume(name: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = engine().inspect_volume(name)
        return found
    except Exception as error:
        if is_engine_error(error) and is_missing(error):
            return None
        with engine_errors("A volume could not be inspected.", name):
            raise
        raise


def find_seal(kind: str, key: str) -> Seal | None:
    """The finished volume of this kind and key, None where there is none (or its data is gone)."""
    name = seal_name(kind, key)
    found = inspect_volume(name)
    if found is None:
        return None
    labels = found.get("Labels") or {}
    volume = str(labels.get(DATA_LABEL, ""))
    if not volume or inspect_volume(volume) is None:
        return None
    packed = str(labels.get(FACTS_LABEL, ""))
    facts = json.loads(zlib.decompress(base64.b64decode(packed))) if packed else {}
    return Seal(name, volume, facts)


def seal(kind: str, key: str, volume: str, facts: Mapping[str, Any], labels: Mapping[str, str]) -> Seal:
    """Declare `volume` finished; the seal that stands, which is another's where that one was faster."""
    stands = find_seal(kind, key)
    if stands is not None:
        return stands
    name = seal_name(kind, key)
    remove_volume(name)  # a seal whose data is gone
    packed = base64.b64encode(zlib.compress(json.dumps(facts, sort_keys=True).encode(), 6)).decode()
    with engine_errors("A volume could not be sealed.", name):
        engine().create_volume(
            name=name,
            driver="local",
            labels={**labels, KIND_LABEL: kind, DATA_LABEL: volume, FACTS_LABEL: packed},
        )
    # Creating a volume that exists gives the existing one back, so this tells who was first.
    stands = find_seal(kind, key)
    if stands is None:
        raise EnvironmentUnusable(
            "A volume was removed while it was being sealed.", where=name, next_step="Run the command again."
        )
    return stands


def drop(kind: str, key: str) -> None:
    """Remove a finished volume; no error where there is none. In use, its data stays until the sweep."""
    found = find_seal(kind, key)
    remove_volume(seal_name(kind, key))
    if found is not None:
        remove_volume(found.volume)


def remove_volume(name: str) -> bool:
    """Remove a volume; whether it is gone (a volume in use stays)."""
    try:
        engine().remove_volume(name)
        return True
    except Exception as error:
        if is_engine_error(error) and is_missing(error):
            return True
        if is_engine_error(error) and is_busy(error):
            return False
        with engine_errors("A volume could not be removed.", name):
            raise
        raise
