"""The saga orchestrator: drives every order forward to CONFIRMED, or back through compensation.

The saga has no state of its own: the step that is due follows from the order's events
(`domain.next_step`), every step is idempotent, and each result is an event. So any instance
can drive any order from any state. A lease decides which one does: an order whose saga is not
complete has a time at which it is due; the instance that drives it moves that time ahead with
heartbeats. When the instance dies the lease runs out, and another one takes the order over.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog
from typing_extensions import override

from services.common.background import PeriodicWorker
from services.common.clock import Clock, utc_now
from services.common.context import CallContext, current, use
from services.common.fair_executor import FairExecutor
from services.orders.domain import Order, Step, next_step
from services.orders.errors import OrderChangedError, OverloadedError
from services.orders.ports import (
    Orchestrator,
    OrdersRepository,
    SagaRepository,
    ServiceUnavailableError,
    UpstreamRejectedError,
)
from services.orders.steps import SagaSteps

HEARTBEAT_SECONDS = 0.5
POLL_SECONDS = 0.5
RETRY_DELAY = timedelta(seconds=1)
BUSY_DELAY = timedelta(seconds=4)
"""How long an order waits whose customer has MAX_PAYMENTS_PER_CUSTOMER orders at payments."""
MAX_CONCURRENT_SAGAS = 8
MAX_CONCURRENT_PAYMENTS = 64
"""Payments may take seconds: they have threads of their own, so that other steps never wait."""
MAX_PAYMENTS_PER_CUSTOMER = 8
MAX_DRIVEN = 128
"""How many orders an instance drives; the heartbeat extends the leases of all of them."""
TAKEOVERS = ""
"""The lane of orders that are taken over, whoever their customers are."""
MAX_DRIVEN_PER_LANE = 32
"""How many orders of one customer an instance drives; and how many that it took over, until they
are at payments. So neither fills an instance, and there is room for everybody's new orders."""
MAX_CLAIMS_PER_POLL = 32
PAYMENT_STEPS = frozenset({Step.CAPTURE_PAYMENT, Step.REFUND_PAYMENT})

log = structlog.get_logger()


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
        self._driving: dict[str, str] = {}
        """The orders with heartbeats; those with a thread for payments have their customer."""
        self._lanes: dict[str, str] = {}
        """The lanes of the orders that are driven in the background: see FairExecutor."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._executor = FairExecutor(MAX_CONCURRENT_SAGAS, "saga")
        self._payments_executor = FairExecutor(MAX_CONCURRENT_PAYMENTS, "saga-payments")
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
        for executor in (self._executor, self._payments_executor):
            executor.shutdown()
        for worker in self._workers:
            worker.stop()

    @override
    def require_capacity(self) -> None:
        with self._lock:
            if len(self._driving) >= MAX_DRIVEN:
                raise OverloadedError

    @override
    def submit(self, order: Order) -> None:
        call = replace(current(), deadline=None)
        self._schedule(order.order_id, order.user_id, lambda: order, call)

    @override
    def drive(self, order: Order) -> Order:
        with self._heartbeats(order.order_id):
            order, _ = self._run(order)
        return order

    def _run(self, order: Order, *, before: Collection[Step] = ()) -> tuple[Order, bool]:
        """Execute the steps that are due, until one of `before`; return whether that is next.

        A step that cannot go on now is skipped: compensations do not wait for each other.
        """
        skipped: set[Step] = set()
        while not self._stopping.is_set() and (step := next_step(order, self._clock(), skipped)):
            if step in before:
                return order, True
            try:
                order = self._advance(order, step)
            except OrderChangedError:  # whoever changed it drives it on
                log.info("saga_superseded", order_id=order.order_id, step=step)
                break
            except ServiceUnavailableError as error:
                self._postpone(order.order_id, step, error.metadata["service"])
                skipped.add(step)
            except UpstreamRejectedError as error:
                self._postpone(order.order_id, step, error.reason)
                skipped.add(step)
        return order, False

    def _advance(self, order: Order, step: Step) -> Order:
        """Execute a step and append its events."""
        order_id = order.order_id
        self._sagas.record_step(order_id, step, instance=self._instance, now=self._clock())
        events = self._steps.execute(step, order)
        after = self._orders.append(order, events)
        log.info("saga_step_completed", order_id=order_id, step=step, status=after.status)
        return after

    def _postpone(
        self, order_id: str, step: Step, cause: str, delay: timedelta = RETRY_DELAY
    ) -> None:
        log.warning("saga_step_postponed", order_id=order_id, step=step, cause=cause)
        self._sagas.postpone(order_id, delay=delay, cause=cause)

    def _schedule(
        self, order_id: str, lane: str, load: Callable[[], Order], call: CallContext
    ) -> None:
        """Drive an order in the background, unless this instance does so, or its lane is full.

        An order that is left out is due when its lease ends, for any instance.
        """
        with self._lock:
            if self._stopping.is_set() or order_id in self._driving or not self._has_room(lane):
                return
            self._driving[order_id], self._lanes[order_id] = "", lane
        self._executor.submit(lane, partial(self._begin, order_id, load, call))

    def _has_room(self, lane: str) -> bool:
        """Return whether one more order of a lane may be driven; the caller holds the lock."""
        is_full = Counter(self._lanes.values())[lane] >= MAX_DRIVEN_PER_LANE
        return not is_full and len(self._driving) < MAX_DRIVEN

    def _begin(self, order_id: str, load: Callable[[], Order], call: CallContext) -> None:
        """Drive an order as far as its payment, then hand it over to the threads for payments."""
        with use(call), self._releasing(order_id) as kept:
            order, is_payment_next = self._run(load(), before=PAYMENT_STEPS)
            if is_payment_next and self._admit(order):
                finish = partial(self._finish, order, call)
                self._payments_executor.submit(order.user_id, finish)
                kept.append(order_id)

    def _finish(self, order: Order, call: CallContext) -> None:
        """Drive an order from its payment on."""
        with use(call), self._releasing(order.order_id):
            self._run(order)

    def _admit(self, order: Order) -> bool:
        """Admit an order to the threads for payments, unless its customer has enough there."""
        with self._lock:
            taken = sum(user_id == order.user_id for user_id in self._driving.values())
            if taken < MAX_PAYMENTS_PER_CUSTOMER:
                self._driving[order.order_id] = self._lanes[order.order_id] = order.user_id
                return True
        self._postpone(order.order_id, Step.CAPTURE_PAYMENT, "customer_limit", BUSY_DELAY)
        return False

    @contextmanager
    def _releasing(self, order_id: str) -> Iterator[list[str]]:
        """Stop heartbeats after the block, unless the order is added to what it yields.

        After a failure the lease runs out, and an instance takes the order over.
        """
        kept: list[str] = []
        try:
            yield kept
        except Exception:
            log.exception("saga_failed", order_id=order_id)
        finally:
            if order_id not in kept:
                with self._lock:
                    self._driving.pop(order_id, None)
                    self._lanes.pop(order_id, None)

    @contextmanager
    def _heartbeats(self, order_id: str) -> Iterator[None]:
        """Extend the lease of an order inside the block."""
        with self._lock:
            self._driving.setdefault(order_id, "")
        try:
            yield
        finally:
            with self._lock:
                self._driving.pop(order_id, None)

    def _extend_leases(self) -> None:
        with self._lock:
            driving = list(self._driving)
        if driving:
            self._sagas.extend_leases(driving)

    def _take_over(self) -> None:
        """Drive the orders that are due: their instance died, or their retry delay is over."""
        for _ in range(MAX_CLAIMS_PER_POLL):
            if self._stopping.is_set() or not self._can_take_over():
                return
            order_id = self._sagas.claim_due()
            if order_id is None:
                return
            call = CallContext(request_id=order_id)
            self._schedule(order_id, TAKEOVERS, partial(self._orders.load, order_id), call)

    def _can_take_over(self) -> bool:
        with self._lock:
            return self._has_room(TAKEOVERS)
