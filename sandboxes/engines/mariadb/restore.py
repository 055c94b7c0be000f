"""Loading a user's own dump, untrusted text that the application's role executes in the `db` box.

Three things that dumps carry and that this role may not do are blanked, line for line, so that the line
numbers in error messages stay those of the dump: DEFINER clauses (the definer becomes the application),
CREATE DATABASE and USE (the application's database is the place), MySQL's SQL_LOG_BIN and GTID_PURGED.
Lines of data are left alone.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from bedev.sandboxes.engines.engine import Instance
from bedev.sandboxes.engines.mysql_family import HOST, USERS
from bedev.sandboxes.errors import DatabaseError, SandboxBroken, UsageError
from bedev.sandboxes.sandbox import Box

RESTORE_SECONDS = 3600.0
GZIP = b"\x1f\x8b"

# sed, extended, in bytes. A statement that ends on a later line loses those lines' text, not the lines.
_TO_SEMICOLON = r"{:%s; /;[[:space:]]*$/!{$!{N;b%s}}; s/[^\n]*//g}"
_REWRITE = "\n".join(
    (
        r"/^(\/\*!5[0-9]{4} ?)?(CREATE|DEFINER)[ =*]/s/DEFINER *= *(`[^`]*`|'[^']*'|[A-Za-z0-9_.]+)"
        r"@(`[^`]*`|'[^']*'|[A-Za-z0-9_.%]+)//g",
        r"/^SET @@GLOBAL\.GTID_PURGED/" + _TO_SEMICOLON % ("g", "g"),
        r"/^SET (@MYSQLDUMP_TEMP_LOG_BIN *=|@@SESSION\.SQL_LOG_BIN *=)/" + _TO_SEMICOLON % ("l", "l"),
        r"/^CREATE DATABASE /I" + _TO_SEMICOLON % ("d", "d"),
        r"/^USE `?[^`;]+`? *;/Is/.*//",
    )
)


# --binary-mode turns the client's commands off but for DELIMITER; --sandbox (10.11.8 and later) those that
# reach the system, whatever else may be found.
CLIENT = (
    "client=$(command -v mariadb || command -v mysql); "
    'options="--skip-ssl $("$client" --no-defaults --help | grep -q -- "^  --sandbox" && echo --sandbox)"; '
)
"""Shell that sets `client` and `options`."""


def restore(
    db: Box,
    instance: Instance,
    dump: bytes,
    progress: Any = None,
    client: str = CLIENT,
    dumper: str = "mariadb-dump",
) -> None:
    """`dump` is SQL text, gzipped or not, loaded by `client`; `dumper` is named to people.

    The client's own commands (`\\!`, `source`) are off: such a line is refused by the client or, as no SQL,
    by the server. Raises UsageError for a dump of several databases or a broken archive, DatabaseError with
    the server's words and the dump's line.
    """
    if progress is not None:
        progress(f"loading a dump of {len(dump) / 1e6:.0f} MB")
    path = f"{instance.data_dir}/tmp/dump.sql"
    unpack = "gzip -dc" if dump.startswith(GZIP) else "cat"
    try:
        unpacked = db.run(f"{unpack} > {shlex.quote(path)}", cwd="/", timeout=RESTORE_SECONDS, stdin=dump)
        if not unpacked.ok:
            raise UsageError(
                "The dump could not be unpacked.",
                where="--dump",
                next_step="Look whether the file is complete: gzip -t FILE",
                detail=unpacked.last_lines,
            )
        _refuse_several_databases(db, path, dumper)
        _load(db, instance, path, client, dumper)
    finally:
        db.remove_file(path)


def _refuse_several_databases(db: Box, path: str, dumper: str) -> None:
    result = db.run(
        f"LC_ALL=C grep -aoiE '^USE `?[^`;]+`? *;' {shlex.quote(path)} | LC_ALL=C sort -u | head -n 20",
        cwd="/",
        timeout=RESTORE_SECONDS,
    )
    names = sorted(
        set(re.findall(r"^USE `?([^`;]+?)`? *;", result.stdout.text, re.IGNORECASE | re.MULTILINE))
    )
    if len(names) > 1:
        raise UsageError(
            f"The dump holds several databases: {', '.join(names)}.",
            where="--dump",
            next_step=f"Dump one of them: {dumper} {names[0]} > dump.sql",
        )


def _load(db: Box, instance: Instance, path: str, client: str, dumper: str) -> None:
    command = (
        f"set -o pipefail; {client}"
        f"LC_ALL=C sed -E -f /dev/fd/3 {shlex.quote(path)} 3<<<{shlex.quote(_REWRITE)} | "
        f'"$client" --no-defaults $options --binary-mode --protocol=tcp --host={HOST} '
        f"--port={instance.port} --user={USERS['application']} --default-character-set=utf8mb4 "
        f"--max-allowed-packet=1G --batch {shlex.quote(instance.database)} > /dev/null"
    )
    result = db.run(
        command,
        cwd="/",
        env={"MYSQL_PWD": instance.passwords["application"]},
        timeout=RESTORE_SECONDS,
    )
    if result.ok:
        return
    said = re.search(r"ERROR(?: (\d+) \(\w+\))? at line (\d+):? (.*)", result.stderr.text, re.DOTALL)
    if said is None:
        raise SandboxBroken(
            "The dump could not be loaded.",
            where=f"--dump, into {instance.database}",
            next_step="The client's words are below.",
            detail=result.last_lines,
        )
    raise DatabaseError(
        f"The dump was refused at line {said[2]}: {said[3].strip()[:500]}",
        code=said[1] or "",
        where=f"--dump, line {said[2]}",
        next_step=f"Change or remove that statement in the dump, or make it with `{dumper} DATABASE`.",
    )
