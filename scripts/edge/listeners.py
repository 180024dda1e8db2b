"""Listeners in a file of their own: Envoy replaces them without a restart when it changes."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import requests

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.1


class ListenersRejectedError(Exception):
    """Envoy did not accept the listeners of the file; the message says why."""


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


def await_listeners(admin_url: str, file: Path) -> None:
    """Return when Envoy uses the listeners of a file; ListenersRejectedError when it does not."""
    version = json.loads(file.read_text())["version_info"]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while _version(admin_url) != version:
        if time.monotonic() > deadline:
            raise ListenersRejectedError(_error(admin_url) or "Envoy does not read its listeners")
        time.sleep(POLL_SECONDS)


def _version(admin_url: str) -> str:
    name = "listener_manager.lds.version_text"
    answer = requests.get(f"{admin_url}/stats", params={"filter": f"^{name}$"}, timeout=5)
    return answer.text.partition(":")[2].strip().strip('"')


def _error(admin_url: str) -> str:
    """Return why the last listeners were rejected, if they were."""
    resource = {"resource": "dynamic_listeners"}
    answer = requests.get(f"{admin_url}/config_dump", params=resource, timeout=5).json()
    states = (each.get("error_state", {}) for each in answer.get("configs", ()))
    return "; ".join(state["details"] for state in states if "details" in state)
