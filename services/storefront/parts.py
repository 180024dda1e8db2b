"""The parts of a start page, and the services that have them.

Each part is what `Home` holds of it. What is the client's own is asked for on the client's
behalf; the promotions are the same for everybody.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import grpc
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc
from mamie_rosa.recommendations.v1 import recommendations_pb2, recommendations_pb2_grpc
from mamie_rosa.storefront.v1 import storefront_pb2
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc

LAST_ORDERS = 5
RECOMMENDATIONS = 5


class PartAwayError(Exception):
    """A part cannot be had now; `why` is the name of the gRPC code that its service ended with."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Part(Protocol):
    """One part of a client's start page."""

    def fetch(self, user_id: str) -> Any:
        """Return what `Home` holds of the part; PartAwayError when it cannot be had."""


class ProfileOverGrpc:
    """The client's profile, from users."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float) -> None:
        self._stub = users_pb2_grpc.UsersServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    def fetch(self, user_id: str) -> users_pb2.User:
        """Return the profile."""
        request = users_pb2.GetUserRequest(id=user_id)
        with away():
            return self._stub.GetUser(request, timeout=self._timeout_seconds)


class LastOrdersOverGrpc:
    """The client's last orders, newest first, from orders."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float) -> None:
        self._stub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    def fetch(self, user_id: str) -> Sequence[orders_pb2.Order]:
        """Return the last orders."""
        request = orders_pb2.ListOrdersRequest(user_id=user_id, page=1, limit=LAST_ORDERS)
        with away():
            return self._stub.ListOrders(request, timeout=self._timeout_seconds).orders


class RecommendationsOverGrpc:
    """What the client may like, best first, from recommendations."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float) -> None:
        self._stub = recommendations_pb2_grpc.RecommendationsServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    def fetch(self, user_id: str) -> Sequence[recommendations_pb2.Recommendation]:
        """Return the recommendations."""
        request = recommendations_pb2.GetRecommendationsRequest(id=user_id, limit=RECOMMENDATIONS)
        with away():
            answer = self._stub.GetRecommendations(request, timeout=self._timeout_seconds)
        return answer.recommendations


class ActivePromotionsOverGrpc:
    """The promotions that run now, best first, from promotions."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float) -> None:
        self._stub = promotions_pb2_grpc.PromotionsServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    def fetch(self, user_id: str) -> Sequence[storefront_pb2.HomePromotion]:
        """Return the promotions."""
        request = promotions_pb2.ListActivePromotionsRequest()
        with away():
            answer = self._stub.ListActivePromotions(request, timeout=self._timeout_seconds)
        return [_render(promotion) for promotion in answer.promotions]


@contextmanager
def away() -> Iterator[None]:
    """Translate whatever a call fails with into PartAwayError."""
    try:
        yield
    except grpc.RpcError as error:
        raise PartAwayError(error.code().name) from error


def _render(promotion: promotions_pb2.ActivePromotion) -> storefront_pb2.HomePromotion:
    return storefront_pb2.HomePromotion(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        category=promotion.category,
    )
