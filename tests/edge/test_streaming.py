"""Server-Sent Events through the edge: without buffering, over every protocol."""

import grpc
import httpx
import pytest
from mamie_rosa.orders.v1 import order_events_pb2, order_events_pb2_grpc

from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

LIVE = "/api/orders/live/events"


def event(number: int) -> str:
    return f"id: {number}\nevent: status\ndata: {{}}\n\n"


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def reader(edge: Envoy, signed_in: httpx.Client, request):
    """Yield a client of either HTTP version, with a token."""
    http2 = request.param == "HTTP/2"
    with httpx.Client(
        base_url=edge.http, http1=not http2, http2=http2, headers=signed_in.headers
    ) as client:
        yield client


def test_events_arrive_one_by_one_as_they_are_sent(reader: httpx.Client, shop: FakeShop) -> None:
    shop.stream_parts.put(event(1))
    with reader.stream("GET", LIVE, headers={"accept-encoding": "gzip"}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in answer.headers
        arriving = answer.iter_text()
        assert next(arriving) == event(1)
        for number in (2, 3):
            shop.stream_parts.put(event(number))
            assert next(arriving) == event(number)
        shop.stream_parts.put("")
        assert list(arriving) == []


def test_the_service_gets_the_last_event_id_of_a_reconnecting_client(
    signed_in: httpx.Client, shop: FakeShop
) -> None:
    for text in (event(8), ""):
        shop.stream_parts.put(text)
    assert signed_in.get(LIVE, headers={"last-event-id": "7"}).text == event(8)
    assert shop.calls[-1].metadata["last-event-id"] == "7"
    assert shop.calls[-1].metadata["authorization"] == signed_in.headers["authorization"]


def test_a_stream_has_a_deadline_of_an_hour_that_rest_clients_do_not_change(
    signed_in: httpx.Client, shop: FakeShop
) -> None:
    shop.stream_parts.put("")
    signed_in.get(LIVE, headers={"grpc-timeout": "1S"})
    assert 3500 < shop.calls[-1].remaining_seconds <= 3600


def test_a_stream_that_has_ended_is_answered_with_204(reader: httpx.Client) -> None:
    for _ in range(2):  # on one connection: nothing may be left over from the first answer
        answer = reader.get("/api/orders/over/events")
        assert (answer.status_code, answer.content) == (204, b"")


def test_errors_of_a_stream_have_the_common_shape(
    signed_in: httpx.Client, client: httpx.Client
) -> None:
    assert error_of(signed_in.get("/api/orders/missing/events")) == (404, "PRODUCT_NOT_FOUND")
    assert error_of(client.get(LIVE)) == (401, "NOT_SIGNED_IN")


def test_an_unavailable_stream_is_retried_on_another_instance(
    signed_in: httpx.Client, shop: FakeShop, instances: list[int]
) -> None:
    assert error_of(signed_in.get("/api/orders/unavailable/events")) == (503, "STORE_UNAVAILABLE")
    asked = [call.instance for call in shop.calls_of("WatchOrder", id="unavailable")]
    assert sorted(asked[:2]) == sorted(instances)


def test_the_call_is_cancelled_when_the_client_disconnects(
    signed_in: httpx.Client, edge: Envoy, shop: FakeShop
) -> None:
    shop.stream_parts.put(event(1))
    with signed_in.stream("GET", LIVE) as answer:
        assert next(answer.iter_text()) == event(1)
    active = "cluster.order-events.upstream_rq_active"
    assert eventually(lambda: edge.statistic(active) == 0)
    shop.stream_parts.put("")  # ends the thread of the fake shop


def test_a_grpc_client_may_watch(edge: Envoy, signed_in: httpx.Client, shop: FakeShop) -> None:
    for text in (event(1), event(2), ""):
        shop.stream_parts.put(text)
    request = order_events_pb2.WatchOrderRequest(id="live")
    metadata = (("authorization", signed_in.headers["authorization"]),)
    with grpc.insecure_channel(edge.address) as channel:
        stub = order_events_pb2_grpc.OrderEventsServiceStub(channel)
        parts = [part.data.decode() for part in stub.WatchOrder(request, metadata=metadata)]
    assert parts == [event(1), event(2)]
