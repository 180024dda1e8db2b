#!/bin/sh
set -e
if [ "${1#-}" != "$1" ]; then
    set -- consul "$@"
fi
if [ "$1" = agent ]; then
    shift
    set -- consul agent -data-dir=/consul/data -config-dir=/consul/config "$@"
    if [ "$(id -u)" = 0 ]; then
        chown consul:consul /consul/data /consul/config
        exec setpriv --reuid=consul --regid=consul --clear-groups "$@"
    fi
fi
exec "$@"
