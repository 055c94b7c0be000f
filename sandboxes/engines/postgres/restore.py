"""Loading a user's own dump, untrusted text that the application's role executes in the `db` box.

psql runs commands of its own that begin with a backslash, also on this machine. Since CVE-2025-8714 (17.6,
16.10, 15.14) it has a restricted mode that refuses them, which ends only by a key that bedev makes. A psql
without it loads nothing.

What dumps carry and the application's role may not do is blanked, line for line, so that the line numbers in
error messages stay those of the dump: owners, grants, the key lines of pg_dump, settings that other versions
have. Rows of COPY are left alone. A dump in pg_dump's custom format is turned into text first.
"""

from __future__ import annotations

import re
import shlex
import uuid
from typing import Any

from bedev.sandboxes.engines.engine import Instance
from bedev.sandboxes.engines.postgres.server import FIND, HOST
from bedev.sandboxes.engines.roles import USERS
from bedev.sandboxes.errors import DatabaseError, SandboxBroken, UsageError
from bedev.sandboxes.sandbox import Box

RESTORE_SECONDS = 3600.0
GZIP = b"\x1f\x8b"
CUSTOM = b"PGDMP"

# sed, extended. `b` leaves the rows between COPY and `\.` as they are.
_REWRITE = "\n".join(
    (
        r"/^COPY .* FROM stdin;/,/^\\\.$/b",
        r"s/^\\(un)?restrict [A-Za-z0-9]+$//",
        r"s/^ALTER [A-Z ]+ .* OWNER TO [^;]+;$//",
        r"s/^(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) .*;$//",
        r"s/^CREATE SCHEMA public;$//",
        r"s/^SET "
        r"(transaction_timeout|default_table_access_method|row_security|idle_in_transaction_session_timeout)"
        r" = [^;]*;$//",
        r"s/^(COMMENT ON EXTENSION|CREATE EXTENSION IF NOT EXISTS (plpgsql|pg_stat_statements)) .*;$//",
    )
)
_SAID = re.compile(r"^psql:<stdin>:(\d+): (?:ERROR|error|FATAL):\s+(.*)", re.MULTILINE | re.DOTALL)


def restore(db: Box, instance: Instance, dump: bytes, progress: Any = None) -> None:
    """`dump` is SQL text, gzipped or not, or pg_dump's custom format.

    Raises UsageError for a broken archive and for a server too old to do this safely, DatabaseError with the
    server's words and the dump's line.
    """
    if progress is not None:
        progress(f"loading a dump of {len(dump) / 1e6:.0f} MB")
    path = f"{instance.data_dir}/tmp/dump.sql"
    unpack = "gzip -dc" if dump.startswith(GZIP) else "cat"
    try:
        unpacked = db.run(f"{unpack} > {shlex.quote(path)}", cwd="/", timeout=RESTORE_SECONDS, stdin=dump)
        if unpacked.ok and db.run(f'[ "$(head -c 5 {shlex.quote(path)})" = {CUSTOM.decode()} ]', cwd="/").ok:
            unpacked = db.run(
                f'{FIND}"$bin/pg_restore" --no-owner --no-privileges -f {shlex.quote(path)}.txt '
                f"{shlex.quote(path)} && mv {shlex.quote(path)}.txt {shlex.quote(path)}",
                cwd="/",
                timeout=RESTORE_SECONDS,
            )
        if not unpacked.ok:
            raise UsageError(
                "The dump could not be unpacked.",
                where="--dump",
                next_step="Look whether the file is complete: gzip -t FILE, or pg_restore --list FILE",
                detail=unpacked.last_lines,
            )
        _load(db, instance, path)
    finally:
        db.remove_file(path)


def _load(db: Box, instance: Instance, path: str) -> None:
    key = uuid.uuid4().hex
    environment = {"PGPASSWORD": instance.passwords["application"]}
    connect = (
        f'"$bin/psql" -X -q -v ON_ERROR_STOP=1 -h {HOST} -p {instance.port} -U {USERS["application"]} '
        f"-d {shlex.quote(instance.database)} "
    )
    safe = db.run(
        f"{FIND}printf '%s\\n' '\\restrict {key}' | {connect}>/dev/null",
        cwd="/",
        env=environment,
        timeout=60.0,
    )
    if not safe.ok:
        raise UsageError(
            "This server's psql cannot load a dump safely: it lacks the restricted mode.",
            where="--dump",
            next_step="Use a newer image: postgres:17 (17.6 or later), 16.10, 15.14.",
            detail=safe.last_lines,
        )
    result = db.run(
        f"set -o pipefail; {FIND}{{ printf '%s\\n' '\\restrict {key}'; "
        f"LC_ALL=C sed -E {shlex.quote(_REWRITE)} {shlex.quote(path)}; }} | {connect}-f - >/dev/null",
        cwd="/",
        env={**environment, "PGCLIENTENCODING": "UTF8"},
        timeout=RESTORE_SECONDS,
    )
    if result.ok:
        return
    said = _SAID.search(result.stderr.text)
    if said is None:
        raise SandboxBroken(
            "The dump could not be loaded.",
            where=f"--dump, into {instance.database}",
            next_step="The client's words are below.",
            detail=result.last_lines,
        )
    line = _line(db, path, int(said[1]) - 1, said[2])
    raise DatabaseError(
        f"The dump was refused at line {line}: {' '.join(said[2].split())[:500]}",
        where=f"--dump, line {line}",
        next_step="Change or remove that statement in the dump, or make it with "
        "`pg_dump --no-owner --no-privileges DATABASE`.",
    )


def _line(db: Box, path: str, last: int, words: str) -> int:
    """psql names the line where a statement ends; the server quotes the one that is wrong."""
    quote = re.search(r"^LINE \d+: (.*)$", words, re.MULTILINE)
    if quote is None:
        return last
    wanted = quote[1].strip().removeprefix("...").removesuffix("...").strip()
    first = max(1, last - 2000)
    shown = db.run(f"sed -n '{first},{last}p' {shlex.quote(path)}", cwd="/").stdout.text.split("\n")
    return next((first + n for n in range(len(shown) - 1, -1, -1) if wanted and wanted in shown[n]), last)
