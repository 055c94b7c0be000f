"""A MariaDB server in the `db` box: made, started, copied, stopped.

Everything is said on the command line (`--no-defaults`), so that the image's configuration does not matter
and any image with the server's binaries works. The data is disposable: nothing is synchronised to disk.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from bedev.sandboxes.engines import data_directory
from bedev.sandboxes.engines.data_directory import checked
from bedev.sandboxes.engines.engine import Instance, Role
from bedev.sandboxes.engines.mysql_family import (
    HOST,
    NO_WAIT,
    READY_SECONDS,
    account,
    grant_statements,
    user_statements,
    wait_until_ready,
)
from bedev.sandboxes.engines.roles import is_bare
from bedev.sandboxes.errors import SandboxBroken
from bedev.sandboxes.sandbox import DATA, Box, ImageSpec, Probe

TITLE = "MariaDB"
READER_SECONDS = 300  # a statement of the reader that runs longer is ended by the server

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


def default_image(version: str = "") -> str:
    return f"mariadb:{version or '11.8'}"


def image_spec(image: str) -> ImageSpec:
    """`image` as it is where it brings a server; a bare Debian or Ubuntu gets its own package of one."""
    return ImageSpec(base=image, packages=("mariadb-server",) if is_bare(image) else ())


def role_statements(database: str, passwords: Mapping[Role, str]) -> list[str]:
    """What makes the roles as they should be, however the data directory was left. Idempotent."""
    return [
        "DELETE FROM mysql.global_priv WHERE User IN ('', 'root', 'mysql')",
        "FLUSH PRIVILEGES",
        *user_statements(database, passwords),
        f"ALTER USER {account('reader')} WITH MAX_STATEMENT_TIME {READER_SECONDS}",
        *grant_statements(database),
        # The log that capture reads: it comes as utf8mb3, which writes an emoji as \xF0\x9F...; as a blob the
        # CSV engine would even cut the text off there.
        "ALTER TABLE mysql.general_log MODIFY argument MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL",
    ]


# -- life and death


def create(
    db: Box, probe: Probe, name: str, port: int, database: str, passwords: Mapping[Role, str]
) -> Instance:
    instance = Instance(name, f"{DATA}/{checked(name)}", port, database, dict(passwords))
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
        f'exec "$server" --no-defaults {words} > >({NO_WAIT}) 2>&1'
    )


def stop(db: Box, instance: Instance) -> None:
    data_directory.stop(db, instance, TITLE)


def clone(db: Box, probe: Probe, template: str, name: str, port: int, like: Instance) -> Instance:
    return data_directory.clone(db, probe, template, name, port, like, start)


def copy(db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
    return data_directory.copy(db, probe, source, name, port, start, TITLE)
