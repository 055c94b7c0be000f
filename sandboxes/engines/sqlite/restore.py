"""Loading a user's own dump: SQL text (`sqlite3 FILE .dump`, gzipped or not), or the database file itself."""

from __future__ import annotations

import json
from typing import Any

from bedev.sandboxes.engines.engine import Instance
from bedev.sandboxes.engines.sqlite.files import path_of, program
from bedev.sandboxes.errors import DatabaseError, SandboxBroken, UsageError
from bedev.sandboxes.sandbox import Box

RESTORE_SECONDS = 3600.0


def restore(db: Box, instance: Instance, dump: bytes, progress: Any = None) -> None:
    """Raises UsageError for a broken archive or file, DatabaseError with SQLite's words and the dump's line.
    Commands of the sqlite3 shell are no SQL, and refused as such."""
    if progress is not None:
        progress(f"loading a dump of {len(dump) / 1e6:.0f} MB")
    result = db.run(program("restore", path_of(instance)), cwd="/", timeout=RESTORE_SECONDS, stdin=dump)
    if result.ok:
        return
    try:
        said = json.loads(result.stderr.text.strip().splitlines()[-1])
        kind, line, words = str(said["kind"]), int(said["line"]), str(said["words"])
    except (ValueError, LookupError, TypeError):
        raise SandboxBroken(
            "The dump could not be loaded.",
            where=f"--dump, into {instance.database}",
            next_step="The last words of what loads it are below.",
            detail=result.last_lines,
        ) from None
    if kind == "sql":
        raise DatabaseError(
            f"The dump was refused at line {line}: {words[:500]}",
            where=f"--dump, line {line}",
            next_step="Change or remove that statement, or make the dump with `sqlite3 FILE .dump`.",
        )
    raise UsageError(
        "The dump could not be unpacked." if kind == "archive" else "The database file is damaged.",
        where="--dump",
        next_step="Look whether the file is complete: gzip -t FILE"
        if kind == "archive"
        else "Look at it with `sqlite3 FILE 'PRAGMA integrity_check'`.",
        detail=words,
    )
