"""The actions of the saga's steps; `saga` decides when they are executed."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from services.orders.domain import Order, Step
from services.orders.events import (
    Event,
    OrderCancelled,
    OrderConfirmed,
    PaymentCaptured,
    PaymentDeclined,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
    PromoReleased,
    StockReleased,
)
from services.orders.ports import (
    Captured,
    Catalog,
    Payments,
    Promotions,
    SagaRepository,
    UpstreamRejectedError,
)
from services.orders.states import OrderStatus

Action = Callable[[Order], Sequence[Event]]

log = structlog.get_logger()


class SagaSteps:
    """The action of each step: at most one call to an upstream, and the resulting events."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        promotions: Promotions,
        payments: Payments,
        sagas: SagaRepository,
    ) -> None:
        self._catalog = catalog
        self._promotions = promotions
        self._payments = payments
        self._sagas = sagas
        self._actions: Mapping[Step, Action] = {
            Step.REDEEM_PROMO: self._redeem_promo,
            Step.START_PAYMENT: lambda _order: [PaymentStarted()],
            Step.COMMIT_STOCK: self._commit_stock,
            Step.EXPIRE: lambda _order: [OrderCancelled(reason="HOLD_EXPIRED")],
            Step.REFUND_PAYMENT: self._refund_payment,
            Step.RELEASE_PROMO: self._release_promo,
            Step.RELEASE_STOCK: self._release_stock,
        }

    def execute(
        self, step: Step, order: Order, payment_token: str | None = None
    ) -> Sequence[Event]:
        """Execute a step and return the resulting events.

        A payment token that is not given is read. A forward step that is rejected cancels the
        order. ServiceUnavailableError when the outcome is unknown, UpstreamRejectedError from a
        compensation: both are to be retried.
        """
        try:
            if step is Step.CAPTURE_PAYMENT:
                return self._capture_payment(order, payment_token)
            return self._actions[step](order)
        except UpstreamRejectedError as error:
            if order.status is OrderStatus.CANCELLED:
                raise
            log.info("saga_step_rejected", order_id=order.order_id, step=step, reason=error.reason)
            return [OrderCancelled(reason=error.reason)]

    def _redeem_promo(self, order: Order) -> Sequence[Event]:
        self._promotions.redeem(order.order_id, order.placed.promo_code, order.user_id)
        return [PromoRedeemed()]

    def _capture_payment(self, order: Order, payment_token: str | None) -> Sequence[Event]:
        token = payment_token
        if token is None:
            token = self._sagas.payment_token(order.order_id)
        outcome = self._payments.capture(
            order.order_id, order.user_id, order.final_amount, order.placed.currency, token
        )
        if isinstance(outcome, Captured):
            return [PaymentCaptured(payment_id=outcome.payment_id)]
        declined = PaymentDeclined(decline_reason=outcome.reason)
        return [declined, OrderCancelled(reason="PAYMENT_DECLINED")]

    def _commit_stock(self, order: Order) -> Sequence[Event]:
        self._catalog.commit(order.order_id)
        return [OrderConfirmed()]

    def _refund_payment(self, order: Order) -> Sequence[Event]:
        refunded = self._payments.refund(order.order_id, order.cancel_reason)
        return [PaymentSettled(refunded=refunded)]

    def _release_promo(self, order: Order) -> Sequence[Event]:
        self._promotions.release(order.order_id, order.placed.promo_code)
        return [PromoReleased()]

    def _release_stock(self, order: Order) -> Sequence[Event]:
        self._catalog.release(order.order_id)
        return [StockReleased()]
