"""The services of the shop: said here once, for the local stack."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """One service: its first port, how many instances, its store, and what prepares it."""

    name: str
    port: int
    instances: int
    store: str
    prepare: tuple[str, ...]

    @property
    def module(self) -> str:
        """Return what `python -m` starts."""
        return f"services.{self.name}"


SERVICES = (
    Service("users", 8001, 2, "postgres", ("migrate", "seed")),
    Service("catalog", 8002, 5, "postgres", ("migrate", "seed")),
    Service("orders", 8003, 3, "mongodb", ("migrate",)),
    Service("promotions", 8004, 2, "redis", ("seed",)),
    Service("payments", 8007, 2, "postgres", ("migrate",)),
)
CONTROL_PLANE_PORT = 18000
