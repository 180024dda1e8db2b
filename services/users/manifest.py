"""What users needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="users",
    port=8001,
    instances=2,
    store="postgres",
    tasks=("migrate", "seed"),
    publishes=True,
    public=True,
    task_settings=("ADMIN_EMAIL", "ADMIN_PASSWORD"),
)
