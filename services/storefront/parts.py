"""The parts of a start page, fetched from their services.

Each part is the value of one field of `Home`. A customer's own parts are fetched on behalf of
the customer; the promotions are the same for all.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import grpc
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc
from mamie_rosa.recommendations.v1 import recommendations_pb2, recommendations_pb2_grpc
from mamie_rosa.storefront.v1 import storefront_pb2
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc
from typing_extensions import override

LAST_ORDERS = 5
RECOMMENDATIONS = 5
PROMOTIONS_MAX_AGE_SECONDS = 1.0
"""How long pages show the promotions that another page has fetched."""


class PartUnavailableError(Exception):
    """A part is unavailable; `code` is the gRPC status code of its service."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Part(Protocol):
    """One part of a customer's start page."""

    def recall(self) -> Any:
        """Return a value that is the same for all and still fresh; None without one."""
        return None

    def fetch(self, user_id: str) -> Any:
        """Fetch the value of the part's field; PartUnavailableError when the call fails."""


class ProfileOverGrpc(Part):
    """The customer's profile, from users."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float) -> None:
        self._stub = users_pb2_grpc.UsersServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    @override
    def fetch(self, user_id: str) -> users_pb2.User:
        request = users_pb2.GetUserRequest(id=user_id)
        with translate_errors():
            return self._stub.GetUser(request, timeout=self._timeout_seconds)


class LastOrdersOverGrpc(Part):
    """The customer's last orders, newest first, from orders."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float) -> None:
        self._stub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    @override
    def fetch(self, user_id: str) -> Sequence[orders_pb2.Order]:
        request = orders_pb2.ListOrdersRequest(user_id=user_id, page=1, limit=LAST_ORDERS)
        with translate_errors():
            return self._stub.ListOrders(request, timeout=self._timeout_seconds).orders


class RecommendationsOverGrpc(Part):
    """Recommended products, best first, from recommendations."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float) -> None:
        self._stub = recommendations_pb2_grpc.RecommendationsServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    @override
    def fetch(self, user_id: str) -> Sequence[recommendations_pb2.Recommendation]:
        request = recommendations_pb2.GetRecommendationsRequest(id=user_id, limit=RECOMMENDATIONS)
        with translate_errors():
            response = self._stub.GetRecommendations(request, timeout=self._timeout_seconds)
        return response.recommendations


class ActivePromotionsOverGrpc(Part):
    """The active promotions, best first, from promotions; pages share them for a second."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        timeout_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stub = promotions_pb2_grpc.PromotionsServiceStub(channel)
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._fetched_at = float("-inf")
        self._fetched: Sequence[storefront_pb2.HomePromotion] = ()

    @override
    def recall(self) -> Sequence[storefront_pb2.HomePromotion] | None:
        age = self._monotonic() - self._fetched_at
        return self._fetched if age < PROMOTIONS_MAX_AGE_SECONDS else None

    @override
    def fetch(self, user_id: str) -> Sequence[storefront_pb2.HomePromotion]:
        began = self._monotonic()
        request = promotions_pb2.ListActivePromotionsRequest()
        with translate_errors():
            response = self._stub.ListActivePromotions(request, timeout=self._timeout_seconds)
        # In this order: who sees the new time sees the new promotions.
        self._fetched = [_to_home_promotion(promotion) for promotion in response.promotions]
        self._fetched_at = began
        return self._fetched


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the error of a failed call into PartUnavailableError."""
    try:
        yield
    except grpc.RpcError as error:
        raise PartUnavailableError(error.code().name) from error


def _to_home_promotion(promotion: promotions_pb2.ActivePromotion) -> storefront_pb2.HomePromotion:
    return storefront_pb2.HomePromotion(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        category=promotion.category,
    )
