"""Which PHP an application runs on, and what the official image lacks for it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedev.sandboxes.recipe import Finding
from bedev.sandboxes.stacks.laravel.manifest import Manifest
from bedev.sandboxes.stacks.tree_text import mapping

VERSIONS = ((8, 5), (8, 4), (8, 3), (8, 2), (8, 1), (8, 0))
"""The official images that there are, newest first."""

NEWEST_PHP = {8: (8, 1), 9: (8, 2), 10: (8, 3), 11: (8, 4), 12: (8, 5), 13: (8, 5)}
"""The newest PHP that each Laravel supports (laravel.com/docs/releases, "Support Policy"): a constraint
such as `^8.1` also allows versions that came out later and that this Laravel was never made for."""

BASE_EXTENSIONS = (
    "ctype",
    "dom",
    "fileinfo",
    "filter",
    "hash",
    "mbstring",
    "openssl",
    "pdo",
    "session",
    "tokenizer",
    "xml",
    "opcache",
)
"""What Laravel itself needs (laravel.com/docs/deployment, "Server Requirements"), and opcache."""

DRIVERS = {"mysql": "pdo_mysql", "mariadb": "pdo_mysql", "postgres": "pdo_pgsql", "sqlite": "pdo_sqlite"}

_FAR = (999, 0, 0)
Interval = tuple[tuple[int, int, int], tuple[int, int, int]]


def allows(constraint: str, version: tuple[int, int]) -> bool:
    """Whether some release of PHP `version` satisfies a composer constraint (`^8.1`, `~8.2.0 || 8.4.*`,
    `>=8.1 <8.4`, `8.1 - 8.3`; getcomposer.org/doc/articles/versions.md)."""
    low, high = (*version, 0), (version[0], version[1] + 1, 0)
    for alternative in re.split(r"\s*\|\|?\s*", constraint.strip()):
        intervals = [_interval(part) for part in _parts(alternative)]
        if all(max(low, start) < min(high, end) for start, end in intervals):
            start = max([low, *(i[0] for i in intervals)])
            end = min([high, *(i[1] for i in intervals)])
            if start < end:
                return True
    return False


def _parts(alternative: str) -> list[str]:
    hyphen = re.fullmatch(r"\s*v?([\d.]+)\s+-\s+v?([\d.]+)\s*", alternative)
    if hyphen:
        # An upper bound that is not a whole version includes everything below its next number.
        upper = [int(n) for n in hyphen[2].split(".") if n]
        whole = len(upper) > 2
        if not whole:
            upper[-1] += 1
        return [f">={hyphen[1]}", f"{'<=' if whole else '<'}{'.'.join(map(str, upper))}"]
    joined = re.sub(r"([<>=!^~]+)\s+", r"\1", alternative.strip())
    return [part for part in re.split(r"[\s,]+", joined) if part]


def _interval(part: str) -> Interval:
    part = re.sub(r"@\w+$|-(?:dev|stable|alpha|beta|rc)\w*$", "", part, flags=re.IGNORECASE)
    found = re.fullmatch(r"([<>=!^~]*)v?(\d+)(?:\.(\d+|[*x]))?(?:\.(\d+|[*x]))?(?:\.[\d*x]+)?", part)
    if found is None:
        return (0, 0, 0), _FAR  # `*`, or something that says nothing about a version of PHP
    operator = found[1]
    numbers = [int(found[2])] + [int(n) for n in (found[3], found[4]) if n is not None and n.isdigit()]
    wildcard = "*" in part or "x" in part
    padded = (*numbers, 0, 0)[:3]
    version = (padded[0], padded[1], padded[2])
    next_of = {
        1: (version[0] + 1, 0, 0),
        2: (version[0], version[1] + 1, 0),
        3: (version[0], version[1], version[2] + 1),
    }
    if operator == "^":
        return version, next_of[1]
    if operator == "~":
        return version, next_of[max(1, len(numbers) - 1)]
    if operator in (">=", "=>"):
        return version, _FAR
    if operator == ">":
        return next_of[3], _FAR
    if operator == "<":
        return (0, 0, 0), version
    if operator == "<=":
        return (0, 0, 0), next_of[3]
    if operator in ("!=", "<>"):
        return (0, 0, 0), _FAR  # leaves out one release of a version that has others
    return version, next_of[len(numbers) if wildcard else 3]


@dataclass(frozen=True)
class PhpChoice:
    version: tuple[int, int]
    finding: Finding

    @property
    def image(self) -> str:
        return f"php:{self.version[0]}.{self.version[1]}-cli"


def choose_php(manifest: Manifest) -> PhpChoice:
    """The newest PHP that the repository says it runs on: `config.platform.php`, else the platform that the
    lock file was made with, else the constraints of composer.json and of every locked package together."""
    pinned = mapping(manifest.config.get("platform")).get("php")
    source = manifest.source("config", "platform", "php")
    if not isinstance(pinned, str) and manifest.locked is not None:
        pinned = mapping(manifest.locked.get("platform-overrides")).get("php")
        source = "composer.lock:1"
    if isinstance(pinned, str) and (found := re.match(r"v?(\d+)\.(\d+)", pinned)):
        version = (int(found[1]), int(found[2]))
        if version in VERSIONS:
            return PhpChoice(
                version, Finding("php", f"{version[0]}.{version[1]} (platform {pinned})", source)
            )
    own = manifest.require.get("php") or manifest.require.get("php-64bit") or "*"
    source = manifest.requirement_source("php")
    constraints = [own, *_package_constraints(manifest)]
    cap = NEWEST_PHP.get(manifest.laravel_major or 0, VERSIONS[0])
    fitting = [v for v in VERSIONS if all(allows(c, v) for c in constraints)]
    fitting = fitting or [v for v in VERSIONS if allows(own, v)] or [VERSIONS[0]]
    best = next((v for v in fitting if v <= cap), fitting[-1])
    why = f"{best[0]}.{best[1]} (newest for {own}"
    if best != fitting[0]:
        why += f" that Laravel {manifest.laravel_major} supports"
    return PhpChoice(best, Finding("php", why + ")", source))


def _package_constraints(manifest: Manifest) -> list[str]:
    found = (mapping(p.get("require")).get("php") for p in manifest.packages)
    return [c for c in found if isinstance(c, str)]


@dataclass(frozen=True)
class ImageParts:
    """Debian packages and Dockerfile lines that an official PHP image needs; `ignored` are extensions that
    are not known here, which composer is told to do without."""

    packages: tuple[str, ...]
    lines: tuple[str, ...]
    ignored: tuple[str, ...]
    findings: tuple[Finding, ...]


def known_extensions() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("extensions.toml").read_text(encoding="utf-8"))


def image_parts(manifest: Manifest, engines: Iterable[str], extra: Iterable[str] = ()) -> ImageParts:
    """What the manifests' `ext-*` and the drivers of `engines` add to the image; `extra` Debian packages."""
    wanted: dict[str, str] = dict.fromkeys(BASE_EXTENSIONS, "")
    for engine in engines:
        if engine in DRIVERS:
            wanted.setdefault(DRIVERS[engine], "")
    findings = []
    for name in manifest.require:
        if name.startswith("ext-"):
            wanted.setdefault(_extension(name), manifest.requirement_source(name))
            findings.append(Finding("extension", _extension(name), manifest.requirement_source(name)))
    for package in manifest.packages:
        for name in mapping(package.get("require")):
            if name.startswith("ext-"):
                wanted.setdefault(_extension(name), "composer.lock:1")
    known = known_extensions()
    ignored = tuple(sorted(name for name in wanted if name not in known))
    for name in ignored:
        findings.append(
            Finding(
                "extension", f"{name} is not known; composer ignores it", wanted[name] or "composer.lock:1"
            )
        )
    packages = {"git", "unzip", *extra}
    compiled, pecl, lines = [], [], []
    for name in sorted(set(wanted) - set(ignored)):
        entry = known[name]
        packages.update(entry.get("packages", ()))
        if "pecl" in entry:
            pecl.append(entry["pecl"])
            continue
        if "configure" in entry:
            lines.append(
                _unless_loaded(name, f"docker-php-ext-configure {name} {' '.join(entry['configure'])}")
            )
        compiled.append(name)
    # What is loaded is left alone: PHP 8.5 has opcache inside and cannot compile it.
    lines.append(
        "RUN set -e; missing=; for name in "
        + " ".join(compiled)
        + '; do if ! php -m | grep -qiE "^(zend )?$name\\$"; then missing="$missing $name"; fi; done; '
        'if [ -n "$missing" ]; then docker-php-ext-install $missing; fi'
    )
    for name in pecl:
        lines.append(_unless_loaded(name, f"pecl install {name} && docker-php-ext-enable {name}"))
    lines.append("COPY --from=composer:2 /usr/bin/composer /usr/local/bin/composer")
    return ImageParts(tuple(sorted(packages)), tuple(lines), ignored, tuple(findings))


def _extension(requirement: str) -> str:
    name = requirement.removeprefix("ext-").lower()
    return "opcache" if name in ("zend-opcache", "zend opcache") else name


def _unless_loaded(name: str, command: str) -> str:
    return f"RUN php -m | grep -qiE '^{name}$' || ({command})"
