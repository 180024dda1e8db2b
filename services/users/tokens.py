"""Bearer tokens: JWTs, signed with ES256, that the edge verifies."""

from dataclasses import dataclass, field

from joserfc import jwt

from services.common.clock import Clock, NewId, new_id, utc_now
from services.users.domain import TOKEN_LIFE, User
from services.users.keys import Keyring

ISSUER = "https://mamie-rosa.example"
AUDIENCE = "mamie-rosa"
ALGORITHM = "ES256"


@dataclass(frozen=True)
class Token:
    """A signed token, and how long it lives."""

    value: str = field(repr=False)
    life_seconds: int


class TokenIssuer:
    """Signs tokens that say who somebody is, for an hour."""

    def __init__(self, *, keyring: Keyring, clock: Clock = utc_now, new_id: NewId = new_id) -> None:
        self._keyring = keyring
        self._clock = clock
        self._new_id = new_id

    def issue(self, user: User) -> Token:
        """Return a token for a user, signed with the key that signs now."""
        key = self._keyring.signing_key()
        now = int(self._clock().timestamp())
        life_seconds = int(TOKEN_LIFE.total_seconds())
        claims = {
            "sub": user.user_id,
            "role": user.role.value,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + life_seconds,
            "jti": self._new_id(),
        }
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
        return Token(jwt.encode(header, claims, key, algorithms=[ALGORITHM]), life_seconds)
