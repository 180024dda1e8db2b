"""The parts, fetched over gRPC from fake services."""

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
from services.common.rpc.testing import TOKENS, sign_token
from services.storefront.__main__ import build_parts
from services.storefront.parts import PartUnavailableError
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
TOKEN = sign_token("alice")
TIMEOUT_SECONDS = 5.0
ROUNDING_SECONDS = 0.1
"""gRPC rounds a deadline to a few digits."""


class FakeServices(
    users_pb2_grpc.UsersServiceServicer,
    orders_pb2_grpc.OrdersServiceServicer,
    recommendations_pb2_grpc.RecommendationsServiceServicer,
    promotions_pb2_grpc.PromotionsServiceServicer,
):
    """The upstreams of the storefront; records each request and its call context."""

    def __init__(self):
        self.requests = {}
        self.call_count = 0
        self.failure: Exception | None = None
        self.released = threading.Event()
        self.released.set()

    def _answer(self, request, answer):
        self.call_count += 1
        self.requests[type(request).__name__] = (request, current())
        assert self.released.wait(30)
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
        active = [
            promotions_pb2.ActivePromotion(code=promo.code, discount_percentage=10)
            for promo in PROMOTIONS
        ]
        return self._answer(request, promotions_pb2.ListActivePromotionsResponse(promotions=active))


REGISTRATIONS: dict[str, Callable[..., None]] = {
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
    services = FakeServices()  # type: ignore[abstract]  # the methods that are not called
    yield services
    services.released.set()


@pytest.fixture
def server(services):
    server = GrpcServer(
        bindings=[ServiceBinding(name, services, add) for name, add in REGISTRATIONS.items()],
        host="127.0.0.1",
        port=0,
        worker_threads=4,
        queue_limit=64,
        tokens=TOKENS,
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


def failure_code(part):
    call = current() if current().token else CallContext(token=TOKEN)
    with use(call), pytest.raises(PartUnavailableError) as caught:
        part.fetch("alice")
    return caught.value.code


def test_each_part_is_the_answer_of_its_service(parts):
    fetched = fetch_all(parts, CallContext(caller=ALICE, token=TOKEN))
    assert list(fetched) == NAMES
    assert fetched.pop("profile") == PROFILE
    assert {name: list(value) for name, value in fetched.items()} | {"profile": PROFILE} == VALUES


def test_five_orders_and_recommendations_are_requested(parts, services):
    fetch_all(parts, CallContext(caller=ALICE, token=TOKEN))
    assert [request for request, _ in services.requests.values()] == [
        users_pb2.GetUserRequest(id="alice"),
        orders_pb2.ListOrdersRequest(user_id="alice", page=1, limit=5),
        recommendations_pb2.GetRecommendationsRequest(id="alice", limit=5),
        promotions_pb2.ListActivePromotionsRequest(),
    ]


def test_a_customers_own_parts_are_fetched_on_behalf_of_the_customer(parts, services):
    fetch_all(parts, CallContext(request_id="r1", caller=ALICE, token=TOKEN))
    assert {name: call.caller for name, (_, call) in services.requests.items()} == {
        "GetUserRequest": ALICE,
        "ListOrdersRequest": ALICE,
        "GetRecommendationsRequest": ALICE,
        "ListActivePromotionsRequest": Caller(),
    }
    assert {call.request_id for _, call in services.requests.values()} == {"r1"}


@pytest.mark.parametrize(("caller_seconds", "max_seconds"), [(60.0, TIMEOUT_SECONDS), (2.0, 2.0)])
def test_a_part_has_its_own_timeout_within_the_deadline_of_the_caller(
    parts, services, caller_seconds, max_seconds
):
    began = time.monotonic()
    fetch_all(parts, CallContext(caller=ALICE, token=TOKEN, deadline=began + caller_seconds))
    ended = time.monotonic()
    for _, call in services.requests.values():
        assert began < call.deadline <= ended + max_seconds + ROUNDING_SECONDS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (UnavailableError("Unavailable."), "UNAVAILABLE"),
        (NotYoursError("Not yours."), "PERMISSION_DENIED"),
        (RuntimeError("a bug"), "INTERNAL"),
    ],
)
def test_a_failed_call_makes_the_part_unavailable_with_its_code(
    parts, services, name, failure, code
):
    services.failure = failure
    assert failure_code(parts[name]) == code


@pytest.mark.parametrize("name", NAMES)
def test_a_blocked_service_exceeds_the_deadline(parts, services, name):
    services.released.clear()
    with use(CallContext(token=TOKEN, deadline=time.monotonic() + 0.2)):
        assert failure_code(parts[name]) == "DEADLINE_EXCEEDED"
    assert not services.released.is_set()


@pytest.mark.parametrize("name", NAMES)
def test_after_three_failures_the_circuit_of_that_service_alone_opens(parts, services, name):
    services.failure = UnavailableError("Unavailable.")
    for _ in range(3):
        failure_code(parts[name])
    assert services.call_count == 3
    assert failure_code(parts[name]) == grpc.StatusCode.UNAVAILABLE.name
    assert services.call_count == 3
    for other in set(NAMES) - {name}:
        failure_code(parts[other])
    assert services.call_count == 6


def test_pages_share_the_promotions_for_a_second(parts, services):
    now = [100.0]
    promotions = parts["promotions"]
    promotions._monotonic = lambda: now[0]
    assert promotions.recall() is None
    assert list(promotions.fetch("alice")) == PROMOTIONS == list(promotions.recall())
    now[0] += 1
    assert promotions.recall() is None


def test_what_is_a_customers_own_is_never_shared(parts, services):
    fetch_all(parts, CallContext(caller=ALICE, token=TOKEN))
    for name in ("profile", "orders", "recommendations"):
        assert parts[name].recall() is None
