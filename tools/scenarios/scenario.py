"""A scenario: a command, HTTP requests or an SQL statement that shows the problem.

It is made of questions; each is run on base and on the patch, and work is compared for each and in total.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bedev.sandboxes.errors import UsageError

Kind = Literal["http", "command", "sql"]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True)
class Question:
    """One request, command or statement. `text` is `GET /path?x=y`, a command line, or SQL."""

    kind: Kind
    text: str
    body: str = ""

    @property
    def method(self) -> str:
        return self.text.split(" ", 1)[0]

    @property
    def path(self) -> str:
        return self.text.split(" ", 1)[1]

    @property
    def label(self) -> str:
        return self.text if len(self.text) <= 100 else self.text[:97] + "..."


@dataclass(frozen=True)
class Scenario:
    """What is asked, as whom. `brought_by` says who chose it: `user`, `bedev`, `branch`.

    `files` (`--with`) are name -> content; `data` (`--data`) is a command run once on base before the
    database is copied for each side.
    """

    questions: tuple[Question, ...]
    as_user: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    data: str = ""
    brought_by: str = "user"

    def to_dict(self) -> dict[str, Any]:
        return {
            "questions": [
                {"kind": q.kind, "text": q.text, **({"body": q.body} if q.body else {})}
                for q in self.questions
            ],
            "as": self.as_user,
            "headers": [list(h) for h in self.headers],
            "files": sorted(self.files),
            "data": self.data,
            "brought_by": self.brought_by,
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any], brought_by: str) -> Scenario:
        """From a proof or a journal (untrusted). Raises UsageError where it is not a scenario."""
        try:
            questions = tuple(
                http_question(q["text"], q.get("body", ""))
                if q["kind"] == "http"
                else plain_question(q["kind"], q["text"])
                for q in data["questions"]
            )
            headers = tuple((str(a), str(b)) for a, b in data.get("headers", ()))
            return Scenario(
                questions,
                as_user_value(str(data.get("as", ""))),
                headers,
                data=str(data.get("data", "")),
                brought_by=brought_by,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError("The recorded scenario cannot be read.", detail=str(error)) from error


def http_question(text: str, body: str = "") -> Question:
    """`GET /path` or `/path`. Raises UsageError for another host, a missing slash, control characters."""
    text = text.strip()
    head, _, rest = text.partition(" ")
    method, path = (head.upper(), rest.strip()) if rest else ("GET", head)
    if (
        method not in METHODS
        or not path.startswith("/")
        or not re.fullmatch(r"[\x21-\x7e\u0080-\U0010ffff]+", path)
    ):
        raise UsageError(
            f"--http {text!r} is not a request.",
            next_step="Write it as --http 'GET /api/users?email=a%40b.c': a method and a path that begins "
            "with a slash, without host and without spaces (%20).",
        )
    return Question("http", f"{method} {path}", body)


def plain_question(kind: Kind, text: str) -> Question:
    if kind not in ("command", "sql") or not text.strip() or "\0" in text:
        raise UsageError(
            f"The {kind} of the scenario is empty.", next_step="Give it a command or a statement."
        )
    return Question(kind, text.strip())


def as_user_value(text: str) -> str:
    """`TABLE:ID` or empty. Raises UsageError for anything else."""
    if text and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}:[A-Za-z0-9_.@-]{1,255}", text):
        raise UsageError(f"--as {text!r} is not TABLE:ID.", next_step="For instance: --as users:1")
    return text


def header_value(text: str) -> tuple[str, str]:
    """`Name: value` of --header. Raises UsageError."""
    name, colon, value = text.partition(":")
    if (
        not colon
        or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name.strip())
        or re.search(r"[\r\n\0]", value)
    ):
        raise UsageError(
            f"--header {text!r} is not 'Name: value'.",
            next_step="For instance: --header 'Accept: application/json'",
        )
    return name.strip(), value.strip()


def from_flags(
    http: Sequence[str],
    commands: Sequence[str],
    sql: Sequence[str],
    as_user: str,
    headers: Sequence[str],
    files: Mapping[str, bytes],
    data: str,
) -> Scenario | None:
    """The scenario that the flags of fix, verify and trace describe, None where they name none."""
    questions = (
        *(http_question(h) for h in http),
        *(plain_question("command", c) for c in commands),
        *(plain_question("sql", s) for s in sql),
    )
    if not questions:
        return None
    return Scenario(
        tuple(questions), as_user_value(as_user), tuple(header_value(h) for h in headers), files, data
    )
