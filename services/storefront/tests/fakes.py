"""Fake parts of a start page: available, failing or blocked."""

import threading
from collections.abc import Mapping
from typing import Any

from google.protobuf import timestamp_pb2
from mamie_rosa.orders.v1 import orders_pb2
from mamie_rosa.recommendations.v1 import recommendations_pb2
from mamie_rosa.storefront.v1 import storefront_pb2
from mamie_rosa.users.v1 import users_pb2
from typing_extensions import override

from services.storefront.home import HomePage
from services.storefront.parts import Part, PartUnavailableError

NOON = timestamp_pb2.Timestamp(seconds=1_795_521_600, nanos=120_000_000)
PROFILE = users_pb2.User(
    user_id="0a11ce00-0000-4000-8000-000000000001",
    email="élodie@example.org",
    first_name="Élodie",
    preferences=users_pb2.Preferences(notifications_enabled=False),
    created_at=NOON,
)
ORDERS = [
    orders_pb2.Order(
        order_id="o2",
        status=orders_pb2.PAYMENT_PROCESSING,
        items=[orders_pb2.OrderItem(product_id="p1", quantity=2, unit_price="12.90")],
        payment_status=orders_pb2.Order.CAPTURED,
        shipping=orders_pb2.Shipping(address=orders_pb2.Address(city="Orléans")),
        created_at=NOON,
    ),
    orders_pb2.Order(order_id="o1"),
]
RECOMMENDATIONS = [
    recommendations_pb2.Recommendation(product_id="p1", title="T", reason="Why.", score=0.75)
]
PROMOTIONS = [storefront_pb2.HomePromotion(code="WELCOME10", discount_percentage=10)]
VALUES: dict[str, Any] = {
    "profile": PROFILE,
    "orders": ORDERS,
    "recommendations": RECOMMENDATIONS,
    "promotions": PROMOTIONS,
}
NAMES = list(VALUES)


class FakePart(Part):
    """Returns `value`, or raises `failure` if set; records the user ids."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.failure: Exception | None = None
        self.shared: Any = None
        self.user_ids: list[str] = []

    @override
    def recall(self) -> Any:
        return self.shared

    @override
    def fetch(self, user_id: str) -> Any:
        self.user_ids.append(user_id)
        if self.failure:
            raise self.failure
        return self.value

    def make_unavailable(self) -> None:
        self.failure = PartUnavailableError("UNAVAILABLE")


class BlockedPart(FakePart):
    """Answers when it is released."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.release = threading.Event()

    @override
    def fetch(self, user_id: str) -> Any:
        assert self.release.wait(30)
        return super().fetch(user_id)


def build_fakes() -> dict[str, FakePart]:
    """Build all parts, available."""
    return {name: FakePart(value) for name, value in VALUES.items()}


def build_home(parts: Mapping[str, Part], *, timeout_seconds: float = 30.0) -> HomePage:
    """Build a start page of some parts."""
    return HomePage(parts=parts, timeout_seconds=timeout_seconds, max_concurrent_pages=2)
