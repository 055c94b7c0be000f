"""What is left of runs that ended badly, and what the caches hold.

Only what carries our owner label is ever touched, and of that only what belongs to a process that is
dead or past its deadline; never by name, never another user's. Images label the containers that people
start from them, so images carry labels of their own (docker_images.py), and a container counts only when it
also has our entry point.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.docker_containers import remove_container
from bedev.sandboxes.docker_engine import (
    CREATED_LABEL,
    KIND_LABEL,
    OWNER_LABEL,
    RUN_LABEL,
    engine,
    engine_errors,
    is_busy,
    is_engine_error,
    is_missing,
    is_orphan,
    owner,
)
from bedev.sandboxes.docker_images import IMAGE_CREATED_LABEL, IMAGE_LABEL, IMAGE_OWNER_LABEL
from bedev.sandboxes.docker_volumes import DATA_LABEL, TEMPLATE_KIND, TREE_KIND, remove_volume


@dataclass(frozen=True)
class SweepReport:
    """What a sweep removed, in numbers of things; `kept_in_use` could not be removed. `freed_bytes` is what
    the removed caches held (layers that an image shares with others are still there, and do not count)."""

    containers: int = 0
    volumes: int = 0
    trees: int = 0
    templates: int = 0
    images: int = 0
    kept_in_use: int = 0
    freed_bytes: int = 0


@dataclass(frozen=True)
class CacheUsage:
    """What the caches hold for this user. Bytes as the engine counts them (layers that images share are
    counted in each)."""

    images: int = 0
    image_bytes: int = 0
    trees: int = 0
    tree_bytes: int = 0
    templates: int = 0
    template_bytes: int = 0


def sweep(include_caches: bool = False, older_than_seconds: float = 0.0) -> SweepReport:
    """Remove what dead runs of this user left.

    With `include_caches` also images, prepared trees and templates that were made more than
    `older_than_seconds` ago and are not in use. Raises EnvironmentUnusable without an engine.
    """
    containers = _sweep_containers()
    volumes = _volumes()
    counts = {TREE_KIND: 0, TEMPLATE_KIND: 0}
    busy = images = freed = 0
    if include_caches:
        sizes, layers = _disk()
        before = time.time() - older_than_seconds
        for name, labels in volumes.items():
            kind = labels.get(KIND_LABEL, "")
            if kind not in counts or not _made_before(labels.get(CREATED_LABEL), before):
                continue
            # The data first: while a pod uses it, its seal must stay.
            data = labels.get(DATA_LABEL, "")
            if remove_volume(data) and remove_volume(name):
                counts[kind] += 1
                freed += sizes.get(data, 0)
            else:
                busy += 1
        removed, held = _sweep_images(before)
        images, busy = removed, busy + held
        freed += max(0, layers - _disk()[1]) if removed else 0
        volumes = _volumes()
    return SweepReport(
        containers, _sweep_volumes(volumes), counts[TREE_KIND], counts[TEMPLATE_KIND], images, busy, freed
    )


def _disk() -> tuple[dict[str, int], int]:
    """Bytes of each volume, and of all layers of images, each counted once."""
    usage = _usage()
    return _volume_sizes(usage), int(usage.get("LayersSize") or 0)


def _usage() -> Mapping[str, Any]:
    with engine_errors("The engine could not say what its disk holds."):
        usage: Mapping[str, Any] = engine().df()
    return usage


def _volume_sizes(usage: Mapping[str, Any]) -> dict[str, int]:
    return {
        str(volume["Name"]): max(0, int((volume.get("UsageData") or {}).get("Size", 0)))
        for volume in usage.get("Volumes") or ()
    }


def cache_usage() -> CacheUsage:
    """How much the caches hold; takes the engine up to some seconds to add up."""
    usage = _usage()
    sizes = _volume_sizes(usage)
    images = [
        image
        for image in usage.get("Images") or ()
        if (image.get("Labels") or {}).get(IMAGE_OWNER_LABEL) == owner()
    ]
    seals = [
        (labels[KIND_LABEL], sizes.get(labels.get(DATA_LABEL, ""), 0))
        for labels in _volumes().values()
        if labels.get(KIND_LABEL) in (TREE_KIND, TEMPLATE_KIND)
    ]
    return CacheUsage(
        images=len(images),
        image_bytes=sum(int(image.get("Size", 0)) for image in images),
        trees=sum(kind == TREE_KIND for kind, _ in seals),
        tree_bytes=sum(size for kind, size in seals if kind == TREE_KIND),
        templates=sum(kind == TEMPLATE_KIND for kind, _ in seals),
        template_bytes=sum(size for kind, size in seals if kind == TEMPLATE_KIND),
    )


def _sweep_containers() -> int:
    removed = 0
    with engine_errors("The engine could not list its containers."):
        found = engine().containers(all=True, filters={"label": [RUN_LABEL, f"{OWNER_LABEL}={owner()}"]})
    for listed in found:
        if not is_orphan(listed.get("Labels") or {}):
            continue
        try:
            inspected: Mapping[str, Any] = engine().inspect_container(listed["Id"])
        except Exception as error:
            if is_engine_error(error) and is_missing(error):
                continue
            raise
        if (inspected["Config"].get("Entrypoint") or [])[:1] == ["timeout"]:
            remove_container(str(listed["Id"]))
            removed += 1
    return removed


def _volumes() -> dict[str, Mapping[str, str]]:
    with engine_errors("The engine could not list its volumes."):
        found = engine().volumes(filters={"label": [RUN_LABEL, f"{OWNER_LABEL}={owner()}"]})
    return {str(volume["Name"]): volume.get("Labels") or {} for volume in found.get("Volumes") or ()}


def _sweep_volumes(volumes: Mapping[str, Mapping[str, str]]) -> int:
    """Volumes of dead runs, but not the data that a seal names; and seals whose data is gone."""
    sealed = {labels[DATA_LABEL] for labels in volumes.values() if DATA_LABEL in labels}
    removed = 0
    for name, labels in volumes.items():
        orphan = (
            labels[DATA_LABEL] not in volumes
            if DATA_LABEL in labels
            else name not in sealed and is_orphan(labels)
        )
        if orphan and remove_volume(name):
            removed += 1
    return removed


def _sweep_images(before: float) -> tuple[int, int]:
    removed = held = 0
    with engine_errors("The engine could not list its images."):
        found = engine().images(filters={"label": [IMAGE_LABEL, f"{IMAGE_OWNER_LABEL}={owner()}"]})
    kept: list[list[str]] = []  # layers of the images that stay
    # Those with most layers first: one that stays holds those that it is built on, which the engine would
    # strip of their names only.
    for layers, image in sorted(((_layers(i["Id"]), i) for i in found), key=lambda pair: -len(pair[0])):
        if not layers:
            continue
        if not _made_before((image.get("Labels") or {}).get(IMAGE_CREATED_LABEL), before):
            kept.append(layers)
        elif any(other[: len(layers)] == layers for other in kept) or not _remove_image(image):
            kept.append(layers)
            held += 1
        else:
            removed += 1
    return removed, held


def _layers(image: str) -> list[str]:
    """Empty where the image is gone."""
    try:
        return [str(layer) for layer in engine().inspect_image(image)["RootFS"].get("Layers") or ()]
    except Exception as error:
        if is_engine_error(error) and is_missing(error):
            return []
        with engine_errors("An image could not be inspected.", image):
            raise
        raise


def _remove_image(image: Mapping[str, Any]) -> bool:
    """Whether it is gone (one that a container uses stays)."""
    tags = [tag for tag in image.get("RepoTags") or () if tag.startswith("bedev/image:")]
    for name in tags or [str(image["Id"])]:
        try:
            engine().remove_image(name, force=False, noprune=False)
        except Exception as error:
            if is_engine_error(error) and is_busy(error):
                return False
            if not (is_engine_error(error) and is_missing(error)):
                with engine_errors("An image could not be removed.", name):
                    raise
    return True


def _made_before(created: str | None, before: float) -> bool:
    return created is not None and created.isdigit() and int(created) <= before
