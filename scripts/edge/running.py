"""What a running Envoy uses, read from its admin pages."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests

TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.1


class EdgeError(Exception):
    """Envoy does not use a configuration; the message says why."""


def await_listeners(admin_url: str, file: Path) -> None:
    """Return when Envoy uses the listeners of a file; EdgeError when it rejects them."""
    version = json.loads(file.read_text())["version_info"]
    if not _becomes(lambda: _listeners_version(admin_url) == version):
        raise EdgeError(_rejection(admin_url) or "Envoy does not read its listeners")


def await_clusters(admin_url: str, names: Iterable[str]) -> None:
    """Return when Envoy has an endpoint of each cluster; EdgeError when it gets none."""
    wanted = set(names)
    if not _becomes(lambda: wanted <= _clusters(admin_url)):
        raise EdgeError(f"Envoy has no endpoint of {', '.join(wanted - _clusters(admin_url))}")


def _becomes(condition: Callable[[], bool]) -> bool:
    """Return whether a condition becomes true in time."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return met


def _listeners_version(admin_url: str) -> str:
    answer = _get(admin_url, "stats", filter="^listener_manager.lds.version_text$")
    return answer.text.partition(":")[2].strip().strip('"')


def _rejection(admin_url: str) -> str:
    """Return why the last listeners were rejected, if they were."""
    dumped = _get(admin_url, "config_dump", resource="dynamic_listeners").json()
    states = (each.get("error_state", {}) for each in dumped.get("configs", ()))
    return "; ".join(state["details"] for state in states if "details" in state)


def _clusters(admin_url: str) -> set[str]:
    """Return the clusters that have an endpoint."""
    statuses = _get(admin_url, "clusters", format="json").json()["cluster_statuses"]
    return {each["name"] for each in statuses if each.get("host_statuses")}


def _get(admin_url: str, page: str, **query: Any) -> requests.Response:
    return requests.get(f"{admin_url}/{page}", params=query, timeout=5)
