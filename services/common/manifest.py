"""The manifest of a service: what it needs and what it offers, in one place.

Each folder of `services/` has a `manifest.py` with a MANIFEST. The local stack, the databases,
the checks of compose.yaml and the edge are derived from them (scripts/manifests.py reads all).
Nothing but the standard library is imported here, so that a manifest can be read without the
libraries of its service.
"""

from dataclasses import dataclass

STORES = ("postgres", "mongodb", "redis", "neo4j")
SETTINGS = (
    *("ADMIN_EMAIL", "ADMIN_PASSWORD", "SMTP_URL"),
    *("PROMETHEUS_URL", "TRACE_STORE_URL", "TRACE_VIEWER_URL"),
)
DECLARE = "declare"
"""The task that declares a consumer's queue: it exists before the first event is published."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One service. ValueError for a manifest that contradicts itself."""

    name: str
    """The name of its folder, in Consul, and of its package below `mamie_rosa` in the protos."""
    port: int
    """The gRPC port of its first instance; further instances take any free one."""
    instances: int = 1
    store: str = ""
    """The kind of its store, one of STORES; empty for a service without state."""
    tasks: tuple[str, ...] = ()
    """Verbs of its `__main__` that run, in this order, before its instances start."""
    publishes: bool = False
    consumes: bool = False
    """Whether it has a queue on the bus; then "declare" is one of its tasks."""
    upstreams: tuple[str, ...] = ()
    """The services that it calls; they need not be up when it starts."""
    streaming: str = ""
    """The name in Consul of its second server, for methods that stream; empty without any."""
    public: bool = False
    """Whether the edge routes requests to it: some of its methods have a path in REST."""
    settings: tuple[str, ...] = ()
    """Settings of the stack, of SETTINGS, that its instances and tasks read (MAMIE_...)."""
    task_settings: tuple[str, ...] = ()
    """Those that its tasks alone read."""

    def __post_init__(self) -> None:
        """Refuse a contradiction."""
        if self.store and self.store not in STORES:
            raise ValueError(f"{self.name}: the store is one of {', '.join(STORES)}")
        if self.consumes != (DECLARE in self.tasks):
            raise ValueError(f"{self.name}: a service that consumes has the task {DECLARE!r}")
        if unknown := set(self.settings + self.task_settings) - set(SETTINGS):
            raise ValueError(f"{self.name}: unknown settings: {', '.join(sorted(unknown))}")

    @property
    def uses_bus(self) -> bool:
        """Return whether its instances connect to the bus."""
        return self.publishes or self.consumes

    @property
    def module(self) -> str:
        """Return what `python -m` starts."""
        return f"services.{self.name}"
