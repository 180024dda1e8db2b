"""The control plane: `python -m services.control_plane [serve]`. Serves xDS from Consul."""

import asyncio
import signal
from contextlib import suppress

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common import background, runtime
from services.common.mesh.consul import ConsulClient
from services.common.mesh.worker_status import report_process
from services.common.rpc.server import OPTIONS, listen
from services.control_plane import resources
from services.control_plane.ads import DiscoveryServer
from services.control_plane.config import ControlPlaneConfig, read_config
from services.control_plane.manifest import MANIFEST
from services.control_plane.watcher import GRACE_SECONDS, ServiceRegistry, Watcher

STOP_GRACE_SECONDS = 1.0
SUPERVISION_SECONDS = 1.0

log = structlog.get_logger()


def serve(config: ControlPlaneConfig) -> None:
    """Watch Consul and serve ADS until it is stopped."""
    asyncio.run(_serve(config))


async def _serve(config: ControlPlaneConfig) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    healthy = health.aio.HealthServicer()
    await healthy.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    discovery = DiscoveryServer()
    snapshots = resources.SnapshotBuilder(config.policy)
    background: set[asyncio.Task] = set()

    def publish(services: resources.Services) -> None:
        if not discovery.is_ready:
            serving = healthy.set("", health_pb2.HealthCheckResponse.SERVING)
            background.add(loop.create_task(serving))
        discovery.publish(snapshots.build(services))

    server = grpc.aio.server(options=tuple(OPTIONS.items()))
    server.add_generic_rpc_handlers((discovery.handler(),))
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    port = listen(server, config.service.host, config.service.port)
    await server.start()
    registry = ServiceRegistry(publish, grace_seconds=GRACE_SECONDS)
    Watcher(consul=ConsulClient(config.service.consul_url), registry=registry).start()
    status = report_process(MANIFEST.name, config.service)
    status.start()
    log.info("control_plane_started", port=port)
    await _supervise(stopping)
    discovery.close()
    await server.stop(STOP_GRACE_SECONDS)
    await asyncio.to_thread(status.leave)
    log.info("control_plane_stopped")


async def _supervise(stopping: asyncio.Event) -> None:
    """Wait until the process is stopped; end it when a watcher has died."""
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), SUPERVISION_SECONDS)
        try:
            background.require_alive()
        except background.DeadLoopError as error:
            background.end_process(error)


if __name__ == "__main__":
    runtime.run(MANIFEST, read_config, serve=serve)
