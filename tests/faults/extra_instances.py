"""Instances of services that run beside the stack's own and do something that those never do."""

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


@dataclass(frozen=True)
class ExtraInstance:
    """An instance of a service; `address` is its "host:port"."""

    address: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def place(self, customer: Customer, product: Product, code: str, token: str) -> str:
        """Place an order of two units at this instance of orders, past the edge; return its id."""
        request = orders_pb2.CreateOrderRequest(
            items=[orders_pb2.CartItem(product_id=product["productId"], quantity=2)],
            promo_code=code,
            shipping_address=orders_pb2.Address(
                line1=ADDRESS["line1"], postal_code="75011", city="Paris", country="FR"
            ),
            payment_token=token,
        )
        with grpc.insecure_channel(self.address) as channel:
            stub = orders_pb2_grpc.OrdersServiceStub(channel)
            return stub.CreateOrder(request, timeout=5, metadata=identity_of(customer)).order_id


def identity_of(customer: Customer) -> tuple[tuple[str, str], ...]:
    """Return the metadata with which the edge passes on a call of a customer."""
    return (("authorization", f"Bearer {customer.token}"),)


@contextmanager
def extra_instance(stack: RunningStack, service: str, *arguments: str) -> Iterator[ExtraInstance]:
    """Yield an instance that `python -m ARGUMENTS` starts, once it is registered.

    It has the settings of the service's first instance, a name of its own and any free port.
    One that lives on is killed.
    """
    name = f"{service}-extra-{uuid.uuid4().hex[:8]}"
    settings = psutil.Process(stack.unit(f"{service}-1")["pid"]).environ()
    environment = settings | {"MAMIE_INSTANCE": name, "MAMIE_PORT": "0"}
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        address = eventually(lambda: _address_of(stack, name), seconds=START_SECONDS)
        yield ExtraInstance(address, process)
    finally:
        process.kill()
        process.wait()
        deregister = f"{stack.url('consul')}/v1/agent/service/deregister"
        for entry in (name, f"{name}-workers", f"{name}-order-events"):
            requests.put(f"{deregister}/{entry}", timeout=5)


def _address_of(stack: RunningStack, name: str) -> str | None:
    try:
        return stack.address(name)
    except requests.HTTPError:
        return None
