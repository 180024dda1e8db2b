"""What payments needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="payments",
    port=8007,
    instances=2,
    store="postgres",
    tasks=("migrate",),
)
