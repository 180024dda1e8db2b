"""Errors of upstreams: what was rejected, and what has an unknown outcome."""

from typing import Any

import grpc
import pytest

from services.common.rpc import status
from services.orders import errors
from services.orders.clients import RESERVATION_REJECTIONS, translate_errors
from services.orders.ports import ServiceUnavailableError, UpstreamRejectedError

UNKNOWN_OUTCOME = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
}


class FailedCall(grpc.RpcError):
    """A call that failed with a code, and details if it has a reason."""

    def __init__(self, code: grpc.StatusCode, reason: str = "", **facts: str) -> None:
        self._code = code
        detail = status.build_status(code, "text", status.error_info(reason, facts))
        self._trailing = ((status.DETAILS, detail.SerializeToString()),) if reason else ()

    def code(self) -> grpc.StatusCode:
        return self._code

    def trailing_metadata(self) -> Any:
        return self._trailing


@pytest.mark.parametrize("reason", ["", "SOME_REASON"])
@pytest.mark.parametrize("code", set(grpc.StatusCode) - {grpc.StatusCode.OK})
def test_only_a_call_with_an_unknown_outcome_is_an_unavailable_upstream(code, reason):
    unavailable = code in UNKNOWN_OUTCOME
    expected = ServiceUnavailableError if unavailable else UpstreamRejectedError
    with pytest.raises(expected) as caught, translate_errors("catalog"):
        raise FailedCall(code, reason)
    if isinstance(caught.value, UpstreamRejectedError):
        assert caught.value.reason == (reason or code.name)


def test_short_products_are_read_with_what_is_on_sale():
    facts = {"productIds": "a,b", "availableQuantities": "1,0"}
    with (
        pytest.raises(errors.OutOfStockError) as caught,
        translate_errors("catalog", RESERVATION_REJECTIONS),
    ):
        raise FailedCall(grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_STOCK", **facts)
    assert caught.value.available == {"a": 1, "b": 0}


def test_a_key_whose_reservation_was_released_has_expired():
    with (
        pytest.raises(errors.IdempotencyKeyExpiredError),
        translate_errors("catalog", RESERVATION_REJECTIONS),
    ):
        raise FailedCall(grpc.StatusCode.FAILED_PRECONDITION, "RESERVATION_CLOSED", orderId="o")
