#!/bin/bash
# The official entry point's behaviour in short: as root it steps down to postgres; an empty data directory is made,
# with the password, database and user of the environment, and the scripts of /docker-entrypoint-initdb.d.
set -eo pipefail
shopt -s nullglob

fail() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}

# POSTGRES_NAME of the environment, or what is in the file that POSTGRES_NAME_FILE names.
setting() {
    local name="POSTGRES_$1" file="POSTGRES_$1_FILE"
    if [ -n "${!file:-}" ]; then
        printf '%s' "$(<"${!file}")"
    else
        printf '%s' "${!name:-}"
    fi
}

initialize() {
    local user password database method file
    user="$(setting USER)"
    user="${user:-postgres}"
    database="$(setting DB)"
    database="${database:-$user}"
    password="$(setting PASSWORD)"
    method="$(setting HOST_AUTH_METHOD)"
    if [ -z "$password" ] && [ "$method" != trust ]; then
        fail "Database is uninitialized and superuser password is not specified.
       You must specify POSTGRES_PASSWORD to a non-empty value for the
       superuser. For example, \"-e POSTGRES_PASSWORD=password\" on \"docker run\"."
    fi
    # shellcheck disable=SC2086 # POSTGRES_INITDB_ARGS is words
    initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all %s\n' "${method:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"

    export PGPASSWORD="$password"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses= -p 5432" -w start
    if [ "$database" != postgres ]; then
        createdb --username="$user" --no-password --maintenance-db=postgres "$database"
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        printf '%s: running %s\n' "$0" "$file"
        case "$file" in
        *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
        *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$user" -d "$database" -f "$file" ;;
        *.sql.gz) gunzip -c "$file" | psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$user" -d "$database" ;;
        *.sql.xz) xzcat "$file" | psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$user" -d "$database" ;;
        *.sql.zst) zstd -dc "$file" | psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$user" -d "$database" ;;
        *) printf '%s: ignoring %s\n' "$0" "$file" ;;
        esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

case "${1-}" in
-*) set -- postgres "$@" ;;
esac

if [ "${1-}" = postgres ]; then
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || true
    if [ "$(id -u)" = 0 ]; then
        find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
        find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
        exec gosu postgres "$BASH_SOURCE" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        initialize
    fi
fi

exec "$@"
