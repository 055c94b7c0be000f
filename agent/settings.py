"""Settings: flags > BEDEV_* > user configuration > base's bedev.toml > defaults.

The user's file may open doors (variables that set-up sees, a proxy, images); the repository's file is
untrusted and has a loader of its own (bedev_toml.py) that never can.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bedev.agent.bedev_toml import REFUSED, VARIABLE, RepositorySettings, check_image
from bedev.agent.toml_table import Table, TomlFile
from bedev.sandboxes import choose as sandboxes
from bedev.sandboxes.errors import UsageError

__all__ = ["REFUSED", "RepositorySettings", "Settings", "UserSettings", "configuration_file", "load"]

_USER: Table = {
    "model": "text",
    "sandbox": "text",
    "engine": "text",
    "max_minutes": "number",
    "max_turns": "integer",
    "max_tokens": "integer",
    "max_usd": "number",
    "max_proposals": "integer",
    "pass_env": "texts",
    "ca_file": "text",
    "proxy": "text",
    "allow_images": "texts",
    "trust": "texts",
}


@dataclass(frozen=True)
class UserSettings:
    """What the user says in BEDEV_* or in config.toml; None where they say nothing.

    `pass_env` (names of variables), `ca_file` and `proxy` reach the set-up phase and nothing else;
    `allow_images` are image names from a repository's bedev.toml that the user agrees to; `trust` names
    repositories (their folders' names) that may run in a sandbox that does not isolate (trust.py).
    """

    model: str | None = None
    sandbox: str | None = None
    engine: str | None = None
    max_minutes: float | None = None
    max_turns: int | None = None
    max_tokens: int | None = None
    max_usd: float | None = None
    max_proposals: int | None = None
    pass_env: tuple[str, ...] | None = None
    ca_file: str | None = None
    proxy: str | None = None
    allow_images: tuple[str, ...] | None = None
    trust: tuple[str, ...] | None = None

    @staticmethod
    def parse(content: bytes, name: str = "config.toml") -> UserSettings:
        """The user's configuration file. Raises UsageError."""
        file = TomlFile(content, name)
        values = file.table("", _USER)
        return UserSettings(**{k: _user_value(k, v, file.where("", k)) for k, v in values.items()})

    @staticmethod
    def from_environment(environ: Mapping[str, str]) -> UserSettings:
        """BEDEV_MODEL, BEDEV_PASS_ENV=A,B ... Raises UsageError for a wrong value or a name nearly right."""
        values: dict[str, Any] = {}
        known = {f"BEDEV_{key.upper()}": key for key in _USER}
        for variable, text in environ.items():
            if not variable.startswith("BEDEV_") or text == "":
                continue
            key = known.get(variable)
            if key is None:
                near = difflib.get_close_matches(variable, known, 1, cutoff=0.85)
                if near:
                    raise UsageError(
                        f"{variable} is not a setting.",
                        where="environment",
                        next_step=f"Did you mean {near[0]}?",
                    )
                continue
            value: Any = text
            if _USER[key] == "texts":
                value = tuple(part.strip() for part in text.split(",") if part.strip())
            elif _USER[key] in ("number", "integer"):
                try:
                    value = float(text) if _USER[key] == "number" else int(text)
                except ValueError:
                    raise UsageError(
                        f"{variable}={text} is not a {_USER[key]}.",
                        where="environment",
                        next_step="Write it in digits.",
                    ) from None
            values[key] = _user_value(key, value, variable)
        return UserSettings(**values)


def _user_value(key: str, value: Any, where: str) -> Any:
    if key == "sandbox":
        sandboxes.load(value, where)
    if key == "max_minutes" and not 0 < value <= 24 * 60:
        raise UsageError(
            f"{value:g} is not a number of minutes between 0 and 1440.",
            where=where,
            next_step="For instance: 30",
        )
    if key in ("max_turns", "max_tokens", "max_proposals", "max_usd") and not 0 < value <= 10**9:
        raise UsageError(f"{value:g} is not a limit.", where=where, next_step="Write a number above 0.")
    if key == "ca_file" and not os.path.isabs(value):
        raise UsageError("ca_file is not an absolute path.", where=where, next_step="Write the whole path.")
    if key == "proxy" and not re.fullmatch(r"https?://[^\s/]+/?", value):
        raise UsageError(
            "proxy is not the address of a proxy.",
            where=where,
            next_step="For instance: http://proxy.example:3128",
        )
    if key == "pass_env":
        for name in value:
            if not VARIABLE.fullmatch(name):
                raise UsageError(
                    f"{name!r} is not the name of a variable.",
                    where=where,
                    next_step="Name variables only; their values are taken from the environment.",
                )
    if key == "allow_images":
        for name in value:
            check_image(name, where)
    return value


@dataclass(frozen=True)
class Settings:
    """Every setting of a run, merged. `sources` says for each key where it came from: `flag`, `BEDEV_...`,
    `config.toml`, `bedev.toml`; keys that nobody set are not in it."""

    model: str = ""
    sandbox: str = "docker"
    engine: str = ""
    max_minutes: float | None = None
    max_turns: int = 40
    max_tokens: int = 4_000_000
    max_usd: float = 5.0
    max_proposals: int = 8
    pass_env: tuple[str, ...] = ()
    ca_file: str | None = None
    proxy: str | None = None
    allow_images: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def with_repository(self, repository: RepositorySettings) -> Settings:
        """These settings, completed by base's bedev.toml where the user said nothing."""
        found: dict[str, Any] = {}
        if repository.engine and "engine" not in self.sources:
            found["engine"] = repository.engine
        if repository.rows and "rows" not in self.sources:
            found["rows"] = repository.rows
        sources = {**self.sources, **dict.fromkeys(found, "bedev.toml")}
        return dataclasses.replace(self, **found, sources=sources)


def configuration_file(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/bedev/config.toml`; a relative XDG_CONFIG_HOME counts as unset (its standard)."""
    home = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if os.path.isabs(home) else Path(environ.get("HOME") or Path.home()) / ".config"
    return folder / "bedev" / "config.toml"


def load(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Merge `flags` (None or empty: not given), the environment and the user's file. Raises UsageError."""
    environ = os.environ if environ is None else environ
    path = configuration_file(environ)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise UsageError(
            f"The configuration cannot be read: {error.strerror}.", where=str(path), next_step="ls -l it."
        ) from error
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers = (
        (UserSettings.parse(content, str(path)), "config.toml"),
        (UserSettings.from_environment(environ), ""),
    )
    for layer, source in layers:
        for key, value in dataclasses.asdict(layer).items():
            if value is not None:
                values[key] = value
                sources[key] = source or f"BEDEV_{key.upper()}"
    for key, value in flags.items():
        if value is None or value in ("", (), {}, []):
            continue
        checked = value if key == "rows" else _user_value(key, value, f"--{key.replace('_', '-')}")
        # Images that the user agrees to add up; everything else replaces.
        values[key] = (*values.get(key, ()), *checked) if key == "allow_images" else checked
        sources[key] = "flag"
    return Settings(**values, sources=sources)
