"""What promotions needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="promotions",
    port=8004,
    instances=2,
    store="redis",
    tasks=("seed",),
    publishes=True,
    upstreams=("users",),
    public=True,
)
