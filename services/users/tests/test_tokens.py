"""The claims of tokens, and their verification with the public keys."""

import json

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from services.users.domain import Role
from services.users.keys import Keyring, KeyRotation
from services.users.tests.fakes import POLICY, InMemoryKeyRepository, ManualClock, build_user
from services.users.tokens import TokenIssuer

JTI = "33333333-3333-4333-8333-333333333333"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def keys():
    return InMemoryKeyRepository()


@pytest.fixture
def rotation(keys, clock):
    return KeyRotation(repository=keys, policy=POLICY, clock=clock)


@pytest.fixture
def keyring(keys, rotation, clock):
    return Keyring(repository=keys, rotation=rotation, clock=clock, monotonic=clock.monotonic)


@pytest.fixture
def tokens(keyring, clock):
    return TokenIssuer(keyring=keyring, clock=clock, new_id=lambda: JTI)


def verify(keyring, token):
    keys = KeySet.import_key_set(json.loads(keyring.jwks()))
    return jwt.decode(token, keys, algorithms=["ES256"])


def test_a_token_has_subject_role_issuer_audience_and_expiry(tokens, keyring, clock):
    user = build_user(role=Role.ADMIN)
    token = tokens.issue(user)
    now = int(clock().timestamp())
    assert verify(keyring, token.value).claims == {
        "sub": user.user_id,
        "role": "admin",
        "iss": "https://mamie-rosa.example",
        "aud": "mamie-rosa",
        "iat": now,
        "exp": now + 3600,
        "jti": JTI,
    }
    assert token.lifetime_seconds == 3600


def test_the_header_of_a_token_names_its_key(tokens, keyring):
    header = verify(keyring, tokens.issue(build_user()).value).header
    assert header == {"alg": "ES256", "typ": "JWT", "kid": keyring.signing_key().kid}


def test_a_token_is_still_verified_after_its_key_retires(tokens, keyring, rotation, clock):
    token = tokens.issue(build_user())
    rotation.rotate()
    clock.move(minutes=59)
    assert verify(keyring, token.value).header["kid"] != keyring.signing_key().kid


def test_a_token_is_not_in_its_repr(tokens):
    token = tokens.issue(build_user())
    assert token.value not in repr(token)


def test_a_forged_token_is_not_verified(tokens, keyring):
    head, claims, signature = tokens.issue(build_user()).value.split(".")
    other = tokens.issue(build_user()).value.split(".")[1]
    assert claims != other
    with pytest.raises(BadSignatureError):
        verify(keyring, f"{head}.{other}.{signature}")
