"""Known devices: those that signed in to an account before, and prove it with a token.

A token is a random id of the device and its time of issue, authenticated (HMAC-SHA256) together
with the email. It gives no access: it only keeps failures elsewhere from counting against
its device (`throttling.py`).
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta

from services.common.clock import Clock, utc_now

DEVICE_LIFETIME = timedelta(days=400)
"""How long a device is known; each sign-in begins anew."""


class KnownDevices:
    """Issues and verifies tokens of devices; all instances load the same key."""

    def __init__(self, *, load_key: Callable[[], bytes], clock: Clock = utc_now) -> None:
        self._load_key = load_key
        self._clock = clock
        self._key = b""

    def issue(self, email_key: str) -> str:
        """Issue a token to a device that has just signed in with an email."""
        issued = int(self._clock().timestamp())
        stem = f"{secrets.token_urlsafe(12)}.{issued}"
        return f"{stem}.{self._authenticate(stem, email_key)}"

    def identify(self, token: str, email_key: str) -> str:
        """Return the id of a device that is known for an email; empty for any other."""
        stem, _, code = token.rpartition(".")
        expected = self._authenticate(stem, email_key)
        if not stem or not hmac.compare_digest(code.encode(), expected.encode()):
            return ""
        device_id, _, issued = stem.partition(".")
        age_seconds = self._clock().timestamp() - int(issued)
        return device_id if age_seconds < DEVICE_LIFETIME.total_seconds() else ""

    def _authenticate(self, stem: str, email_key: str) -> str:
        self._key = self._key or self._load_key()
        code = hmac.digest(self._key, f"device\0{email_key}\0{stem}".encode(), "sha256")
        return urlsafe_b64encode(code).decode().rstrip("=")
