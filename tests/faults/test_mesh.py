"""Steady reads while instances start, leave and die, and while discovery is down."""

import time

import pytest
import requests

from tests.faults.checkers import check, every_call_succeeded
from tests.faults.faults import await_ready, down, kill
from tests.faults.workloads import Orders

pytestmark = pytest.mark.faults


def requests_to(stack, address):
    """Return how many requests Envoy has sent to one address of catalog."""
    clusters = requests.get(f"{stack.url('envoy_admin')}/clusters", timeout=5).text
    prefix = f"catalog::{address}::rq_total::"
    found = [line for line in clusters.splitlines() if line.startswith(prefix)]
    return int(found[0].removeprefix(prefix)) if found else 0


def test_killing_an_instance_fails_no_read(stack, reads):
    kill(stack, "catalog-2")
    reads.await_more(300)
    check(every_call_succeeded(reads))
    await_ready(stack, "catalog-2")


def test_a_new_instance_is_called_within_a_second_and_leaves_without_failing_a_call(
    stack, reads, say
):
    before = len(stack.instances("catalog"))
    stack.scale("catalog", before + 1)
    began, address = time.monotonic(), stack.address(f"catalog-{before + 1}")
    check(lambda: [] if requests_to(stack, address) else ["no request yet"], seconds=1)
    say(f"first request {time.monotonic() - began:.2f} s after it was healthy")
    stack.scale("catalog", before)
    reads.await_more(100)
    check(every_call_succeeded(reads))


@pytest.mark.parametrize("part", ["control_plane", "consul"])
def test_running_instances_are_called_while_a_part_of_discovery_is_down(
    stack, customer, reads, orders: Orders, part
):
    with down(stack, part):
        order = orders.place(customer)
        customer.await_status(order.order_id, "CONFIRMED")
        reads.await_more(200)
        check(every_call_succeeded(reads))
    reads.await_more(200)
    check(every_call_succeeded(reads))
