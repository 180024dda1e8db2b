"""The keys that sign tokens: made in the store that all instances share, and read from there."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from joserfc.jwk import ECKey

from services.common.clock import Clock, utc_now
from services.users import domain
from services.users.domain import KeyPolicy, SigningKey
from services.users.key_repository import KeyRepository

CACHE_SECONDS = 5.0
"""How old the keys in memory may be; much less than a key's lead, so none is used late."""

log = structlog.get_logger()


def generate_key(signs_from: datetime) -> SigningKey:
    """Return a new key pair on P-256, named by its thumbprint (RFC 7638)."""
    pair = ECKey.generate_key("P-256")
    pem = pair.as_pem(private=True).decode()
    return SigningKey(kid=pair.thumbprint(), private_pem=pem, signs_from=signs_from)


def import_key(key: SigningKey) -> ECKey:
    """Return a key in a form that signs."""
    return ECKey.import_key(key.private_pem, {"kid": key.kid, "use": "sig", "alg": "ES256"})


class KeyRotation:
    """Makes keys and deletes those that are over. Several may do so at once: one key is made."""

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
        """Make the next key when it is time; return the keys that there are."""
        return self._rotate(self._is_due)

    def rotate(self) -> Sequence[SigningKey]:
        """Make the next key now: it is public at once and signs after its lead."""
        return self._rotate(lambda keys: True)

    def _is_due(self, keys: Sequence[SigningKey]) -> bool:
        return domain.is_key_due(keys, self._clock(), self._policy)

    def _rotate(self, wanted: Callable[[Sequence[SigningKey]], bool]) -> Sequence[SigningKey]:
        def decide(keys: Sequence[SigningKey]) -> Sequence[SigningKey]:
            now = self._clock()
            kept = domain.public_keys(keys, now)
            if not wanted(keys):
                return kept
            new = self._generate(domain.next_signs_from(keys, now, self._policy))
            log.info("signing_key_made", signs_from=new.signs_from.isoformat())
            return [*kept, new]

        return self._repository.change_keys(decide)


class Keyring:
    """The keys, as this instance knows them; there is always one that signs."""

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
        shown = domain.public_keys(self._keys(), self._clock())
        keys = [import_key(key).as_dict(private=False) for key in shown]
        return json.dumps({"keys": keys}).encode()

    def _keys(self) -> Sequence[SigningKey]:
        """Return the keys, from memory if they were read a moment ago."""
        fresh_until, keys = self._cached
        if not keys or self._monotonic() >= fresh_until:
            keys = self._repository.keys() or self._rotation.rotate_if_due()
            self._cached = (self._monotonic() + self._cache_seconds, keys)
        return keys
