"""Applies the decisions of customers and administrators to orders."""

from collections.abc import Callable, Sequence

import structlog

from services.orders.domain import Order
from services.orders.errors import OrderChangedError
from services.orders.events import Event
from services.orders.ports import Orchestrator, OrdersRepository

MAX_ATTEMPTS = 10
"""How often a decision is made at most; a whole saga has fewer steps."""

Decide = Callable[[Order], Sequence[Event]]
"""Returns the events that a decision about an order leads to."""

log = structlog.get_logger()


class Decisions:
    """Appends the events of a decision, then drives the steps that are due because of them."""

    def __init__(self, *, orders: OrdersRepository, orchestrator: Orchestrator) -> None:
        self._orders = orders
        self._orchestrator = orchestrator

    def apply(self, order: Order, decide: Decide) -> Order:
        """Apply a decision to an order; return the order as far as its saga got.

        After a conflict, as with a saga that is running, the order is loaded and the decision
        made again. OrderChangedError when every attempt conflicts.
        """
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return self._apply(order, decide)
            except OrderChangedError:
                log.info("decision_retried", order_id=order.order_id)
                order = self._orders.load(order.order_id)
        return self._apply(order, decide)

    def _apply(self, order: Order, decide: Decide) -> Order:
        events = decide(order)
        if not events:
            return order
        return self._orchestrator.drive(self._orders.append(order, events))
