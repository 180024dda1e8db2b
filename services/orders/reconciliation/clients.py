"""What the other services keep by order, read page after page over gRPC."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC

import grpc
from mamie_rosa.catalog.internal.v1 import catalog_pb2, catalog_pb2_grpc
from mamie_rosa.payments.internal.v1 import payments_pb2, payments_pb2_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc

from services.common.mesh.channels import Mesh
from services.common.money import parse_amount
from services.orders.clients import translate_errors
from services.orders.reconciliation.records import Part, Payment, Redemption, Reservation, Source

PAGE_TIMEOUT_SECONDS = 5.0

FetchPage = Callable[[str, int], tuple[Iterator[Part], str]]
"""Given a token and a number, returns so many at most, and the token of the next page."""


def sources_over(mesh: Mesh) -> Sequence[Source]:
    """Return what the other services keep, as they are found in the mesh.

    The channels are their own: a slow page never opens the circuit that sales depend on.
    """
    return [
        payments_over_grpc(mesh.channel("payments")),
        reservations_over_grpc(mesh.channel("catalog")),
        redemptions_over_grpc(mesh.channel("promotions")),
    ]


def payments_over_grpc(channel: grpc.Channel) -> Source:
    """Return the payments, as the payments service lists them."""
    stub = payments_pb2_grpc.PaymentsServiceStub(channel)

    def fetch(token: str, size: int) -> tuple[Iterator[Part], str]:
        request = payments_pb2.ListPaymentsRequest(page_token=token, page_size=size)
        with translate_errors("payments"):
            page = stub.ListPayments(request, timeout=PAGE_TIMEOUT_SECONDS)
        return map(_to_payment, page.payments), page.next_page_token

    return _paged(fetch)


def reservations_over_grpc(channel: grpc.Channel) -> Source:
    """Return the reservations, as the catalog service lists them."""
    stub = catalog_pb2_grpc.CatalogServiceStub(channel)

    def fetch(token: str, size: int) -> tuple[Iterator[Part], str]:
        request = catalog_pb2.ListReservationsRequest(page_token=token, page_size=size)
        with translate_errors("catalog"):
            page = stub.ListReservations(request, timeout=PAGE_TIMEOUT_SECONDS)
        return map(_to_reservation, page.reservations), page.next_page_token

    return _paged(fetch)


def redemptions_over_grpc(channel: grpc.Channel) -> Source:
    """Return the redemptions, as the promotions service lists them."""
    stub = promotions_pb2_grpc.PromotionsServiceStub(channel)

    def fetch(token: str, size: int) -> tuple[Iterator[Part], str]:
        request = promotions_pb2.ListRedemptionsRequest(page_token=token, page_size=size)
        with translate_errors("promotions"):
            page = stub.ListRedemptions(request, timeout=PAGE_TIMEOUT_SECONDS)
        return map(_to_redemption, page.redemptions), page.next_page_token

    return _paged(fetch)


def _paged(fetch: FetchPage) -> Source:
    def read(order_id: str, size: int) -> Iterator[Part]:
        page, token = fetch(order_id, size)
        yield from page
        while token:
            page, token = fetch(token, size)
            yield from page

    return read


def _to_payment(payment: payments_pb2.Payment) -> Payment:
    return Payment(
        order_id=payment.order_id,
        status=payments_pb2.Payment.Status.Name(payment.status),
        amount=parse_amount(payment.amount),
        refunded=parse_amount(payment.refunded_amount),
        currency=payment.currency,
        created_at=payment.create_time.ToDatetime(tzinfo=UTC),
    )


def _to_reservation(reservation: catalog_pb2.Reservation) -> Reservation:
    return Reservation(
        order_id=reservation.order_id,
        state=catalog_pb2.Reservation.State.Name(reservation.state),
        lines={line.product_id: line.quantity for line in reservation.lines},
        expires_at=reservation.expire_time.ToDatetime(tzinfo=UTC),
    )


def _to_redemption(redemption: promotions_pb2.Redemption) -> Redemption:
    redeemed = redemption.HasField("redeem_time")
    return Redemption(
        order_id=redemption.order_id,
        state=promotions_pb2.Redemption.State.Name(redemption.state),
        code=redemption.promo_code,
        user_id=redemption.user_id,
        redeemed_at=redemption.redeem_time.ToDatetime(tzinfo=UTC) if redeemed else None,
    )
