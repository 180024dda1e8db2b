#!/bin/sh
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = redis-server ]; then
    # The original is compiled so: without a password it answers other machines too.
    set -- "$@" --protected-mode no
    if [ "$(id -u)" = 0 ]; then
        chown --recursive redis:redis /data
        exec setpriv --reuid=redis --regid=redis --clear-groups "$@"
    fi
fi
exec "$@"
