"""Instances come, go and die under load; nobody who calls the shop notices."""

import time

import pytest
import requests

from tests.faults.faults import down
from tests.support.steady_load import SteadyLoad
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults


@pytest.fixture
def reads(shop):
    """A steady load of reads, signed in: nothing that a cache could answer."""
    with SteadyLoad(lambda: shop.admin.get("/api/products/prod_001"), per_second=50) as load:
        eventually(lambda: load.count > 50)
        yield load


def go_on(load, calls):
    """Wait until that many more calls have ended."""
    wanted = load.count + calls
    eventually(lambda: load.count >= wanted, seconds=30)


def requests_to(stack, address):
    """Return how many requests Envoy has sent to one address of catalog."""
    clusters = requests.get(f"{stack.url('envoy_admin')}/clusters", timeout=5).text
    prefix = f"catalog::{address}::rq_total::"
    found = [line for line in clusters.splitlines() if line.startswith(prefix)]
    return int(found[0].removeprefix(prefix)) if found else 0


def test_killing_an_instance_fails_no_read(stack, reads):
    stack.kill("catalog-2")
    go_on(reads, 300)
    assert set(reads.outcomes) == {"200"}
    eventually(lambda: stack.unit("catalog-2")["state"] == "ready", seconds=30)


def test_a_new_instance_is_used_in_under_a_second_and_leaves_without_failing_a_call(
    stack, reads, say
):
    before = len(stack.instances("catalog"))
    stack.scale("catalog", before + 1)
    began, address = time.monotonic(), stack.address(f"catalog-{before + 1}")
    eventually(lambda: requests_to(stack, address) > 0, seconds=1)
    say(f"first request {time.monotonic() - began:.2f} s after it was healthy")
    stack.scale("catalog", before)
    go_on(reads, 100)
    assert set(reads.outcomes) == {"200"}


def test_the_control_planes_death_changes_nothing_for_what_runs(shop, stack, alice, reads):
    with down(stack, "control_plane"):
        order_id = alice.place((shop.add_product(), 1))
        alice.await_status(order_id, "CONFIRMED")
        go_on(reads, 200)
        assert set(reads.outcomes) == {"200"}


def test_consuls_absence_stops_nothing_that_runs(shop, stack, alice, reads):
    with down(stack, "consul"):
        order_id = alice.place((shop.add_product(), 1))
        alice.await_status(order_id, "CONFIRMED")
        go_on(reads, 200)
    go_on(reads, 200)
    assert set(reads.outcomes) == {"200"}
