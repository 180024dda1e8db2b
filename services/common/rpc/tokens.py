"""Verification of bearer tokens (JWT, RFC 7519): for whom a call is made, with proof.

Every service verifies the token itself, with the rules of the edge (envoy/tokens.yaml). Verifying a
signature takes some 100 microseconds; so a token that was verified is remembered, by its hash,
until it expires.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol

from services.common.clock import Clock, utc_now
from services.common.context import Caller
from services.common.errors import UnauthenticatedError
from services.common.rpc.public_keys import PublicKeys

ISSUER = "https://mamie-rosa.example"
AUDIENCE = "mamie-rosa"
ALGORITHM = "ES256"
LEEWAY_SECONDS = 10.0
"""How long after its end a token is accepted. Longer than at the edge (5 s): what that lets in is
not rejected behind it, a moment later and by another machine's clock."""
MAX_REMEMBERED = 10_000


class TokenInvalidError(UnauthenticatedError):
    """The token is forged or malformed, or for another audience."""

    reason = "TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("The token is invalid; sign in again.")


class TokenExpiredError(UnauthenticatedError):
    """The token has expired."""

    reason = "TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__("The token has expired; sign in again.")


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Whom a token is for; `accepted_until` is in seconds since 1970, with the leeway."""

    caller: Caller
    kid: str
    accepted_until: float


class TokenVerifier:
    """Verifies tokens with the public keys of users; safe for use by several threads."""

    def __init__(
        self, *, keys: PublicKeys, clock: Clock = utc_now, max_remembered: int = MAX_REMEMBERED
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._max_remembered = max_remembered
        self._remembered: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str) -> VerifiedToken:
        """Verify a token.

        TokenInvalidError, TokenExpiredError, or KeysUnavailableError when it cannot be verified.
        """
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._recall(digest)
        if not verified:
            verified = self._verify(token)
            self._remember(digest, verified)
        if self.seconds_left(verified) <= 0:
            raise TokenExpiredError
        return verified

    def seconds_left(self, verified: VerifiedToken) -> float:
        """Return for how long a token is still accepted, in seconds; negative if it is not."""
        return verified.accepted_until - self._clock().timestamp()

    def _recall(self, digest: bytes) -> VerifiedToken | None:
        """Return a token that was verified, unless its key was withdrawn since."""
        with self._lock:
            verified = self._remembered.get(digest)
            if verified:
                self._remembered.move_to_end(digest)
        return verified if verified and verified.kid in self._keys else None

    def _remember(self, digest: bytes, verified: VerifiedToken) -> None:
        with self._lock:
            self._remembered[digest] = verified
            if len(self._remembered) > self._max_remembered:
                self._remembered.popitem(last=False)

    def _verify(self, token: str) -> VerifiedToken:
        try:
            decoded = jwt.decode(token, self._key_of, algorithms=[ALGORITHM])
        except (JoseError, ValueError) as error:
            raise TokenInvalidError from error
        return _read(decoded.header["kid"], decoded.claims)

    def _key_of(self, signature: GuestProtocol) -> ECKey:
        """Return the key that a token names."""
        kid = signature.headers().get("kid")
        key = self._keys.find(kid) if isinstance(kid, str) else None
        if not key:
            raise TokenInvalidError
        return key


def _read(kid: str, claims: Mapping[str, Any]) -> VerifiedToken:
    """Return what a signed token says; TokenInvalidError if it is not one of this shop's.

    The time of its issue is not judged: the clock of the instance that issued it may be ahead.
    """
    user_id, role, expires_at = claims.get("sub"), claims.get("role"), claims.get("exp")
    if claims.get("iss") != ISSUER or claims.get("aud") not in (AUDIENCE, [AUDIENCE]):
        raise TokenInvalidError
    if not user_id or not isinstance(user_id, str) or not isinstance(role, str):
        raise TokenInvalidError
    if type(expires_at) is not int:
        raise TokenInvalidError
    return VerifiedToken(Caller(user_id, role), kid, expires_at + LEEWAY_SECONDS)
