"""The proof: all the checks of a patch, with a verdict. The JSON form is a contract (docs/proof.md).

Every number in it was measured by the probe or counted by the database server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "unmeasured", "skipped"]
Verdict = Literal["verified", "rejected", "unproven"]
SCHEMA = "bedev.proof/1"


@dataclass(frozen=True)
class Check:
    """One thing the gate measured. `summary` is one line for people; `evidence` is JSON-like.

    `settle` says what would turn an `unmeasured` check into a measured one.
    """

    name: str
    status: Status
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    settle: str = ""


@dataclass(frozen=True)
class Proof:
    base: str
    tree: str
    claim: str
    scenario: Mapping[str, Any]
    recipe: Mapping[str, Any]
    verdict: Verdict
    checks: tuple[Check, ...]
    realism: str
    environment: Mapping[str, Any]
    seed: int
    headline: str = ""
    notes: tuple[str, ...] = ()

    def check(self, name: str) -> Check | None:
        return next((c for c in self.checks if c.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self), "checks": [asdict(c) for c in self.checks]}

    def to_json(self) -> bytes:
        """Canonical bytes: sorted keys, UTF-8, one trailing newline; what the commit's trailer hashes."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, indent=1, default=str)
        return text.encode() + b"\n"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_json()).hexdigest()

    @staticmethod
    def from_json(content: bytes) -> Proof | None:
        """The proof in a note, or None where the bytes are not one of this schema (untrusted)."""
        try:
            data = json.loads(content)
            if data.pop("schema") != SCHEMA:
                return None
            data["checks"] = tuple(Check(**c) for c in data["checks"])
            data["notes"] = tuple(data.get("notes", ()))
            return Proof(**data)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
