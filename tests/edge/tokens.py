"""Keys and tokens like those of the users service."""

import json
import time
from typing import Any

from joserfc import jwk, jwt

USER_ID = "0a11ce00-0000-4000-8000-000000000001"


def new_key(key_id: str) -> jwk.ECKey:
    """Return a key to sign with."""
    return jwk.ECKey.generate_key("P-256", {"kid": key_id, "alg": "ES256", "use": "sig"})


def published(*keys: jwk.ECKey) -> bytes:
    """Return the public halves of keys, as a JSON Web Key Set."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def sign(key: jwk.ECKey, **claims: Any) -> str:
    """Return a token that is valid for an hour; `claims` replace its own."""
    now = int(time.time())
    usual = {
        "iss": "https://mamie-rosa.example",
        "aud": "mamie-rosa",
        "sub": USER_ID,
        "role": "customer",
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode({"alg": "ES256", "kid": key.kid}, usual | claims, key)


def bearer(token: str) -> dict[str, str]:
    """Return the header with a bearer token."""
    return {"authorization": f"Bearer {token}"}
