"""Instances, and a registry whose publications are recorded."""

import asyncio

from services.common.mesh.consul import Instance
from services.control_plane.watcher import ServiceRegistry

ONE, TWO = Instance("catalog-1", "127.0.0.1", 1), Instance("catalog-2", "127.0.0.1", 2)
TIMEOUT_SECONDS = 10
NEVER = 3600.0
SOON = 0.02


class Published:
    """Records the published services."""

    def __init__(self):
        self.count = 0
        self.last = None
        self._changed = asyncio.Event()

    def __call__(self, services):
        self.count += 1
        self.last = dict(services)
        self._changed.set()

    async def until(self, expected):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.last != expected:
                self._changed.clear()
                await self._changed.wait()


def run(scenario, *, grace_seconds=NEVER):
    """Run a scenario with a registry on an event loop."""

    async def main():
        published = Published()
        registry = ServiceRegistry(published, grace_seconds=grace_seconds)
        await scenario(registry, published)

    asyncio.run(main())
