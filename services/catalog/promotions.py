"""The promotions that run now, asked from the promotions service.

A product page is worth showing without its promotion, so an answer is kept for a few
seconds, and when the service is away the last one is used.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc
import structlog
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc

from services.catalog.domain import Promotion

log = structlog.get_logger()


class ActivePromotions(Protocol):
    """Knows the promotions that run now."""

    def running(self) -> Sequence[Promotion]:
        """Return them; empty when nobody can tell."""


class PromotionsOverGrpc:
    """Asks the promotions service, at most once in `keep_seconds`."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        keep_seconds: float = 3.0,
        timeout_seconds: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stub = promotions_pb2_grpc.PromotionsServiceStub(channel)
        self._keep_seconds = keep_seconds
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._asked_at = float("-inf")
        self._promotions: Sequence[Promotion] = ()
        self._asking = threading.Lock()

    def running(self) -> Sequence[Promotion]:
        """Return the promotions that run now, as of at most `keep_seconds` ago.

        One caller asks; the others meanwhile get the last answer.
        """
        due = self._monotonic() - self._asked_at >= self._keep_seconds
        if due and self._asking.acquire(blocking=False):
            try:
                self._ask()
            finally:
                self._asking.release()
        return self._promotions

    def _ask(self) -> None:
        self._asked_at = self._monotonic()
        request = promotions_pb2.ListActivePromotionsRequest()
        try:
            answer = self._stub.ListActivePromotions(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            log.info("promotions_unavailable", code=error.code().name)
            return
        self._promotions = [
            Promotion(
                code=promo.code,
                discount_percentage=promo.discount_percentage,
                category=promo.category,
            )
            for promo in answer.promotions
        ]
