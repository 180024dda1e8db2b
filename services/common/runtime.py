"""The life of a service process: start, register, serve, drain, stop."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import structlog

from services.common import background
from services.common.config import ServiceConfig
from services.common.errors import UnavailableError
from services.common.logging import configure_logging
from services.common.manifest import Manifest
from services.common.mesh.channels import Mesh
from services.common.mesh.consul import ConsulClient
from services.common.mesh.public_keys import open_keys
from services.common.mesh.registration import Registration
from services.common.mesh.worker_status import report_process
from services.common.rpc.health import Check, HealthMonitor
from services.common.rpc.public_keys import FetchKeys
from services.common.rpc.server import CannotListenError, GrpcServer, ServiceBinding
from services.common.rpc.streaming import Source, StreamingServer
from services.common.rpc.tokens import TokenVerifier
from services.common.tracing.export import exporters

TASK_TIMEOUT_SECONDS = 30.0
"""How long a task waits for a store that does not answer."""
RETRY_DELAY_SECONDS = 0.5
SUPERVISION_SECONDS = 1.0

log = structlog.get_logger()


class ProcessConfig(Protocol):
    """The configuration of a process; each service adds its own settings."""

    @property
    def service(self) -> ServiceConfig:
        """Return what every process has."""


Config = TypeVar("Config", bound=ProcessConfig)


def run(
    manifest: Manifest,
    read_config: Callable[[], Config],
    **verbs: Callable[[Config], None],
) -> None:
    """Read the configuration and run the verbs of the command line in order.

    A verb `rotate_keys` is written "rotate-keys". Without any it is "serve". The other verbs
    need a store or the bus, which may be starting still: they are repeated while it is
    unavailable, for TASK_TIMEOUT_SECONDS; after that the process ends and names the cause.
    """
    known = {name.replace("_", "-"): verb for name, verb in verbs.items()}
    if missing := {"serve", *manifest.tasks} - set(known):
        raise ValueError(f"{manifest.name} lacks the verbs {', '.join(sorted(missing))}")
    wanted = _parse_verbs(known)
    config = read_config()
    common = config.service
    configure_logging(level=common.log_level, service=manifest.name, instance=common.instance)
    for name in wanted:
        if name == "serve":
            _serve(known[name], config)
        else:
            _retry_while_unavailable(name, known[name], config)


def _serve(verb: Callable[[Config], None], config: Config) -> None:
    """Serve; a port that is taken ends the process and is named."""
    try:
        verb(config)
    except CannotListenError as error:
        log.error("cannot_listen", address=error.address, error=str(error))
        raise SystemExit(1) from None


def _parse_verbs(known: Mapping[str, object]) -> Sequence[str]:
    wanted = sys.argv[1:] or ["serve"]
    if unknown := [name for name in wanted if name not in known]:
        usage = f"unknown verb {unknown[0]!r}; there are: {', '.join(known)}"
        print(usage, file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    return wanted


def _retry_while_unavailable(name: str, task: Callable[[Config], None], config: Config) -> None:
    deadline, last_cause = time.monotonic() + TASK_TIMEOUT_SECONDS, ""
    while True:
        try:
            return task(config)
        except UnavailableError as error:
            cause = _describe_cause(error)
            if time.monotonic() > deadline:
                log.error("gave_up", verb=name, cause=cause)
                raise SystemExit(1) from None
            if cause != last_cause:
                log.warning("waiting", verb=name, cause=cause)
            last_cause = cause
            threading.Event().wait(RETRY_DELAY_SECONDS)  # no store sends a signal when it is ready


def _describe_cause(error: Exception) -> str:
    """Return the first line of the error that led to this one."""
    root = error.__cause__ or error
    return str(root).strip().partition("\n")[0] or repr(root)


def open_mesh(manifest: Manifest, config: ServiceConfig) -> Mesh:
    """Return what opens channels to a service's upstreams, and to no other service."""
    return Mesh(
        xds_servers=config.xds_servers,
        node_id=config.instance,
        upstreams=manifest.upstreams,
    )


class Worker(Protocol):
    """Work that runs beside the server, such as a sweeper or a relay."""

    def start(self) -> None:
        """Begin, in a thread of its own."""

    def stop(self) -> None:
        """Finish the work in hand, and return when it is done."""


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """The streams of a process, on a second server; `name` is that server's in Consul."""

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
    mesh: Mesh | None = None,
    fetch_keys: FetchKeys | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain without failing a call.

    The order: NOT_SERVING, leave Consul, `drain_seconds` for clients to notice, streams end, calls
    in flight finish, workers stop. The connections of `mesh` are details of the health. The keys
    that verify tokens come from users over it, or from `fetch_keys`; without both none is needed.

    A background loop whose thread has died ends the process at once, with a non-zero status.
    """
    stopping = _stop_on_signals()
    status = report_process(name, config)
    keys = open_keys([*bindings, *(streaming.bindings if streaming else ())], mesh, fetch_keys)
    workers = [*workers, keys.worker()] if keys else workers
    workers = [*workers, *exporters(config.traces_url, name, config.instance)]
    tokens = TokenVerifier(keys=keys) if keys else None
    details = mesh.health_details() if mesh else {}
    servers = _endpoints(name, config, bindings, checks, streaming, tokens=tokens, details=details)
    endpoints = list(servers)
    for endpoint in endpoints:
        endpoint.start()
    for worker in workers:
        worker.start()
    for endpoint in endpoints:
        endpoint.register()
    status.start()
    log.info("service_started", ports={each.name: each.port for each in endpoints})
    _supervise(stopping)
    log.info("service_draining")
    _drain(endpoints, config)
    for worker in workers:
        worker.stop()
    status.leave()
    log.info("service_stopped")


class _Endpoint:
    """A server, its health and its registration in Consul."""

    def __init__(
        self,
        server: GrpcServer | StreamingServer,
        *,
        name: str,
        instance: str,
        config: ServiceConfig,
        checks: Mapping[str, Check],
        details: Mapping[str, Check],
    ) -> None:
        self.name = name
        self.port = server.port
        self._server = server
        self._monitor = HealthMonitor(
            servicer=server.health, names=server.names, checks=checks, details=details
        )
        self._registration = Registration(
            consul=ConsulClient(config.consul_url),
            name=name,
            instance=instance,
            address=config.advertise_host,
            port=server.port,
            health_service=server.names[0],
        )

    def start(self) -> None:
        """Begin to serve and to check the health."""
        self._server.start()
        self._monitor.start()

    def register(self) -> None:
        """Register the instance in Consul."""
        self._registration.start()

    def drain(self) -> None:
        """Answer NOT_SERVING and leave Consul."""
        self._monitor.drain()
        self._registration.leave()

    def stop(self, grace_seconds: float) -> None:
        """Finish the calls in flight, within `grace_seconds`."""
        self._server.stop(grace_seconds)


def _endpoints(
    name: str,
    config: ServiceConfig,
    bindings: Sequence[ServiceBinding],
    checks: Mapping[str, Check],
    streaming: Streaming | None,
    *,
    tokens: TokenVerifier | None,
    details: Mapping[str, Check],
) -> Iterator[_Endpoint]:
    main = _build_server(config, bindings, tokens)
    endpoint = partial(_Endpoint, config=config, checks=checks, details=details)
    yield endpoint(main, name=name, instance=config.instance)
    if streaming:
        # On any free port: clients find it through Consul, where an id is unique among the
        # instances of all services.
        second = StreamingServer(
            bindings=streaming.bindings,
            source=streaming.source,
            host=config.host,
            tokens=tokens,
        )
        instance = f"{config.instance}-{streaming.name}"
        yield endpoint(second, name=streaming.name, instance=instance)


def _drain(endpoints: Sequence[_Endpoint], config: ServiceConfig) -> None:
    """Stop taking new calls, then finish those in flight."""
    for endpoint in endpoints:
        endpoint.drain()
    # The control plane and its clients need a moment to notice; there is no confirmation.
    threading.Event().wait(config.drain_seconds)
    for endpoint in reversed(endpoints):
        endpoint.stop(config.stop_grace_seconds)


def _build_server(
    config: ServiceConfig, bindings: Sequence[ServiceBinding], tokens: TokenVerifier | None
) -> GrpcServer:
    return GrpcServer(
        bindings=bindings,
        host=config.host,
        port=config.port,
        worker_threads=config.worker_threads,
        queue_limit=config.queue_limit,
        implementation=config.rpc_server,
        tokens=tokens,
    )


def _supervise(stopping: threading.Event) -> None:
    """Wait until the process is stopped; end it when a background loop has died."""
    while not stopping.wait(SUPERVISION_SECONDS):
        try:
            background.require_alive()
        except background.DeadLoopError as error:
            background.end_process(error)


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
