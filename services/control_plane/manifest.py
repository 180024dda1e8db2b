"""What the control plane needs and offers."""

from services.common.manifest import Manifest

MANIFEST = Manifest(name="control_plane", port=18000)
