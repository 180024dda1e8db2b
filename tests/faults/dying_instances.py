"""Instances of orders that die at a chosen step of a saga, beside the stack's own."""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import psutil
import requests
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc

from scripts.paths import ROOT
from tests.support.running_stack import RunningStack
from tests.support.shop import ADDRESS, Customer, Product
from tests.support.waiting import eventually

START_SECONDS = 20
DEATH_SECONDS = 10


@dataclass(frozen=True)
class DyingInstance:
    """An instance that kills itself; `address` is its "host:port"."""

    address: str
    process: subprocess.Popen[bytes]

    def place(self, customer: Customer, product: Product, code: str, token: str) -> str:
        """Place an order at this instance, past the edge; return its id."""
        request = orders_pb2.CreateOrderRequest(
            items=[orders_pb2.CartItem(product_id=product["productId"], quantity=2)],
            promo_code=code,
            shipping_address=orders_pb2.Address(
                line1=ADDRESS["line1"], postal_code="75011", city="Paris", country="FR"
            ),
            payment_token=token,
        )
        identity = (("x-user-id", customer.user_id), ("x-user-role", "customer"))
        with grpc.insecure_channel(self.address) as channel:
            stub = orders_pb2_grpc.OrdersServiceStub(channel)
            return stub.CreateOrder(request, timeout=5, metadata=identity).order_id

    def await_death(self) -> None:
        """Return when it has killed itself."""
        assert self.process.wait(timeout=DEATH_SECONDS) == -signal.SIGKILL


@contextmanager
def dying_at(stack: RunningStack, step: str, when: str) -> Iterator[DyingInstance]:
    """Yield an instance that dies "before" or "after" a step; one that lives on is ended."""
    name = f"orders-dying-{uuid.uuid4().hex[:8]}"
    settings = psutil.Process(stack.unit("orders-1")["pid"]).environ()
    command = [sys.executable, "-m", "tests.faults.dying_orders", step, when]
    environment = settings | {"MAMIE_INSTANCE": name, "MAMIE_PORT": "0"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        address = eventually(lambda: _address_of(stack, name), seconds=START_SECONDS)
        yield DyingInstance(address, process)
    finally:
        process.kill()
        process.wait()
        requests.put(f"{stack.url('consul')}/v1/agent/service/deregister/{name}", timeout=5)


def _address_of(stack: RunningStack, name: str) -> str | None:
    try:
        return stack.address(name)
    except requests.HTTPError:
        return None
