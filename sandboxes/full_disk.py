"""A disk that takes no more: found by looking, because programs call it many things.

A MariaDB server, for one, calls it "Index for table 't' is corrupt" (1034), or waits for ever. So whatever
fails in a pod, its disks are looked at before the failure is given another reason.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from bedev.sandboxes.errors import BedevError, DatabaseError, DiskFull, SandboxBroken, SetUpFailed

LEAST_FREE = 2 << 20  # bytes: a place with less is full
# An extended regular expression. The second is git's, the others InnoDB's; "error 28" alone is what curl
# calls a timeout.
NO_SPACE = (
    "no space left on device|out of diskspace|for file [^ ]+ failed with error 28|system error number 28"
)
PLACE = re.compile(r"(?<![\w.-])(/work|/tmp|/bedev/[a-z]+)(?=[/'\"\s])")
MAKE_ROOM = "Make room: bedev gc --caches --older 0d; docker system df says what holds the rest."
LESS_DATA = f"{MAKE_ROOM} Or ask for less data: --rows TABLE=NUMBER."


@dataclass(frozen=True)
class FullDisk:
    """A place in a box that takes no more. Where only somebody's words (`said`) tell, `size` is 0 and `path`
    may be empty; `size` in bytes; `memory` where bedev keeps the place in memory and bounds it."""

    box: str
    path: str = ""
    size: int = 0
    memory: bool = False
    said: str = ""

    @property
    def words(self) -> str:
        box = f"the {self.box} container" if self.box else "the pod"
        if not self.size:
            return f"{self.path or 'A disk'} of {box} was full."
        size = f"{self.size / 2**30:.1f} GB" if self.size >= 2**30 else f"{self.size >> 20} MB"
        return f"{self.path} of {box} is full ({size})."

    def error(self, doing: str, detail: str = "") -> DiskFull:
        """`doing` says what failed of it; `detail` its own words."""
        return DiskFull(
            self.words,
            where=doing,
            next_step=f"bedev bounds {self.path}, in memory: have large files written below /work."
            if self.memory
            else LESS_DATA,
            detail=detail if self.said in detail else f"{detail}\n{self.said}".strip(),
        )


class HasDisks(Protocol):
    """A pod, as far as this needs it."""

    def full_disk(self) -> FullDisk | None: ...


def said_in(text: str) -> str:
    """The line of a program's output that says that a disk is full, empty where none does."""
    return next((line.strip()[:300] for line in text.splitlines() if re.search(NO_SPACE, line, re.I)), "")


@contextlib.contextmanager
def naming_full_disks(pod: HasDisks) -> Iterator[None]:
    """Give a failure in `pod` its true reason where one of its disks is full: raises DiskFull."""
    try:
        yield
    except (DatabaseError, SandboxBroken, SetUpFailed) as error:
        reason = reason_of(error, pod)
        if reason is None:
            raise
        raise reason from error


def reason_of(error: BedevError, pod: HasDisks) -> DiskFull | None:
    """DiskFull where a disk of the pod is full; never raises."""
    found = pod.full_disk()
    said = said_in(error.detail)
    if found is None and said:
        place = PLACE.search(said)
        found = FullDisk("", place[1] if place else "", said=said)  # what it had written is gone again
    if found is None:
        return None
    doing = f"{error.what} ({error.where})" if error.where else error.what
    return found.error(doing, error.detail)
