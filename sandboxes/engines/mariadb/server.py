"""A MariaDB server in the `db` box: made, started, copied, stopped.

Everything is said on the command line (`--no-defaults`), so that the image's configuration does not matter
and any image with the server's binaries works. The data is disposable: nothing is synchronised to disk.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bedev.sandboxes.engines.engine import Instance, Role
from bedev.sandboxes.errors import DatabaseError, SandboxBroken, UsageError
from bedev.sandboxes.sandbox import DATA, TEMPLATES, Box, ImageSpec, Probe, Rows, Service, SqlSession

USERS: Mapping[Role, str] = {
    "admin": "bedev_admin",
    "application": "bedev_app",
    "reader": "bedev_reader",
}

# Not `localhost`: that would let the socket in, and roles are for TCP with a password only.
HOST = "127.0.0.1"

READY_SECONDS = 120.0  # crash recovery included
STOP_SECONDS = 60.0
COPY_SECONDS = 900.0
READER_SECONDS = 300  # a statement of the reader that runs longer is ended by the server

# The names of Debian-like images that hold no server; everything else is expected to bring one.
BARE_IMAGES = ("debian", "ubuntu")

OPTIONS: Mapping[str, str] = {
    "bind-address": HOST,
    "skip-name-resolve": "1",
    "skip-ssl": "1",
    "local-infile": "0",
    "event-scheduler": "OFF",  # nothing may run that nobody sent
    "symbolic-links": "0",
    "max-connections": "200",
    "max-allowed-packet": "1G",
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
    # Counters: per user (userstat) and per statement (performance_schema); waits cost time and tell nothing.
    "userstat": "1",
    "performance-schema": "ON",
    "performance-schema-instrument": "wait/%=OFF",
    "performance-schema-consumer-events-statements-history": "OFF",
    "performance-schema-digests-size": "10000",
    "performance-schema-max-digest-length": "4096",
    "max-digest-length": "4096",
    # Statistics are made by `ddl.analyze` and at no other moment: base and patch plan alike.
    "innodb-stats-auto-recalc": "0",
    "innodb-stats-persistent": "1",
    # Disposable data: no synchronous write anywhere (`nosync` leaves it to the page cache).
    "innodb-flush-method": "nosync",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "0",
    "innodb-fast-shutdown": "1",
    # A clone starts cold, whoever it is; warming up in the background would move the page counters.
    "innodb-buffer-pool-dump-at-shutdown": "0",
    "innodb-buffer-pool-load-at-startup": "0",
    "innodb-log-file-size": "96M",
    "innodb-purge-threads": "1",
    "loose-innodb-adaptive-hash-index": "0",
    "slow-query-log": "0",
    "general-log": "0",
    "log-output": "TABLE",
    "log-warnings": "1",
}

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}\Z")


def default_image(version: str = "") -> str:
    return f"mariadb:{version or '11.8'}"


def image_spec(image: str) -> ImageSpec:
    """`image` as it is where it brings a server; a bare Debian or Ubuntu gets its own package of one."""
    repository = image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]
    return ImageSpec(base=image, packages=("mariadb-server",) if repository in BARE_IMAGES else ())


def name_quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def database_pattern(name: str) -> str:
    """`name` in a GRANT, where `_` and `%` stand for anything if not escaped."""
    return name_quoted(name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))


# -- the three roles


def role_statements(database: str, passwords: Mapping[Role, str]) -> list[str]:
    """What makes the roles as they should be, however the data directory was left. Idempotent.

    The application owns its databases and those that test runners make (`test_...`), and has no global
    privilege: no FILE, SUPER, PROCESS, RELOAD. The reader reads.
    """
    for role in USERS:
        if not re.match(r"[A-Za-z0-9_.-]{8,128}\Z", passwords.get(role, "")):
            raise UsageError(
                f"The password of the database role {role!r} is missing or not made by bedev.",
                next_step="Passwords have 8 to 128 letters, digits, dots, _ and -.",
            )
    admin, application, reader = (f"'{USERS[r]}'@'{HOST}'" for r in ("admin", "application", "reader"))
    statements = [
        "DELETE FROM mysql.global_priv WHERE User IN ('', 'root', 'mysql')",
        "FLUSH PRIVILEGES",
        f"CREATE DATABASE IF NOT EXISTS {name_quoted(database)}",
    ]
    for role, user in (("admin", admin), ("application", application), ("reader", reader)):
        statements += [
            f"CREATE USER IF NOT EXISTS {user}",
            f"ALTER USER {user} IDENTIFIED BY '{passwords[role]}'",
        ]
    return [
        *statements,
        f"ALTER USER {reader} WITH MAX_STATEMENT_TIME {READER_SECONDS}",
        f"GRANT ALL PRIVILEGES ON *.* TO {admin} WITH GRANT OPTION",
        f"GRANT ALL PRIVILEGES ON {database_pattern(database)}.* TO {application}",
        f"GRANT ALL PRIVILEGES ON `test\\_%`.* TO {application}",
        f"GRANT SELECT, SHOW VIEW ON {database_pattern(database)}.* TO {reader}",
        # The log that capture reads: it comes as utf8mb3, which writes an emoji as \xF0\x9F...; as a blob the
        # CSV engine would even cut the text off there.
        "ALTER TABLE mysql.general_log MODIFY argument MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL",
    ]


class AdminSession:
    """The admin's session, which can hold purge up between two readings of the counters.

    A consistent snapshot keeps every old row version, so background purge has nothing to do and reads no
    pages. It would also show this session old rows and, once it had read a table, make that table's ALTER
    wait: so any query ends it first. `inner` is for queries of the server's own counters only.
    """

    def __init__(self, inner: SqlSession) -> None:
        self.inner = inner
        self._holding = False

    def hold_purge(self) -> None:
        self.inner.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        self._holding = True

    def query(
        self, sql: str, params: Sequence[Any] = (), *, max_rows: int = 10_000, timeout: float = 60.0
    ) -> Rows:
        if self._holding:
            self._holding = False
            self.inner.query("COMMIT")
        return self.inner.query(sql, params, max_rows=max_rows, timeout=timeout)

    def close(self) -> None:
        self.inner.close()


def connect(probe: Probe, instance: Instance, role: Role) -> SqlSession:
    """The reader's transactions are read-only, beside its privileges: a view may call what writes."""
    session = probe.connect(
        "mysql",
        port=instance.port,
        user=USERS[role],
        password=instance.passwords[role],
        database=instance.database,
    )
    if role == "reader":
        session.query("SET SESSION TRANSACTION READ ONLY")
    return AdminSession(session) if role == "admin" else session


def create_database(admin: SqlSession, database: str) -> None:
    admin.query(f"CREATE DATABASE IF NOT EXISTS {name_quoted(database)}")
    for privileges, user in (
        ("ALL PRIVILEGES", USERS["application"]),
        ("SELECT, SHOW VIEW", USERS["reader"]),
    ):
        admin.query(f"GRANT {privileges} ON {database_pattern(database)}.* TO '{user}'@'{HOST}'")


# -- life and death


def create(
    db: Box, probe: Probe, name: str, port: int, database: str, passwords: Mapping[Role, str]
) -> Instance:
    instance = Instance(name, f"{DATA}/{_checked(name)}", port, database, dict(passwords))
    place = shlex.quote(instance.data_dir)
    result = db.run(
        f"set -e; install=$(command -v mariadb-install-db || command -v mysql_install_db || true); "
        f'[ -n "$install" ] || {{ echo "no mariadb-install-db in this image" >&2; exit 1; }}; '
        f"mkdir -p -m 700 {place}; mkdir -m 700 {place}/data; mkdir -p -m 700 {place}/tmp; "
        f'"$install" --no-defaults --datadir={place}/data --tmpdir={place}/tmp '
        "--auth-root-authentication-method=normal --skip-test-db --skip-name-resolve "
        "--innodb-flush-method=nosync --innodb-doublewrite=0",
        cwd="/",
        timeout=READY_SECONDS,
    )
    if not result.ok:
        raise SandboxBroken(
            "An empty MariaDB database could not be made.",
            where=f"{db.name}: {instance.data_dir}",
            next_step="Use an image that has the server's binaries, for instance mariadb:11.8.",
            detail=result.last_lines,
        )
    start(db, probe, instance)
    return instance


def start(db: Box, probe: Probe, instance: Instance) -> None:
    """Returns when the server answers to the admin's password. Raises SandboxBroken with its log's tail."""
    roles = f"{instance.data_dir}/roles.sql"
    statements = role_statements(instance.database, instance.passwords)
    db.write_file(roles, "".join(f"{line};\n" for line in statements).encode(), 0o600)
    service = db.start(f"mariadb-{instance.name}", command(instance, roles), cwd="/")
    try:
        _wait_until_ready(probe, instance, service)
    except BaseException:
        service.stop()
        raise
    finally:
        db.remove_file(roles)


def command(instance: Instance, init_file: str, buffer_pool_mb: int = 512) -> str:
    place = instance.data_dir
    options = {
        "datadir": f"{place}/data",
        "socket": f"{place}/socket",
        "pid-file": f"{place}/pid",
        "tmpdir": f"{place}/tmp",
        "port": str(instance.port),
        # MariaDB has no NULL here; this folder stays empty, and FILE is granted to nobody but the admin.
        "secure-file-priv": f"{place}/files",
        "innodb-buffer-pool-size": f"{buffer_pool_mb}M",
        "init-file": init_file,
        **OPTIONS,
    }
    words = " ".join(shlex.quote(f"--{name}={value}") for name, value in options.items())
    place = shlex.quote(place)
    return (
        "server=$(command -v mariadbd || command -v mysqld || echo /usr/sbin/mariadbd); "
        f"mkdir -p -m 700 {place}/tmp {place}/files; rm -rf {place}/tmp/* {place}/pid; "
        f'exec "$server" --no-defaults {words}'
    )


def _wait_until_ready(probe: Probe, instance: Instance, service: Service) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        # Listening comes before the roles are set; a connection then waits for both.
        if probe.wait_for_port(instance.port, 0.5):
            try:
                session = connect(probe, instance, "admin")
            except (DatabaseError, SandboxBroken):
                time.sleep(0.02)
            else:
                home = str(session.query("SELECT @@datadir").scalar).rstrip("/")
                session.close()
                if home == f"{instance.data_dir}/data":
                    return
                raise SandboxBroken(
                    f"Port {instance.port} of the pod belongs to another server ({home}).",
                    where=f"the server {instance.name}",
                    next_step="Give each server of a pod a port of its own.",
                )
        if not service.alive():
            break
    raise SandboxBroken(
        "MariaDB did not start.",
        where=f"{instance.data_dir}, port {instance.port}",
        next_step="Its last words are below; another image version may help (--engine, bedev.toml).",
        detail="\n".join(service.log().splitlines()[-20:]),
    )


def stop(db: Box, instance: Instance) -> None:
    place = shlex.quote(instance.data_dir)
    tenths = int(STOP_SECONDS * 10)
    result = db.run(
        f"pid=$(cat {place}/pid 2>/dev/null) || exit 0; kill -TERM $pid 2>/dev/null || exit 0; "
        f"for ((i = 0; i < {tenths * 5}; i++)); do kill -0 $pid 2>/dev/null || exit 0; sleep 0.02; done; "
        f"kill -KILL $pid; exit 9",
        cwd="/",
        timeout=STOP_SECONDS + 30,
    )
    if not result.ok:
        raise SandboxBroken(
            f"MariaDB did not shut down in {STOP_SECONDS:.0f} s and was ended.",
            where=instance.data_dir,
            next_step="Its data may need recovery; make the copy again.",
            detail=result.last_lines,
        )


# -- copies


def save_template(db: Box, instance: Instance, template: str) -> None:
    """Passwords go with it, but every start sets them anew."""
    target = f"{TEMPLATES}/{_checked(template)}"
    if db.run(f"[ -e {shlex.quote(instance.data_dir)}/pid ]", cwd="/").ok:
        raise SandboxBroken(
            f"The server {instance.name} is still running.",
            where=instance.data_dir,
            next_step="Stop it before its template is saved.",
        )
    _copy_data(db, instance.data_dir, target)


def clone(db: Box, probe: Probe, template: str, name: str, port: int, like: Instance) -> Instance:
    instance = replace(like, name=name, data_dir=f"{DATA}/{_checked(name)}", port=port)
    _copy_data(db, f"{TEMPLATES}/{_checked(template)}", instance.data_dir)
    start(db, probe, instance)
    return instance


def copy(db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
    instance = replace(source, name=name, data_dir=f"{DATA}/{_checked(name)}", port=port)
    stop(db, source)
    try:
        _copy_data(db, source.data_dir, instance.data_dir)
    finally:
        start(db, probe, source)
    start(db, probe, instance)
    return instance


def destroy(db: Box, instance: Instance) -> None:
    stop(db, instance)
    db.run(f"rm -rf {shlex.quote(instance.data_dir)}", cwd="/", timeout=COPY_SECONDS)


def _copy_data(db: Box, source: str, target: str) -> None:
    """The data directory alone: no socket, no temporary file, no log."""
    a, b = shlex.quote(source), shlex.quote(target)
    result = db.run(
        f"mkdir -m 700 {b} || exit 17; "  # somebody else's: not ours to remove below
        f"cp -a --reflink=auto --sparse=auto {a}/data {b}/data && rm -f {b}/data/ibtmp1 "
        f"|| {{ rm -rf {b}; exit 1; }}",
        cwd="/",
        timeout=COPY_SECONDS,
    )
    if not result.ok:
        raise SandboxBroken(
            "A copy of the database could not be made.",
            where=f"{source} to {target}",
            next_step="Look whether the disk is full (docker system df), and whether that name is taken.",
            detail=result.last_lines,
        )


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be the name of a database server or template.",
            next_step="Use up to 41 lower-case letters, digits, - and _.",
        )
    return name
