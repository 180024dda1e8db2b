"""The settings of the local stack: MAMIE_* variables, read once."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environs import Env, EnvError, validate

from scripts.paths import ROOT

DEFAULT_DATA = ROOT / ".local"
PORT = validate.Range(1, 65535)
RATE = validate.Range(1, 1_000_000)
PERCENT = validate.Range(0, 100)
GRAPHS = ("embedded", "community")
REPLACEABLE = ("postgres", "mongodb", "redis", "rabbitmq", "neo4j", "consul", "smtp", "traces")
"""Servers that MAMIE_<NAME>_URL replaces; such a server is not started."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one stack. With `free_ports` every port is any free one."""

    data: Path
    free_ports: bool
    http_port: int
    https_port: int
    envoy_admin_port: int
    consul_port: int
    admin_email: str
    admin_password: str
    rate_limit_per_minute: int
    login_rate_limit_per_minute: int
    trusted_proxy_hops: int
    neo4j: str
    trace_percent: float
    monitoring: bool
    prometheus_port: int
    alertmanager_port: int
    urls: Mapping[str, str] = field(default_factory=dict)


def read_settings(data: Path = DEFAULT_DATA) -> Settings:
    """Read the environment; a bad variable ends the process and is named.

    A stack with other data than `.local` takes free ports, so that it can run beside the
    default one.
    """
    env = Env(prefix="MAMIE_")
    try:
        return Settings(
            data=data.resolve(),
            free_ports=data.resolve() != DEFAULT_DATA,
            http_port=env.int("HTTP_PORT", 8080, validate=PORT),
            https_port=env.int("HTTPS_PORT", 8443, validate=PORT),
            envoy_admin_port=env.int("ENVOY_ADMIN_PORT", 9901, validate=PORT),
            consul_port=env.int("CONSUL_PORT", 8500, validate=PORT),
            admin_email=env.str("ADMIN_EMAIL", "admin@mamie-rosa.example"),
            admin_password=env.str("ADMIN_PASSWORD", ""),
            rate_limit_per_minute=env.int("RATE_LIMIT_PER_MINUTE", 100, validate=RATE),
            login_rate_limit_per_minute=env.int("LOGIN_RATE_LIMIT_PER_MINUTE", 10, validate=RATE),
            trusted_proxy_hops=env.int("TRUSTED_PROXY_HOPS", 0, validate=validate.Range(0, 10)),
            neo4j=env.str("NEO4J", "embedded", validate=validate.OneOf(GRAPHS)),
            trace_percent=env.float("TRACE_PERCENT", 1, validate=PERCENT),
            monitoring=env.bool("MONITORING", True),
            prometheus_port=env.int("PROMETHEUS_PORT", 9090, validate=PORT),
            alertmanager_port=env.int("ALERTMANAGER_PORT", 9093, validate=PORT),
            urls={
                name: os.environ[f"MAMIE_{name.upper()}_URL"]
                for name in REPLACEABLE
                if os.environ.get(f"MAMIE_{name.upper()}_URL")
            },
        )
    except EnvError as error:
        print(f"configuration: {error}", file=sys.stderr)
        raise SystemExit(2) from error
