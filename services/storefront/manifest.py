"""What the storefront needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="storefront",
    port=8008,
    upstreams=("orders", "promotions", "recommendations", "users"),
    public=True,
    settings=("PROMETHEUS_URL", "TRACE_STORE_URL", "TRACE_VIEWER_URL"),
)
