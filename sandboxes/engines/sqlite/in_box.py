"""Runs in the `db` box (`python3 -I -c`), beside the database files; imports nothing of bedev.

`order FOLDER` folds write-ahead logs into their files. `restore FILE` reads a dump from stdin, gzipped or
not: SQL text, run as the application's (nothing but its own file), or a database file. Failures are one line
of JSON on stderr: {"kind", "line", "words"}.
"""

from __future__ import annotations

import glob
import gzip
import io
import json
import os
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Iterator
from typing import NoReturn

MAGIC = b"SQLite format 3\0"
LONGEST = 64 << 20  # bytes of one statement


def fail(kind: str, words: str, line: int = 0) -> NoReturn:
    sys.stderr.write(json.dumps({"kind": kind, "line": line, "words": words}) + "\n")
    sys.exit(1)


def order(folder: str) -> None:
    for path in glob.glob(f"{glob.escape(folder)}/*.sqlite"):
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=10, isolation_level=None)
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        connection.close()
        if busy:
            fail("busy", f"{os.path.basename(path)} is in use")


def allowed(action: int, one: str | None, two: str | None, *_: str | None) -> int:
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in ("load_extension", "fts3_tokenizer"):
        return sqlite3.SQLITE_DENY
    harmless = ("foreign_keys", "encoding", "user_version", "application_id", "defer_foreign_keys")
    if action == sqlite3.SQLITE_PRAGMA and (one or "").lower() not in harmless:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the line on which it begins."""
    start = line = 1
    begin = at = 0
    while True:
        end = text.find(";", at)
        piece = text[begin : end + 1] if end >= 0 else text[begin:]
        if end >= 0 and not sqlite3.complete_statement(piece):
            at = end + 1
            if at - begin < LONGEST:
                continue
        empty = len(piece) - len(piece.lstrip())
        start = line + piece[:empty].count("\n")
        if piece.strip().strip(";").strip():
            yield start, piece
        if end < 0:
            return
        line += piece.count("\n")
        begin = at = end + 1


def restore(path: str) -> None:
    content = sys.stdin.buffer.read()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read()
        except (OSError, EOFError, zlib.error) as error:
            fail("archive", str(error))
    if content.startswith(MAGIC):
        take_file(content, path)
        return
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(allowed)
    line = 0
    try:
        for begins, statement in statements(content.decode("utf-8", "surrogateescape")):
            line = begins
            connection.execute(statement)
        if connection.in_transaction:
            connection.execute("COMMIT")
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        fail("sql", str(error), line)
    finally:
        connection.close()


def take_file(content: bytes, path: str) -> None:
    """In place of the empty one, through the same inode, once SQLite itself finds it whole."""
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), suffix=".restore") as copied:
        copied.write(content)
        copied.flush()
        connection = sqlite3.connect(f"file:{copied.name}?mode=ro", uri=True)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            found = str(error)
        finally:
            connection.close()
        if found != "ok":
            fail("file", found)
    with open(path, "r+b") as target:
        target.write(content)
        target.truncate()


if __name__ == "__main__":
    {"order": order, "restore": restore}[sys.argv[1]](sys.argv[2])
