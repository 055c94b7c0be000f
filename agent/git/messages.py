"""Commit messages: the host's template around text that may come from a model.

A commit message is read by forges and CI: `Fixes #1` closes an issue, `[skip ci]` skips the tests that a
reviewer relies on, `Signed-off-by:` is a person's word. None of these may come from untrusted text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_SUBJECT = 72
MAX_BODY = 8000

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CLOSES = re.compile(
    r"\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?)(\s*:?\s+)(?=\S*#\d|https?://)", re.IGNORECASE
)
_ISSUE = re.compile(r"#(?=\d)")
_SKIPS = re.compile(
    r"\[(?=\s*(?:skip[ -]ci|ci[ -]skip|no[ -]ci|skip[ -]actions|actions[ -]skip))|\*{3}(?=NO_CI)",
    re.IGNORECASE,
)
_TRAILER = re.compile(r"^([A-Za-z][A-Za-z0-9-]*)[ \t]*:(?=\s)")
_MENTION = re.compile(r"(?<![\w/])@(?=[A-Za-z0-9])")


def clean(text: str) -> str:
    """The text without terminal escapes, control, bidi and zero-width characters; line breaks stay."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = (c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
    return "".join(kept)


def quoted(text: str) -> str:
    """Untrusted text for a commit message: cleaned, with closing keywords, mentions and trailers disarmed."""
    lines = []
    for line in clean(text).split("\n"):
        line = _SKIPS.sub("(", line.rstrip())
        line = _CLOSES.sub(lambda found: f"{found[1]}{found[2]}issue ", line)
        line = _MENTION.sub("(at)", _ISSUE.sub("no. ", line))
        # "Signed-off-by: x" would be a trailer; "Signed-off-by - x" is a sentence.
        lines.append(_TRAILER.sub(r"\1 -", line) if _looks_like_trailer(line) else line)
    return "\n".join(lines).strip()


def commit_message(subject: str, body: str = "", trailers: Sequence[tuple[str, str]] = ()) -> str:
    """One commit message: subject and body are untrusted, the trailers are the host's own.

    The subject is one line of at most MAX_SUBJECT characters and never starts with `-` or `#`.
    """
    first = " ".join(quoted(subject).split()).lstrip("-# ")
    if len(first) > MAX_SUBJECT:
        first = first[: MAX_SUBJECT - 3].rstrip() + "..."
    parts = [first or "bedev: a change"]
    text = quoted(body)[:MAX_BODY].strip()
    if text:
        parts.append(text)
    if trailers:
        parts.append("\n".join(f"{name}: {' '.join(clean(value).split())}" for name, value in trailers))
    return "\n\n".join(parts) + "\n"


def slug(text: str) -> str:
    """A branch-name part from any text: `[a-z0-9-]`, at most 40 characters, never empty."""
    ascii_text = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:40].rstrip("-") or "task"


def _looks_like_trailer(line: str) -> bool:
    found = _TRAILER.match(line)
    name = found[1].lower() if found else ""
    # Git and the forges read any `Word-Word: value` at the end; a plain word and a colon is ordinary prose.
    return "-" in name or name in {"cc", "bug", "issue", "closes", "fixes", "resolves", "refs", "bedev"}
