"""The cache of public reads."""

import time
import uuid

import httpx
import pytest

from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

MAX_AGE = 1
GRANULARITY = 1
"""The age of an answer is counted in whole seconds."""


@pytest.fixture
def product() -> str:
    """Return a product that may be cached, of one test alone."""
    return f"cached-{uuid.uuid4().hex}"


def is_cached(client: httpx.Client, path: str) -> bool:
    return "age" in client.get(path).headers


def test_a_read_is_answered_from_the_cache(
    client: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    first = client.get(path)
    eventually(lambda: is_cached(client, path))
    asked = len(shop.calls_of("GetProduct", id=product))
    assert client.get(path).json() == first.json()
    assert len(shop.calls_of("GetProduct", id=product)) == asked


def test_an_answer_is_cached_no_longer_than_its_max_age(
    client: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_cached(client, path))
    asked, since = len(shop.calls_of("GetProduct", id=product)), time.monotonic()
    eventually(lambda: client.get(path) and len(shop.calls_of("GetProduct", id=product)) > asked)
    assert time.monotonic() - since < MAX_AGE + GRANULARITY + 0.5


def test_a_read_with_a_token_bypasses_the_cache(
    client: httpx.Client, signed_in: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_cached(client, path))
    asked = len(shop.calls_of("GetProduct", id=product))
    answers = [signed_in.get(path) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert len(shop.calls_of("GetProduct", id=product)) == asked + 3


def test_each_query_is_cached_separately(
    client: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_cached(client, path))
    asked = len(shop.calls_of("GetProduct", id=product))
    assert client.get(f"{path}?id=ignored").status_code == 200
    assert len(shop.calls_of("GetProduct", id=product)) == asked + 1


@pytest.mark.parametrize("scenario", ["missing", "big", "conflict"])
def test_errors_and_answers_without_max_age_are_not_cached(
    client: httpx.Client, shop: FakeShop, scenario: str
) -> None:
    product = f"{scenario}-{uuid.uuid4().hex}"
    answers = [client.get(f"/api/products/{product}") for _ in range(3)]
    assert not [answer for answer in answers if "age" in answer.headers]
    assert len(shop.calls_of("GetProduct", id=product)) == 3


def test_a_cached_answer_has_its_own_request_id_and_counts_towards_the_limit(
    client: httpx.Client, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_cached(client, path))
    first, second = client.get(path).headers, client.get(path).headers
    assert first["x-request-id"] != second["x-request-id"]
    assert int(second["x-ratelimit-remaining"]) <= int(first["x-ratelimit-remaining"])


def test_a_cached_answer_is_served_with_and_without_cors_and_gzip(
    client: httpx.Client, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_cached(client, path))
    page = {"origin": "http://localhost:3000"}
    packed = client.get(path, headers=page | {"accept-encoding": "gzip"})
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert packed.headers["access-control-allow-origin"] == page["origin"]
    assert packed.headers["content-encoding"] == "gzip"
    assert "access-control-allow-origin" not in plain.headers
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_errors_behind_the_cache_have_the_common_shape(client: httpx.Client) -> None:
    assert error_of(client.get("/api/products?bogus=1")) == (400, "MALFORMED_REQUEST")
    assert error_of(client.get("/api/products/missing")) == (404, "PRODUCT_NOT_FOUND")


def test_an_unavailable_read_behind_the_cache_is_retried_on_another_instance(
    client: httpx.Client, shop: FakeShop, instances: list[int]
) -> None:
    product = f"unavailable-{uuid.uuid4().hex}"
    assert error_of(client.get(f"/api/products/{product}")) == (503, "STORE_UNAVAILABLE")
    asked = [call.instance for call in shop.calls_of("GetProduct", id=product)]
    assert set(asked) == set(instances)


def test_the_service_gets_the_request_id(
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
def test_request_headers_do_not_control_the_cache(
    client: httpx.Client, product: str, headers: dict[str, str]
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_cached(client, path))
    whole = client.get(path)
    for answer in (client.get(path, headers=headers), client.get(path)):
        assert (answer.status_code, answer.content) == (200, whole.content)


def test_a_client_that_has_the_answer_gets_none(client: httpx.Client, product: str) -> None:
    path = f"/api/products/{product}"
    first = client.get(path)
    tag = first.headers["etag"]
    again = client.get(path, headers={"if-none-match": f'"another", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert "content-length" not in again.headers
    assert client.get(path, headers={"if-none-match": '"another"'}).json() == first.json()


def test_a_conditional_read_is_answered_from_the_cache(
    client: httpx.Client, shop: FakeShop, product: str
) -> None:
    path = f"/api/products/{product}"
    eventually(lambda: is_cached(client, path))
    asked = len(shop.calls_of("GetProduct", id=product))
    known = {"if-none-match": client.get(path).headers["etag"]}
    assert client.get(path, headers=known).status_code == 304
    assert len(shop.calls_of("GetProduct", id=product)) == asked


def test_the_connection_is_used_again_after_an_answer_without_a_body(
    edge: Envoy, client: httpx.Client, product: str
) -> None:
    path = f"/api/products/{product}"
    known = {"if-none-match": client.get(path).headers["etag"]}
    accepted = edge.statistic("http.edge.downstream_cx_total")
    assert accepted > 0
    for _ in range(3):
        assert client.get(path, headers=known).status_code == 304
        assert client.get(path).status_code == 200
    assert edge.statistic("http.edge.downstream_cx_total") == accepted


def test_a_change_is_never_answered_with_304(signed_in: httpx.Client) -> None:
    answer = signed_in.post(
        "/api/products/check-stock",
        json={"items": [{"productId": "a", "quantity": 1}]},
        headers={"if-none-match": "*"},
    )
    assert answer.status_code == 200
