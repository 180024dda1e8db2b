"""Instances that are frozen while they hold something: the other instances go on without them."""

import subprocess
import sys
import threading
import uuid
from contextlib import ExitStack, contextmanager
from functools import partial

import psutil
import pytest

from scripts.paths import ROOT
from tests.faults.checkers import check, nothing_waits, orders_are
from tests.faults.faults import frozen
from tests.faults.workloads import UserEvents
from tests.support.outboxes import count_waiting
from tests.support.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.local]

HELD_SECONDS = 15
"""How long a lock may outlive its holder."""
PUBLISHING_SECONDS = 2
"""Within which a relay has taken events and waits for the broker."""


@contextmanager
def stuck_transaction(store_url, product):
    """Freeze a process in the transaction that locks a product's row."""
    command = [sys.executable, "-m", "tests.faults.stuck_transaction", store_url]
    command.append(product["productId"])
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "locked\n"
            holder = psutil.Process(process.pid)
            eventually(lambda: holder.status() == psutil.STATUS_STOPPED)
            yield
        finally:
            process.kill()


def test_a_product_is_sold_while_an_instance_is_frozen_inside_a_transaction_about_it(
    stack, customer, orders
):
    with stuck_transaction(stack.store_url("catalog"), orders.product):
        eventually(lambda: orders.attempt(customer).status_code == 201, seconds=HELD_SECONDS)
        check(orders_are("CONFIRMED", orders.acknowledged), seconds=10)


@pytest.mark.parametrize("number", [1, 2])
def test_events_are_published_while_the_instance_that_was_publishing_them_is_frozen(
    stack, users_store, number
):
    events = UserEvents(users_store, [str(uuid.uuid4()) for _ in range(3)])
    with ExitStack() as broker:
        broker.enter_context(frozen(stack, "rabbitmq"))
        events.commit(0)
        threading.Event().wait(PUBLISHING_SECONDS)
        with frozen(stack, f"users-{number}"):
            broker.close()
            check(nothing_waits(partial(count_waiting, stack)), seconds=HELD_SECONDS)
