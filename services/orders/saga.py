"""The saga orchestrator: drives every order forward to CONFIRMED, or back through compensation.

The saga has no state of its own: the step that is due follows from the order's events
(`domain.next_step`), every step is idempotent, and each result is an event. So any instance
can drive any order from any state. A lease decides which one does: an order whose saga is not
complete has a time at which it is due; the instance that drives it moves that time ahead with
heartbeats. When the instance dies the lease runs out, and another one takes the order over.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial, reduce

import structlog
from typing_extensions import override

from services.common.background import PeriodicWorker
from services.common.clock import Clock, utc_now
from services.common.context import CallContext, current, use
from services.common.threads.fair_executor import FairExecutor
from services.common.tracing.spans import ORDER_ID, span
from services.common.tracing.trace_context import accept
from services.orders.domain import LOCAL_STEPS, Order, Step, apply, next_step, record
from services.orders.errors import OrderChangedError, OverloadedError
from services.orders.events import Event
from services.orders.metrics import saga as metrics
from services.orders.ports import (
    Orchestrator,
    OrdersRepository,
    SagaRepository,
    ServiceUnavailableError,
    StepBegun,
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
SAGA_STEP = "mamie_rosa.saga.step"
TAKEOVERS = ""
"""The lane of orders that are taken over, whoever their customers are."""
MAX_DRIVEN_PER_LANE = 32
"""How many orders of one customer an instance drives; and how many that it took over, until they
are at payments. So neither fills an instance, and there is room for everybody's new orders."""
MAX_CLAIMS_PER_POLL = 32
PAYMENT_STEPS = frozenset({Step.CAPTURE_PAYMENT, Step.REFUND_PAYMENT})

log = structlog.get_logger()


@dataclass(kw_only=True)
class Drive:
    """An order on its way through the saga.

    `payment_token` spares reading it; `begun` is the step that was recorded with the last events.
    """

    order: Order
    payment_token: str | None = field(default=None, repr=False)
    begun: Step | None = None

    def follow(self, events: Sequence[Event], now: datetime) -> Order:
        """Return the order as it would be after events."""
        return reduce(apply, record(self.order, events, now), self.order)


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
    def submit(self, order: Order, *, payment_token: str | None = None) -> None:
        drive = Drive(order=order, payment_token=payment_token)
        call = replace(current(), deadline=None)
        self._schedule(order.order_id, order.user_id, lambda: drive, call)

    @override
    def drive(self, order: Order) -> Order:
        drive = Drive(order=order)
        with self._heartbeats(order.order_id):
            self._run(drive)
        return drive.order

    def _run(self, drive: Drive, *, before: Collection[Step] = ()) -> bool:
        """Execute the steps that are due, until one of `before`; return whether that is next.

        A step that cannot go on now is skipped: compensations do not wait for each other.
        """
        order_id = drive.order.order_id
        skipped: set[Step] = set()
        while not self._stopping.is_set():
            step = next_step(drive.order, self._clock(), skipped)
            if step is None or step in before:
                return step is not None
            try:
                with span(f"saga {step}", attributes={ORDER_ID: order_id, SAGA_STEP: step}):
                    self._advance(drive, step, skipped)
            except OrderChangedError:  # whoever changed it drives it on
                log.info("saga_superseded", order_id=order_id, step=step)
                break
            except ServiceUnavailableError as error:
                self._postpone(order_id, step, error.metadata["service"])
                skipped.add(step)
            except UpstreamRejectedError as error:
                self._postpone(order_id, step, error.reason)
                skipped.add(step)
        return False

    def _advance(self, drive: Drive, step: Step, skipped: Collection[Step]) -> None:
        """Execute a step and append its events, with the step that begins after them.

        Each step that calls an upstream is recorded before it does.
        """
        order, started = drive.order, time.monotonic()
        if step is not drive.begun and step not in LOCAL_STEPS:
            begun = StepBegun(step, self._instance)
            self._sagas.record_step(order.order_id, begun, now=self._clock())
        events = list(self._steps.execute(step, order, drive.payment_token))
        now = self._clock()
        # A local step shares the transaction of the one before.
        while (following := next_step(drive.follow(events, now), now, skipped)) in LOCAL_STEPS:
            events += self._steps.execute(following, drive.follow(events, now))
        begins = StepBegun(following, self._instance) if following else None
        drive.order, drive.begun = self._orders.append(order, events, begins=begins), following
        metrics.STEP.labels(step).observe(time.monotonic() - started)
        status = drive.order.status
        log.info("saga_step_completed", order_id=order.order_id, step=step, status=status)

    def _postpone(
        self, order_id: str, step: Step, cause: str, delay: timedelta = RETRY_DELAY
    ) -> None:
        metrics.POSTPONED.labels(step).inc()
        log.warning("saga_step_postponed", order_id=order_id, step=step, cause=cause)
        self._sagas.postpone(order_id, delay=delay, cause=cause)

    def _schedule(
        self, order_id: str, lane: str, load: Callable[[], Drive], call: CallContext
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

    def _begin(self, order_id: str, load: Callable[[], Drive], call: CallContext) -> None:
        """Drive an order as far as its payment, then hand it over to the threads for payments."""
        with use(call), self._releasing(order_id) as kept:
            drive = load()
            if self._run(drive, before=PAYMENT_STEPS) and self._admit(drive.order):
                finish = partial(self._finish, drive, call)
                self._payments_executor.submit(drive.order.user_id, finish)
                kept.append(order_id)

    def _finish(self, drive: Drive, call: CallContext) -> None:
        """Drive an order from its payment on."""
        with use(call), self._releasing(drive.order.order_id):
            self._run(drive)

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
            metrics.FAILURES.inc()
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
            metrics.TAKEOVERS.inc()
            # A takeover is a part of the trace in which the order was placed.
            traceparent = accept(self._sagas.traceparent(order_id))
            call = CallContext(request_id=order_id, traceparent=traceparent)
            self._schedule(order_id, TAKEOVERS, partial(self._load, order_id), call)

    def _load(self, order_id: str) -> Drive:
        return Drive(order=self._orders.load(order_id))

    def _can_take_over(self) -> bool:
        with self._lock:
            return self._has_room(TAKEOVERS)
