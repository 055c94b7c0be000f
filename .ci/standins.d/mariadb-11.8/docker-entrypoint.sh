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

# NAME of the environment, under its MARIADB_ or older MYSQL_ name, or from the file that NAME_FILE names.
setting() {
    local name value file
    for name in "MARIADB_$1" "MYSQL_$1"; do
        file="${name}_FILE"
        value="${!name:-}"
        if [ -n "${!file:-}" ]; then
            value="$(<"${!file}")"
        fi
        if [ -n "$value" ]; then
            printf '%s' "$value"
            return
        fi
    done
}

quoted() {
    local text="${1//\\/\\\\}"
    printf "'%s'" "${text//\'/\\\'}"
}

initialize() {
    local root database user password socket pid i file
    root="$(setting ROOT_PASSWORD)"
    if [ -n "$(setting RANDOM_ROOT_PASSWORD)" ]; then
        root="$(pwgen --numerals --capitalize --symbols --remove-chars="'\\" -1 32)"
        note "GENERATED ROOT PASSWORD: $root"
    elif [ -z "$root$(setting ALLOW_EMPTY_ROOT_PASSWORD)$(setting ALLOW_EMPTY_PASSWORD)" ]; then
        fail "Database is uninitialized and password option is not specified
	You need to specify one of MARIADB_ROOT_PASSWORD, MARIADB_ROOT_PASSWORD_HASH, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD and MARIADB_RANDOM_ROOT_PASSWORD"
    fi

    note "Initializing database files"
    mariadb-install-db --datadir="$datadir" --rpm --auth-root-authentication-method=normal \
        --skip-test-db --old-mode='UTF8_IS_UTF8MB3' >/dev/null
    note "Starting temporary server"
    socket=/run/mysqld/mysqld.sock
    "$@" --skip-networking --socket="$socket" --datadir="$datadir" &
    pid=$!
    for ((i = 0; i < 300; i++)); do
        mariadb -uroot --socket="$socket" -e 'SELECT 1' >/dev/null 2>&1 && break
        kill -0 "$pid" 2>/dev/null || fail "Unable to start server."
        sleep 0.1
    done
    mariadb-tzinfo-to-sql /usr/share/zoneinfo 2>/dev/null | mariadb -uroot --socket="$socket" mysql

    database="$(setting DATABASE)"
    user="$(setting USER)"
    password="$(setting PASSWORD)"
    {
        [ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
        if [ -n "$user" ] && [ -n "$password" ]; then
            echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
            [ -z "$database" ] || echo "GRANT ALL ON \`${database//_/\\_}\`.* TO $(quoted "$user")@'%';"
        fi
    } | mariadb -uroot --socket="$socket"
    for file in /docker-entrypoint-initdb.d/*; do
        note "running $file"
        case "$file" in
        *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
        *.sql) mariadb -uroot --socket="$socket" $database <"$file" ;;
        *.sql.gz) gunzip -c "$file" | mariadb -uroot --socket="$socket" $database ;;
        *.sql.xz) xzcat "$file" | mariadb -uroot --socket="$socket" $database ;;
        *.sql.zst) zstd -dc "$file" | mariadb -uroot --socket="$socket" $database ;;
        *) note "ignoring $file" ;;
        esac
    done
    mariadb -uroot --socket="$socket" <<SQL
DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1';
EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS root@\'', @@hostname, '\'');
CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY $(quoted "$root");
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$root");
SQL
    kill "$pid"
    wait "$pid" || true
    note "MariaDB init process done. Ready for start up."
}

case "${1-}" in
-*) set -- mariadbd "$@" ;;
esac

if [ "${1-}" = mariadbd ]; then
    note "Entrypoint script for MariaDB Server $("$1" --version | awk '{ print $3 }') started."
    datadir="$("$@" --verbose --help 2>/dev/null | awk '$1 == "datadir" { print $2; exit }')"
    datadir="${datadir%/}"
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$datadir"
        find "$datadir" /run/mysqld \! -user mysql -exec chown mysql: '{}' +
        note "Switching to dedicated user 'mysql'"
        exec gosu mysql "$BASH_SOURCE" "$@"
    fi
    if [ ! -d "$datadir/mysql" ]; then
        initialize "$@"
    fi
fi

exec "$@"
