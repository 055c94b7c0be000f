#!/bin/bash
# The official entry point's behaviour in short: as root it steps down to mysql; an empty data directory is made,
# with the root password, database and user of the environment, and the scripts of /docker-entrypoint-initdb.d.
set -eo pipefail
shopt -s nullglob

note() { printf '%s [Note] [Entrypoint]: %s\n' "$(date --iso-8601=seconds)" "$*"; }
fail() {
    printf '%s [ERROR] [Entrypoint]: %s\n' "$(date --iso-8601=seconds)" "$*" >&2
    exit 1
}

# MYSQL_NAME of the environment, or what is in the file that MYSQL_NAME_FILE names.
setting() {
    local name="MYSQL_$1" file="MYSQL_$1_FILE"
    if [ -n "${!file:-}" ]; then
        printf '%s' "$(<"${!file}")"
    else
        printf '%s' "${!name:-}"
    fi
}

quoted() {
    local text="${1//\\/\\\\}"
    printf "'%s'" "${text//\'/\\\'}"
}

initialize() {
    local root database user password socket pid i file
    root="$(setting ROOT_PASSWORD)"
    if [ -n "$(setting RANDOM_ROOT_PASSWORD)" ]; then
        root="$(openssl rand -base64 24)"
        note "GENERATED ROOT PASSWORD: $root"
    elif [ -z "$root$(setting ALLOW_EMPTY_PASSWORD)" ]; then
        fail "Database is uninitialized and password option is not specified
	You need to specify one of MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD and MYSQL_RANDOM_ROOT_PASSWORD"
    fi

    note "Initializing database files"
    "$@" --initialize-insecure --datadir="$datadir"
    note "Starting temporary server"
    socket=/var/run/mysqld/mysqld.sock
    "$@" --skip-networking --mysqlx=0 --socket="$socket" --datadir="$datadir" &
    pid=$!
    for ((i = 0; i < 300; i++)); do
        mysql -uroot --socket="$socket" -e 'SELECT 1' >/dev/null 2>&1 && break
        kill -0 "$pid" 2>/dev/null || fail "Unable to start server."
        sleep 0.1
    done

    database="$(setting DATABASE)"
    user="$(setting USER)"
    password="$(setting PASSWORD)"
    {
        [ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
        if [ -n "$user" ] && [ -n "$password" ]; then
            echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
            [ -z "$database" ] || echo "GRANT ALL ON \`${database//_/\\_}\`.* TO $(quoted "$user")@'%';"
        fi
    } | mysql -uroot --socket="$socket"
    for file in /docker-entrypoint-initdb.d/*; do
        note "running $file"
        case "$file" in
        *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
        *.sql) mysql -uroot --socket="$socket" $database <"$file" ;;
        *.sql.bz2) bzcat "$file" | mysql -uroot --socket="$socket" $database ;;
        *.sql.gz) gunzip -c "$file" | mysql -uroot --socket="$socket" $database ;;
        *.sql.xz) xzcat "$file" | mysql -uroot --socket="$socket" $database ;;
        *.sql.zst) zstd -dc "$file" | mysql -uroot --socket="$socket" $database ;;
        *) note "ignoring $file" ;;
        esac
    done
    mysql -uroot --socket="$socket" <<SQL
CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY $(quoted "$root");
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$root");
SQL
    kill "$pid"
    wait "$pid" || true
    note "MySQL init process done. Ready for start up."
}

case "${1-}" in
-*) set -- mysqld "$@" ;;
esac

if [ "${1-}" = mysqld ]; then
    note "Entrypoint script for MySQL Server $("$1" --version | awk '{ print $3 }') started."
    datadir="$("$@" --verbose --help 2>/dev/null | awk '$1 == "datadir" { print $2; exit }')"
    datadir="${datadir%/}"
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$datadir"
        find "$datadir" /var/run/mysqld \! -user mysql -exec chown mysql: '{}' +
        note "Switching to dedicated user 'mysql'"
        exec gosu mysql "$BASH_SOURCE" "$@"
    fi
    if [ ! -d "$datadir/mysql" ]; then
        initialize "$@"
    fi
fi

exec "$@"
