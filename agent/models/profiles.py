"""Where a model is asked and what may be sent there: address and key from the environment, the server's
profile, the models' names and limits.

Nothing of this is ever read from a repository: an address that a repository could set would be handed
the user's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from bedev.agent.models.prices import undated
from bedev.sandboxes.errors import UsageError

ANTHROPIC_URL = "https://api.anthropic.com"
NO_KEY = "none"
"""Sent as the key to a server of one's own that was given none: local servers do not look at it."""


@dataclass(frozen=True)
class Profile:
    """What a server understands. `caching`, `thinking`: these fields may be sent. `tolerant`: what it
    leaves out or gets wrong (usage, a stop reason for tool calls, unique ids) is put right. `read_timeout`:
    seconds between two pieces of an answer after which the connection counts as dead; a local server may
    read a long prompt for minutes before it says the first word."""

    name: Literal["anthropic", "compat"]
    caching: bool
    thinking: bool
    tolerant: bool
    read_timeout: float


ANTHROPIC = Profile("anthropic", caching=True, thinking=True, tolerant=False, read_timeout=120)
COMPAT = Profile("compat", caching=False, thinking=False, tolerant=True, read_timeout=600)
PROFILES = {p.name: p for p in (ANTHROPIC, COMPAT)}


@dataclass(frozen=True)
class Endpoint:
    """A server and the key for it. `*_from` says where each setting came from, for people."""

    url: str
    profile: Profile
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    url_from: str = "default"
    key_from: str = ""
    profile_from: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Endpoint:
        """Raises UsageError where a setting is not usable. A missing key is not an error here."""
        given = environ.get("ANTHROPIC_BASE_URL", "").strip()
        url = _address(given) if given else ANTHROPIC_URL
        key = environ.get("ANTHROPIC_API_KEY", "").strip()
        token = "" if key else environ.get("ANTHROPIC_AUTH_TOKEN", "").strip()
        profile = ANTHROPIC if _is_anthropic(url) else COMPAT
        profile_from = f"the address is {'' if _is_anthropic(url) else 'not '}Anthropic's"
        if wanted := environ.get("BEDEV_MODEL_PROFILE", "").strip():
            if wanted not in PROFILES:
                raise UsageError(
                    f"There is no profile {wanted!r}.",
                    where="BEDEV_MODEL_PROFILE",
                    next_step=f"Use one of: {', '.join(PROFILES)}; or unset it.",
                )
            profile, profile_from = PROFILES[wanted], "BEDEV_MODEL_PROFILE"
        key_from = "ANTHROPIC_API_KEY" if key else "ANTHROPIC_AUTH_TOKEN" if token else ""
        if not (key + token).isascii() or not (key + token).isprintable():
            raise UsageError(
                "The key holds characters that no key has.",
                where=key_from,
                next_step=f"Set {key_from} again, without typographic quotes or line breaks in it.",
            )
        return cls(
            url, profile, key, token, "ANTHROPIC_BASE_URL" if given else "default", key_from, profile_from
        )

    @property
    def official(self) -> bool:
        """It is Anthropic's own server: its prices hold."""
        return _is_anthropic(self.url)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def unencrypted(self) -> bool:
        """What is sent can be read on the way: plain http to another machine."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")

    @property
    def shown_key(self) -> str:
        """Whether there is a key, and its last four characters where it is long enough to spare them."""
        secret = self.key or self.token
        if not secret:
            return "not set"
        return (
            f"set ({'sk-' if secret.startswith('sk-') else ''}...{secret[-4:]})"
            if len(secret) >= 20
            else "set"
        )


def _is_anthropic(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    return host == "anthropic.com" or host.endswith(".anthropic.com")


def _address(given: str) -> str:
    """The address without `/v1` at its end, which the SDK adds. Raises UsageError."""
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            "ANTHROPIC_BASE_URL is not the address of a server.",
            where="ANTHROPIC_BASE_URL",
            next_step="Set it to something like http://localhost:11434, or unset it for Anthropic's own.",
        )
    return given.rstrip("/").removesuffix("/v1").rstrip("/")


ALIASES = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "fable": "claude-fable-5-2",
}


def resolve(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """A model's id for an alias or an id, and where it came from. Any other name is passed on as it is."""
    alias = name.strip().lower()
    if alias not in ALIASES:
        return name.strip(), "as given"
    variable = f"ANTHROPIC_DEFAULT_{alias.upper()}_MODEL"
    if own := environ.get(variable, "").strip():
        return own, variable
    return ALIASES[alias], f"alias {alias}"


@dataclass(frozen=True)
class Facts:
    """Limits of a model in tokens. `adaptive`: it decides itself how much to think, and may be asked for
    summaries of it."""

    context_window: int
    max_output: int
    adaptive: bool = False


_NEW = Facts(1_000_000, 128_000, adaptive=True)
FACTS = {
    **dict.fromkeys(
        (
            "claude-opus-5-5",
            "claude-sonnet-5-5",
            "claude-haiku-5-5",
            "claude-fable-5-2",
            "claude-fable-5-1",
            "claude-mythos-5-2",
            "claude-mythos-5-1",
            "claude-opus-5",
            "claude-sonnet-5",
            "claude-fable-5",
            "claude-mythos-5",
            "claude-opus-4-8",
            "claude-opus-4-7",
            "claude-opus-4-6",
        ),
        _NEW,
    ),
    "claude-sonnet-4-6": Facts(1_000_000, 64_000, adaptive=True),
    "claude-opus-4-5": Facts(200_000, 64_000),
    "claude-sonnet-4-5": Facts(200_000, 64_000),
    "claude-haiku-4-5": Facts(200_000, 64_000),
}
UNKNOWN = {"anthropic": Facts(200_000, 32_000), "compat": Facts(32_768, 8_192)}
"""What is assumed of a model that is not listed: little, since asking for too much is refused."""


def facts_of(model: str, profile: Profile) -> Facts:
    return FACTS.get(undated(model), UNKNOWN[profile.name])
