"""What a sandbox is: boxes that run commands, a probe that measures, and a pod that holds both.

Every implementation (docker_pod.py today) passes the same contract tests, tests/sandboxes/contract.py.
Nothing here knows a framework or a database server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bedev.sandboxes.full_disk import FullDisk

WORKSPACE = "/work"  # the repository's files, writable in `app`
TEMPLATES = "/bedev/templates"  # database templates, read-only in `db` (writable only while they are made)
DATA = "/bedev/data"  # the data directories of this pod's own database servers
STACK_FILES = "/bedev/stack"  # files of ours that a stack brings (tracer, router), read-only
SCENARIO_FILES = "/scenario"  # what `--with FILE` brought, read-only
WORK_UID = 10001  # who commands in `app` run as
DATABASE_UID = 10002  # who the database server runs as
PROBE_UID = 10003


@dataclass(frozen=True)
class Output:
    """One stream of a command: its head and tail, and a handle for the rest.

    `text` is the whole stream where it fits, otherwise head, a line that says how many bytes are left
    out, and tail (bytes that are not UTF-8 are replaced). `total_bytes` counts what was written before
    the command ended or was stopped. `handle` is passed to `Box.read_output` to page through all of it.
    """

    text: str
    total_bytes: int
    truncated: bool
    handle: str


@dataclass(frozen=True)
class CommandResult:
    """How a command ended, as the host saw it.

    `exit_code` is None when the host ended it (`timed_out`, or `output_exceeded` past the output cap), and
    137 where the command killed everything in its box, itself included;
    `seconds` is wall time measured by the host.
    """

    exit_code: int | None
    stdout: Output
    stderr: Output
    seconds: float
    timed_out: bool = False
    output_exceeded: bool = False

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def last_lines(self) -> str:
        """The last 20 lines of stderr, or of stdout where stderr is empty (untrusted text)."""
        text = self.stderr.text.strip() or self.stdout.text.strip()
        return "\n".join(text.splitlines()[-20:])

    @property
    def words(self) -> str:
        """What is kept of stdout and stderr together, for rules that look for a cause (untrusted text)."""
        return f"{self.stdout.text}\n{self.stderr.text}"


class Service(Protocol):
    """A long-running process in a box, for instance a framework's own server."""

    name: str

    def alive(self) -> bool: ...

    def log(self, limit: int = 20_000) -> str:
        """The tail of what it wrote, in characters."""
        ...

    def bytes_read(self) -> int | None:
        """Bytes that its living processes have read from files so far, as the kernel counts them; None where
        that is not known."""
        ...

    def stop(self) -> None:
        """End it and all its children; idempotent."""
        ...


class Box(Protocol):
    """One container of a pod."""

    name: str

    def run(
        self,
        command: str,
        *,
        cwd: str = WORKSPACE,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        stdin: bytes | None = None,
    ) -> CommandResult:
        """Run `command` in a fresh `bash -c`, in a session of its own, with stdin closed by default.

        When it returns no process of the command is left (services started by `start` stay). `env` adds
        to the box's own environment. `timeout` in seconds. Raises SandboxBroken when the box is gone.
        """
        ...

    def start(
        self, name: str, command: str, *, cwd: str = WORKSPACE, env: Mapping[str, str] | None = None
    ) -> Service:
        """Start a service; it lives until it is stopped or the box ends."""
        ...

    def read_file(self, path: str, max_bytes: int = 16 << 20) -> bytes | None:
        """The bytes of a regular file (links are followed inside the box only), None where there is none.

        Raises SandboxBroken for a file over `max_bytes`.
        """
        ...

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Create or replace a file and its missing folders."""
        ...

    def remove_file(self, path: str) -> None:
        """Remove a file; no error where there is none."""
        ...

    def full_disk(self) -> FullDisk | None:
        """The place of this box that is full, or of which one of its services said so; None where none is.
        Never raises."""
        ...

    def read_output(self, handle: str, offset: int = 0, limit: int = 65_536) -> bytes:
        """A page of the output that a CommandResult's `handle` names."""
        ...


@dataclass(frozen=True)
class Rows:
    """A result set. Values are JSON-like: None, bool, int, float, str; decimals, dates and times as str;
    bytes as `{"base64": ...}`. `affected` is the row count the server reported for a write."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    affected: int = 0
    truncated: bool = False
    seconds: float = 0.0

    def dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    @property
    def scalar(self) -> Any:
        """The first value of the first row, None where there is no row."""
        return self.rows[0][0] if self.rows else None


class SqlSession(Protocol):
    """One connection that the probe holds to a database server of the pod."""

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        """Run one statement (`%s` placeholders when `params` is not empty). Raises DatabaseError with the
        server's words, also when `timeout` seconds passed and the statement was ended at the server."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class HttpRequest:
    """A request that the probe sends to 127.0.0.1 in the pod. `path` begins with a slash."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class HttpResponse:
    """`seconds` from sending the first byte to having the last, measured by the probe on a connection
    that is open before the clock starts."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float
    truncated: bool = False


class Probe(Protocol):
    """Our own process in the pod's namespace: all SQL, HTTP and timing of the host go through it."""

    def connect(
        self,
        driver: Literal["mysql", "postgres", "sqlite"],
        *,
        user: str,
        port: int = 0,
        password: str = "",
        database: str = "",
    ) -> SqlSession:
        """For `sqlite`, `database` is the path of a file below DATA and `user` a role: `admin` (which makes
        the file where there is none), `application` or `reader`."""
        ...

    def http(self, port: int, request: HttpRequest, *, timeout: float = 60.0) -> HttpResponse:
        """Raises SandboxBroken when the server cannot be reached or does not answer in time."""
        ...

    def wait_for_port(self, port: int, timeout: float) -> bool: ...


@dataclass(frozen=True)
class ImageSpec:
    """An image to build on top of `base`, cached by the hash of everything here.

    In this order: `packages` are Debian packages (validated names); `lines` are Dockerfile lines (ours,
    never the repository's text); `files` are copied in as path -> content, mode 0644.
    """

    base: str
    packages: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class TreeFile:
    """One file of the repository on its way into a sandbox. `mode` is git's: 0o100644, 0o100755, 0o120000."""

    path: str
    mode: int
    content: bytes


@dataclass(frozen=True)
class SetUpStep:
    """A command of the set-up phase. Steps with `network` see the user's `pass_env`, `ca_file` and proxy."""

    title: str
    command: str
    network: bool
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 1800.0


@dataclass(frozen=True)
class HostAccess:
    """What the user lets the set-up phase use: variables by name, a CA file, a proxy."""

    pass_env: tuple[str, ...] = ()
    ca_file: str | None = None
    proxy: str | None = None


@dataclass(frozen=True)
class PodSpec:
    """What a pod is made of.

    `app_image` and `db_image` are image ids from `ensure_image`; `tree` is a prepared tree's key (see
    `prepare_tree`), copied to /work, or empty for an empty workspace; `templates` is a template volume's
    key, mounted in `db` at TEMPLATES; `templates_writable` only while they are made.
    `shared_data` is for databases that are files beside the application: DATA is one volume that `app` and
    the probe both have, `db` is a box with that volume and the templates, and there is no `db_image`.
    `services` are servers beside the database (sandboxes/services): kind -> image id; they answer before the
    pod is handed out. `environment` is the fixed environment of `app`. `scenario_files` come read-only to
    /scenario.
    `memory_mb` bounds each container.
    """

    app_image: str
    tree: str
    db_image: str | None = None
    templates: str | None = None
    templates_writable: bool = False
    shared_data: bool = False
    services: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    scenario_files: Mapping[str, bytes] = field(default_factory=dict)
    memory_mb: int = 2048
    kind: str = "work"


class Pod(Protocol):
    """The containers of one run or measurement, sharing one loopback-only network namespace."""

    @property
    def app(self) -> Box: ...

    @property
    def probe(self) -> Probe: ...

    @property
    def db(self) -> Box:
        """Raises SandboxBroken where the pod has no database."""
        ...

    def full_disk(self) -> FullDisk | None:
        """The first full place of its boxes, the database's first. Never raises."""
        ...

    def close(self) -> None:
        """Remove every container and volume of this pod; idempotent."""
        ...


Progress = Callable[[str], None]
"""Called with one line for a person whenever something that takes time begins."""


class Sandbox(Protocol):
    """A way to contain: builds images, prepares trees, opens pods. Bound to one run (its labels)."""

    name: str

    def ensure_image(self, spec: ImageSpec, progress: Progress) -> str:
        """Build (or find) an image; its id. Raises EnvironmentUnusable when `base` cannot be had, with
        the command that gets it, and SetUpFailed when the build fails, with the last lines."""
        ...

    def image_digest(self, image: str) -> str:
        """What the proof states of an image: repo digest where there is one, else its id."""
        ...

    def prepare_tree(
        self,
        key: str,
        files: Callable[[], Iterable[TreeFile]],
        image: str,
        steps: Sequence[SetUpStep],
        access: HostAccess,
        progress: Progress,
    ) -> str:
        """A read-only volume with the repository's files after its set-up steps, shared by pods.

        Cached by `key` (the caller hashes tree, recipe and image into it). Steps with network run first,
        in a container of their own; the others in another one without network. Raises SetUpFailed with
        the step's title and last lines; a failed preparation leaves nothing behind.
        """
        ...

    def has_template(self, key: str) -> bool:
        """Whether the template volume `key` is complete (see `seal_template`)."""
        ...

    def new_template(self, key: str) -> None:
        """An empty template volume, for a pod with `templates_writable`."""
        ...

    def seal_template(self, key: str, facts: Mapping[str, Any]) -> None:
        """Mark it complete, with JSON-like `facts` that `template_facts` gives back."""
        ...

    def template_facts(self, key: str) -> Mapping[str, Any]: ...

    def drop_template(self, key: str) -> None: ...

    def open_pod(self, spec: PodSpec, progress: Progress) -> Pod:
        """Start a pod and assert its isolation by inspect before it is used. Raises EnvironmentUnusable."""
        ...

    def close(self) -> None:
        """Remove whatever this run still has; caches (images, trees, templates) stay for the next run."""
        ...
