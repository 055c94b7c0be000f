"""Named places where a test can make a run die or its disk fail.

`BEDEV_FAILPOINT=<name>:kill|enospc|eio` in the environment arms one of them, as in SQLite's and etcd's
own tests: every place where a crash could lose or double something is a line in FAILPOINTS, and a test
goes through all of them.
"""

from __future__ import annotations

import errno
import os
import signal

#: Every failpoint. A test checks that the code reaches each of them.
FAILPOINTS = (
    "journal.before_write",
    "journal.half_written",
    "journal.written",
    "journal.synced",
    "blob.written",
    "blob.renamed",
    "branch.committed",
    "note.committed",
    "publish.objects_written",
    "publish.ref_written",
)


def failpoint(name: str) -> None:
    """Does nothing, unless this failpoint is armed: then kills the process, or raises OSError."""
    armed = os.environ.get("BEDEV_FAILPOINT")
    if not armed:
        return
    wanted, _, action = armed.partition(":")
    if wanted != name:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    elif action == "eio":
        raise OSError(errno.EIO, os.strerror(errno.EIO), name)
