"""Images: the official ones by name, and ours built on top of them, cached by what they are made of.

A build has the engine's default network and nothing else of the host: no `pass_env`, no `ca_file`, no
proxy of ours (`HostAccess` reaches the set-up phase alone). The engine's own proxy settings apply.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import tarfile
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from bedev.sandboxes.docker_engine import (
    engine,
    engine_errors,
    explanation,
    is_engine_error,
    is_missing,
    owner,
)
from bedev.sandboxes.errors import DiskFull, EnvironmentUnusable, SetUpFailed, UsageError
from bedev.sandboxes.full_disk import MAKE_ROOM, said_in
from bedev.sandboxes.sandbox import (
    DATA,
    DATABASE_UID,
    PROBE_UID,
    SCENARIO_FILES,
    STACK_FILES,
    TEMPLATES,
    WORK_UID,
    WORKSPACE,
    ImageSpec,
    Progress,
)

# Labels of an image go to every container that anybody starts from it, so they are never those by which
# the sweep finds containers.
IMAGE_LABEL = "dev.bedev.image"
IMAGE_OWNER_LABEL = "dev.bedev.image.owner"
IMAGE_CREATED_LABEL = "dev.bedev.image.created"
TREE = "/bedev/tree"  # where a pod's `app` finds the prepared tree, read-only
SETUP_HOME = "/bedev/home"  # of the set-up phase, on disk: package managers cache more than fits in memory
PULL_SECONDS = 900.0
BUILD_SECONDS = 1800

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,100}\Z")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,250}\Z")
_FORMAT = 2  # of what is added below; part of the hash

# An empty volume takes owner and mode from the image's folder at its place, which is what makes
# /work writable for its user without a root process ever running in a pod.
_PLACES = (
    "RUN for tool in bash setsid timeout head cat tar stat; do command -v $tool >/dev/null || "
    '{ echo "bedev needs $tool in an image: take one that is based on Debian or Ubuntu"; exit 1; }; done '
    f"&& install -d -m 755 -o {WORK_UID} -g {WORK_UID} {WORKSPACE} "
    f"&& install -d -m 700 -o {DATABASE_UID} -g {DATABASE_UID} {DATA} "
    f"&& install -d -m 755 -o {DATABASE_UID} -g {DATABASE_UID} {TEMPLATES} "
    f"&& install -d -m 700 -o {WORK_UID} -g {WORK_UID} {SETUP_HOME} "
    f"&& install -d -m 755 {TREE} {STACK_FILES} {SCENARIO_FILES} "
    + "".join(
        f"&& (grep -q ':x:{uid}:' /etc/passwd || echo '{name}:x:{uid}:{uid}::/tmp:/bin/bash' >>/etc/passwd) "
        f"&& (grep -q ':x:{uid}:' /etc/group || echo '{name}:x:{uid}:' >>/etc/group) "
        for name, uid in (("bedev-work", WORK_UID), ("bedev-db", DATABASE_UID), ("bedev-probe", PROBE_UID))
    )
)

_building = threading.Lock()


def image_hash(spec: ImageSpec, base_id: str) -> str:
    """What an image is cached by: the base's content and everything that is added to it."""
    content = {
        "format": [_FORMAT, _PLACES],
        "base": base_id,
        "packages": list(spec.packages),
        "lines": list(spec.lines),
        "files": {path: hashlib.sha256(data).hexdigest() for path, data in sorted(spec.files.items())},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def ensure_image(spec: ImageSpec, progress: Progress) -> str:
    """See `sandbox.Sandbox.ensure_image`."""
    _validate(spec)
    base_id = _ensure_base(spec.base, progress)
    digest = image_hash(spec, base_id)
    if spec.base.startswith("sha256:"):
        # One of ours: not every engine takes an id in FROM.
        spec = dataclasses.replace(spec, base=_name_of(spec.base))
    tag = f"bedev/image:{digest}"
    # One build at a time in this process: two pods that want the same image wait for one build.
    with _building:
        found = _image_id(tag)
        if found is not None:
            return found
        added = f" with {', '.join(spec.packages)}" if spec.packages else ""
        progress(f"building an image from {spec.base}{added}")
        return _build(
            spec,
            tag,
            {IMAGE_LABEL: digest, IMAGE_OWNER_LABEL: owner(), IMAGE_CREATED_LABEL: str(int(time.time()))},
        )


def image_digest(image: str) -> str:
    """The repository digest where the image has one, else its id; empty where there is no image."""
    if not image:
        return ""
    with engine_errors("An image could not be inspected.", image):
        facts: Mapping[str, Any] = engine().inspect_image(image)
    digests = facts.get("RepoDigests") or ()
    return str(digests[0]) if digests else str(facts["Id"])


def _validate(spec: ImageSpec) -> None:
    if not _IMAGE.match(spec.base):
        raise UsageError(f"{spec.base!r} is no name of an image.", next_step="For instance php:8.3-cli.")
    for package in spec.packages:
        if not _PACKAGE.match(package):
            raise UsageError(
                f"{package!r} is no name of a Debian package.",
                where="packages",
                next_step="Names have lower-case letters, digits, + - and . only.",
            )
    for path in spec.files:
        if not re.match(r"/[^\x00-\x1f\x7f]+\Z", path) or ".." in path.split("/"):
            raise UsageError(f"{path!r} cannot be the place of a file in an image.", where="image files")
    for line in spec.lines:
        if re.match(r"\s*(FROM|ADD|USER)\b", line, re.IGNORECASE):
            raise UsageError(f"An image line may not be {line.split()[0]}.", where=line)


def _image_id(name: str) -> str | None:
    try:
        return str(engine().inspect_image(name)["Id"])
    except Exception as error:
        if is_engine_error(error) and is_missing(error):
            return None
        with engine_errors("An image could not be inspected.", name):
            raise
        raise


def _name_of(image: str) -> str:
    with engine_errors("An image could not be inspected.", image):
        tags = engine().inspect_image(image).get("RepoTags") or ()
    return str(tags[0]) if tags else image


def _ensure_base(name: str, progress: Progress) -> str:
    found = _image_id(name)
    if found is not None:
        return found
    progress(f"pulling {name} (up to {PULL_SECONDS / 60:.0f} minutes; once)")
    reason = _pull(name, progress)
    found = _image_id(name)
    if found is None:
        raise EnvironmentUnusable(
            f"The image {name} is not there and could not be pulled.",
            where=name,
            next_step=f"docker pull {name}    (on a development machine without an image registry, "
            "`make engine` builds stand-ins of the official images)",
            detail=reason,
        )
    return found


def _pull(name: str, progress: Progress) -> str:
    """Pull an image; why it failed, empty where it did not."""
    repository, _, tag = name.partition(":") if "@" not in name else (name, "", "")
    if "/" in tag:  # the colon was a registry's port
        repository, _, tag = name.rpartition(":")
    deadline = time.monotonic() + PULL_SECONDS
    last = time.monotonic()
    try:
        for event in engine().pull(repository, tag=tag or None, stream=True, decode=True):
            if "error" in event:
                return str(event["error"])
            if time.monotonic() > deadline:
                return f"it took longer than {PULL_SECONDS:.0f} s"
            if time.monotonic() - last > 10:
                last = time.monotonic()
                progress(f"pulling {name}: {event.get('status', '')} {event.get('progress', '')}".rstrip())
    except Exception as error:
        if not is_engine_error(error):
            raise
        return explanation(error)
    return ""


def dockerfile(spec: ImageSpec) -> str:
    """The Dockerfile of an image, as text."""
    lines = [f"FROM {spec.base}", "USER 0:0"]
    if spec.packages:
        lines.append(
            "RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
            + " ".join(spec.packages)
            + " && rm -rf /var/lib/apt/lists/*"
        )
    lines += spec.lines
    if spec.files:
        lines.append("COPY files/ /")
    lines.append(_PLACES)
    return "\n".join(lines) + "\n"


def _context(spec: ImageSpec) -> io.BytesIO:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for path, content in (
            ("Dockerfile", dockerfile(spec).encode()),
            *((f"files{path}", content) for path, content in sorted(spec.files.items())),
        ):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 0
            tar.addfile(entry, io.BytesIO(content))
    context.seek(0)
    return context


def _build(spec: ImageSpec, tag: str, labels: Mapping[str, str]) -> str:
    log: list[str] = []
    failed = ""
    try:
        events: Iterable[Mapping[str, Any]] = engine().build(
            fileobj=_context(spec),
            custom_context=True,
            tag=tag,
            labels=dict(labels),
            rm=True,
            forcerm=True,
            pull=False,
            decode=True,
            timeout=BUILD_SECONDS,
            use_config_proxy=False,
        )
        for event in events:
            log += str(event.get("stream", "")).splitlines()
            del log[:-400]
            failed = str(event["error"]) if "error" in event else failed
    except Exception as error:
        if not is_engine_error(error):
            raise
        failed = explanation(error)
    found = None if failed else _image_id(tag)
    if found is None:
        what = f"The image on top of {spec.base} could not be built"
        words = "\n".join([*[line for line in log if line.strip()][-20:], failed])
        if said_in(words):
            raise DiskFull(
                f"{what}: no space is left.", where="the engine", next_step=MAKE_ROOM, detail=words
            )
        raise SetUpFailed(
            f"{what}.",
            where=f"packages {', '.join(spec.packages) or 'none'}",
            next_step="Read the last lines below; packages come from the base image's own Debian release.",
            detail=words,
        )
    return found
