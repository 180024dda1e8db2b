"""The life of a service process: start, announce, serve, drain, stop."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.common.config import ServiceConfig
from services.common.errors import UnavailableError
from services.common.logging import configure_logging
from services.common.mesh.consul import ConsulClient
from services.common.mesh.registration import Registration
from services.common.rpc.health import Check, HealthMonitor
from services.common.rpc.server import CannotListenError, GrpcServer, ServiceBinding
from services.common.rpc.streaming import Source, StreamingServer

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5

log = structlog.get_logger()


class Worker(Protocol):
    """Something that runs beside the server, such as a sweeper or a relay."""

    def start(self) -> None:
        """Begin, in a thread of its own."""

    def stop(self) -> None:
        """Finish what is being done, and return when done."""


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """What a process streams, on a second server; `name` is that one's in Consul."""

    name: str
    bindings: Sequence[ServiceBinding]
    source: Source


def serve(
    *,
    name: str,
    config: ServiceConfig,
    bindings: Sequence[ServiceBinding],
    checks: Mapping[str, Check],
    workers: Sequence[Worker] = (),
    streaming: Streaming | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then leave without failing a call.

    The order of leaving: health says NOT_SERVING, Consul forgets the instance, clients
    have `drain_seconds` to notice, streams end, calls in flight finish, workers stop.
    """
    stopping = _stop_on_signals()
    endpoints = list(_endpoints(name, config, bindings, checks, streaming))
    for endpoint in endpoints:
        endpoint.start()
    for worker in workers:
        worker.start()
    for endpoint in endpoints:
        endpoint.announce()
    log.info("service_started", ports={each.name: each.port for each in endpoints})
    stopping.wait()
    log.info("service_draining")
    _leave(endpoints, config)
    for worker in workers:
        worker.stop()
    log.info("service_stopped")


class _Endpoint:
    """A server, with its health and its place in Consul."""

    def __init__(
        self,
        server: GrpcServer | StreamingServer,
        *,
        name: str,
        instance: str,
        config: ServiceConfig,
        checks: Mapping[str, Check],
    ) -> None:
        self.name = name
        self.port = server.port
        self._server = server
        self._monitor = HealthMonitor(servicer=server.health, names=server.names, checks=checks)
        self._registration = Registration(
            consul=ConsulClient(config.consul_url),
            name=name,
            instance=instance,
            address=config.advertise_host,
            port=server.port,
            health_service=server.names[0],
        )

    def start(self) -> None:
        """Begin to answer, and to tell the health."""
        self._server.start()
        self._monitor.start()

    def announce(self) -> None:
        """Let others find it."""
        self._registration.start()

    def leave(self) -> None:
        """Let nobody come any more."""
        self._monitor.drain()
        self._registration.leave()

    def stop(self, grace_seconds: float) -> None:
        """Finish what is being answered, at most `grace_seconds` long."""
        self._server.stop(grace_seconds)


def _endpoints(
    name: str,
    config: ServiceConfig,
    bindings: Sequence[ServiceBinding],
    checks: Mapping[str, Check],
    streaming: Streaming | None,
) -> Iterator[_Endpoint]:
    main = _build_server(config, bindings)
    yield _Endpoint(main, name=name, instance=config.instance, config=config, checks=checks)
    if streaming:
        # On any free port: whoever calls it has asked Consul, which knows instances by ids,
        # whatever they are instances of.
        second = StreamingServer(
            bindings=streaming.bindings, source=streaming.source, host=config.host
        )
        instance = f"{config.instance}-{streaming.name}"
        yield _Endpoint(
            second, name=streaming.name, instance=instance, config=config, checks=checks
        )


def _leave(endpoints: Sequence[_Endpoint], config: ServiceConfig) -> None:
    """Send everybody elsewhere, then finish what is being answered."""
    for endpoint in endpoints:
        endpoint.leave()
    # What watches Consul needs a moment to send new calls elsewhere; nothing tells us when.
    threading.Event().wait(config.drain_seconds)
    for endpoint in reversed(endpoints):
        endpoint.stop(config.stop_grace_seconds)


def _build_server(config: ServiceConfig, bindings: Sequence[ServiceBinding]) -> GrpcServer:
    """Return the server; a port that is taken ends the process and is named."""
    try:
        return GrpcServer(
            bindings=bindings,
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
    """Run the verbs of the command line in order; "serve" when there is none.

    Those before "serve" need a store that may be starting still: they wait for it. One that
    stays away ends the process, and is named.
    """
    configure_logging(level=config.log_level, service=name, instance=config.instance)
    wanted = sys.argv[1:] or ["serve"]
    if unknown := [verb for verb in wanted if verb not in verbs]:
        usage = f"unknown verb {unknown[0]!r}; there are: {', '.join(verbs)}"
        print(usage, file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    for verb in wanted:
        if verb == "serve":
            verbs[verb]()
        else:
            _patiently(verb, verbs[verb])


def _patiently(name: str, verb: Verb) -> None:
    """Do something, again and again while what it needs is away, at most PATIENCE_SECONDS."""
    deadline, told = time.monotonic() + PATIENCE_SECONDS, ""
    while True:
        try:
            return verb()
        except UnavailableError as error:
            root = error.__cause__ or error
            cause = str(root).strip().partition("\n")[0] or repr(root)
            if time.monotonic() > deadline:
                log.error("gave_up", verb=name, cause=cause)
                raise SystemExit(1) from None
            if cause != told:
                log.warning("waiting", verb=name, cause=cause)
            told = cause
            threading.Event().wait(PAUSE_SECONDS)  # nothing tells when it is there
