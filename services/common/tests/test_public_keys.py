"""The public keys: fetched in the background, and when a token names an unknown one."""

import threading

import pytest

from services.common.errors import StoreUnavailableError
from services.common.rpc.public_keys import RETRY_SECONDS, KeysUnavailableError, PublicKeys
from services.common.rpc.testing import KEY, publish
from tests.support.waiting import eventually


class Users:
    """Publishes keys, or raises `error`; counts the fetches."""

    def __init__(self):
        self.jwks = publish(KEY)
        self.error = None
        self.fetches = 0
        self.now = 0.0

    def fetch(self):
        self.fetches += 1
        if self.error:
            raise self.error
        return self.jwks

    def monotonic(self):
        return self.now


@pytest.fixture
def users():
    return Users()


@pytest.fixture
def keys(users):
    return PublicKeys(fetch=users.fetch, monotonic=users.monotonic)


def test_the_first_call_fetches_the_keys(keys, users):
    assert keys.find("test").as_dict(private=False) == KEY.as_dict(private=False)
    assert keys.find("test")
    assert users.fetches == 1


def test_unknown_keys_cause_one_fetch_a_second(keys, users):
    keys.refresh()
    users.now += RETRY_SECONDS
    assert [keys.find(f"unknown-{number}") for number in range(100)] == [None] * 100
    assert users.fetches == 2
    users.now += RETRY_SECONDS
    keys.find("unknown")
    assert users.fetches == 3


def test_without_any_keys_a_key_is_unavailable_not_unknown(keys, users, log):
    users.error = StoreUnavailableError()
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            keys.find("test")
    assert users.fetches == 1
    assert [line["event"] for line in log] == ["public_keys_unavailable"]
    users.error = None
    users.now += RETRY_SECONDS
    assert keys.find("test")


def test_known_keys_stay_in_use_while_users_is_unavailable(keys, users):
    keys.refresh()
    users.error = StoreUnavailableError()
    with pytest.raises(StoreUnavailableError):
        keys.refresh()
    users.now += RETRY_SECONDS
    assert keys.find("test")
    with pytest.raises(KeysUnavailableError):
        keys.find("unknown")


@pytest.mark.parametrize(
    "jwks",
    [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b'{"keys": [{"kty": "EC"}]}', b"\xff"],
)
def test_what_is_no_key_set_does_not_replace_the_keys(keys, users, jwks):
    keys.refresh()
    users.jwks = jwks
    with pytest.raises(ValueError, match=r".+"):
        keys.refresh()
    assert keys.find("test")


def test_keys_of_other_kinds_are_not_used(keys, users):
    users.jwks = publish(KEY).replace(
        b'"keys": [', b'"keys": [{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAA", "kid": "o"}, '
    )
    keys.refresh()
    assert keys.find("test")
    assert keys.find("o") is None


def test_a_call_does_not_wait_long_for_the_fetch_of_another(keys, users):
    entered, release = threading.Event(), threading.Event()

    def fetch():
        entered.set()
        release.wait(30)
        return publish(KEY)

    keys = PublicKeys(fetch=fetch)
    first = threading.Thread(target=keys.find, args=("test",))
    first.start()
    assert entered.wait(5)
    with pytest.raises(KeysUnavailableError):
        keys.find("test")
    release.set()
    first.join()
    assert keys.find("test")


def test_the_worker_fetches_at_once_and_reports_failures(keys, users):
    users.error = StoreUnavailableError()
    worker = keys.worker()
    worker.start()
    try:
        eventually(lambda: "StoreUnavailableError" in worker.report().text)
        users.error = None
        eventually(lambda: worker.report().healthy)
        assert "test" in keys
    finally:
        worker.stop()
