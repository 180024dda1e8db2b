#!/usr/bin/env bash
set -euo pipefail

make_cluster() {
    initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") ${POSTGRES_INITDB_ARGS:-}
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    [ "$POSTGRES_DB" = postgres ] && return
    # It cannot be reached from outside yet.
    pg_ctl --wait start --options="-c listen_addresses=''"
    psql --username="$POSTGRES_USER" --dbname=postgres --set=name="$POSTGRES_DB" --no-psqlrc \
        <<<'CREATE DATABASE :"name";'
    pg_ctl --wait --mode=fast stop
}

if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        POSTGRES_PASSWORD=$(<"$POSTGRES_PASSWORD_FILE")
        export POSTGRES_PASSWORD
    fi
    install -d -o postgres -g postgres -m 0700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE is needed" >&2
        exit 1
    fi
    : "${POSTGRES_USER:=postgres}"
    : "${POSTGRES_DB:=$POSTGRES_USER}"
    make_cluster
fi
unset POSTGRES_PASSWORD
exec "$@"
