"""What a recipe's image stands for where there are no images: programs that have to be on this machine."""

from __future__ import annotations

import functools
import glob
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bedev.sandboxes.errors import EnvironmentUnusable
from bedev.sandboxes.sandbox import ImageSpec

# Where database servers are installed, beside the folders of PATH.
_SERVER_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True)
class Needs:
    """`programs` are looked up one after the other, each by the first of its names that is there; `title` is
    what people call the first of them; `get` says how it comes here."""

    title: str
    programs: tuple[tuple[str, ...], ...]
    get: str
    root: bool = True  # whether it runs as root


_APT = "sudo apt-get install"
NEEDS: Mapping[str, Needs] = {
    "python": Needs(
        "Python", (("python3", "python"),), f"{_APT} python3 python3-venv (or brew install python)"
    ),
    "php": Needs(
        "PHP",
        (("php",), ("composer",)),
        f"{_APT} php-cli composer php-xml php-mbstring (or brew install php)",
    ),
    "composer": Needs("Composer", (("composer",), ("php",)), f"{_APT} composer"),
    "node": Needs("Node.js", (("node",), ("npm",)), f"{_APT} nodejs npm (or brew install node)"),
    "ruby": Needs("Ruby", (("ruby",), ("bundle",)), f"{_APT} ruby ruby-bundler (or brew install ruby)"),
    "golang": Needs("Go", (("go",),), f"{_APT} golang (or brew install go)"),
    "mariadb": Needs(
        "MariaDB",
        (("mariadbd", "mysqld"), ("mariadb-install-db", "mysql_install_db")),
        f"{_APT} mariadb-server (or brew install mariadb)",
    ),
    "mysql": Needs("MySQL", (("mysqld",),), f"{_APT} mysql-server (or brew install mysql)"),
    "postgres": Needs(
        "PostgreSQL",
        (("postgres",), ("initdb",)),
        f"{_APT} postgresql (or brew install postgresql)",
        root=False,
    ),
    "redis": Needs("Redis", (("redis-server",),), f"{_APT} redis-server (or brew install redis)"),
    "valkey": Needs("Valkey", (("valkey-server",),), f"{_APT} valkey-server (or brew install valkey)"),
    "memcached": Needs("Memcached", (("memcached",),), f"{_APT} memcached (or brew install memcached)"),
}
"""By the last word of an image's name, without its tag."""


@dataclass(frozen=True)
class Found:
    """The programs of an image on this machine: `paths` by name, `versions` by title."""

    paths: Mapping[str, str]
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()


PACKAGES: tuple[tuple[str, str], ...] = (
    (r"python3(?:-.*)?", "python"),
    (r"php(?:-cli)?", "php"),
    ("composer", "composer"),
    ("nodejs", "node"),
    ("ruby", "ruby"),
    ("golang(?:-go)?", "golang"),
    ("mariadb-server", "mariadb"),
    ("mysql-server", "mysql"),
    ("postgresql", "postgres"),
    ("redis-server|redis", "redis"),
    ("valkey-server|valkey", "valkey"),
    ("memcached", "memcached"),
)
"""Debian packages that stand for one of these too: of it, the first program."""


def find(spec: ImageSpec) -> Found:
    """What stands for the image here. Raises EnvironmentUnusable: what is missing, and how to get it."""
    image, _, tag = spec.base.rpartition("/")[2].partition("@")[0].partition(":")
    paths: dict[str, str] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []
    if image in NEEDS:
        needs = NEEDS[image]
        paths = _programs(needs, needs.programs, spec.base, tag if image == "python" else "")
        versions[needs.title] = _version(paths[needs.programs[0][0]])
        asked = re.match(r"\d+(?:\.\d+)?", tag)
        version = versions[needs.title]
        if asked and version and not f"{version}.".startswith(f"{asked[0]}."):
            notes.append(f"the recipe asks for {needs.title} {asked[0]}; this machine has {version}")
    for pattern, kind in PACKAGES:
        package = next((name for name in spec.packages if re.fullmatch(pattern, name)), "")
        if package and kind != image:
            needs = NEEDS[kind]
            found = _programs(needs, needs.programs[:1], f"{package} on {spec.base}", "")
            paths |= found
            versions[needs.title] = _version(found[needs.programs[0][0]])
    return Found(paths, versions, tuple(notes))


def _programs(needs: Needs, programs: tuple[tuple[str, ...], ...], what: str, python: str) -> dict[str, str]:
    """Where each of the programs is; `what` asks for them, `python` is the tag of a Python's image."""
    if not needs.root and hasattr(os, "getuid") and os.getuid() == 0:
        raise EnvironmentUnusable(
            f"{needs.title} refuses to run as root, and without a container bedev runs as you.",
            where=f"--sandbox process, for {what}",
            next_step="Run bedev as another user, or with a container engine: --sandbox docker.",
        )
    paths: dict[str, str] = {}
    missing: list[str] = []
    for names in programs:
        exact = re.match(r"3\.\d+", python)
        wanted = (f"python{exact[0]}", *names) if exact else names
        path = next((found for found in map(program, wanted) if found), None)
        if path is None and "python3" in names:
            path = _own_python()
        if path is None:
            missing.append(names[0])
        else:
            paths[names[0]] = path
    if missing:
        raise EnvironmentUnusable(
            f"{' and '.join(missing)} of {needs.title} {'is' if len(missing) == 1 else 'are'} not on this "
            "machine, where the application would run without a container.",
            where=f"--sandbox process, for {what}",
            next_step=f"{needs.get}. Or run it in a container: --sandbox docker",
        )
    return paths


def machine(versions: Mapping[str, str]) -> str:
    """What the proof states in place of an image."""
    what = [f"{title} {version}".strip() for title, version in versions.items()]
    return f"this machine: {', '.join([*what, f'{platform.system()} {platform.machine()}'])}"


def program(name: str) -> str | None:
    """The path of a program on this machine; a Python is the interpreter itself, not its version manager's
    shim, nor the virtual environment that bedev is installed in."""
    path = shutil.which(name, path=search_path())
    for folder in _SERVER_FOLDERS:
        if path is None:
            path = next((p for p in sorted(glob.glob(f"{folder}/{name}"), reverse=True)), None)
    if path is not None and name.startswith("python"):
        return _interpreter(path)
    return path


def search_path() -> str:
    """The user's PATH without relative entries and without bedev's own environment."""
    own = os.path.dirname(sys.executable) if sys.prefix != sys.base_prefix else ""
    entries = [e for e in os.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(e) and e != own]
    return os.pathsep.join(dict.fromkeys([*entries, "/usr/local/bin", "/usr/bin", "/bin"]))


def _own_python() -> str | None:
    base = getattr(sys, "_base_executable", "") or sys.executable
    return base if os.access(base, os.X_OK) else None


@functools.cache
def _interpreter(path: str) -> str | None:
    code = "import sys; print(getattr(sys, '_base_executable', '') or sys.executable)"
    said = _ask([path, "-I", "-c", code])
    return said if os.access(said, os.X_OK) else None


@functools.cache
def _version(path: str) -> str:
    for words in ([path, "--version"], [path, "version"]):
        found = re.search(r"\d+\.\d+(?:\.\d+)?", _ask(words))
        if found:
            return found[0]
    return ""


def _ask(words: list[str]) -> str:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
            cwd="/",
            env={"PATH": search_path(), "HOME": "/", "LANG": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).strip() if done.returncode == 0 else ""
