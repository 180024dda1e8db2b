"""kill -9 of the instance that drives an order, at every step: another one finishes it."""

import signal
import subprocess
import sys
import time
import uuid
from functools import partial

import grpc
import psutil
import pytest
import requests
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc

from scripts.paths import ROOT
from services.orders.domain import Step
from tests.e2e.test_races import payments_of
from tests.outage import down
from tests.shop import ADDRESS
from tests.waiting import eventually

pytestmark = pytest.mark.faults

TAKEOVER_SECONDS = 5
FORWARD = ["OrderPlaced", "PromoRedeemed", "PaymentStarted", "PaymentCaptured", "OrderConfirmed"]
BACKWARD = [
    *FORWARD[:3],
    "PaymentDeclined",
    "OrderCancelled",
    "PaymentSettled",
    "PromoReleased",
    "StockReleased",
]
STEPS_FORWARD = (Step.REDEEM_PROMO, Step.START_PAYMENT, Step.CAPTURE_PAYMENT, Step.COMMIT_STOCK)
STEPS_BACKWARD = (Step.REFUND_PAYMENT, Step.RELEASE_PROMO, Step.RELEASE_STOCK)


@pytest.fixture
def dying(stack):
    """Start instances of orders that die at a step; those that live on are ended."""
    started = []

    def start(step, when):
        name = f"orders-dying-{uuid.uuid4().hex[:8]}"
        settings = psutil.Process(stack.unit("orders-1")["pid"]).environ()
        command = [sys.executable, "-m", "tests.faults.dying_orders", step, when]
        environment = settings | {"MAMIE_INSTANCE": name, "MAMIE_PORT": "0"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        started.append((name, process))
        return eventually(lambda: address_of(stack, name), seconds=20), process

    yield start
    for name, process in started:
        process.kill()
        process.wait()
        requests.put(f"{stack.url('consul')}/v1/agent/service/deregister/{name}", timeout=5)


def address_of(stack, name):
    try:
        return stack.address(name)
    except requests.HTTPError:
        return None


def order_at(address, person, product, code, token):
    """Place an order at one instance, past the edge; return its id."""
    request = orders_pb2.CreateOrderRequest(
        items=[orders_pb2.CartItem(product_id=product["productId"], quantity=2)],
        promo_code=code,
        shipping_address=orders_pb2.Address(
            line1=ADDRESS["line1"], postal_code="75011", city="Paris", country="FR"
        ),
        payment_token=token,
    )
    identity = (("x-user-id", person.user_id), ("x-user-role", "customer"))
    with grpc.insecure_channel(address) as channel:
        stub = orders_pb2_grpc.OrdersServiceStub(channel)
        return stub.CreateOrder(request, timeout=5, metadata=identity).order_id


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS_FORWARD)
def test_an_order_on_its_way_is_confirmed_by_another_instance(
    shop, stack, alice, dying, step, when, say
):
    product, code = shop.add_product(stock=10), shop.add_promotion()
    address, process = dying(step, when)
    order_id = order_at(address, alice, product, code, "tok_ok")
    assert process.wait(timeout=10) == -signal.SIGKILL
    killed = time.monotonic()
    alice.await_status(order_id, "CONFIRMED", seconds=TAKEOVER_SECONDS)
    say(f"finished {time.monotonic() - killed:.1f} s after the kill")
    assert alice.history(order_id) == FORWARD
    assert payments_of(stack, order_id) == [("CAPTURED", "18.00")]
    assert (shop.stock_of(product), shop.uses_of(code)) == (8, 1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS_BACKWARD)
def test_an_order_on_its_way_back_is_given_up_by_another_instance(
    shop, stack, alice, dying, step, when
):
    product, code = shop.add_product(stock=10), shop.add_promotion()
    address, process = dying(step, when)
    order_id = order_at(address, alice, product, code, "tok_declined")
    assert process.wait(timeout=10) == -signal.SIGKILL
    eventually(lambda: alice.history(order_id) == BACKWARD, seconds=TAKEOVER_SECONDS)
    assert alice.see(order_id)["status"] == "CANCELLED"
    assert [status for status, _ in payments_of(stack, order_id)] == ["DECLINED"]
    assert (shop.stock_of(product), shop.uses_of(code)) == (10, 0)


def test_all_instances_killed_at_once_lose_no_order(shop, stack, alice):
    product = shop.add_product(stock=50)
    order_ids = [alice.place((product, 1), paymentToken="tok_slow") for _ in range(5)]
    for instance in stack.instances("orders"):
        stack.kill(instance)
    for order_id in order_ids:
        eventually(partial(confirmed, alice, order_id), seconds=30)
        assert len(payments_of(stack, order_id)) == 1
    assert shop.stock_of(product) == 45


def confirmed(person, order_id):
    answer = person.get(f"/api/orders/{order_id}")
    return answer.status_code == 200 and answer.json()["status"] == "CONFIRMED"


def test_an_order_waits_for_payments_that_are_down_and_goes_on_when_they_are_back(
    shop, stack, alice
):
    product = shop.add_product(stock=5)
    with down(stack, *stack.instances("payments")):
        order_id = alice.place((product, 1))
        alice.await_status(order_id, "PAYMENT_PROCESSING")
    alice.await_status(order_id, "CONFIRMED", seconds=15)
    assert payments_of(stack, order_id) == [("CAPTURED", "10.00")]
