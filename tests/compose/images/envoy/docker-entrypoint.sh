#!/bin/sh
set -e
if [ "${1#-}" != "$1" ]; then
    set -- envoy "$@"
fi
if [ "$(id -u)" = 0 ]; then
    chown envoy:envoy /dev/stdout /dev/stderr
    exec setpriv --reuid=envoy --regid=envoy --clear-groups "$@"
fi
exec "$@"
