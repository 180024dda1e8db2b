"""One Envoy for all tests of the edge, in front of a shop that remembers what it was asked."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from joserfc import jwk

from tests.edge import tokens
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.edge.mesh import SERVICES, Mesh
from tests.support.waiting import eventually

Place = Callable[..., None]
addresses = (f"127.0.{high}.{low}" for high in range(1, 255) for low in range(1, 255))


@pytest.fixture(scope="session")
def key() -> jwk.ECKey:
    """Return the key that users signs with."""
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
def mesh(instances: list[int]) -> Iterator[Mesh]:
    """Yield what tells Envoy where services are."""
    mesh = Mesh()
    for service in SERVICES:
        mesh.place(service, *instances)
    yield mesh
    mesh.close()


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory, mesh: Mesh, key: jwk.ECKey) -> Iterator[Envoy]:
    """Yield the edge, once it knows the services and the keys."""
    envoy = Envoy(tmp_path_factory.mktemp("edge"), xds_port=mesh.port)
    try:
        eventually(lambda: has_keys(envoy, key))
        yield envoy
    finally:
        envoy.stop()


def has_keys(envoy: Envoy, key: jwk.ECKey) -> bool:
    """Return whether an edge can judge tokens."""
    path = f"{envoy.http}/api/users/{tokens.ALICE}"
    return httpx.get(path, headers=tokens.bearer(tokens.sign(key))).status_code == 200


@pytest.fixture
def client(edge: Envoy) -> Iterator[httpx.Client]:
    """Yield a visitor from an address of its own, whom no limit has counted yet."""
    with client_from(next(addresses), edge) as client:
        yield client


@pytest.fixture
def alice(edge: Envoy, key: jwk.ECKey) -> Iterator[httpx.Client]:
    """Yield somebody who is signed in, from an address of her own."""
    headers = tokens.bearer(tokens.sign(key))
    with client_from(next(addresses), edge, headers=headers) as client:
        yield client


def client_from(address: str, envoy: Envoy, **options: Any) -> httpx.Client:
    """Return a client of an edge at one of this machine's own addresses."""
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=envoy.http, transport=transport, timeout=10, **options)


@pytest.fixture
def place(edge: Envoy, mesh: Mesh, instances: list[int]) -> Iterator[Place]:
    """Yield what moves a service to other ports, for the length of a test."""
    moved: set[str] = set()

    def place(service: str, *ports: int) -> None:
        moved.add(service)
        mesh.place(service, *ports)
        eventually(lambda: edge.knows(service, *ports))

    yield place
    for service in list(moved):
        place(service, *instances)
