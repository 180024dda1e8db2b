#!/usr/bin/env bash
set -euo pipefail

as_neo4j=()
[ "$(id -u)" != 0 ] || as_neo4j=(setpriv --reuid=neo4j --regid=neo4j --clear-groups)
conf=$NEO4J_HOME/conf/neo4j.conf
modules=(--add-opens=java.base/{java.nio,java.io,sun.nio.ch}=ALL-UNNAMED)
heap=()

# Like the original, which cannot read a secret that only root may read.
read_auth() {
    [ -n "${NEO4J_AUTH_FILE:-}" ] || return 0
    NEO4J_AUTH=$("${as_neo4j[@]}" cat "$NEO4J_AUTH_FILE")
}

# NEO4J_server_memory_heap_max__size is server.memory.heap.max_size.
write_settings() {
    local name setting
    printf '%s\n' server.default_listen_address=0.0.0.0 server.directories.logs=/logs >"$conf"
    for name in $(compgen -e NEO4J_); do
        case $name in
        *_FILE | NEO4J_AUTH | NEO4J_HOME | NEO4J_EDITION) continue ;;
        esac
        setting=${name#NEO4J_}
        setting=${setting//__/%}
        setting=${setting//_/.}
        setting=${setting//%/_}
        echo "$setting=${!name}" >>"$conf"
        case $setting in
        server.memory.heap.initial_size) heap+=("-Xms${!name}") ;;
        server.memory.heap.max_size) heap+=("-Xmx${!name}") ;;
        esac
    done
}

set_password() {
    [ ! -e /data/dbms/auth.ini ] || return 0
    case ${NEO4J_AUTH:-} in
    none) echo dbms.security.auth_enabled=false >>"$conf" ;;
    neo4j/?*) java org.neo4j.cli.AdminTool dbms set-initial-password "${NEO4J_AUTH#neo4j/}" ;;
    *) echo "Invalid value for NEO4J_AUTH" >&2 && exit 1 ;;
    esac
}

java() { "${as_neo4j[@]}" java "${modules[@]}" -cp "$NEO4J_HOME/lib/*" "$@"; }

if [ "$1" != neo4j ]; then
    exec "${as_neo4j[@]}" "$@"
fi
[ "$(id -u)" != 0 ] || chown --recursive neo4j:neo4j /data /logs
read_auth
write_settings
set_password
exec "${as_neo4j[@]}" java "${modules[@]}" "${heap[@]}" -cp "$NEO4J_HOME/lib/*" \
    org.neo4j.server.CommunityEntryPoint --console-mode \
    --home-dir="$NEO4J_HOME" --config-dir="$NEO4J_HOME/conf"
