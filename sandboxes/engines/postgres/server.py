"""A PostgreSQL server in the `db` box: made, started, copied, stopped.

Everything is said on the command line, so that the image's configuration does not matter and any image with
the server's binaries works. The data is disposable: nothing is synchronised to disk. There is no socket: the
only way in is TCP on loopback, with a password.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping

from bedev.sandboxes.engines import data_directory
from bedev.sandboxes.engines.data_directory import checked
from bedev.sandboxes.engines.engine import Instance, Role
from bedev.sandboxes.engines.postgres.sessions import OWN_SCHEMA, connect, quoted
from bedev.sandboxes.engines.roles import USERS, check_passwords, is_bare
from bedev.sandboxes.errors import DatabaseError, SandboxBroken
from bedev.sandboxes.sandbox import DATA, DATABASE_UID, Box, ImageSpec, Probe, Service, SqlSession

TITLE = "PostgreSQL"
HOST = "127.0.0.1"
READY_SECONDS = 120.0  # crash recovery included
READER_SECONDS = 300  # a statement of the reader that runs longer is ended by the server
MAINTENANCE = "postgres"  # the database that every server has

FAST = "INT"  # SIGTERM would wait until every client has left
IMMEDIATE = "QUIT"  # SIGKILL would leave the server's other processes to write on for a moment

# PostgreSQL refuses to run as a user without a name, and boxes have only numbers.
NAMED_USER = (
    f"RUN grep -q '^[^:]*:[^:]*:{DATABASE_UID}:' /etc/passwd || "
    f"echo 'bedev-db:x:{DATABASE_UID}:{DATABASE_UID}::/tmp:/bin/false' >>/etc/passwd"
)

# The newest server of the image; Debian keeps it out of the search path.
FIND = (
    'bin=$(dirname "$(command -v postgres || ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | '
    'sort -V | tail -n 1)" 2>/dev/null); '
    '[ -x "$bin/initdb" ] || { echo "no initdb and postgres in this image" >&2; exit 1; }; '
)

OPTIONS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "huge_pages": "off",
    "maintenance_work_mem": "128MB",
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
    "lc_messages": "C",
    "password_encryption": "scram-sha-256",
    # Disposable data: no synchronous write anywhere, and little of it.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "min_wal_size": "32MB",
    "wal_recycle": "off",
    "wal_init_zero": "off",
    "checkpoint_timeout": "1h",
    # Statistics are made by `ddl.analyze`, dead rows removed by `counters.settle`, and at no other moment.
    "autovacuum": "off",
    # The same statement reads the same rows each time: a scan begins at the table's beginning, and no
    # worker reads ahead of a LIMIT.
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "jit": "off",
    # Counters: of statements, and of tables.
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "10000",
    "pg_stat_statements.track": "top",
    "pg_stat_statements.save": "off",
    "track_counts": "on",
    # The log that capture reads.
    "logging_collector": "on",
    "log_destination": "stderr,jsonlog",
    "log_filename": "server",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
    "log_file_mode": "0600",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_parameter_max_length": "-1",
}


def default_image(version: str = "") -> str:
    return f"postgres:{version or '17'}"


def image_spec(image: str) -> ImageSpec:
    """`image` as it is where it brings a server; a bare Debian or Ubuntu gets its own package of one."""
    return ImageSpec(base=image, packages=("postgresql",) if is_bare(image) else (), lines=(NAMED_USER,))


# -- roles and databases


def role_statements(passwords: Mapping[Role, str]) -> list[str]:
    """What makes the roles as they should be, however the data directory was left: one line each, for the
    server's single-user mode. The application may make databases, which are then its own (test runners do),
    and extensions that the server trusts; it can neither change what is logged and counted nor read files."""
    check_passwords(passwords)
    make = "DO $$ BEGIN IF to_regrole('{0}') IS NULL THEN CREATE ROLE {0}; END IF; END $$"
    plain = "LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    app, reader = USERS["application"], USERS["reader"]
    return [
        f"ALTER ROLE {USERS['admin']} LOGIN SUPERUSER PASSWORD '{passwords['admin']}'",
        make.format(app),
        f"ALTER ROLE {app} RESET ALL",
        f"ALTER ROLE {app} {plain} CREATEDB PASSWORD '{passwords['application']}'",
        make.format(reader),
        f"ALTER ROLE {reader} {plain} NOCREATEDB PASSWORD '{passwords['reader']}'",
        f"ALTER ROLE {reader} SET default_transaction_read_only = on",
        f"ALTER ROLE {reader} SET statement_timeout = '{READER_SECONDS}s'",
        f"GRANT pg_read_all_data TO {reader}",
    ]


def create_database(admin: SqlSession, database: str) -> None:
    """A database that the application owns; no error where it is there."""
    if not admin.query("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).rows:
        admin.query(f"CREATE DATABASE {quoted(database)} OWNER {USERS['application']}")


def _prepare_database(probe: Probe, instance: Instance) -> None:
    maintenance = connect(probe, instance, "admin", MAINTENANCE)
    create_database(maintenance, instance.database)
    maintenance.close()
    admin = connect(probe, instance, "admin")
    admin.query(f"CREATE SCHEMA {OWN_SCHEMA}")
    admin.query(f"CREATE EXTENSION pg_stat_statements SCHEMA {OWN_SCHEMA}")
    admin.close()


# -- life and death


def create(
    db: Box, probe: Probe, name: str, port: int, database: str, passwords: Mapping[Role, str]
) -> Instance:
    check_passwords(passwords)
    instance = Instance(name, f"{DATA}/{checked(name)}", port, database, dict(passwords))
    place = shlex.quote(instance.data_dir)
    # Texts are sorted as in the official images (en_US.utf8) where the image can.
    result = db.run(
        f"set -e; {FIND}mkdir -p -m 700 {place}; mkdir -m 700 {place}/data; "
        "if locale -a 2>/dev/null | grep -qix 'en_US.utf-\\?8'; then locale='--locale=en_US.utf8'; "
        "else locale='--locale=C --locale-provider=icu --icu-locale=en-US'; fi; "
        f'"$bin/initdb" -D {place}/data --username={USERS["admin"]} --encoding=UTF8 $locale --no-sync '
        '--auth=scram-sha-256 --no-instructions --pwfile=<(printf "%s\\n" "$PASSWORD")',
        cwd="/",
        env={"PASSWORD": passwords["admin"]},
        timeout=READY_SECONDS,
    )
    if not result.ok:
        raise SandboxBroken(
            "An empty PostgreSQL database could not be made.",
            where=f"{db.name}: {instance.data_dir}",
            next_step=f"Use an image that has the server's binaries, for instance {default_image()}.",
            detail=result.last_lines,
        )
    _launch(db, probe, instance, MAINTENANCE)
    _prepare_database(probe, instance)
    return instance


def start(db: Box, probe: Probe, instance: Instance) -> None:
    """Returns when the server answers to the admin's password. Raises SandboxBroken with its log's tail."""
    _launch(db, probe, instance, instance.database)


def _launch(db: Box, probe: Probe, instance: Instance, database: str) -> None:
    roles = f"{instance.data_dir}/roles.sql"
    db.write_file(
        roles, "".join(f"{line};\n" for line in role_statements(instance.passwords)).encode(), 0o600
    )
    service = db.start(f"postgres-{instance.name}", command(instance, roles), cwd="/")
    try:
        _wait_until_ready(db, probe, instance, service, database)
    except BaseException:
        service.stop()
        raise
    finally:
        db.remove_file(roles)


def command(instance: Instance, roles: str) -> str:
    """Roles are set before anybody can connect, by the server in single-user mode, which also recovers."""
    place = shlex.quote(instance.data_dir)
    options = {
        "port": str(instance.port),
        "external_pid_file": f"{instance.data_dir}/pid",
        "log_directory": f"{instance.data_dir}/log",
        **OPTIONS,
    }
    words = " ".join(shlex.quote(f"--{name}={value}") for name, value in options.items())
    return (
        f"set -e; {FIND}mkdir -p -m 700 {place}/tmp; rm -rf {place}/tmp/* {place}/log {place}/pid "
        f"{place}/data/postmaster.pid; : >{place}/data/postgresql.auto.conf; "
        f"echo 'host all all {HOST}/32 scram-sha-256' >{place}/data/pg_hba.conf; "
        f'"$bin/postgres" --single -D {place}/data -F -c log_min_messages=error {MAINTENANCE} '
        f"<{shlex.quote(roles)} >/dev/null; "
        f'exec "$bin/postgres" -D {place}/data {words}'
    )


def _wait_until_ready(db: Box, probe: Probe, instance: Instance, service: Service, database: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if probe.wait_for_port(instance.port, 0.5):
            try:
                session = connect(probe, instance, "admin", database)
            except (DatabaseError, SandboxBroken):
                time.sleep(0.02)
            else:
                home = str(session.query("SHOW data_directory").scalar).rstrip("/")
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
    log = db.run(f"tail -n 15 {shlex.quote(instance.data_dir)}/log/server", cwd="/").stdout.text
    raise SandboxBroken(
        f"{TITLE} did not start.",
        where=f"{instance.data_dir}, port {instance.port}",
        next_step="Its last words are below; another image version may help (--engine, bedev.toml).",
        detail="\n".join([*service.log().splitlines(), *log.splitlines()][-20:]),
    )


def stop(db: Box, instance: Instance) -> None:
    data_directory.stop(db, instance, TITLE, FAST)


def copy(db: Box, probe: Probe, source: Instance, name: str, port: int) -> Instance:
    return data_directory.copy(db, probe, source, name, port, start, TITLE, FAST)


def destroy(db: Box, instance: Instance) -> None:
    data_directory.destroy(db, instance, IMMEDIATE)
