"""What the catalog needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="catalog",
    port=8002,
    instances=5,
    store="postgres",
    tasks=("migrate", "seed"),
    publishes=True,
    upstreams=("orders", "promotions", "users"),
    public=True,
)
