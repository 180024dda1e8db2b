"""What notifications needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(
    name="notifications",
    port=8006,
    store="postgres",
    tasks=("migrate", "declare"),
    consumes=True,
    upstreams=("users",),
    public=True,
    settings=("ADMIN_EMAIL", "SMTP_URL"),
)
