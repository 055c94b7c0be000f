"""Answers on stdout: one JSON object, or text for a person; and errors, on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bedev.sandboxes.errors import BedevError, DiskFull

RUN_COMMANDS = ("fix", "verify", "resume")


def print_json(document: Mapping[str, Any]) -> None:
    """Exactly one JSON object, as ASCII: no character of it can steer a terminal."""
    text = json.dumps(document, ensure_ascii=True, indent=1, default=str)
    line(text.replace("\x7f", "\\u007f"))


def line(text: str = "") -> None:
    """A line of the answer, on stdout. `text` is encoded already."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """A line for a person, on stderr. `text` is encoded already."""
    sys.stderr.write(f"{text}\n")


def print_error(error: BedevError) -> None:
    from bedev.agent.report.terminal import error_text

    sys.stderr.write(
        error_text(error.what, error.where, error.next_step, error.detail, error.cause, error.toml)
    )


def failure_json(command: str, outcome: str, what: str, where: str = "", next_step: str = "") -> None:
    """The one object of --json where a command ended without an answer."""
    problem = {"what": what, "where": where, "next": next_step}
    if command in RUN_COMMANDS:
        from bedev.agent.runlock import RunLock

        keys = ("branch", "commit", "base", "scenario", "proof", "usage", "report")
        print_json(
            {
                "schema": "bedev.run/1",
                "run": RunLock.last or None,
                "outcome": outcome,
                **dict.fromkeys(keys),
                "message": what,
                "error": problem,
            }
        )
    else:
        print_json({"schema": "bedev.error/1", "outcome": outcome, "error": problem})


def full_disk(error: OSError) -> DiskFull:
    """What a full disk of this machine is for a person."""
    return DiskFull(
        "No space is left on the disk.",
        where=str(error.filename or state_root()),
        next_step="Make room there, or put bedev's own files elsewhere: BEDEV_STATE_DIR=FOLDER.",
    )


def state_root() -> Path:
    """bedev's own files: in $BEDEV_STATE_DIR, else $XDG_STATE_HOME/bedev, else ~/.local/state/bedev."""
    own = os.environ.get("BEDEV_STATE_DIR", "")
    if os.path.isabs(own):
        return Path(own)
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state") / "bedev"


def crash(error: BaseException) -> str:
    """Keep the traceback in a private file and say in one line where it is."""
    name = type(error).__name__
    folder = state_root() / "crashes"
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError as problem:
        return f"bedev: A fault in bedev ({name}); its traceback could not be kept: {problem.strerror}.\n"
    return f"bedev: This is a fault in bedev ({name}). The traceback is in {path}; please report it.\n"
