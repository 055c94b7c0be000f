"""The agreement to a sandbox that does not isolate: asked once for each repository, and remembered."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bedev.agent.screen import Screen
from bedev.sandboxes.choose import Kind
from bedev.sandboxes.errors import UsageError

THIS_ONE = "."
"""Among the trusted names: the repository at hand, whatever it is called (`--trust`)."""


class Trusted(Protocol):
    """A repository, as far as this needs it: its top folder, and the private folder for its runs."""

    @property
    def top(self) -> Path: ...

    @property
    def state(self) -> Path: ...


def agree(kind: Kind, repository: Trusted, trusted: Sequence[str], screen: Screen) -> None:
    """Go on only where the user agreed to what `kind` does not keep. Raises UsageError with how to say
    it. `trusted` are names of repositories that `--trust`, BEDEV_TRUST or the user's configuration gave."""
    if not kind.risk:
        return
    name = repository.top.name
    remembered = repository.state / f"trusted-{kind.name}"
    if not remembered.is_file():
        if name not in trusted and THIS_ONE not in trusted:
            answer = screen.ask(
                f"--sandbox {kind.name} {kind.risk}. Type the repository's name to agree: {name}", "stop"
            )
            if answer.strip() != name:
                raise UsageError(
                    f"You did not agree to --sandbox {kind.name}, which {kind.risk}.",
                    where=str(repository.top),
                    next_step=f"If you trust this repository: --trust, or BEDEV_TRUST={name}. "
                    "Else use a container: --sandbox docker",
                )
        _remember(remembered, name)
    screen.say(f"sandbox: {kind.title}: it {kind.risk}.")


def _remember(path: Path, name: str) -> None:
    text = f"{name}, agreed {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
