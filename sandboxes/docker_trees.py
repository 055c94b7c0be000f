"""The set-up phase: the repository's files and what its dependencies add, as one read-only volume.

Steps that need the network run in a container of their own, which alone sees the user's variables, CA and
proxy. The others run in a new container without network, so that nothing which the first one started, or
learnt, is there any more: only the volume is.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from bedev.sandboxes.docker_box import DockerBox
from bedev.sandboxes.docker_containers import create_container
from bedev.sandboxes.docker_images import SETUP_HOME
from bedev.sandboxes.docker_isolation import VolumeMount
from bedev.sandboxes.docker_parts import APP, BASE_ENVIRONMENT, check_canaries, container_spec
from bedev.sandboxes.docker_volumes import TREE_KIND, find_seal, new_volume, remove_volume, seal
from bedev.sandboxes.errors import SandboxBroken, SetUpFailed, UsageError
from bedev.sandboxes.full_disk import FullDisk, said_in
from bedev.sandboxes.sandbox import WORKSPACE, Box, HostAccess, Progress, SetUpStep, TreeFile

SETUP_MEMORY_MB = 4096
_CA_BUNDLE = "/tmp/.bedev-ca.pem"
# Where the package managers of the supported ecosystems look for a CA bundle.
_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
)
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_SPOOL = 64 << 20  # bytes of the tar that stay in memory
_FILE_TIME = 1_000_000_000  # one fixed time for all files: git keeps none


def prepare_tree(
    key: str,
    files: Callable[[], Iterable[TreeFile]],
    image: str,
    steps: Sequence[SetUpStep],
    access: HostAccess,
    progress: Progress,
    *,
    labels: Mapping[str, str],
    deadline_seconds: int,
    seccomp: str | None,
    size_mb: int | None = None,
) -> str:
    """See `sandbox.Sandbox.prepare_tree`."""
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z", key):
        raise UsageError(f"{key!r} cannot be the key of a tree.", next_step="Use a hash.")
    if find_seal(TREE_KIND, key) is not None:
        return key
    volume = new_volume(TREE_KIND, key, labels, size_mb)
    try:
        online = [step for step in steps if step.network]
        offline = [step for step in steps if not step.network]

        @contextlib.contextmanager
        def setup_box(network: bool) -> Iterator[DockerBox]:
            spec = container_spec(
                APP,
                "setup-network" if network else "setup",
                image,
                "bridge" if network else "none",
                labels,
                mounts=(VolumeMount(WORKSPACE, volume), VolumeMount(SETUP_HOME)),
                memory_mb=SETUP_MEMORY_MB,
                deadline_seconds=deadline_seconds,
                seccomp=seccomp,
            )
            outside = host_environment(access, progress) if network else {}
            environment = {**BASE_ENVIRONMENT, "HOME": SETUP_HOME, **outside}
            container = create_container(spec)
            box = DockerBox("set-up", container, APP.uid, environment)
            try:
                container.start()
                check_canaries(box, APP.uid, {**spec.image_environment, **environment}, network=network)
                yield box
            finally:
                box.close()
                container.remove()

        # The repository's files are data, so they may enter whichever container comes first.
        with setup_box(network=bool(online)) as box:
            progress("copying the repository's files into the sandbox")
            unpack(box, files())
            if online:
                bring_ca(box, access)
            for step in online or offline:
                run_step(box, step, progress)
        if online and offline:
            with setup_box(network=False) as box:
                for step in offline:
                    run_step(box, step, progress)
        standing = seal(TREE_KIND, key, volume, {}, labels)
        if standing.volume != volume:  # another process prepared the same tree at the same time
            remove_volume(volume)
    except BaseException:
        remove_volume(volume)
        raise
    return key


def host_environment(access: HostAccess, progress: Progress) -> dict[str, str]:
    """What the network set-up container sees of the host. Raises UsageError for a missing CA file."""
    environment = {}
    for name in access.pass_env:
        if name in os.environ:
            environment[name] = os.environ[name]
        else:
            progress(f"pass_env names {name}, which is not set here")
    if access.proxy:
        environment |= dict.fromkeys(_PROXY_VARIABLES, access.proxy)
    if access.ca_file:
        if not Path(access.ca_file).is_file():
            raise UsageError(
                "The CA file is not there.",
                where=access.ca_file,
                next_step="Correct `ca_file`, or leave it out.",
            )
        environment |= dict.fromkeys(_CA_VARIABLES, _CA_BUNDLE)
    return environment


def bring_ca(box: Box, access: HostAccess) -> None:
    """Put the user's CA beside the image's own ones: the variables replace the system's bundle."""
    if access.ca_file:
        system = box.read_file("/etc/ssl/certs/ca-certificates.crt") or b""
        box.write_file(_CA_BUNDLE, system.rstrip() + b"\n" + Path(access.ca_file).read_bytes())


def run_step(box: Box, step: SetUpStep, progress: Progress) -> None:
    progress(step.title)
    result = box.run(step.command, cwd=WORKSPACE, env=step.env, timeout=step.timeout)
    if result.ok:
        return
    raise_if_full(box, f"A set-up step failed: {step.title} ({step.command})", result.last_lines)
    if result.timed_out:
        ended = f"did not end within {step.timeout:.0f} s"
    elif result.output_exceeded:
        ended = "wrote too much output"
    else:
        ended = f"ended with {result.exit_code}"
    network = "with network" if step.network else "without network"
    raise SetUpFailed(
        f"A set-up step {ended}: {step.title}",
        where=f"{step.command}   (in {WORKSPACE}, {network})",
        next_step="Correct the step in bedev.toml ([recipe] install or build), or what it needs.",
        detail=result.last_lines,
        output=result.words,
    )


def unpack(box: DockerBox, files: Iterable[TreeFile]) -> None:
    """Send files to the workspace as one tar that is made here; nothing is unpacked on the host."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
        write_tar(spool, files)
        size = spool.tell()
        spool.seek(0)
        status, output = box.receive_stream(
            f'"$head" -c {size} | {{ tar -xf - -C {WORKSPACE} --no-same-owner --delay-directory-restore 2>&1'
            '; ended=$?; "$cat" >/dev/null; exit $ended; }',
            iter(lambda: spool.read(1 << 20), b""),
            timeout=600,
        )
    if status:
        what = "The repository's files could not be copied into the sandbox."
        words = output.decode("utf-8", "replace")[-2000:]
        raise_if_full(box, what, words)
        raise SandboxBroken(what, where=box.container.name, next_step="Run it again.", detail=words)


def raise_if_full(box: Box, doing: str, words: str) -> None:
    """Raises DiskFull where a place of the box is full, or the words of what failed say that one was."""
    said = said_in(words)
    full = box.full_disk() or (FullDisk(box.name) if said else None)
    if full is not None:
        raise full.error(doing, words)


def write_tar(target: IO[bytes], files: Iterable[TreeFile]) -> None:
    """Raises UsageError for a path that would leave the workspace, and for a mode that git does not have."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in files:
            parts = file.path.split("/")
            if (
                not all(parts)
                or {".", "..", ".git"} & {part.lower() for part in parts}
                or "\x00" in file.path
            ):
                raise UsageError("A path in the repository cannot be used.", where=repr(file.path))
            entry = tarfile.TarInfo(file.path)
            entry.mtime = _FILE_TIME
            if file.mode == 0o120000:
                entry.type = tarfile.SYMTYPE
                entry.linkname = file.content.decode("utf-8", "surrogateescape")
                tar.addfile(entry)
                continue
            if file.mode not in (0o100644, 0o100755):
                raise UsageError(f"Files of mode {file.mode:o} cannot be used.", where=repr(file.path))
            entry.mode = file.mode & 0o777
            entry.size = len(file.content)
            tar.addfile(entry, io.BytesIO(file.content))
