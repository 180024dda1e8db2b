"""Signing keys: their rotation in the shared store, and a cache of them in each instance."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from joserfc.jwk import ECKey
from prometheus_client import Gauge

from services.common.clock import Clock, utc_now
from services.users import domain
from services.users.domain import KeyPolicy, SigningKey
from services.users.key_repository import KeyRepository

CACHE_SECONDS = 5.0
"""How long keys are cached in memory; much less than a key's lead time, so none is used late."""

EXPIRY = Gauge(
    "mamie_signing_key_expiry_timestamp_seconds",
    "When the newest signing key ends to sign; the next one is created before that.",
)

log = structlog.get_logger()


def generate_key(signs_from: datetime) -> SigningKey:
    """Generate a key pair on P-256; its `kid` is its thumbprint (RFC 7638)."""
    pair = ECKey.generate_key("P-256")
    pem = pair.as_pem(private=True).decode()
    return SigningKey(kid=pair.thumbprint(), private_pem=pem, signs_from=signs_from)


def import_key(key: SigningKey) -> ECKey:
    """Load a key pair from its PEM, for signing or export."""
    return ECKey.import_key(key.private_pem, {"kid": key.kid, "use": "sig", "alg": "ES256"})


class KeyRotation:
    """Creates keys and deletes expired ones; instances that rotate at once create one key."""

    def __init__(
        self,
        *,
        repository: KeyRepository,
        policy: KeyPolicy,
        clock: Clock = utc_now,
        generate: Callable[[datetime], SigningKey] = generate_key,
    ) -> None:
        self._repository = repository
        self._policy = policy
        self._clock = clock
        self._generate = generate

    def rotate_if_due(self) -> Sequence[SigningKey]:
        """Create the next key when it is due; return all keys."""
        return self._rotate(self._is_due)

    def rotate(self) -> Sequence[SigningKey]:
        """Create the next key now: it is published at once and signs after its lead time."""
        return self._rotate(lambda keys: True)

    def _is_due(self, keys: Sequence[SigningKey]) -> bool:
        return domain.is_rotation_due(keys, self._clock(), self._policy)

    def _rotate(self, is_due: Callable[[Sequence[SigningKey]], bool]) -> Sequence[SigningKey]:
        def change(keys: Sequence[SigningKey]) -> Sequence[SigningKey]:
            kept = domain.public_keys(keys, self._clock())
            return [*kept, self._create(keys)] if is_due(keys) else kept

        keys = self._repository.change_keys(change)
        signs_until = max(key.signs_from for key in keys) + self._policy.lifetime
        EXPIRY.set(signs_until.timestamp())
        return keys

    def _create(self, existing: Sequence[SigningKey]) -> SigningKey:
        signs_from = domain.next_signing_time(existing, self._clock(), self._policy)
        key = self._generate(signs_from)
        log.info("signing_key_created", signs_from=signs_from.isoformat())
        return key


class Keyring:
    """The keys as this instance caches them; there is always one that signs."""

    def __init__(
        self,
        *,
        repository: KeyRepository,
        rotation: KeyRotation,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        cache_seconds: float = CACHE_SECONDS,
    ) -> None:
        self._repository = repository
        self._rotation = rotation
        self._clock = clock
        self._monotonic = monotonic
        self._cache_seconds = cache_seconds
        self._cached: tuple[float, Sequence[SigningKey]] = (0.0, ())

    def signing_key(self) -> ECKey:
        """Return the key that signs now."""
        return import_key(domain.signing_key(self._keys(), self._clock()))

    def jwks(self) -> bytes:
        """Return the public keys as a JSON Web Key Set (RFC 7517)."""
        published = domain.public_keys(self._keys(), self._clock())
        keys = [import_key(key).as_dict(private=False) for key in published]
        return json.dumps({"keys": keys}).encode()

    def _keys(self) -> Sequence[SigningKey]:
        """Return the keys: cached, or from the store, which gets its first key here."""
        expires_at, keys = self._cached
        if not keys or self._monotonic() >= expires_at:
            keys = self._repository.keys() or self._rotation.rotate_if_due()
            self._cached = (self._monotonic() + self._cache_seconds, keys)
        return keys
