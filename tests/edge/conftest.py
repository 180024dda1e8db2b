"""One Envoy for all tests of the edge, in front of a shop that records its calls."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from joserfc import jwk

from tests.edge import tokens
from tests.edge.control_plane import SERVICES, StaticControlPlane
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

SetInstances = Callable[..., None]
addresses = (f"127.0.{high}.{low}" for high in range(1, 255) for low in range(1, 255))


@pytest.fixture(scope="session")
def key() -> jwk.ECKey:
    """Return the key that signs the tokens."""
    return tokens.new_key("first")


@pytest.fixture(scope="session")
def shop(key: jwk.ECKey) -> Iterator[FakeShop]:
    """Yield the shop behind the edge."""
    shop = FakeShop(jwks=tokens.published(key))
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def instances(shop: FakeShop) -> list[int]:
    """Return the ports of the shop's two instances."""
    return [shop.open(), shop.open()]


@pytest.fixture(scope="session")
def control_plane(instances: list[int]) -> Iterator[StaticControlPlane]:
    """Yield the control plane of Envoy."""
    control_plane = StaticControlPlane()
    for service in SERVICES:
        control_plane.set_instances(service, *instances)
    yield control_plane
    control_plane.close()


@pytest.fixture(scope="session")
def edge(
    tmp_path_factory: pytest.TempPathFactory, control_plane: StaticControlPlane, key: jwk.ECKey
) -> Iterator[Envoy]:
    """Yield the edge, once it has the services and the keys."""
    envoy = Envoy(tmp_path_factory.mktemp("edge"), xds_port=control_plane.port)
    try:
        eventually(lambda: has_keys(envoy, key))
        yield envoy
    finally:
        envoy.stop()


def has_keys(envoy: Envoy, key: jwk.ECKey) -> bool:
    """Return whether an edge can verify tokens."""
    path = f"{envoy.http}/api/users/{tokens.USER_ID}"
    return httpx.get(path, headers=tokens.bearer(tokens.sign(key))).status_code == 200


@pytest.fixture
def client(edge: Envoy) -> Iterator[httpx.Client]:
    """Yield a client without a token, from an address that no limit has counted yet."""
    with client_from(next(addresses), edge) as client:
        yield client


@pytest.fixture
def signed_in(edge: Envoy, key: jwk.ECKey) -> Iterator[httpx.Client]:
    """Yield a client with a token, from an address that no limit has counted yet."""
    headers = tokens.bearer(tokens.sign(key))
    with client_from(next(addresses), edge, headers=headers) as client:
        yield client


def client_from(address: str, envoy: Envoy, **options: Any) -> httpx.Client:
    """Return a client of an edge at one of this machine's own addresses."""
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=envoy.http, transport=transport, timeout=10, **options)


@pytest.fixture
def set_instances(
    edge: Envoy, control_plane: StaticControlPlane, instances: list[int]
) -> Iterator[SetInstances]:
    """Yield a function that changes the ports of a service until the test ends."""
    changed: set[str] = set()

    def change(service: str, *ports: int) -> None:
        changed.add(service)
        control_plane.set_instances(service, *ports)
        eventually(lambda: edge.has_endpoints(service, *ports))

    yield change
    for service in list(changed):
        change(service, *instances)
