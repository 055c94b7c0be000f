"""Untrusted text, made harmless for the place where it is shown.

Text from the repository, the database, a program's output or a model may hold escape sequences that
repaint the screen, characters that reorder what is read (Trojan Source, CVE-2021-42574), or Markdown
that mentions people, closes issues and loads images. Each sink has one encoder, and only its output is shown.
"""

from __future__ import annotations

import re

# ECMA-48: CSI, then strings (OSC, DCS, SOS, PM, APC) up to BEL or ST, then two-byte escapes. A string ends
# at the line at the latest, so that one that is never closed cannot hide what follows.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 (but tab and newline) and C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def for_terminal(text: object, *, limit: int = 20_000) -> str:
    """Text for a terminal or a log: lines are kept, tabs become spaces, and whatever steers a terminal or
    cannot be seen is gone. At most `limit` characters; what is left out is said."""
    clean = str(text).replace("\r\n", "\n")
    clean = _ESCAPES.sub("", clean)
    clean = _INVISIBLE.sub("", clean).replace("\t", "    ")
    clean = _SURROGATES.sub("\ufffd", clean)
    if len(clean) > limit:
        clean = f"{clean[:limit]} ... ({len(clean) - limit:,} more characters)"
    return clean


def one_line(text: object, width: int = 200) -> str:
    """`for_terminal`, on one line of at most `width` characters."""
    line = " ".join(for_terminal(text).split())
    return line if len(line) <= width else f"{line[: max(width - 3, 0)]}..."


def for_markdown_code(text: object, width: int = 200) -> str:
    """A code span on one line, safe in a table cell too: nothing in it is Markdown, HTML or a mention."""
    line = one_line(text, width)
    if not line:
        return "(empty)"
    # In a table a pipe ends the cell even within code, unless it is escaped; a backslash before it
    # would escape the escape.
    line = re.sub(r"\\(?=\|)", r"\\ ", line).replace("|", "\\|")
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


# Words that a forge turns into links, mentions or closed issues even where their punctuation is escaped.
_ACTIVE = re.compile(
    r"@|#|://|www\.|mailto:|xmpp:|\.(?:com|org|net|io|dev|app)\b|^GH-\d+|\b[0-9a-f]{7,40}\b", re.IGNORECASE
)
# Parentheses need none: `[` and `]` are escaped, so they never hold a link.
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>!|~$&^])")


def for_markdown_text(text: object, width: int = 400) -> str:
    """Prose on one line: punctuation is escaped, and each word that could become a link, a mention or a
    reference to an issue is set as code."""
    words = one_line(text, width).split(" ")
    return " ".join(
        for_markdown_code(word) if _ACTIVE.search(word) else _escaped(word) for word in words if word
    )


def _escaped(word: str) -> str:
    escaped = _PUNCTUATION.sub(r"\\\1", word)
    # At the beginning of a line `1.`, `-` and `+` are lists, `=` underlines a heading.
    return re.sub(r"^(\d+)([.)])$", r"\1\\\2", re.sub(r"^([-+=])", r"\\\1", escaped))


def fence(text: object, language: str = "", *, limit: int = 20_000) -> str:
    """A fenced block whose fence is longer than any run of backticks in the text. `language` is ours."""
    clean = for_terminal(text, limit=limit).strip("\n")
    ticks = "`" * max(3, _longest_run(clean) + 1)
    return f"{ticks}{language}\n{clean}\n{ticks}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
