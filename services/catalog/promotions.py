"""Client of the promotions service: the active promotions, cached for a few seconds.

A product page is useful without its promotion: while the promotions service is unavailable,
the last answer is used.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc
import structlog
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc
from typing_extensions import override

from services.catalog.domain import Promotion

CACHE_SECONDS = 3.0
TIMEOUT_SECONDS = 0.5

log = structlog.get_logger()


class ActivePromotions(Protocol):
    """Lists the active promotions."""

    def list_active(self) -> Sequence[Promotion]:
        """Return the active promotions; none when they are not known."""


class PromotionsOverGrpc(ActivePromotions):
    """Calls the promotions service at most once in `cache_seconds`."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        cache_seconds: float = CACHE_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stub = promotions_pb2_grpc.PromotionsServiceStub(channel)
        self._cache_seconds = cache_seconds
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._refreshed_at = float("-inf")
        self._refresh_lock = threading.Lock()
        self._promotions: Sequence[Promotion] = ()

    @override
    def list_active(self) -> Sequence[Promotion]:
        """Return the cached promotions, refreshed by one thread when they are too old.

        Concurrent callers do not wait for the refresh: they get the cached ones.
        """
        is_stale = self._monotonic() - self._refreshed_at >= self._cache_seconds
        if is_stale and self._refresh_lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._refresh_lock.release()
        return self._promotions

    def _refresh(self) -> None:
        self._refreshed_at = self._monotonic()
        request = promotions_pb2.ListActivePromotionsRequest()
        try:
            answer = self._stub.ListActivePromotions(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            log.info("promotions_unavailable", code=error.code().name)
            return
        self._promotions = [_parse(promotion) for promotion in answer.promotions]


def _parse(promotion: promotions_pb2.ActivePromotion) -> Promotion:
    return Promotion(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        category=promotion.category,
    )
