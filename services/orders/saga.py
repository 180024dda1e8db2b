"""Carries every order through: forward to CONFIRMED, or back until all is given back.

The saga keeps no state of its own: what has to be done next follows from the order's
events (`domain.next_step`), every step may be done twice without harm, and each result is
an event. So any instance can drive any order from wherever it stands. Who does is settled
by a lease: an order that is not at rest is due at some time; its driver keeps moving that
time ahead of now, and when the driver dies the order becomes due, and another takes it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from services.common.clock import Clock, utc_now
from services.common.context import CallContext, current, use
from services.common.periodic import PeriodicWorker
from services.orders.clients import (
    Captured,
    Catalog,
    Payments,
    Promotions,
    RefusedError,
    ServiceUnavailableError,
)
from services.orders.domain import (
    Event,
    Order,
    OrderCancelled,
    OrderChangedError,
    OrderConfirmed,
    OrderPlaced,
    OrderStatus,
    PaymentCaptured,
    PaymentDeclined,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
    PromoReleased,
    Step,
    StockReleased,
    next_step,
)
from services.orders.repository import OrdersRepository, SagaRepository

LEASE = timedelta(seconds=2)
HEARTBEAT_SECONDS = 0.5
POLL_SECONDS = 0.5
PAUSE = timedelta(seconds=1)
DRIVERS = 8
DECISIONS = 10
"""How often a decision is made at most; the steps of a whole saga are fewer."""

Decide = Callable[[Order], Sequence[Event]]
"""Given an order as it stands, returns what shall happen to it."""

log = structlog.get_logger()


class Steps:
    """What each step does: one call to another service, at most, and the events it leads to."""

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
        self._actions: Mapping[Step, Callable[[Order], Sequence[Event]]] = {
            Step.REDEEM_PROMO: self._redeem_promo,
            Step.START_PAYMENT: lambda _order: [PaymentStarted()],
            Step.TAKE_PAYMENT: self._take_payment,
            Step.SELL_STOCK: self._sell_stock,
            Step.EXPIRE: lambda _order: [OrderCancelled(reason="HOLD_EXPIRED")],
            Step.SETTLE_PAYMENT: self._settle_payment,
            Step.RELEASE_PROMO: self._release_promo,
            Step.RELEASE_STOCK: self._release_stock,
        }

    def take(self, step: Step, order: Order) -> Sequence[Event]:
        """Do a step and return what happened.

        A refusal on the way forward gives the order up. ServiceUnavailableError when the outcome is
        unknown, RefusedError on the way back: the step is then done again later.
        """
        try:
            return self._actions[step](order)
        except RefusedError as refusal:
            if order.status is OrderStatus.CANCELLED:
                raise
            log.info("step_refused", order_id=order.order_id, step=step, reason=refusal.reason)
            return [OrderCancelled(reason=refusal.reason)]

    def _redeem_promo(self, order: Order) -> Sequence[Event]:
        self._promotions.redeem(order.order_id, order.placed.promo_code, order.user_id)
        return [PromoRedeemed()]

    def _take_payment(self, order: Order) -> Sequence[Event]:
        token = self._sagas.payment_token(order.order_id)
        outcome = self._payments.capture(
            order.order_id, order.user_id, order.final, order.placed.currency, token
        )
        if isinstance(outcome, Captured):
            return [PaymentCaptured(payment_id=outcome.payment_id)]
        declined = PaymentDeclined(decline_reason=outcome.reason)
        return [declined, OrderCancelled(reason="PAYMENT_DECLINED")]

    def _sell_stock(self, order: Order) -> Sequence[Event]:
        self._catalog.commit(order.order_id)
        return [OrderConfirmed()]

    def _settle_payment(self, order: Order) -> Sequence[Event]:
        refunded = self._payments.settle(order.order_id, order.cancel_reason)
        return [PaymentSettled(refunded=refunded)]

    def _release_promo(self, order: Order) -> Sequence[Event]:
        self._promotions.release(order.order_id, order.placed.promo_code)
        return [PromoReleased()]

    def _release_stock(self, order: Order) -> Sequence[Event]:
        self._catalog.release(order.order_id)
        return [StockReleased()]


class Saga:
    """Drives orders on the threads of one instance, and takes over those of dead ones."""

    def __init__(
        self,
        *,
        orders: OrdersRepository,
        sagas: SagaRepository,
        steps: Steps,
        instance: str,
        clock: Clock = utc_now,
    ) -> None:
        self._orders = orders
        self._sagas = sagas
        self._steps = steps
        self._instance = instance
        self._clock = clock
        self._driving: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._drivers = ThreadPoolExecutor(DRIVERS, "saga")
        self._helpers = [
            PeriodicWorker(
                name="saga-heartbeat", work=self._extend_leases, interval_seconds=HEARTBEAT_SECONDS
            ),
            PeriodicWorker(
                name="saga-takeover", work=self._take_over, interval_seconds=POLL_SECONDS
            ),
        ]

    def start(self) -> None:
        """Begin to extend leases, and to look for orders that nobody drives."""
        for helper in self._helpers:
            helper.start()

    def stop(self) -> None:
        """Finish the steps that are being done; others drive on from there."""
        self._stopping.set()
        self._drivers.shutdown(wait=True, cancel_futures=True)
        for helper in self._helpers:
            helper.stop()

    def begin(self, order_id: str, placed: OrderPlaced, *, payment_token: str) -> Order:
        """Keep a new order and drive it in the background; OrderChangedError if known."""
        order = self._orders.place(
            order_id, placed, payment_token=payment_token, due_at=self._lease_end()
        )
        self._submit(order_id, replace(current(), deadline=None))
        return order

    def apply(self, order_id: str, decide: Decide) -> Order:
        """Add what somebody decides about an order, and drive on what follows, in this thread.

        The decision is made again when the order moved on meanwhile, as one does that is
        being driven; OrderChangedError when it never stands still. Returns the order as far
        as it got.
        """
        for _ in range(DECISIONS - 1):
            try:
                return self._apply(order_id, decide)
            except OrderChangedError:
                log.info("decided_again", order_id=order_id)
        return self._apply(order_id, decide)

    def _apply(self, order_id: str, decide: Decide) -> Order:
        order = self._orders.load(order_id)
        events = decide(order)
        if not events:
            return order
        self._orders.append(order, events, due_at=self._lease_end())
        self.drive(order_id)
        return self._orders.load(order_id)

    def drive(self, order_id: str) -> None:
        """Do what an order needs, step by step, until it is at rest or has to wait."""
        with self._lock:
            self._driving.add(order_id)
        try:
            self._drive(order_id)
        except OrderChangedError:
            log.info("order_changed_meanwhile", order_id=order_id)  # who changed it drives it
        except ServiceUnavailableError as error:
            self._postpone(order_id, error.metadata["service"])
        except RefusedError as error:
            self._postpone(order_id, error.reason)
        finally:
            with self._lock:
                self._driving.discard(order_id)

    def _postpone(self, order_id: str, why: str) -> None:
        log.warning("order_waits", order_id=order_id, why=why)
        self._sagas.postpone(order_id, due_at=self._clock() + PAUSE, why=why)

    def _drive(self, order_id: str) -> None:
        order = self._orders.load(order_id)
        while not self._stopping.is_set() and (step := next_step(order, self._clock())):
            self._sagas.begin_step(order_id, step, by=self._instance, now=self._clock())
            events = self._steps.take(step, order)
            order = self._orders.append(order, events, due_at=self._lease_end())
            log.info("step_done", order_id=order_id, step=step, status=order.status)

    def _submit(self, order_id: str, call: CallContext) -> None:
        with self._lock:
            if self._stopping.is_set() or order_id in self._driving:
                return
            self._driving.add(order_id)
        self._drivers.submit(self._drive_in_background, order_id, call)

    def _drive_in_background(self, order_id: str, call: CallContext) -> None:
        """Drive an order; when that fails its lease runs out, and somebody tries again."""
        with use(call):
            try:
                self.drive(order_id)
            except Exception:
                log.exception("saga_failed", order_id=order_id)

    def _lease_end(self) -> datetime:
        return self._clock() + LEASE

    def _extend_leases(self) -> None:
        with self._lock:
            driving = list(self._driving)
        if driving:
            self._sagas.extend(driving, due_at=self._lease_end())

    def _take_over(self) -> None:
        """Drive the orders that are due: their driver died, or their pause is over."""
        while not self._stopping.is_set() and self._has_room():
            due = self._sagas.claim_due(now=self._clock(), due_at=self._lease_end())
            if due is None:
                return
            self._submit(due, CallContext(request_id=due))

    def _has_room(self) -> bool:
        with self._lock:
            return len(self._driving) < 2 * DRIVERS
