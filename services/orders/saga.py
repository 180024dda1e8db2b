"""The saga orchestrator: drives every order forward to CONFIRMED, or back through compensation.

The saga has no state of its own: the step that is due follows from the order's events
(`domain.next_step`), every step is idempotent, and each result is an event. So any instance
can drive any order from any state. A lease decides which one does: an order whose saga is not
complete has a time at which it is due; the instance that drives it moves that time ahead with
heartbeats. When the instance dies the lease runs out, and another one takes the order over.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog
from typing_extensions import override

from services.common.clock import Clock, utc_now
from services.common.context import CallContext, current, use
from services.common.periodic import PeriodicWorker
from services.orders.domain import Order, Step, next_step
from services.orders.errors import OrderChangedError
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
    Orchestrator,
    OrdersRepository,
    Payments,
    Promotions,
    SagaRepository,
    ServiceUnavailableError,
    UpstreamRejectedError,
)
from services.orders.states import OrderStatus

HEARTBEAT_SECONDS = 0.5
POLL_SECONDS = 0.5
RETRY_DELAY = timedelta(seconds=1)
MAX_CONCURRENT_SAGAS = 8

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
            Step.CAPTURE_PAYMENT: self._capture_payment,
            Step.COMMIT_STOCK: self._commit_stock,
            Step.EXPIRE: lambda _order: [OrderCancelled(reason="HOLD_EXPIRED")],
            Step.REFUND_PAYMENT: self._refund_payment,
            Step.RELEASE_PROMO: self._release_promo,
            Step.RELEASE_STOCK: self._release_stock,
        }

    def execute(self, step: Step, order: Order) -> Sequence[Event]:
        """Execute a step and return the resulting events.

        A forward step that is rejected cancels the order. ServiceUnavailableError when the
        outcome is unknown, UpstreamRejectedError from a compensation: both are to be retried.
        """
        try:
            return self._actions[step](order)
        except UpstreamRejectedError as error:
            if order.status is OrderStatus.CANCELLED:
                raise
            log.info("saga_step_rejected", order_id=order.order_id, step=step, reason=error.reason)
            return [OrderCancelled(reason=error.reason)]

    def _redeem_promo(self, order: Order) -> Sequence[Event]:
        self._promotions.redeem(order.order_id, order.placed.promo_code, order.user_id)
        return [PromoRedeemed()]

    def _capture_payment(self, order: Order) -> Sequence[Event]:
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


class SagaOrchestrator(Orchestrator):
    """Drives orders on the threads of one instance, and takes over those of dead instances."""

    def __init__(
        self,
        *,
        orders: OrdersRepository,
        sagas: SagaRepository,
        steps: SagaSteps,
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
        self._executor = ThreadPoolExecutor(MAX_CONCURRENT_SAGAS, "saga")
        self._workers = [
            PeriodicWorker(
                name="saga-heartbeat", work=self._extend_leases, interval_seconds=HEARTBEAT_SECONDS
            ),
            PeriodicWorker(
                name="saga-takeover", work=self._take_over, interval_seconds=POLL_SECONDS
            ),
        ]

    def start(self) -> None:
        """Begin to extend leases and to take orders over."""
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Finish the steps that are being executed; other instances take the orders over."""
        self._stopping.set()
        self._executor.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.stop()

    @override
    def submit(self, order: Order) -> None:
        self._schedule(order.order_id, lambda: order, replace(current(), deadline=None))

    @override
    def drive(self, order: Order) -> Order:
        with self._heartbeats(order.order_id):
            while not self._stopping.is_set() and (step := next_step(order, self._clock())):
                after = self._advance(order, step)
                if after is None:
                    break
                order = after
        return order

    def _advance(self, order: Order, step: Step) -> Order | None:
        """Execute a step and append its events; None when the order cannot go on now."""
        order_id = order.order_id
        try:
            self._sagas.record_step(order_id, step, instance=self._instance, now=self._clock())
            events = self._steps.execute(step, order)
            after = self._orders.append(order, events)
        except OrderChangedError:  # whoever changed it drives it on
            log.info("saga_superseded", order_id=order_id, step=step)
            return None
        except ServiceUnavailableError as error:
            self._postpone(order_id, step, error.metadata["service"])
            return None
        except UpstreamRejectedError as error:
            self._postpone(order_id, step, error.reason)
            return None
        log.info("saga_step_completed", order_id=order_id, step=step, status=after.status)
        return after

    def _postpone(self, order_id: str, step: Step, cause: str) -> None:
        log.warning("saga_step_postponed", order_id=order_id, step=step, cause=cause)
        self._sagas.postpone(order_id, delay=RETRY_DELAY, cause=cause)

    def _schedule(self, order_id: str, load: Callable[[], Order], call: CallContext) -> None:
        """Drive an order in the background, unless this instance does so already."""
        with self._lock:
            if self._stopping.is_set() or order_id in self._driving:
                return
            self._driving.add(order_id)
        self._executor.submit(self._drive_in_background, order_id, load, call)

    def _drive_in_background(
        self, order_id: str, load: Callable[[], Order], call: CallContext
    ) -> None:
        """Drive an order; after a failure its lease runs out, and an instance takes it over."""
        with use(call), self._heartbeats(order_id):
            try:
                self.drive(load())
            except Exception:
                log.exception("saga_failed", order_id=order_id)

    @contextmanager
    def _heartbeats(self, order_id: str) -> Iterator[None]:
        """Extend the lease of an order inside the block."""
        with self._lock:
            self._driving.add(order_id)
        try:
            yield
        finally:
            with self._lock:
                self._driving.discard(order_id)

    def _extend_leases(self) -> None:
        with self._lock:
            driving = list(self._driving)
        if driving:
            self._sagas.extend_leases(driving)

    def _take_over(self) -> None:
        """Drive the orders that are due: their instance died, or their retry delay is over."""
        while not self._stopping.is_set() and self._has_capacity():
            order_id = self._sagas.claim_due()
            if order_id is None:
                return
            call = CallContext(request_id=order_id)
            self._schedule(order_id, partial(self._orders.load, order_id), call)

    def _has_capacity(self) -> bool:
        with self._lock:
            return len(self._driving) < 2 * MAX_CONCURRENT_SAGAS
