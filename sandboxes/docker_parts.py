"""What each container of a pod is allowed, as data, and the canaries that are tried inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bedev.sandboxes.docker_box import DockerBox
from bedev.sandboxes.docker_containers import image_facts
from bedev.sandboxes.docker_engine import KIND_LABEL, seccomp_enforced
from bedev.sandboxes.docker_isolation import ContainerSpec, VolumeMount
from bedev.sandboxes.errors import EnvironmentUnusable
from bedev.sandboxes.sandbox import DATABASE_UID, PROBE_UID, WORK_UID
from bedev.sandboxes.shell import OUTPUT_FOLDER

# No editor, no pager, no terminal: what waits for a person would wait for ever.
BASE_ENVIRONMENT: Mapping[str, str] = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
}

# What bash and the engine themselves put into a process's environment.
_SHELLS_OWN = frozenset({"PATH", "HOSTNAME", "PWD", "OLDPWD", "SHLVL", "_"})


@dataclass(frozen=True)
class Part:
    """One kind of container: its user, its tmpfs mounts, and the size that one file may have."""

    uid: int
    tmpfs: Mapping[str, str]
    file_size: int | None = 1 << 30


def _outputs(uid: int) -> str:
    return f"rw,nosuid,nodev,noexec,size=384m,uid={uid},gid={uid},mode=0700"


# /tmp of the application may execute: package managers and JVMs unpack native code there.
APP = Part(
    WORK_UID,
    {"/tmp": "rw,nosuid,nodev,exec,size=512m,mode=1777", OUTPUT_FOLDER: _outputs(WORK_UID)},
)
DATABASE = Part(
    DATABASE_UID,
    {"/tmp": "rw,nosuid,nodev,noexec,size=512m,mode=1777", OUTPUT_FOLDER: _outputs(DATABASE_UID)},
    file_size=None,  # InnoDB's files pass 1 GB
)
PROBE = Part(PROBE_UID, {"/tmp": "rw,nosuid,nodev,noexec,size=64m,mode=1777"})

# Where the database is a file: the probe's container has it too, and a box for copying it.
APP_WITH_DATA = replace(APP, file_size=None)
PROBE_WITH_DATA = Part(PROBE_UID, DATABASE.tmpfs, file_size=None)


def container_spec(
    part: Part,
    kind: str,
    image: str,
    network: str,
    labels: Mapping[str, str],
    *,
    mounts: tuple[VolumeMount, ...] = (),
    memory_mb: int = 2048,
    deadline_seconds: int,
    seccomp: str | None,
) -> ContainerSpec:
    """The full specification of a container. Raises EnvironmentUnusable when the image is gone."""
    environment, volumes = image_facts(image)
    return ContainerSpec(
        kind=kind,
        image=image,
        network=network,
        labels={**labels, KIND_LABEL: kind},
        mounts=mounts,
        tmpfs=part.tmpfs,
        image_environment=environment,
        image_volumes=volumes,
        memory_mb=memory_mb,
        file_size=part.file_size,
        deadline_seconds=deadline_seconds,
        seccomp=seccomp,
    )


# Bash builtins only: the whole look costs about two milliseconds.
_CANARIES = r"""
while IFS=$':\t ' read -r name value; do
    case $name in
        Cap*|NoNewPrivs|Seccomp|Uid) printf '%s=%s\n' "$name" "${value%%[[:space:]]*}" ;;
    esac
done </proc/self/status
# Some kernels put tunnels that are down into every namespace; only what is up is a way out.
for name in /sys/class/net/*; do
    read -r value <"$name/flags" && ((value & 1)) && printf 'interface=%s\n' "${name##*/}"
done
{ read -r _; while read -r name _; do printf 'route=%s\n' "$name"; done; } </proc/net/route
for name in /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock; do
    [[ -e $name ]] && printf 'socket=%s\n' "$name"
done
: >/.bedev-canary && printf 'writable=/\n'
: >/etc/.bedev-canary && printf 'writable=/etc\n'
(exec 3<>/dev/tcp/169.254.169.254/80) && printf 'reached=metadata\n'
for name in $(compgen -e); do printf 'variable=%s\n' "$name"; done
:
"""


def check_canaries(box: DockerBox, uid: int, environment: Mapping[str, str], *, network: bool) -> None:
    """Look from inside what a command can do. Raises EnvironmentUnusable for anything that it should not.

    `environment` is all that the box may hold, the image's own included. With `network` (the set-up
    phase) routes and interfaces are expected.
    """
    code = _CANARIES if not network else _without_network_canaries()
    lines = box.internal(code, timeout=20)[1].decode("utf-8", "replace").splitlines()
    facts: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition("=")
        facts.setdefault(name, []).append(value)
    problems = []
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        if int((facts.get(name) or ["1"])[0], 16):
            problems.append(f"capabilities are left ({name})")
    expectations: tuple[tuple[str, Callable[[str], bool], str], ...] = (
        ("NoNewPrivs", lambda value: value == "1", "no-new-privileges does not hold"),
        ("Uid", lambda value: value == str(uid), "commands run as another user"),
        ("Seccomp", lambda value: value == "2" or not seccomp_enforced(), "no system call is filtered"),
    )
    for name, fine, words in expectations:
        if not fine((facts.get(name) or [""])[0]):
            problems.append(words)
    if not network:
        problems += [
            f"there is a network interface {name}" for name in facts.get("interface", ()) if name != "lo"
        ]
        problems += [f"there is a route by {name}" for name in facts.get("route", ()) if name != "lo"]
        problems += [f"{name} was reached" for name in facts.get("reached", ())]
    problems += [f"{name} is there" for name in facts.get("socket", ())]
    problems += [f"{name} can be written" for name in facts.get("writable", ())]
    allowed = environment.keys() | _SHELLS_OWN
    problems += [f"variable {name} is there" for name in facts.get("variable", ()) if name not in allowed]
    if problems:
        raise EnvironmentUnusable(
            f"The {box.name} box is not isolated: {'; '.join(problems)}.",
            where=box.container.name,
            next_step="Nothing was run in it. `bedev doctor` says what the engine is.",
        )


def _without_network_canaries() -> str:
    return "\n".join(line for line in _CANARIES.splitlines() if "/dev/tcp/" not in line)
