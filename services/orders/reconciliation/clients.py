"""The records of the upstreams, read page by page over gRPC."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC

import grpc
from mamie_rosa.catalog.internal.v1 import catalog_pb2, catalog_pb2_grpc
from mamie_rosa.payments.internal.v1 import payments_pb2, payments_pb2_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc

from services.common.mesh.channels import Mesh
from services.common.money import parse_amount
from services.orders.clients import translate_errors
from services.orders.reconciliation.records import (
    Payment,
    PaymentState,
    Record,
    Redemption,
    RedemptionState,
    Reservation,
    ReservationState,
    Source,
)

PAGE_TIMEOUT_SECONDS = 5.0

FetchPage = Callable[[str, int, Sequence[str]], tuple[Iterator[Record], str]]
"""Given a page token, a page size and order ids (none: all), returns a page of records and the
token of the next one."""


def build_sources(mesh: Mesh) -> Sequence[Source]:
    """Build the sources of all upstreams.

    They have channels of their own: a slow page never opens the circuit breaker of the saga.
    """
    return [
        build_payments_source(mesh.channel("payments")),
        build_reservations_source(mesh.channel("catalog")),
        build_redemptions_source(mesh.channel("promotions")),
    ]


def build_payments_source(channel: grpc.Channel) -> Source:
    """Build the source of payments."""
    stub = payments_pb2_grpc.PaymentsServiceStub(channel)

    def fetch(token: str, size: int, order_ids: Sequence[str]) -> tuple[Iterator[Record], str]:
        request = payments_pb2.ListPaymentsRequest(
            page_token=token, page_size=size, order_ids=order_ids
        )
        with translate_errors("payments"):
            page = stub.ListPayments(request, timeout=PAGE_TIMEOUT_SECONDS)
        return map(_to_payment, page.payments), page.next_page_token

    return _build_source(fetch)


def build_reservations_source(channel: grpc.Channel) -> Source:
    """Build the source of reservations."""
    stub = catalog_pb2_grpc.CatalogServiceStub(channel)

    def fetch(token: str, size: int, order_ids: Sequence[str]) -> tuple[Iterator[Record], str]:
        request = catalog_pb2.ListReservationsRequest(
            page_token=token, page_size=size, order_ids=order_ids
        )
        with translate_errors("catalog"):
            page = stub.ListReservations(request, timeout=PAGE_TIMEOUT_SECONDS)
        return map(_to_reservation, page.reservations), page.next_page_token

    return _build_source(fetch)


def build_redemptions_source(channel: grpc.Channel) -> Source:
    """Build the source of redemptions."""
    stub = promotions_pb2_grpc.PromotionsServiceStub(channel)

    def fetch(token: str, size: int, order_ids: Sequence[str]) -> tuple[Iterator[Record], str]:
        request = promotions_pb2.ListRedemptionsRequest(
            page_token=token, page_size=size, order_ids=order_ids
        )
        with translate_errors("promotions"):
            page = stub.ListRedemptions(request, timeout=PAGE_TIMEOUT_SECONDS)
        return map(_to_redemption, page.redemptions), page.next_page_token

    return _build_source(fetch)


def _build_source(fetch: FetchPage) -> Source:
    def read_from(order_id: str, size: int) -> Iterator[Record]:
        page, token = fetch(order_id, size, ())
        yield from page
        while token:
            page, token = fetch(token, size, ())
            yield from page

    def read_of(order_ids: Sequence[str]) -> Iterable[Record]:
        page, _ = fetch("", 0, order_ids)
        wanted = set(order_ids)
        # A server of the release before ignores the ids, and answers the first page of all.
        return (record for record in page if record.order_id in wanted)

    return Source(read_from, read_of)


def _to_payment(payment: payments_pb2.Payment) -> Payment:
    return Payment(
        order_id=payment.order_id,
        state=PaymentState(payments_pb2.Payment.Status.Name(payment.status)),
        amount=parse_amount(payment.amount),
        refunded=parse_amount(payment.refunded_amount),
        currency=payment.currency,
        created_at=payment.create_time.ToDatetime(tzinfo=UTC),
    )


def _to_reservation(reservation: catalog_pb2.Reservation) -> Reservation:
    return Reservation(
        order_id=reservation.order_id,
        state=ReservationState(catalog_pb2.Reservation.State.Name(reservation.state)),
        lines={line.product_id: line.quantity for line in reservation.lines},
        expires_at=reservation.expire_time.ToDatetime(tzinfo=UTC),
    )


def _to_redemption(redemption: promotions_pb2.Redemption) -> Redemption:
    has_time = redemption.HasField("redeem_time")
    return Redemption(
        order_id=redemption.order_id,
        state=RedemptionState(promotions_pb2.Redemption.State.Name(redemption.state)),
        code=redemption.promo_code,
        user_id=redemption.user_id,
        redeemed_at=redemption.redeem_time.ToDatetime(tzinfo=UTC) if has_time else None,
    )
