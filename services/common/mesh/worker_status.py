"""The state of a process's background loops, and where its metrics are, in Consul.

gRPC health says whether an instance can serve calls; a broker that hangs must not take it out
of the mesh. What its loops do is shown by an entry of its own, `<service>-workers`, which has
no gRPC tag: no client is ever routed to it. Its check is passing, or a warning that names the
loops that fail; it is critical when the process reports nothing at all. `scripts/status`
prints what is not passing. This is also the way of the alarm about an outbox that is stuck,
which cannot be published.

There is one such entry for each process, also for the control plane, which is no instance of the
mesh. So its address is that of the process's metrics; the tag `metrics` lets Prometheus find it.
"""

import structlog

from services.common import background
from services.common.background import BackgroundLoop, LoopReport
from services.common.config import ServiceConfig
from services.common.mesh.consul import ConsulClient, ConsulUnavailableError
from services.common.metrics.endpoint import TAG, serve_metrics
from services.common.rpc.server import CannotListenError

REPORT_SECONDS = 5.0
OWN_NAME = "worker-status"

log = structlog.get_logger()


def report_process(name: str, config: ServiceConfig) -> "WorkerStatus":
    """Serve the metrics of this process; build what reports it, which is not started.

    CannotListenError when the port of the metrics is taken.
    """
    try:
        port = serve_metrics(config.host, config.metrics_port)
    except OSError as error:
        raise CannotListenError(f"{config.host}:{config.metrics_port}") from error
    return WorkerStatus(
        consul=ConsulClient(config.consul_url),
        name=name,
        instance=config.instance,
        address=config.advertise_host,
        metrics_port=port,
    )


class WorkerStatus:
    """Reports the loops of this process to Consul; registers its entry whenever it is lost.

    An empty `address` is replaced by this machine's address on Consul's network.
    """

    def __init__(
        self,
        *,
        consul: ConsulClient,
        name: str,
        instance: str,
        address: str,
        metrics_port: int,
        report_seconds: float = REPORT_SECONDS,
    ) -> None:
        self._consul = consul
        self._address = address
        self._metrics_port = metrics_port
        self._name = f"{name}-workers"
        self._id = f"{instance}-workers"
        self._report_seconds = report_seconds
        self._is_registered = False
        self._loop = BackgroundLoop(
            name=OWN_NAME, work=self._run, expected=(ConsulUnavailableError,)
        )

    def start(self) -> None:
        """Begin to report."""
        self._loop.start()

    def leave(self) -> None:
        """Remove the entry."""
        self._loop.stop()
        try:
            self._consul.deregister(self._id)
        except ConsulUnavailableError as error:
            log.warning("consul_unavailable", error=str(error))

    def _run(self, loop: BackgroundLoop) -> None:
        while not loop.stopping:
            reports = [each for each in background.report() if each.name != OWN_NAME]
            self._report(all(each.healthy for each in reports), describe(reports))
            loop.succeeded()
            loop.wait(self._report_seconds)

    def _report(self, healthy: bool, text: str) -> None:
        # An instance that was killed may have left an entry, with the port that it had.
        if not self._is_registered:
            self._register()
        try:
            self._consul.report(self._id, healthy=healthy, text=text)
        except ConsulUnavailableError:  # not registered yet, or lost
            self._register()
            self._consul.report(self._id, healthy=healthy, text=text)

    def _register(self) -> None:
        self._consul.register_reporter(
            name=self._name,
            instance_id=self._id,
            address=self._address or self._consul.own_address(),
            port=self._metrics_port,
            tags=[TAG],
        )
        self._is_registered = True


def describe(reports: list[LoopReport]) -> str:
    """Return one line about all loops; those that fail come first."""
    ordered = sorted(reports, key=lambda each: each.healthy)
    return "; ".join(f"{each.name}: {each.text}" for each in ordered)
