"""The parts, asked from services on a real server."""

import threading
import time
from collections.abc import Callable

import grpc
import pytest
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc
from mamie_rosa.recommendations.v1 import recommendations_pb2, recommendations_pb2_grpc
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc

from services.common.context import CallContext, Caller, current, use
from services.common.errors import UnavailableError
from services.common.mesh.channels import open_channel
from services.common.rpc.authorization import NotYoursError
from services.common.rpc.server import GrpcServer, ServiceBinding
from services.storefront.__main__ import build_parts
from services.storefront.parts import PartAwayError
from services.storefront.tests.fakes import (
    NAMES,
    ORDERS,
    PROFILE,
    PROMOTIONS,
    RECOMMENDATIONS,
    VALUES,
)

pytestmark = pytest.mark.integration

ALICE = Caller("alice", "customer")
TIMEOUT_SECONDS = 5.0
ROUNDING_SECONDS = 0.1
"""A deadline travels in three digits or so."""


class FakeServices(
    users_pb2_grpc.UsersServiceServicer,
    orders_pb2_grpc.OrdersServiceServicer,
    recommendations_pb2_grpc.RecommendationsServiceServicer,
    promotions_pb2_grpc.PromotionsServiceServicer,
):
    """All that the storefront asks; remembers each request and the call it came with."""

    def __init__(self):
        self.asked = {}
        self.calls = 0
        self.failure: Exception | None = None
        self.going = threading.Event()
        self.going.set()

    def _answer(self, request, answer):
        self.calls += 1
        self.asked[type(request).__name__] = (request, current())
        assert self.going.wait(30)
        if self.failure:
            raise self.failure
        return answer

    def GetUser(self, request, context):
        return self._answer(request, PROFILE)

    def ListOrders(self, request, context):
        return self._answer(request, orders_pb2.ListOrdersResponse(orders=ORDERS, total=9))

    def GetRecommendations(self, request, context):
        answer = recommendations_pb2.GetRecommendationsResponse(recommendations=RECOMMENDATIONS)
        return self._answer(request, answer)

    def ListActivePromotions(self, request, context):
        running = [
            promotions_pb2.ActivePromotion(code=promo.code, discount_percentage=10)
            for promo in PROMOTIONS
        ]
        return self._answer(
            request, promotions_pb2.ListActivePromotionsResponse(promotions=running)
        )


FACES: dict[str, Callable[..., None]] = {
    "mamie_rosa.users.v1.UsersService": users_pb2_grpc.add_UsersServiceServicer_to_server,
    "mamie_rosa.orders.v1.OrdersService": orders_pb2_grpc.add_OrdersServiceServicer_to_server,
    "mamie_rosa.recommendations.v1.RecommendationsService": (
        recommendations_pb2_grpc.add_RecommendationsServiceServicer_to_server
    ),
    "mamie_rosa.promotions.internal.v1.PromotionsService": (
        promotions_pb2_grpc.add_PromotionsServiceServicer_to_server
    ),
}


@pytest.fixture
def services():
    services = FakeServices()  # type: ignore[abstract]  # the rest is never asked
    yield services
    services.going.set()


@pytest.fixture
def server(services):
    server = GrpcServer(
        bindings=[ServiceBinding(name, services, add) for name, add in FACES.items()],
        host="127.0.0.1",
        port=0,
        worker_threads=4,
        queue_limit=64,
    )
    server.start()
    yield server
    server.stop(0)


@pytest.fixture
def parts(server):
    channels = {}

    def channel(service, *interceptors):
        channels[service] = open_channel(f"127.0.0.1:{server.port}", *interceptors)
        return channels[service]

    yield build_parts(channel, timeout_seconds=TIMEOUT_SECONDS)
    assert list(channels) == ["promotions", "users", "orders", "recommendations"]
    for opened in channels.values():
        opened.close()


def fetch_all(parts, call):
    with use(call):
        return {name: part.fetch(call.caller.user_id) for name, part in parts.items()}


def why_away(part):
    with pytest.raises(PartAwayError) as caught:
        part.fetch("alice")
    return caught.value.why


def test_each_part_is_what_its_service_answers(parts):
    fetched = fetch_all(parts, CallContext(caller=ALICE))
    assert list(fetched) == NAMES
    assert fetched.pop("profile") == PROFILE
    assert {name: list(value) for name, value in fetched.items()} | {"profile": PROFILE} == VALUES


def test_five_of_the_clients_own_are_asked_for(parts, services):
    fetch_all(parts, CallContext(caller=ALICE))
    assert [request for request, _ in services.asked.values()] == [
        users_pb2.GetUserRequest(id="alice"),
        orders_pb2.ListOrdersRequest(user_id="alice", page=1, limit=5),
        recommendations_pb2.GetRecommendationsRequest(id="alice", limit=5),
        promotions_pb2.ListActivePromotionsRequest(),
    ]


def test_what_is_the_clients_own_is_asked_for_on_the_clients_behalf(parts, services):
    fetch_all(parts, CallContext(request_id="r1", caller=ALICE))
    assert {name: call.caller for name, (_, call) in services.asked.items()} == {
        "GetUserRequest": ALICE,
        "ListOrdersRequest": ALICE,
        "GetRecommendationsRequest": ALICE,
        "ListActivePromotionsRequest": Caller(),
    }
    assert {call.request_id for _, call in services.asked.values()} == {"r1"}


@pytest.mark.parametrize(("callers", "most"), [(60.0, TIMEOUT_SECONDS), (2.0, 2.0)])
def test_a_part_has_its_own_deadline_and_at_most_what_the_caller_has(
    parts, services, callers, most
):
    began = time.monotonic()
    fetch_all(parts, CallContext(caller=ALICE, deadline=began + callers))
    ended = time.monotonic()
    for _, call in services.asked.values():
        assert began < call.deadline <= ended + most + ROUNDING_SECONDS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (UnavailableError("Away."), "UNAVAILABLE"),
        (NotYoursError("Not yours."), "PERMISSION_DENIED"),
        (RuntimeError("a bug"), "INTERNAL"),
    ],
)
def test_a_service_that_fails_is_away_and_says_why(parts, services, name, failure, why):
    services.failure = failure
    assert why_away(parts[name]) == why


@pytest.mark.parametrize("name", NAMES)
def test_a_service_that_is_stuck_is_given_up_when_the_time_is_over(parts, services, name):
    services.going.clear()
    with use(CallContext(deadline=time.monotonic() + 0.2)):
        assert why_away(parts[name]) == "DEADLINE_EXCEEDED"
    assert not services.going.is_set()


@pytest.mark.parametrize("name", NAMES)
def test_after_three_failures_a_dead_service_is_left_alone_and_no_other(parts, services, name):
    services.failure = UnavailableError("Away.")
    for _ in range(3):
        why_away(parts[name])
    assert services.calls == 3
    assert why_away(parts[name]) == grpc.StatusCode.UNAVAILABLE.name
    assert services.calls == 3
    for other in set(NAMES) - {name}:
        why_away(parts[other])
    assert services.calls == 6
