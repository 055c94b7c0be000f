"""What was asked of a run, in its journal: so that `bedev resume RUN` needs nothing but the id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from bedev.agent.journal import Journal
from bedev.agent.requests import FixRequest
from bedev.agent.settings import Settings
from bedev.sandboxes.errors import UsageError
from bedev.tools.scenarios.scenario import Scenario

_PLAIN = (
    "task", "path", "base", "model", "engine", "sandbox", "max_minutes", "claim", "as_user", "data", "seed",
    "show_values",
)  # fmt: skip


def to_record(request: FixRequest, journal: Journal) -> dict[str, Any]:
    """The request as fields of a record; files become payloads of the journal."""
    fields = {name: getattr(request, name) for name in _PLAIN}
    files = {name: journal.put_blob(content) for name, content in request.scenario_files.items()}
    return {
        **fields,
        "scenario": request.scenario.to_dict() if request.scenario else None,
        "files": files,
        "headers": [list(h) for h in request.headers],
        "rows": dict(request.rows),
        "allow_images": list(request.allow_images),
        "dump": _file(request.dump),
        "agent": journal.put_blob(request.agent.read_bytes()) if request.agent else None,
        "limits": limits(request.settings, request.max_minutes),
        "out": {kind: str(path.absolute()) for kind, path in request.out.items()},
    }


LIMITS = ("max_turns", "max_tokens", "max_usd", "max_proposals", "max_minutes")


def limits(settings: Settings, minutes: float | None) -> dict[str, Any]:
    """What a run may spend, as a record."""
    return {**{name: getattr(settings, name) for name in LIMITS}, "max_minutes": minutes}


def limits_in_force(journal: Journal, settings: Settings) -> dict[str, Any]:
    """The limits that the run began with, or was last resumed with, and those that the user gives now."""
    found: dict[str, Any] = {}
    for record in journal.records():
        if record.kind == "started":
            found.update(record.fields["request"]["limits"])
        elif record.kind == "resumed":
            found.update(record.fields.get("limits", {}))
    given = {name: getattr(settings, name) for name in LIMITS if settings.sources.get(name) == "flag"}
    return {**found, **given}


def from_record(record: Mapping[str, Any], journal: Journal, repo: Path, settings: Settings) -> FixRequest:
    """The request that a record holds; limits are those of `settings`. Raises UsageError where a file that
    it names is not what it was."""
    files = {name: journal.get_blob(blob) for name, blob in record["files"].items()}
    scenario = record["scenario"]
    found = Scenario.from_dict(scenario, str(scenario.get("brought_by", "user"))) if scenario else None
    return FixRequest(
        repo=repo,
        scenario=replace(found, files=files) if found else None,
        scenario_files=files,
        headers=tuple((str(a), str(b)) for a, b in record["headers"]),
        rows=dict(record["rows"]),
        allow_images=tuple(record["allow_images"]),
        dump=_same_file(record["dump"]),
        out={kind: Path(path) for kind, path in record["out"].items()},
        settings=settings,
        **{name: record[name] for name in _PLAIN},
    )


def _file(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        return {"path": str(path.absolute()), "sha256": sha256(path.read_bytes()).hexdigest()}
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", next_step="Give the path of a file."
        ) from error


def _same_file(recorded: Mapping[str, str] | None) -> Path | None:
    if recorded is None:
        return None
    path = Path(recorded["path"])
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != recorded["sha256"]:
        raise UsageError(
            f"{path} is not the file that the run began with.",
            where="--dump",
            next_step="Put it back, or start a new run.",
        )
    return path
