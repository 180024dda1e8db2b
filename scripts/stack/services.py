"""The services of the shop: said here once, for the local stack."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """One service: its first port, how many instances, its store if any, and what prepares it.

    `on_bus` tells whether it publishes or consumes events.
    """

    name: str
    port: int
    instances: int
    store: str
    prepare: tuple[str, ...]
    on_bus: bool

    @property
    def consumes(self) -> bool:
        """Return whether it listens to the bus; its queue is there before anybody publishes."""
        return "declare" in self.prepare

    @property
    def module(self) -> str:
        """Return what `python -m` starts."""
        return f"services.{self.name}"


SERVICES = (
    Service("users", 8001, 2, "postgres", ("migrate", "seed"), on_bus=True),
    Service("catalog", 8002, 5, "postgres", ("migrate", "seed"), on_bus=True),
    Service("orders", 8003, 3, "mongodb", ("migrate",), on_bus=True),
    Service("promotions", 8004, 2, "redis", ("seed",), on_bus=True),
    Service("recommendations", 8005, 2, "neo4j", ("migrate", "seed", "declare"), on_bus=True),
    Service("notifications", 8006, 1, "postgres", ("migrate", "declare"), on_bus=True),
    Service("payments", 8007, 2, "postgres", ("migrate",), on_bus=False),
    Service("storefront", 8008, 1, "", (), on_bus=False),
)
CONTROL_PLANE_PORT = 18000
