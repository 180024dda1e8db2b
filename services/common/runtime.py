"""The life of a service process: start, announce, serve, drain, stop."""

import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from services.common.config import ServiceConfig
from services.common.consul_client import ConsulClient
from services.common.health import Check, HealthMonitor
from services.common.logging import configure_logging
from services.common.registration import Registration
from services.common.server import CannotListenError, GrpcServer, Servicer

log = structlog.get_logger()


class Worker(Protocol):
    """Something that runs beside the server, such as a sweeper or a relay."""

    def start(self) -> None:
        """Begin, in a thread of its own."""

    def stop(self) -> None:
        """Finish what is being done, and return when done."""


def serve(
    *,
    name: str,
    config: ServiceConfig,
    servicers: Sequence[Servicer],
    checks: Mapping[str, Check],
    workers: Sequence[Worker] = (),
) -> None:
    """Serve until SIGTERM or SIGINT, then leave without failing a call.

    The order of leaving: health says NOT_SERVING, Consul forgets the instance, clients
    have `drain_seconds` to notice, calls in flight finish, workers stop.
    """
    stopping = _stop_on_signals()
    server = _build_server(config, servicers)
    monitor = HealthMonitor(servicer=server.health, names=server.names, checks=checks)
    registration = Registration(
        consul=ConsulClient(config.consul_url),
        name=name,
        instance=config.instance,
        address=config.advertise_host,
        port=server.port,
        health_service=server.names[0],
    )
    server.start()
    monitor.start()
    for worker in workers:
        worker.start()
    registration.start()
    log.info("service_started", port=server.port)
    stopping.wait()
    log.info("service_draining")
    monitor.drain()
    registration.leave()
    # What watches Consul needs a moment to send new calls elsewhere; nothing tells us when.
    threading.Event().wait(config.drain_seconds)
    server.stop(config.stop_grace_seconds)
    for worker in workers:
        worker.stop()
    log.info("service_stopped")


def _build_server(config: ServiceConfig, servicers: Sequence[Servicer]) -> GrpcServer:
    """Return the server; a port that is taken ends the process and is named."""
    try:
        return GrpcServer(
            servicers=servicers,
            host=config.host,
            port=config.port,
            worker_threads=config.worker_threads,
            queue_limit=config.queue_limit,
        )
    except CannotListenError as error:
        log.error("cannot_listen", address=error.address, error=str(error))
        raise SystemExit(1) from None


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


Verb = Callable[[], None]


def main(name: str, config: ServiceConfig, *, verbs: Mapping[str, Verb]) -> None:
    """Run the verbs of the command line in order; "serve" when there is none."""
    configure_logging(level=config.log_level, service=name, instance=config.instance)
    wanted = sys.argv[1:] or ["serve"]
    if unknown := [verb for verb in wanted if verb not in verbs]:
        usage = f"unknown verb {unknown[0]!r}; there are: {', '.join(verbs)}"
        print(usage, file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    for verb in wanted:
        verbs[verb]()
