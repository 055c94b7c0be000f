"""Every error that a person may read: what is wrong, where, and what to do next.

One small hierarchy. The exit codes are the command line's contract (docs/proof.md).
"""

from __future__ import annotations


class BedevError(Exception):
    """What is wrong, in one sentence.

    `where` names the file, command, container or setting; `next_step` is what the reader can do about
    it, as a command where there is one; `detail` holds the last lines of output, for people (untrusted:
    it is encoded where it is shown), `output` more of them, for rules. `cause` is the likely cause and `toml`
    the lines of bedev.toml that settle it, where `repair` knows them. `exit_code` is what the command ends
    with.
    """

    exit_code = 1
    cause = ""
    toml = ""

    def __init__(
        self, what: str, *, where: str = "", next_step: str = "", detail: str = "", output: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step
        self.detail = detail
        self.output = output


class UsageError(BedevError):
    """Wrong usage, bad configuration, or not a repository (exit 2)."""

    exit_code = 2


class EnvironmentUnusable(BedevError):
    """No sandbox, no engine, no image, no disk: nothing to do with the repository (exit 3)."""

    exit_code = 3


class DiskFull(EnvironmentUnusable):
    """A disk of a pod, of the container engine or of this machine takes no more (exit 3)."""


class SetUpFailed(BedevError):
    """The repository did not come up: a step of its recipe failed (exit 1)."""


class SandboxBroken(BedevError):
    """A container died or stopped answering while it was in use (exit 1)."""


class DatabaseError(BedevError):
    """The database server refused a statement; `code` is the server's own number or SQLSTATE."""

    def __init__(
        self, what: str, *, code: str = "", where: str = "", next_step: str = "", detail: str = ""
    ) -> None:
        super().__init__(what, where=where, next_step=next_step, detail=detail)
        self.code = code


class Paused(BedevError):
    """The run stopped through no fault of the task, and nothing it had written is lost (exit 4)."""

    exit_code = 4
