#!/bin/sh
set -e
case "$1" in
rabbitmq*)
    if [ "$(id -u)" = 0 ]; then
        chown --recursive rabbitmq:rabbitmq /var/lib/rabbitmq
        exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups "$@"
    fi
    ;;
esac
exec "$@"
