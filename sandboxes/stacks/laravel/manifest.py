"""composer.json and composer.lock, read as data, with the lines that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.recipe import TreeReader
from bedev.sandboxes.stacks.tree_text import mapping, text_of


@dataclass(frozen=True)
class Manifest:
    """composer.json, and composer.lock where there is one (`locked` is None otherwise)."""

    text: str
    data: Mapping[str, Any]
    locked: Mapping[str, Any] | None = None

    def source(self, *keys: str) -> str:
        """`composer.json:LINE` of the last of `keys`, each looked for behind the one before it."""
        position = 0
        for key in keys:
            found = re.compile(rf'"{re.escape(key)}"\s*:').search(self.text, position)
            if found is None:
                break
            position = found.start()
        return f"composer.json:{self.text.count(chr(10), 0, position) + 1}"

    @property
    def require(self) -> Mapping[str, str]:
        """Production and development requirements, by package."""
        both = {**mapping(self.data.get("require-dev")), **mapping(self.data.get("require"))}
        return {str(name).lower(): str(value) for name, value in both.items()}

    def requirement_source(self, package: str) -> str:
        section = "require" if package in mapping(self.data.get("require")) else "require-dev"
        return self.source(section, package)

    @property
    def config(self) -> Mapping[str, Any]:
        return mapping(self.data.get("config"))

    @property
    def scripts(self) -> Mapping[str, Any]:
        return mapping(self.data.get("scripts"))

    @property
    def packages(self) -> tuple[Mapping[str, Any], ...]:
        """What the lock file installs, development packages too."""
        if self.locked is None:
            return ()
        both = [*(self.locked.get("packages") or []), *(self.locked.get("packages-dev") or [])]
        return tuple(p for p in both if isinstance(p, dict))

    def locked_version(self, package: str) -> str | None:
        return next((str(p.get("version", "")) for p in self.packages if p.get("name") == package), None)

    @property
    def laravel_major(self) -> int | None:
        """Laravel's major version by the lock file, else the highest that composer.json names."""
        locked = self.locked_version("laravel/framework")
        numbers = re.findall(
            r"(?<![\d.])(\d+)(?:\.[\d*x]+)*", locked or self.require.get("laravel/framework", "")
        )
        return (
            max((int(n) for n in numbers), default=None)
            if locked is None
            else int(numbers[0])
            if numbers
            else None
        )

    def supports(self, package: str, version: tuple[int, int]) -> bool:
        """Whether every version of `package` that composer may install is `version` or later."""
        locked = self.locked_version(package)
        if locked and (numbers := re.match(r"v?(\d+)\.(\d+)", locked)):
            return (int(numbers[1]), int(numbers[2])) >= version
        constraint = self.require.get(package, "")
        lows = re.findall(r"(\d+)\.?(\d+)?", constraint)
        return bool(lows) and min((int(a), int(b or 0)) for a, b in lows) >= version

    @property
    def psr4(self) -> Mapping[str, str]:
        """Namespace prefix to folder (with a `/` at its end), of autoload and autoload-dev."""
        found: dict[str, str] = {}
        for section in ("autoload", "autoload-dev"):
            for prefix, folder in mapping(mapping(self.data.get(section)).get("psr-4")).items():
                first = folder[0] if isinstance(folder, list) and folder else folder
                if isinstance(first, str):
                    found[prefix] = first.rstrip("/") + "/" if first else ""
        return found


def read_manifest(tree: TreeReader) -> Manifest | None:
    """The manifest of a Laravel application, None where the tree is none. Raises UsageError for a
    composer.json or composer.lock that is no JSON."""
    text = text_of(tree, "composer.json")
    if text is None or tree.read("artisan") is None:
        return None
    manifest = Manifest(text, _parse(text, "composer.json"))
    if "laravel/framework" not in manifest.require:
        return None
    lock = text_of(tree, "composer.lock")
    return manifest if lock is None else Manifest(text, manifest.data, _parse(lock, "composer.lock"))


def _parse(text: str, path: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise UsageError(
            f"{path} is not valid JSON: {getattr(error, 'msg', 'it is nested too deeply')}.",
            where=f"{path}:{line}",
            next_step=f"Correct {path} and commit it; `composer validate` shows what is wrong.",
        ) from error
    if not isinstance(data, dict):
        raise UsageError(
            f"{path} is not a JSON object.", where=f"{path}:1", next_step=f"Correct {path} and commit it."
        )
    return data
