"""What a token proves, and which tokens prove nothing."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from services.common.context import Caller
from services.common.rpc.public_keys import PublicKeys
from services.common.rpc.testing import ALICE_ID, KEY, new_key, publish, sign_token
from services.common.rpc.tokens import (
    AUDIENCE,
    ISSUER,
    LEEWAY_SECONDS,
    TokenExpiredError,
    TokenInvalidError,
    TokenVerifier,
)


class Users:
    """Publishes keys; counts how often they are fetched."""

    def __init__(self, *keys):
        self.jwks = publish(*keys)
        self.fetches = 0

    def fetch(self):
        self.fetches += 1
        return self.jwks


class ManualClock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now

    def monotonic(self):
        return self.now.timestamp()

    def move(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def users():
    return Users(KEY)


@pytest.fixture
def tokens(users, clock):
    keys = PublicKeys(fetch=users.fetch, monotonic=clock.monotonic)
    return TokenVerifier(keys=keys, clock=clock, max_remembered=3)


@pytest.mark.parametrize("role", ["customer", "admin"])
def test_a_token_proves_its_user_and_role(tokens, role):
    for _ in range(2):
        assert tokens.verify(sign_token(ALICE_ID, role)).caller == Caller(ALICE_ID, role)


def encoded(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def unsigned(algorithm="none"):
    _, claims, _ = sign_token(ALICE_ID, "admin").split(".")
    return f"{encoded({'alg': algorithm, 'kid': KEY.kid})}.{claims}."


def with_changed_claims():
    head, _, signature = sign_token(ALICE_ID).split(".")
    return f"{head}.{sign_token(ALICE_ID, 'admin').split('.')[1]}.{signature}"


def signed_with_the_public_key(secret):
    head = encoded({"alg": "HS256", "kid": KEY.kid})
    signed = f"{head}.{sign_token(ALICE_ID, 'admin').split('.')[1]}"
    digest = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def signed(key=KEY, header=None, **claims):
    """Sign a token with another header, or with other claims."""
    own = {"sub": ALICE_ID, "role": "admin", "iss": ISSUER, "aud": AUDIENCE}
    head = header or {"alg": "ES256", "kid": KEY.kid}
    algorithms = ["ES256", "ES384", "HS256"]
    return jwt.encode(head, {**own, "exp": int(time.time()) + 60, **claims}, key, algorithms)


PEM = KEY.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
P384 = ECKey.generate_key("P-384", {"kid": "test"})
FORGED = {
    "another-key-with-a-known-id": sign_token(ALICE_ID, "admin", key=new_key("test")),
    "changed-claims": with_changed_claims(),
    "no-signature": unsigned(),
    "no-signature-of-the-right-algorithm": unsigned("ES256"),
    "the-public-key-as-secret": signed_with_the_public_key(PEM),
    "the-published-key-as-secret": signed_with_the_public_key(publish(KEY)),
    "another-secret": signed(OctKey.generate_key(256), {"alg": "HS256", "kid": KEY.kid}),
    "another-curve": signed(P384, {"alg": "ES384", "kid": KEY.kid}),
    "no-key-id": signed(header={"alg": "ES256"}),
    "an-unknown-key": sign_token(ALICE_ID, "admin", key=new_key("unknown")),
    "another-issuer": signed(iss="https://another.example"),
    "another-audience": signed(aud="another"),
    "one-audience-of-several": signed(aud=["another", "mamie-rosa"]),
    "endless": signed(exp=None),
    "end-as-text": signed(exp="never"),
    "end-as-truth": signed(exp=True),
    "no-user": signed(sub=""),
    "user-as-number": signed(sub=1),
    "no-role": signed(role=None),
    "roles": signed(role=["admin"]),
    "empty": "",
    "text": "abc",
    "dots": "..",
    "not-base64": "%.%.%",
    "json-that-is-no-object": f"{encoded([])}.{encoded([])}.{encoded([])}",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_a_forged_token_proves_nothing(tokens, token):
    for _ in range(2):
        with pytest.raises(TokenInvalidError):
            tokens.verify(token)


def test_a_token_is_accepted_a_little_after_its_end_and_then_no_more(tokens, clock):
    token = sign_token(ALICE_ID, exp=int(clock().timestamp()) + 60)
    assert 60 < tokens.seconds_left(tokens.verify(token)) <= 60 + LEEWAY_SECONDS
    clock.move(60 + LEEWAY_SECONDS - 2)
    assert tokens.verify(token).caller.user_id == ALICE_ID
    clock.move(4)
    with pytest.raises(TokenExpiredError):
        tokens.verify(token)


def test_a_token_that_has_expired_when_it_is_first_seen_is_rejected(tokens):
    with pytest.raises(TokenExpiredError):
        tokens.verify(sign_token(ALICE_ID, exp=int(time.time()) - 60))


def test_a_token_that_an_instance_with_a_fast_clock_issued_is_accepted(tokens):
    now = int(time.time())
    assert tokens.verify(sign_token(ALICE_ID, iat=now + 3000, exp=now + 6600))


def test_a_token_that_was_verified_is_not_verified_again(tokens, monkeypatch):
    token = sign_token(ALICE_ID)
    verified = tokens.verify(token)
    monkeypatch.setattr(jwt, "decode", None)
    assert tokens.verify(token) is verified


def test_only_the_tokens_used_last_are_remembered(tokens):
    many = [sign_token(ALICE_ID, number=number) for number in range(4)]
    first, *_ = [tokens.verify(token) for token in many]
    assert len(tokens._remembered) == 3
    assert tokens.verify(many[0]) is not first


def test_a_token_whose_key_was_withdrawn_is_no_longer_accepted(tokens, users, clock):
    token = sign_token(ALICE_ID)
    tokens.verify(token)
    users.jwks = publish(new_key("second"))
    tokens._keys.refresh()
    clock.move(60)
    with pytest.raises(TokenInvalidError):
        tokens.verify(token)


def test_the_keys_rotate_while_tokens_are_verified(tokens, users, clock):
    first = sign_token(ALICE_ID)
    assert tokens.verify(first)
    second = new_key("second")
    users.jwks = publish(KEY, second)
    clock.move(60)
    assert tokens.verify(sign_token(ALICE_ID, key=second))
    assert tokens.verify(first)
