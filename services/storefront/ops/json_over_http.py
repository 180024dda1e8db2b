"""Reads JSON over HTTP, within what remains of the current call's deadline."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from services.common.context import current
from services.common.mesh.channels import remaining_timeout

TIMEOUT_SECONDS = 1.5
SCHEMES = ("http", "https")


class ServerUnavailableError(Exception):
    """The server does not answer in time, or with something else than JSON."""


def parse_url(text: str) -> str:
    """Return an HTTP URL without a slash at its end, or nothing; ValueError for any other text."""
    url = urlsplit(text)
    if text and (url.scheme not in SCHEMES or not url.hostname or url.query or url.fragment):
        raise ValueError("must be a URL such as http://host:9090")
    return text.rstrip("/")


def get(url: str, parameters: Mapping[str, str] | None = None) -> Any | None:
    """Return the JSON at a URL, None for 404; ServerUnavailableError."""
    timeout = remaining_timeout(current(), TIMEOUT_SECONDS) or TIMEOUT_SECONDS / 100
    try:
        answer = requests.get(url, params=parameters, timeout=timeout, allow_redirects=False)
        if answer.status_code == requests.codes.not_found:
            return None
        answer.raise_for_status()
        return answer.json()
    except (requests.RequestException, ValueError) as error:
        raise ServerUnavailableError(url) from error
