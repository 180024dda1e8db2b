"""What orders needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="orders",
    port=8003,
    instances=3,
    store="mongodb",
    tasks=("migrate",),
    publishes=True,
    upstreams=("catalog", "payments", "promotions", "users"),
    streaming="order-events",
    public=True,
)
