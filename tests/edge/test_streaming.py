"""How a stream passes the edge: at once, for as long as it lives, in every form."""

import grpc
import httpx
import pytest
from mamie_rosa.orders.v1 import order_events_pb2, order_events_pb2_grpc

from tests.edge import tokens
from tests.edge.envelope import reason_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

LIVE = "/api/orders/live/events"


def event(number: int) -> str:
    return f"id: {number}\nevent: status\ndata: {{}}\n\n"


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def reader(edge: Envoy, alice: httpx.Client, request):
    """Return a client of either version, signed in."""
    http2 = request.param == "HTTP/2"
    with httpx.Client(
        base_url=edge.http, http1=not http2, http2=http2, headers=alice.headers
    ) as client:
        yield client


def test_events_arrive_one_by_one_as_they_are_written(reader: httpx.Client, shop: FakeShop) -> None:
    shop.told.put(event(1))
    with reader.stream("GET", LIVE, headers={"accept-encoding": "gzip"}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in answer.headers
        arriving = answer.iter_text()
        assert next(arriving) == event(1)
        for number in (2, 3):
            shop.told.put(event(number))
            assert next(arriving) == event(number)
        shop.told.put("")
        assert list(arriving) == []


def test_a_client_that_comes_back_says_what_it_got(alice: httpx.Client, shop: FakeShop) -> None:
    for text in (event(8), ""):
        shop.told.put(text)
    assert alice.get(LIVE, headers={"last-event-id": "7"}).text == event(8)
    assert shop.calls[-1].metadata["last-event-id"] == "7"
    assert shop.calls[-1].metadata["x-user-id"] == tokens.ALICE


def test_a_stream_has_an_hour_whatever_a_rest_client_says(
    alice: httpx.Client, shop: FakeShop
) -> None:
    shop.told.put("")
    alice.get(LIVE, headers={"grpc-timeout": "1S"})
    assert 3500 < shop.calls[-1].remaining_seconds <= 3600


def test_a_client_that_has_heard_all_is_told_not_to_come_back(reader: httpx.Client) -> None:
    for _ in range(2):  # on one connection: nothing may be left over from the first answer
        answer = reader.get("/api/orders/over/events")
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_refusal_has_the_shape_that_all_have(alice: httpx.Client, client: httpx.Client) -> None:
    assert reason_of(alice.get("/api/orders/missing/events")) == (404, "PRODUCT_NOT_FOUND")
    assert reason_of(client.get(LIVE)) == (401, "NOT_SIGNED_IN")


def test_an_instance_that_refuses_is_not_the_last_that_is_asked(
    alice: httpx.Client, shop: FakeShop, instances: list[int]
) -> None:
    assert reason_of(alice.get("/api/orders/unavailable/events")) == (503, "STORE_UNAVAILABLE")
    asked = [call.instance for call in shop.calls_of("WatchOrder", id="unavailable")]
    assert sorted(asked[:2]) == sorted(instances)


def test_the_service_hears_of_a_client_that_leaves(
    alice: httpx.Client, edge: Envoy, shop: FakeShop
) -> None:
    shop.told.put(event(1))
    with alice.stream("GET", LIVE) as answer:
        assert next(answer.iter_text()) == event(1)
    active = "cluster.order-events.upstream_rq_active"
    assert eventually(lambda: edge.statistic(active) == 0)
    shop.told.put("")  # for the thread of the fake shop that still waits


def test_a_grpc_client_may_watch_too(edge: Envoy, alice: httpx.Client, shop: FakeShop) -> None:
    for text in (event(1), event(2), ""):
        shop.told.put(text)
    request = order_events_pb2.WatchOrderRequest(id="live")
    metadata = (("authorization", alice.headers["authorization"]),)
    with grpc.insecure_channel(edge.address) as channel:
        stub = order_events_pb2_grpc.OrderEventsServiceStub(channel)
        parts = [part.data.decode() for part in stub.WatchOrder(request, metadata=metadata)]
    assert parts == [event(1), event(2)]
