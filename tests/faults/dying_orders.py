"""The process of an orders instance that kills itself at a chosen step of a saga.

`python -m tests.faults.dying_orders STEP before|after`: before the step is executed, or
between its execution and the commit of its events.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence

import grpc
from mamie_rosa.orders.v1 import orders_pb2
from typing_extensions import override

from services.orders import __main__ as orders
from services.orders.domain import Order, Step
from services.orders.events import Event
from services.orders.servicer import OrdersServicer
from services.orders.steps import SagaSteps

ANSWERED = threading.Event()
"""The response of CreateOrder is sent: only then may the process die."""


class AnsweringServicer(OrdersServicer):
    """Sets ANSWERED after a call of CreateOrder."""

    @override
    def CreateOrder(
        self, request: orders_pb2.CreateOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.CreateOrderResponse:
        context.add_callback(ANSWERED.set)
        return super().CreateOrder(request, context)


class DyingSteps(SagaSteps):
    """Saga steps, one of which kills the process."""

    @override
    def execute(
        self, step: Step, order: Order, payment_token: str | None = None
    ) -> Sequence[Event]:
        deadly = step == sys.argv[1]
        if deadly and sys.argv[2] == "before":
            die()
        events = super().execute(step, order, payment_token)
        if deadly:
            die()
        return events


def die() -> None:
    """Kill this process, as `kill -9` does."""
    ANSWERED.wait(5)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    orders.OrdersServicer = AnsweringServicer  # type: ignore[misc]
    orders.SagaSteps = DyingSteps  # type: ignore[misc]
    orders.serve(orders.read_config())
