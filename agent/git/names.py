"""File names from a tree or a patch: which ones are refused, and why.

A name that some file system reads as `.git` would let a patch write a hook into the reader's
repository (CVE-2014-9390, CVE-2019-1353); one that climbs out of the tree would write anywhere.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable

from bedev.sandboxes.errors import UsageError

# Code points that HFS+ ignores in names (git's utf8.c, next_hfs_char).
_HFS_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF], None
)
# `.git`, or its short name on NTFS, as NTFS reads it: trailing dots and spaces and a stream do not count.
_DOT_GIT = re.compile(r"(?:\.git|git~\d+)[ .]*(?::.*)?", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:")


def fault(path: str) -> str | None:
    """Why this path of a tree is refused, or None where it is fine."""
    if "\0" in path:
        return "holds a NUL byte"
    if "\\" in path:
        return "holds a backslash, which Windows reads as a folder"
    if path.startswith("/") or _DRIVE.match(path):
        return "is an absolute path"
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        return "is not a valid file name"
    if len(raw) > 4096:
        return "is longer than 4,096 bytes"
    for component in path.split("/"):
        if component in ("", ".", ".."):
            return "has an empty, '.' or '..' component"
        if len(component) > 255:
            return "has a component longer than 255 characters"
        # Only names that hold `git` after removal of ignored characters can match; nearly none do.
        bare = component if component.isascii() else component.translate(_HFS_IGNORED)
        if _DOT_GIT.fullmatch(bare.lower()):
            return "is git's own folder on some file system"
    return None


def check(path: str, where: str) -> None:
    """Raises UsageError where `path`, which comes from `where`, is refused."""
    why = fault(path)
    if why is not None:
        raise UsageError(
            f"{shown(path)} {why}",
            where=where,
            next_step="rename or remove that entry; bedev never writes it",
        )


def folded(path: str) -> str:
    """The path as a file system reads it that knows neither case nor Unicode forms (macOS, Windows)."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def check_twins(paths: Iterable[str], where: str) -> None:
    """Raises UsageError where two paths are one on a file system that ignores case."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(folded(path), path)
        if other != path:
            raise UsageError(
                f"{shown(other)} and {shown(path)} differ only in case",
                where=where,
                next_step="remove one of them with `git rm`: on macOS and Windows only one can exist",
            )


def shown(path: str) -> str:
    """The path for a message: quoted, with everything that is not printable escaped."""
    return ascii(path) if not path.isprintable() else f"'{path}'"
