"""The services of the shop: said here once, for the local stack."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """One service: its first port, how many instances, its store if any, and what prepares it."""

    name: str
    port: int
    instances: int
    store: str
    prepare: tuple[str, ...]

    @property
    def consumes(self) -> bool:
        """Tell whether it listens to the bus; its queue is there before anybody publishes."""
        return "declare" in self.prepare

    @property
    def module(self) -> str:
        """Return what `python -m` starts."""
        return f"services.{self.name}"


SERVICES = (
    Service("users", 8001, 2, "postgres", ("migrate", "seed")),
    Service("catalog", 8002, 5, "postgres", ("migrate", "seed")),
    Service("orders", 8003, 3, "mongodb", ("migrate",)),
    Service("promotions", 8004, 2, "redis", ("seed",)),
    Service("recommendations", 8005, 2, "neo4j", ("migrate", "seed", "declare")),
    Service("notifications", 8006, 1, "postgres", ("migrate", "declare")),
    Service("payments", 8007, 2, "postgres", ("migrate",)),
    Service("storefront", 8008, 1, "", ()),
)
CONTROL_PLANE_PORT = 18000
