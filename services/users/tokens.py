"""Bearer tokens: JWTs, signed with ES256, that the edge and every service verify."""

from dataclasses import dataclass, field

from joserfc import jwt

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.rpc.tokens import ALGORITHM, AUDIENCE, ISSUER
from services.users.domain import TOKEN_LIFETIME, User
from services.users.keys import Keyring


@dataclass(frozen=True)
class Token:
    """A signed token and its lifetime."""

    value: str = field(repr=False)
    lifetime_seconds: int


class TokenIssuer:
    """Issues tokens that carry a user's id and role."""

    def __init__(self, *, keyring: Keyring, clock: Clock = utc_now, new_id: NewId = new_id) -> None:
        self._keyring = keyring
        self._clock = clock
        self._new_id = new_id

    def issue(self, user: User) -> Token:
        """Issue a token for a user, signed with the current key."""
        key = self._keyring.signing_key()
        now = int(self._clock().timestamp())
        lifetime_seconds = int(TOKEN_LIFETIME.total_seconds())
        claims = {
            "sub": user.user_id,
            "role": user.role.value,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + lifetime_seconds,
            "jti": self._new_id(),
        }
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
        return Token(jwt.encode(header, claims, key, algorithms=[ALGORITHM]), lifetime_seconds)
