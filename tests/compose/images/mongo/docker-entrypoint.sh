#!/bin/sh
set -e
if [ "${1#-}" != "$1" ]; then
    set -- mongod "$@"
fi
if [ "$1" = mongod ] && [ "$(id -u)" = 0 ]; then
    chown --recursive mongodb:mongodb /data/db /data/configdb
    exec setpriv --reuid=mongodb --regid=mongodb --clear-groups "$@"
fi
exec "$@"
