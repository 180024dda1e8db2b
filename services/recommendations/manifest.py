"""What recommendations needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="recommendations",
    port=8005,
    instances=2,
    store="neo4j",
    tasks=("migrate", "seed", "declare"),
    consumes=True,
    upstreams=("users",),
    public=True,
)
