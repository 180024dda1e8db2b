"""Listeners in a file of their own: Envoy replaces them without a restart when it changes."""

import hashlib
import json
from pathlib import Path
from typing import Any

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


def move_listeners(configuration: dict[str, Any], file: Path) -> None:
    """Move the listeners of a configuration to a file that it refers to."""
    listeners = configuration["static_resources"].pop("listeners")
    source = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
    configuration["dynamic_resources"]["lds_config"] = source
    resources = [{"@type": LISTENER, **listener} for listener in listeners]
    text = json.dumps(resources, default=str)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    fresh = file.with_suffix(".new")
    fresh.write_text(f'{{"version_info": "{version}", "resources": {text}}}')
    fresh.rename(file)  # Envoy reads the file when it is replaced, not when it is written to
