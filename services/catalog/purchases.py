"""Client of the orders service: whether a customer bought a product."""

from typing import Protocol

import grpc
from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc
from typing_extensions import override

from services.common.errors import UnavailableError

TIMEOUT_SECONDS = 2.0


class OrdersUnavailableError(UnavailableError):
    """The orders service did not answer, or not in time."""

    reason = "SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The orders service does not answer; try again.", service="orders")


class Purchases(Protocol):
    """Verifies purchases."""

    def has_bought(self, user_id: str, product_id: str) -> bool:
        """Return whether a customer bought a product; OrdersUnavailableError if unknown."""


class PurchasesOverGrpc(Purchases):
    """Calls the orders service each time: a purchase ends when its order is cancelled."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._stub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    @override
    def has_bought(self, user_id: str, product_id: str) -> bool:
        request = orders_pb2.VerifyPurchaseRequest(user_id=user_id, product_id=product_id)
        try:
            answer = self._stub.VerifyPurchase(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            raise OrdersUnavailableError from error
        return answer.has_bought
