"""What is answered from memory, and for how long."""

import time
import uuid

import httpx
import pytest

from tests.edge.envelope import reason_of
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

MAX_AGE = 1
GRANULARITY = 1
"""The age of an answer is counted in whole seconds."""


@pytest.fixture
def product() -> str:
    """Return a product that may be kept, and that no other test knows."""
    return f"cached-{uuid.uuid4().hex}"


def is_kept(client: httpx.Client, path: str) -> bool:
    return "age" in client.get(path).headers


def test_a_read_is_answered_from_the_cache(
    client: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    first = client.get(path)
    eventually(lambda: is_kept(client, path))
    asked = len(shop.calls_of("GetProduct", id=product))
    assert client.get(path).json() == first.json()
    assert len(shop.calls_of("GetProduct", id=product)) == asked


def test_it_is_not_kept_for_longer_than_its_service_says(
    client: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_kept(client, path))
    asked, since = len(shop.calls_of("GetProduct", id=product)), time.monotonic()
    eventually(lambda: client.get(path) and len(shop.calls_of("GetProduct", id=product)) > asked)
    assert time.monotonic() - since < MAX_AGE + GRANULARITY + 0.5


def test_who_is_signed_in_gets_what_is_true_now(
    client: httpx.Client, alice: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_kept(client, path))
    asked = len(shop.calls_of("GetProduct", id=product))
    answers = [alice.get(path) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert len(shop.calls_of("GetProduct", id=product)) == asked + 3


def test_each_query_is_kept_by_itself(client: httpx.Client, shop: FakeShop, product: str) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_kept(client, path))
    asked = len(shop.calls_of("GetProduct", id=product))
    assert client.get(f"{path}?id=ignored").status_code == 200
    assert len(shop.calls_of("GetProduct", id=product)) == asked + 1


@pytest.mark.parametrize("scenario", ["missing", "big", "conflict"])
def test_errors_and_what_no_service_lets_be_kept_are_not(
    client: httpx.Client, shop: FakeShop, scenario: str
) -> None:
    product = f"{scenario}-{uuid.uuid4().hex}"
    answers = [client.get(f"/api/products/{product}") for _ in range(3)]
    assert not [answer for answer in answers if "age" in answer.headers]
    assert len(shop.calls_of("GetProduct", id=product)) == 3


def test_what_is_kept_counts_and_is_told_apart(client: httpx.Client, product: str) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_kept(client, path))
    first, second = client.get(path).headers, client.get(path).headers
    assert first["x-request-id"] != second["x-request-id"]
    assert int(second["x-ratelimit-remaining"]) <= int(first["x-ratelimit-remaining"])


def test_what_is_kept_is_the_same_for_pages_and_who_takes_gzip(
    client: httpx.Client, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_kept(client, path))
    page = {"origin": "http://localhost:3000"}
    packed = client.get(path, headers=page | {"accept-encoding": "gzip"})
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert packed.headers["access-control-allow-origin"] == page["origin"]
    assert packed.headers["content-encoding"] == "gzip"
    assert "access-control-allow-origin" not in plain.headers
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_errors_behind_the_cache_have_the_one_shape(client: httpx.Client) -> None:
    assert reason_of(client.get("/api/products?bogus=1")) == (400, "MALFORMED_REQUEST")
    assert reason_of(client.get("/api/products/missing")) == (404, "PRODUCT_NOT_FOUND")


def test_a_read_behind_the_cache_that_is_refused_is_tried_on_another_instance(
    client: httpx.Client, shop: FakeShop, instances: list[int]
) -> None:
    product = f"unavailable-{uuid.uuid4().hex}"
    assert reason_of(client.get(f"/api/products/{product}")) == (503, "STORE_UNAVAILABLE")
    asked = [call.instance for call in shop.calls_of("GetProduct", id=product)]
    assert set(asked) == set(instances)


def test_the_service_learns_the_request_id(
    client: httpx.Client, shop: FakeShop, product: str
) -> None:
    answer = client.get(f"/api/products/{product}")
    (call,) = shop.calls_of("GetProduct", id=product)
    assert call.metadata["x-request-id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-9"},
        {"cache-control": "no-cache"},
        {"cache-control": "max-stale=9999"},
        {"pragma": "no-cache"},
    ],
    ids=lambda headers: next(iter(headers.values())),
)
def test_a_client_does_not_choose_what_it_gets_from_the_cache(
    client: httpx.Client, product: str, headers: dict[str, str]
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_kept(client, path))
    whole = client.get(path)
    for answer in (client.get(path, headers=headers), client.get(path)):
        assert (answer.status_code, answer.content) == (200, whole.content)
