"""Keys rotate so that a valid token is never rejected for its key."""

import json

import pytest

from services.users.keys import CACHE_SECONDS, Keyring, KeyRotation
from services.users.tests.fakes import POLICY, InMemoryKeyRepository, ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def repository():
    return InMemoryKeyRepository()


@pytest.fixture
def rotation(repository, clock):
    return KeyRotation(repository=repository, policy=POLICY, clock=clock)


@pytest.fixture
def keyring(repository, rotation, clock):
    return build_keyring(repository, rotation, clock)


def build_keyring(repository, rotation, clock):
    return Keyring(repository=repository, rotation=rotation, clock=clock, monotonic=clock.monotonic)


def kids(keyring):
    return [key["kid"] for key in json.loads(keyring.jwks())["keys"]]


def test_the_first_key_is_created_on_demand_and_signs_at_once(keyring):
    assert kids(keyring) == [keyring.signing_key().kid]


def test_instances_share_their_keys(keyring, repository, rotation, clock):
    other = build_keyring(repository, rotation, clock)
    assert keyring.signing_key().kid == other.signing_key().kid


def test_the_jwks_holds_public_parameters_only(keyring):
    [key] = json.loads(keyring.jwks())["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")


def test_a_private_key_is_not_in_its_repr(rotation):
    [key] = rotation.rotate_if_due()
    assert "PRIVATE" not in repr(key)


def test_no_key_is_created_before_it_is_due(rotation, clock):
    first = rotation.rotate_if_due()
    clock.now += POLICY.lifetime - POLICY.lead_time * 2
    assert rotation.rotate_if_due() == first


def test_the_next_key_is_published_for_its_lead_time_and_then_signs(keyring, rotation, clock):
    first = keyring.signing_key().kid
    clock.now += POLICY.lifetime - POLICY.lead_time
    second = rotation.rotate_if_due()[-1].kid
    assert rotation.rotate_if_due()[-1].kid == second
    clock.move(seconds=CACHE_SECONDS)
    assert (kids(keyring), keyring.signing_key().kid) == ([first, second], first)
    clock.now += POLICY.lead_time
    assert (kids(keyring), keyring.signing_key().kid) == ([first, second], second)


def test_a_manually_rotated_key_is_published_before_it_signs(keyring, rotation, clock):
    first = keyring.signing_key().kid
    second = rotation.rotate()[-1].kid
    clock.move(seconds=CACHE_SECONDS)
    assert (kids(keyring), keyring.signing_key().kid) == ([first, second], first)
    clock.now += POLICY.lead_time
    assert keyring.signing_key().kid == second


def test_expired_keys_are_deleted(rotation, repository, clock):
    rotation.rotate_if_due()
    second = rotation.rotate()[-1]
    clock.move(hours=2)
    rotation.rotate_if_due()
    assert repository.keys() == [second]


def test_keys_are_read_from_the_store_when_the_cache_expires(keyring, repository, clock):
    keyring.jwks()
    keyring.signing_key()
    assert repository.reads == 1
    clock.move(seconds=CACHE_SECONDS)
    keyring.signing_key()
    assert repository.reads == 2
