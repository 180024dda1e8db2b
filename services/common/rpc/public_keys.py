"""The public keys with which tokens are verified, as this process holds them.

They are fetched in the background, and once more when a token names a key that is not known. Keys
that were fetched stay in use while users is unavailable: it publishes a key for minutes before the
first token is signed with it, and until after the last one has expired.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from services.common.background import BackgroundLoop
from services.common.errors import UnavailableError

REFRESH_SECONDS = 60.0
"""Much less than how long a key is published before it signs (MAMIE_KEY_LEAD_SECONDS of users)."""
RETRY_SECONDS = 1.0
"""Calls cause at most one fetch in this time, whatever tokens are sent."""
WAIT_SECONDS = 0.25
"""How long a call waits for a fetch that another one has started."""

FetchKeys = Callable[[], bytes]
"""Fetches the public keys as a JSON Web Key Set (RFC 7517); may raise UnavailableError."""

log = structlog.get_logger()


class KeysUnavailableError(UnavailableError):
    """The token cannot be verified: its key is not known, and users does not answer."""

    reason = "KEYS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The keys that verify tokens are unavailable; try again in a moment.")


class PublicKeys:
    """The public keys by their id; safe for use by several threads."""

    def __init__(
        self, *, fetch: FetchKeys, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: Mapping[str, ECKey] = {}
        self._fetching = threading.Lock()
        self._is_fresh = False
        self._retry_at = float("-inf")

    def __contains__(self, kid: str) -> bool:
        return kid in self._keys

    def find(self, kid: str) -> ECKey | None:
        """Return a key; None when users does not publish it.

        KeysUnavailableError when it is not known and users cannot be asked.
        """
        if kid not in self._keys:
            self._refetch(kid)
        key = self._keys.get(kid)
        if not key and not self._is_fresh:
            raise KeysUnavailableError
        return key

    def refresh(self) -> None:
        """Fetch the keys; may raise UnavailableError, or ValueError for what is no key set."""
        with self._fetching:
            self._replace()

    def worker(self) -> BackgroundLoop:
        """Build the loop that refreshes the keys."""

        def work(loop: BackgroundLoop) -> None:
            self.refresh()
            loop.succeeded()
            loop.wait(REFRESH_SECONDS)

        return BackgroundLoop(name="public-keys", work=work, stale_seconds=2 * REFRESH_SECONDS)

    def _refetch(self, kid: str) -> None:
        """Fetch the keys unless that was tried a moment ago; failures are logged."""
        if not self._fetching.acquire(timeout=WAIT_SECONDS):
            raise KeysUnavailableError
        try:
            if kid not in self._keys and self._monotonic() >= self._retry_at:
                self._replace()
        except (UnavailableError, ValueError) as error:
            log.warning("public_keys_unavailable", error=repr(error))
        finally:
            self._fetching.release()

    def _replace(self) -> None:
        self._is_fresh = False
        self._retry_at = self._monotonic() + RETRY_SECONDS
        self._keys = _read(self._fetch())
        self._is_fresh = True


def _read(jwks: bytes) -> Mapping[str, ECKey]:
    """Return the keys of a key set that are for ES256; ValueError when there is none."""
    try:
        keys = KeySet.import_key_set(json.loads(jwks)).keys
    except (JoseError, KeyError, TypeError) as error:
        raise ValueError("the public keys are malformed") from error
    found = {key.kid: key for key in keys if isinstance(key, ECKey) and key.kid}
    if not found:
        raise ValueError("there are no public keys")
    return found
