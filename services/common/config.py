"""The settings that every process reads from its environment, once, at start.

All variables begin with MAMIE_. A missing or bad one stops the process with exit
status 2 and one line that names it. Each may be given as a file that holds its value
(MAMIE_STORE_URL_FILE), for secrets.
"""

import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from environs import Env, FileAwareEnv, ValidationError, validate

from services.common import email_addresses

EVERYWHERE = "0.0.0.0"
FOREIGN = re.compile("(http|https|grpc|all)_proxy|CONSUL_HTTP_.*|PG[A-Z]+", re.IGNORECASE)
"""Variables of the developer, which libraries prefer to their arguments."""


def ignore_foreign_environment() -> None:
    """Remove FOREIGN from the environment of this process: all it connects to is configured."""
    for name in [name for name in os.environ if FOREIGN.fullmatch(name)]:
        del os.environ[name]


@contextmanager
def reading_environment() -> Iterator[Env]:
    """Yield a reader of MAMIE_* variables; a missing or bad one ends the process."""
    env = FileAwareEnv(prefix="MAMIE_", strip_whitespace=True)
    try:
        yield env
    except ValueError as error:  # environs' own, and the one about a file
        print(f"configuration: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from error


def parsed_by(parse: Callable[[str], object]) -> Callable[[str], None]:
    """Build a validator that accepts what `parse` accepts."""

    def check(text: str) -> None:
        try:
            parse(text)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return check


def read_email(env: Env, name: str, default: str) -> str:
    """Read an email address, and return it in ASCII."""
    check = parsed_by(email_addresses.parse)
    return email_addresses.parse(env.str(name, default, validate=check))


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """The settings of every gRPC service.

    `advertise_host` is the address in Consul. It is empty when the service listens on all
    addresses and none is set: then it is this machine's address on the way to Consul.
    """

    instance: str
    host: str
    advertise_host: str
    port: int
    metrics_port: int
    consul_url: str
    xds_servers: tuple[str, ...]
    bus_url: str
    worker_threads: int
    queue_limit: int
    rpc_server: str
    drain_seconds: float
    stop_grace_seconds: float
    log_level: str
    traces_url: str

    @classmethod
    def read(cls, env: Env) -> "ServiceConfig":
        """Read the common variables; docs/settings.md describes them."""
        host = env.str("HOST", "127.0.0.1")
        return cls(
            instance=env.str("INSTANCE", socket.gethostname()),
            host=host,
            advertise_host=env.str("ADVERTISE_HOST", "" if host == EVERYWHERE else host),
            port=env.int("PORT", 0, validate=validate.Range(0, 65535)),
            metrics_port=env.int("METRICS_PORT", 0, validate=validate.Range(0, 65535)),
            consul_url=env.str("CONSUL_URL", "http://127.0.0.1:8500"),
            xds_servers=tuple(env.list("XDS_SERVERS", ["127.0.0.1:18000"])),
            bus_url=env.str("BUS_URL", "amqp://guest:guest@127.0.0.1:5672/%2F"),
            worker_threads=env.int("WORKER_THREADS", 16, validate=validate.Range(1, 256)),
            queue_limit=env.int("QUEUE_LIMIT", 64, validate=validate.Range(1, 10_000)),
            rpc_server=env.str("RPC_SERVER", "grpcio", validate=validate.OneOf(RPC_SERVERS)),
            drain_seconds=env.float("DRAIN_SECONDS", 1.0, validate=validate.Range(0, 60)),
            stop_grace_seconds=env.float(
                "STOP_GRACE_SECONDS", 10.0, validate=validate.Range(0, 60)
            ),
            log_level=env.str("LOG_LEVEL", "info", validate=validate.OneOf(LOG_LEVELS)),
            traces_url=env.str("TRACES_URL", "", validate=parsed_by(_require_http)),
        )


def _require_http(url: str) -> None:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("must be http://host:port/path, or empty")


RPC_SERVERS = ("grpcio", "native")
LOG_LEVELS = ("debug", "info", "warning", "error")
