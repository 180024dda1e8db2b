"""The control plane: `python -m services.control_plane`. Tells everybody where everybody is."""

import asyncio
import signal

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common.config import ServiceConfig, reading_environment
from services.common.logging import configure_logging
from services.common.mesh.consul import ConsulClient
from services.common.rpc.server import OPTIONS, CannotListenError, listen
from services.control_plane import resources
from services.control_plane.ads import DiscoveryServer
from services.control_plane.policy import Policy, PolicyError, read_policy
from services.control_plane.watcher import GRACE_SECONDS, ServiceRegistry, Watcher

STOP_GRACE_SECONDS = 1.0

log = structlog.get_logger()


async def serve(config: ServiceConfig, policy: Policy) -> None:
    """Watch Consul and serve ADS until told to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    healthy = health.aio.HealthServicer()
    await healthy.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    discovery = DiscoveryServer()
    background: set[asyncio.Task] = set()

    def publish(services: resources.Services) -> None:
        if not discovery.is_ready:
            serving = healthy.set("", health_pb2.HealthCheckResponse.SERVING)
            background.add(loop.create_task(serving))
        discovery.publish(resources.build(services, policy))

    server = grpc.aio.server(options=tuple(OPTIONS.items()))
    server.add_generic_rpc_handlers((discovery.handler(),))
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    port = listen(server, config.host, config.port)
    await server.start()
    registry = ServiceRegistry(publish, grace_seconds=GRACE_SECONDS)
    Watcher(consul=ConsulClient(config.consul_url), registry=registry).start()
    log.info("control_plane_started", port=port)
    await stopping.wait()
    discovery.close()
    await server.stop(STOP_GRACE_SECONDS)
    log.info("control_plane_stopped")


if __name__ == "__main__":
    with reading_environment() as env:
        config = ServiceConfig.read(env)
    configure_logging(level=config.log_level, service="control_plane", instance=config.instance)
    try:
        policy = read_policy()
        resources.check(policy)
        asyncio.run(serve(config, policy))
    except PolicyError as error:
        log.error("bad_policy", error=str(error))
        raise SystemExit(2) from None
    except CannotListenError as error:
        log.error("cannot_listen", address=error.address, error=str(error))
        raise SystemExit(1) from None
