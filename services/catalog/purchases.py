"""Who has bought what, asked from the orders service."""

from typing import Protocol

import grpc
from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc

from services.common.errors import UnavailableError

TIMEOUT_SECONDS = 2.0


class OrdersUnavailableError(UnavailableError):
    """The orders service cannot be reached, or has not answered in time."""

    reason = "SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The orders service does not answer; try again.", service="orders")


class Purchases(Protocol):
    """Knows who has bought what."""

    def has_bought(self, user_id: str, product_id: str) -> bool:
        """Return whether a customer bought a product; OrdersUnavailableError if unknown."""


class PurchasesOverGrpc:
    """Asks the orders service, each time: what was bought may be given back."""

    def __init__(self, channel: grpc.Channel, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._stub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    def has_bought(self, user_id: str, product_id: str) -> bool:
        """Return whether a customer bought a product; OrdersUnavailableError if unknown."""
        request = orders_pb2.VerifyPurchaseRequest(user_id=user_id, product_id=product_id)
        try:
            answer = self._stub.VerifyPurchase(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            raise OrdersUnavailableError from error
        return answer.has_bought
