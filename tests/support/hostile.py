"""A developer's shell whose variables must not reach the shop."""

from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    # A company's proxies; nothing listens there.
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "all_proxy": "http://127.0.0.1:9",
    "grpc_proxy": "http://127.0.0.1:9",
    "no_proxy": "127.0.0.1,localhost",
    # What the libraries and programs of the stores and of Consul read.
    "CONSUL_HTTP_ADDR": "127.0.0.1:9",
    "CONSUL_HTTP_TOKEN": "elsewhere",
    "CONSUL_HTTP_SSL": "true",
    "PGHOST": "elsewhere.example",
    "PGSSLMODE": "verify-full",
    "PGOPTIONS": "-c search_path=elsewhere",
    "PGDATA": "/elsewhere",
    "REDISCLI_AUTH": "elsewhere",
    "RABBITMQ_NODENAME": "rabbit@elsewhere",
    "RABBITMQ_CONFIG_FILE": "/elsewhere",
    "ERL_FLAGS": "-elsewhere",
    "NEO4J_HOME": "/elsewhere",
    "JAVA_TOOL_OPTIONS": "-Xmx1m",
    "ARCADEDB_JVM_ARGS": "-Xmx1m",
    # What Python, gRPC, the loader and the C library read.
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONPATH": "/elsewhere",
    "GRPC_XDS_BOOTSTRAP": "/elsewhere",
    "GRPC_DNS_RESOLVER": "native",
    "LD_LIBRARY_PATH": "/elsewhere",
    "LC_ALL": "fr_FR.UTF-8",
    "TZ": "Pacific/Kiritimati",
    # A configuration of pip.
    "PIP_USER": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_TARGET": "/elsewhere",
    # What the shell itself reads.
    "CDPATH": "/usr:/",
}
