"""The public keys: fetched in the background, and when a token names an unknown one."""

import threading
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from mamie_rosa.catalog.internal.v1 import catalog_pb2
from mamie_rosa.users.v1 import users_pb2_grpc

from services.common.errors import StoreUnavailableError
from services.common.mesh.channels import open_channel
from services.common.mesh.public_keys import open_keys
from services.common.rpc.public_keys import RETRY_SECONDS, KeysUnavailableError, PublicKeys
from services.common.rpc.server import GrpcServer, ServiceBinding
from services.common.rpc.testing import KEY, TOKENS, publish
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


class FakeUsers(users_pb2_grpc.UsersServiceServicer):
    """Publishes the key of tests."""

    def GetJwks(self, request, context):
        return HttpBody(content_type="application/json", data=publish(KEY))


class FakeMesh:
    """Opens channels to one server, whatever the name of the service."""

    def __init__(self, port):
        self._port = port
        self.services = []

    def channel(self, service):
        self.services.append(service)
        return open_channel(f"127.0.0.1:{self._port}")


@pytest.mark.integration
def test_the_keys_come_from_users_over_the_mesh():
    add = users_pb2_grpc.add_UsersServiceServicer_to_server
    users = FakeUsers()  # type: ignore[abstract]  # the methods that are not called
    binding = ServiceBinding("mamie_rosa.users.v1.UsersService", users, add)
    server = GrpcServer(
        bindings=[binding],
        host="127.0.0.1",
        port=0,
        worker_threads=2,
        queue_limit=9,
        tokens=TOKENS,
    )
    server.start()
    mesh: Any = FakeMesh(server.port)
    keys: Any = open_keys([binding], mesh, None)
    assert keys.find("test")
    assert mesh.services == ["users"]
    server.stop(0)
    with pytest.raises(KeysUnavailableError):
        keys.refresh()
    assert keys.find("test")


def test_a_service_without_guarded_methods_fetches_no_keys():
    name = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"].full_name
    mesh: Any = FakeMesh(1)
    assert open_keys([ServiceBinding(name, object(), print)], mesh, None) is None
    assert mesh.services == []


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
