"""A MySQL server in the `db` box: made, started, copied, stopped.

Everything is said on the command line (`--no-defaults`), so that the image's configuration does not matter
and any image with the server's binaries works. The data is disposable: nothing is synchronised to disk.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from bedev.sandboxes.engines import data_directory, mysql_family
from bedev.sandboxes.engines.data_directory import checked
from bedev.sandboxes.engines.engine import Instance, Role
from bedev.sandboxes.engines.mysql_family import (
    HOST,
    NO_WAIT,
    READY_SECONDS,
    grant_statements,
    user_statements,
    wait_until_ready,
)
from bedev.sandboxes.errors import SandboxBroken
from bedev.sandboxes.sandbox import DATA, Box, ImageSpec, Probe, SqlSession

TITLE = "MySQL"
READER_SECONDS = 300  # a SELECT of the reader that runs longer is ended by the server

# The official images are a slim Oracle Linux, without some of what every box needs.
TOOLS = (
    "RUN for tool in tar setsid; do command -v $tool >/dev/null && continue; "
    "if command -v microdnf >/dev/null; then microdnf install -y tar util-linux && microdnf clean all; fi; "
    "break; done"
)

_FILES: Mapping[str, str] = {
    # Disposable data: no synchronous write anywhere (`nosync` leaves it to the page cache), and little of it.
    "innodb-flush-method": "nosync",
    "innodb-doublewrite": "0",
    "loose-innodb-redo-log-capacity": "64M",
    # Every 128th run of purge looks at all of them: 3 pages each, whatever happened to be measured then.
    "innodb-rollback-segments": "1",
    # Passwords go by RSA over loopback; certificates would only be made.
    "tls-version": "",
    "auto-generate-certs": "0",
}

OPTIONS: Mapping[str, str] = {
    **_FILES,
    "bind-address": HOST,
    "skip-name-resolve": "1",
    "loose-mysqlx": "0",
    "local-infile": "0",
    "secure-file-priv": "NULL",
    "event-scheduler": "OFF",  # nothing may run that nobody sent
    "max-connections": "200",
    "max-allowed-packet": "1G",
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
    # Counters: of statements (performance_schema) and of conditions pushed into indexes (innodb_metrics).
    "performance-schema": "ON",
    "performance-schema-instrument": "wait/%=OFF",
    "performance-schema-consumer-events-statements-history": "OFF",
    "performance-schema-digests-size": "10000",
    "performance-schema-max-digest-length": "4096",
    "max-digest-length": "4096",
    "innodb-monitor-enable": "module_icp",
    # Statistics are made by `ddl.analyze` and at no other moment: base and patch plan alike.
    "innodb-stats-auto-recalc": "0",
    "innodb-stats-persistent": "1",
    "information-schema-stats-expiry": "0",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-fast-shutdown": "1",
    # A clone starts cold, whoever it is; warming up in the background would move the page counters.
    "innodb-buffer-pool-dump-at-shutdown": "0",
    "innodb-buffer-pool-load-at-startup": "0",
    "innodb-purge-threads": "1",
    "innodb-undo-log-truncate": "0",
    "innodb-adaptive-hash-index": "0",
    "loose-innodb-numa-interleave": "0",  # forbidden in a box, and said in many lines
    # One COUNT(*) reads the same pages each time.
    "innodb-parallel-read-threads": "1",
    "slow-query-log": "0",
    "general-log": "0",
    "log-output": "TABLE",
}


def default_image(version: str = "") -> str:
    return f"mysql:{version or '9.7'}"


def image_spec(image: str) -> ImageSpec:
    """`image` has to bring a server: neither Debian nor most of Ubuntu's releases have a package of it."""
    return ImageSpec(base=image, lines=(TOOLS,))


def role_statements(database: str, passwords: Mapping[Role, str]) -> list[str]:
    """What makes the roles as they should be, however the data directory was left. Idempotent.

    The server's own `mysql.sys`, `mysql.session` and `mysql.infoschema` are locked, and stay.
    """
    return [
        "DROP USER IF EXISTS 'root'@'localhost'",
        *user_statements(database, passwords),
        *grant_statements(database),
    ]


def connect(probe: Probe, instance: Instance, role: Role) -> SqlSession:
    session = mysql_family.connect(probe, instance, role)
    if role == "reader":
        session.query(f"SET SESSION max_execution_time = {READER_SECONDS * 1000}")
    return session


# -- life and death


def create(
    db: Box, probe: Probe, name: str, port: int, database: str, passwords: Mapping[Role, str]
) -> Instance:
    instance = Instance(name, f"{DATA}/{checked(name)}", port, database, dict(passwords))
    place = shlex.quote(instance.data_dir)
    result = db.run(
        'set -e; server=$(command -v mysqld || echo /usr/sbin/mysqld); [ -x "$server" ] || '
        '{ echo "no mysqld in this image" >&2; exit 1; }; '
        f"mkdir -p -m 700 {place}; mkdir -m 700 {place}/data; mkdir -p -m 700 {place}/tmp; "
        f'"$server" --no-defaults --initialize-insecure --datadir={place}/data --tmpdir={place}/tmp '
        f"{_words(_FILES)}",
        cwd="/",
        timeout=READY_SECONDS,
    )
    if not result.ok:
        raise SandboxBroken(
            "An empty MySQL database could not be made.",
            where=f"{db.name}: {instance.data_dir}",
            next_step=f"Use an image that has the server's binaries, for instance {default_image()}.",
            detail=result.last_lines,
        )
    start(db, probe, instance)
    return instance


def start(db: Box, probe: Probe, instance: Instance) -> None:
    """Returns when the server answers to the admin's password. Raises SandboxBroken with its log's tail."""
    roles = f"{instance.data_dir}/roles.sql"
    statements = role_statements(instance.database, instance.passwords)
    db.write_file(roles, "".join(f"{line};\n" for line in statements).encode(), 0o600)
    service = db.start(f"mysql-{instance.name}", command(instance, roles), cwd="/")
    try:
        wait_until_ready(probe, instance, service, TITLE)
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
        "innodb-buffer-pool-size": f"{buffer_pool_mb}M",
        "init-file": init_file,
        **OPTIONS,
    }
    place = shlex.quote(place)
    return (
        "server=$(command -v mysqld || echo /usr/sbin/mysqld); "
        f"mkdir -p -m 700 {place}/tmp; rm -rf {place}/tmp/* {place}/pid {place}/socket.lock; "
        f'exec "$server" --no-defaults --skip-log-bin {_words(options)} > >({NO_WAIT}) 2>&1'
    )


def _words(options: Mapping[str, str]) -> str:
    return " ".join(shlex.quote(f"--{name}={value}") for name, value in options.items())


def stop(db: Box, instance: Instance) -> None:
    data_directory.stop(db, instance, TITLE)


def clone(db: Box, probe: Probe, template: str, name: str, port: int, like: Instance) -> Instance:
    return data_directory.clone(db, probe, template, name, port, like, start)


def copy(db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
    return data_directory.copy(db, probe, source, name, port, start, TITLE)
