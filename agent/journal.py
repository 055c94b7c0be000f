"""The journal: the append-only record of a run, written before anything is done.

File format, one record a line: `BJ1 <length:8 hex> <crc32:8 hex> <ascii json>\n`, where length and
checksum are those of the JSON. Each record carries `v` (format), `seq` (0, 1, 2 ... without a gap), `at`
(UTC) and `kind`. `append` returns when the record is on the disk. A record that was being written when
the machine died is cut off at opening (a copy is kept); damage before an intact record is never repaired
in silence. Large payloads are blobs named by their hash, on the disk before the record that names them.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from bedev.agent.failpoints import failpoint
from bedev.agent.redaction import Redactor
from bedev.agent.runlock import RunLock, running
from bedev.sandboxes.errors import Paused, UsageError

__all__ = ["Journal", "Record", "RunLock", "RunSummary", "list_runs"]

VERSION = 1
_FRAME = re.compile(rb"BJ1 ([0-9a-f]{8}) ([0-9a-f]{8}) ")
_HEADER = len(b"BJ1 00000000 00000000 ")
_RESERVED = frozenset(("v", "seq", "at", "kind"))
MAX_RECORD_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Record:
    """One line of a journal: its number, its time (UTC, ISO 8601), its kind and its fields."""

    seq: int
    at: str
    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class RunSummary:
    """A run as lists show it. What did not happen yet is None; `damaged` says why a journal is unreadable.
    `state`: one without an end is `running` where its process holds the lock, else that was `killed`."""

    run: str
    task: str
    started: str
    outcome: str | None = None
    branch: str | None = None
    commit: str | None = None
    base: str | None = None
    finished: str | None = None
    damaged: str | None = None
    state: Literal["finished", "running", "killed", "damaged"] = "finished"


class Journal:
    """The journal of one run, in a folder of its own. Made by `create` or `open`; one writer at a time."""

    def __init__(
        self, directory: Path, descriptor: int, records: list[Record], redact: Callable[[str], str]
    ) -> None:
        self.directory = directory
        self._descriptor = descriptor
        self._records = records
        self._redact = redact
        self._end = os.fstat(descriptor).st_size
        self._broken: str | None = None
        self._lock = threading.Lock()

    @classmethod
    def create(cls, directory: Path, run: str, *, redact: Callable[[str], str] | None = None) -> Journal:
        """Makes a new run's folder (0700) and journal (0600), with a record `created` in it.

        `redact` passes over every string that is written; the default hides what has the shape of a key.
        Raises UsageError where the run exists already, Paused where the disk refuses.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(directory / "journal", flags, 0o600)
            (directory / "blobs").mkdir(mode=0o700, exist_ok=True)
            _sync_folder(directory)
            _sync_folder(directory.parent)
        except FileExistsError as error:
            raise UsageError(
                f"the run {run} exists already",
                where=str(directory),
                next_step="run the command again: it takes another id",
            ) from error
        except OSError as error:
            raise _disk(directory, error) from error
        journal = cls(directory, descriptor, [], redact or Redactor())
        journal.append("created", run=run)
        return journal

    @classmethod
    def open(
        cls, directory: Path, *, redact: Callable[[str], str] | None = None, read_only: bool = False
    ) -> Journal:
        """Opens a journal and checks all of it.

        A torn last record is cut off, after its bytes were saved beside the journal; with `read_only`
        (another process may be writing) the file is left alone and the torn record just not shown.

        Raises UsageError where there is no journal, where it is damaged before an intact record (it is
        kept as it is), or was written by a newer bedev.
        """
        path = directory / "journal"
        access = os.O_RDONLY if read_only else os.O_RDWR | os.O_APPEND
        try:
            descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise UsageError(
                f"no journal can be read: {error.strerror}", where=str(path), next_step="see `bedev runs`"
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError("the journal is no regular file", where=str(path), next_step="remove it")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                data = file.read()
            records, good = _parse(data, path)
            if good < len(data) and not read_only:
                _save_tail(directory, data[good:])
                os.ftruncate(descriptor, good)
                os.fsync(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise _disk(directory, error) from error
        except UsageError:
            os.close(descriptor)
            raise
        return cls(directory, descriptor, records, redact or Redactor())

    def close(self) -> None:
        """Closes the file; nothing is pending, every record was synced when it was appended."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def records(self) -> tuple[Record, ...]:
        """Every record, oldest first."""
        return tuple(self._records)

    def append(self, kind: str, **fields: Any) -> Record:
        """Writes one record and returns when it is on the disk.

        Fields are what JSON can hold; every string in them passes the redactor.

        Raises Paused where the disk refuses: the journal then ends with the last whole record and takes no
        more (after a failed fsync the kernel may have dropped the data, so trying again proves nothing).
        Raises ValueError for a reserved field name or a value that is no JSON.
        """
        if reserved := _RESERVED & fields.keys():
            raise ValueError(f"reserved field names: {', '.join(sorted(reserved))}")
        with self._lock:
            if self._broken is not None:
                raise Paused(
                    f"the journal takes no more records: {self._broken}",
                    where=str(self.directory / "journal"),
                    next_step="make room on the disk, then run the command again",
                )
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            clean = {name: _redacted(value, self._redact) for name, value in fields.items()}
            document = {"v": VERSION, "seq": len(self._records), "at": at, "kind": kind, **clean}
            frame = _frame(document)
            try:
                failpoint("journal.before_write")
                _write_all(self._descriptor, frame[: len(frame) // 2])
                failpoint("journal.half_written")
                _write_all(self._descriptor, frame[len(frame) // 2 :])
                failpoint("journal.written")
                os.fsync(self._descriptor)
                failpoint("journal.synced")
            except OSError as error:
                self._broken = error.strerror or str(error)
                self._cut_back()
                raise _disk(self.directory, error) from error
            except BaseException:
                # Ctrl-C between two writes: half a record must not stand before the next one.
                self._cut_back()
                raise
            self._end += len(frame)
            record = _record(json.loads(frame[_HEADER:]))
            self._records.append(record)
            return record

    def put_blob(self, data: bytes) -> str:
        """Keeps a large payload and returns its id (SHA-256), for a record to name. Not redacted.

        On the disk when it returns. Raises Paused where the disk refuses.
        """
        blob = sha256(data).hexdigest()
        path = self._blob_path(blob)
        if path.exists():
            return blob
        temporary = path.with_name(f".{blob}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600)
            try:
                _write_all(descriptor, data)
                failpoint("blob.written")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, path)
            failpoint("blob.renamed")
            _sync_folder(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _disk(self.directory, error) from error
        return blob

    def get_blob(self, blob: str) -> bytes:
        """The payload with this id. Raises UsageError where it is missing or not what its id says."""
        path = self._blob_path(blob)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(
                f"the payload {blob[:12]} is missing", where=str(path), next_step="the run cannot be resumed"
            ) from error
        if sha256(data).hexdigest() != blob:
            raise UsageError(
                f"the payload {blob[:12]} is damaged", where=str(path), next_step="the run cannot be resumed"
            )
        return data

    def _blob_path(self, blob: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", blob):
            raise UsageError(f"{blob[:80]!r} is no payload id", next_step="take it from a record")
        return self.directory / "blobs" / blob[:2] / blob

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError as error:
            # The torn record stays; opening cuts it off.
            self._broken = self._broken or error.strerror or str(error)


def list_runs(state: Path) -> tuple[RunSummary, ...]:
    """The runs of a repository (its `state` folder), newest first, from their journals alone."""
    going_on = running(state)
    found = []
    for path in sorted(state.glob("*/journal")):
        try:
            with Journal.open(path.parent, read_only=True) as journal:
                found.append(_summary(path.parent.name, journal.records(), going_on))
        except UsageError as error:
            found.append(RunSummary(path.parent.name, "", "", damaged=error.what, state="damaged"))
    return tuple(sorted(found, key=lambda run: (run.started, run.run), reverse=True))


def _summary(run: str, records: tuple[Record, ...], going_on: str | None) -> RunSummary:
    first = next((record for record in records if record.kind == "started"), None)
    ends = (record for record in reversed(records) if record.kind in ("finished", "resumed"))
    last = next(ends, None)
    if last is not None and last.kind == "resumed":
        last = None
    start: Mapping[str, Any] = first.fields if first else {}
    end: Mapping[str, Any] = last.fields if last else {}
    return RunSummary(
        run=run,
        task=str(start.get("task", "")),
        started=(first or records[0]).at if records else "",
        outcome=end.get("outcome"),
        branch=end.get("branch"),
        commit=end.get("commit"),
        base=start.get("base"),
        finished=last.at if last else None,
        state="finished" if last else "running" if run == going_on else "killed",
    )


def _frame(document: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except TypeError as error:
        raise ValueError(f"a record holds what JSON cannot: {error}") from error
    body = text.encode("ascii")
    if len(body) > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(body):,} bytes; keep large payloads with put_blob")
    return b"BJ1 %08x %08x %s\n" % (len(body), zlib.crc32(body), body)


def _parse(data: bytes, path: Path) -> tuple[list[Record], int]:
    """The records of a journal and the number of bytes that they take; what follows is a torn record."""
    records: list[Record] = []
    at = 0
    while at < len(data):
        body = _body(data, at)
        if body is None:
            if any(_body(data, other) is not None for other in _frames_after(data, at)):
                raise _corrupt(path, at)
            break
        document = json.loads(body)
        if document.get("v") != VERSION:
            raise UsageError(
                f"the journal was written by another version of bedev (format {document.get('v')})",
                where=str(path),
                next_step="update bedev, or start a new run",
            )
        if document.get("seq") != len(records):
            raise _corrupt(path, at)
        records.append(_record(document))
        at += _HEADER + len(body) + 1
    return records, at


def _body(data: bytes, at: int) -> bytes | None:
    """The JSON of the frame that starts at `at`, or None where no intact frame does."""
    header = _FRAME.match(data, at)
    if header is None:
        return None
    length = int(header[1], 16)
    body = data[at + _HEADER : at + _HEADER + length]
    end = data[at + _HEADER + length : at + _HEADER + length + 1]
    intact = len(body) == length and end == b"\n" and zlib.crc32(body) == int(header[2], 16)
    return body if intact else None


def _frames_after(data: bytes, at: int) -> Iterator[int]:
    """Where frames may start after a bad one. Text that imitates one inside a record is never intact:
    a frame ends with a line break, and JSON escapes those."""
    while (at := data.find(b"BJ1 ", at + 1)) >= 0:
        yield at


def _record(document: Mapping[str, Any]) -> Record:
    fields = {name: value for name, value in document.items() if name not in _RESERVED}
    return Record(document["seq"], document["at"], document["kind"], MappingProxyType(fields))


def _corrupt(path: Path, at: int) -> UsageError:
    return UsageError(
        f"the journal is damaged at byte {at:,}, before records that are intact",
        where=str(path),
        next_step="it is kept as it is; restore it from a backup, or start a new run",
    )


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _redacted(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item, redact) for item in value]
    return value


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _save_tail(directory: Path, tail: bytes) -> None:
    descriptor = os.open(
        directory / f"journal.torn.{sha256(tail).hexdigest()[:12]}",
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
    )
    try:
        _write_all(descriptor, tail)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Makes new names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk(directory: Path, error: OSError) -> Paused:
    return Paused(
        f"the disk refused to keep the run's record: {error.strerror or error}",
        where=str(directory),
        next_step="make room or repair the disk, then run the command again",
    )
