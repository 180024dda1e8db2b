"""A control plane without Consul: the real xDS server, with instances that a test sets."""

import asyncio
import threading

import grpc

from scripts.manifests import read_services
from services.common.mesh.consul import Instance
from services.common.rpc.server import OPTIONS
from services.control_plane import resources
from services.control_plane.ads import DiscoveryServer
from services.control_plane.policy import read_policy

MANIFESTS = read_services()
SERVICES = [*(each.name for each in MANIFESTS), *(m.streaming for m in MANIFESTS if m.streaming)]


class StaticControlPlane:
    """Serves xDS to Envoy, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._discovery = DiscoveryServer()
        self._instances: dict[str, list[Instance]] = {name: [] for name in SERVICES}
        self.port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()

    async def _serve(self) -> int:
        self._server = grpc.aio.server(options=tuple(OPTIONS.items()))
        self._server.add_generic_rpc_handlers((self._discovery.handler(),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    def close(self) -> None:
        """Stop serving."""
        asyncio.run_coroutine_threadsafe(self._server.stop(0), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set_instances(self, service: str, *ports: int) -> None:
        """Publish a snapshot in which a service has exactly these ports of this machine."""
        self._instances[service] = [
            Instance(f"{service}-{port}", "127.0.0.1", port) for port in ports
        ]
        snapshot = resources.build(dict(self._instances), read_policy())
        self._loop.call_soon_threadsafe(self._discovery.publish, snapshot)
