"""Each part of the shop frozen for a while: what goes on meanwhile, and all of it afterwards.

`pytest tests/faults/test_freezes.py --freeze=full` goes through the whole matrix (freezes.py).
"""

import re
import threading
import time
from functools import partial

import pytest
import requests

from tests.faults import freezes
from tests.faults.calls import make_call, public_calls, watch
from tests.faults.checkers import (
    calls_succeed,
    check,
    every_answer_in_time,
    nothing_waits,
    one_answer_per_key,
    one_payment_per_order,
    one_purchase_per_order,
    one_summary_per_order,
    only_fail,
    orders_are,
    stock_is_conserved,
)
from tests.faults.faults import frozen
from tests.faults.keyed_orders import keyed_orders, placing
from tests.faults.workloads import Orders
from tests.support.commands import run_script
from tests.support.outboxes import count_waiting
from tests.support.stores import payments_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.local, pytest.mark.timeout(400)]

CUSTOMERS = 8
PUBLISHERS = {"users", "catalog", "orders", "promotions"}
SHOW_SECONDS = 30


def pytest_generate_tests(metafunc):
    if "cell" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("freeze")
        cells = list(freezes.full()) if chosen == "full" else freezes.SELECTED
        ids = [f"{row.name}-{seconds}s" for row, seconds in cells]
        metafunc.parametrize("cell", cells, ids=ids)


@pytest.fixture
def calls(shop, customer):
    return public_calls(shop, customer, Orders(shop.add_product(stock=10_000)))


@pytest.fixture
def keyed(shop):
    return keyed_orders(shop, customers=CUSTOMERS)


def test_a_frozen_part_stops_only_what_needs_it_and_nothing_is_lost(
    shop, stack, graph, calls, keyed, cell, say
):
    row, seconds = cell
    check(all_calls_succeed(calls), seconds=freezes.RECOVERY_SECONDS)
    with placing(keyed, over_seconds=seconds), watch(calls) as answers:
        began = time.monotonic()
        with frozen(stack, *row.parts):
            threading.Event().wait(seconds)
            thawed = time.monotonic()
        check(all_calls_succeed(calls), seconds=freezes.RECOVERY_SECONDS)
        check(
            nothing_waits(partial(count_waiting, stack)),
            seconds=thawed + freezes.RECOVERY_SECONDS - time.monotonic(),
        )
        well = time.monotonic() - thawed
    meanwhile = [answer for answer in answers if began <= answer.began < thawed]
    say(f"{row.name}, {seconds} s: {describe(meanwhile)}; all well {well:.1f} s after the thaw")
    check(
        every_answer_in_time(answers, row.answer_seconds),
        only_fail(row.fails, meanwhile, since=began + row.settle_seconds),
    )
    check_orders(shop, stack, graph, keyed)


def all_calls_succeed(calls):
    """Return the checker that each call succeeds now."""
    return calls_succeed(lambda: [make_call(name, call) for name, call in calls.items()])


def check_orders(shop, stack, graph, keyed):
    """Check that each customer has the one order that was wanted, paid once, with its effects."""
    placed = keyed.acknowledged
    check(one_answer_per_key(keyed.orders))
    assert len(placed) == CUSTOMERS
    check(orders_are("CONFIRMED", placed), seconds=freezes.RECOVERY_SECONDS)
    check(
        one_payment_per_order(partial(payments_of, stack), [each.order_id for each in placed]),
        stock_is_conserved(
            shop, keyed.product, initial=keyed.wanted_units, sold=keyed.wanted_units
        ),
    )
    assert shop.uses_of(keyed.code) == CUSTOMERS
    check(
        one_summary_per_order(placed),
        one_purchase_per_order(graph, placed),
        seconds=freezes.RECOVERY_SECONDS,
    )


def describe(answers):
    failed = sorted({f"{each.call} {each.outcome}" for each in answers if not each.succeeded})
    slowest = max(answers, key=lambda each: each.seconds)
    return (
        f"{len(answers)} calls, failed: {', '.join(failed) or 'none'}; "
        f"slowest {slowest.call} {slowest.seconds:.1f} s"
    )


def test_consul_and_the_status_command_show_which_services_a_frozen_broker_holds_up(stack):
    eventually(lambda: not troubled(stack), seconds=freezes.RECOVERY_SECONDS)
    with frozen(stack, "rabbitmq"):
        eventually(lambda: troubled(stack) >= PUBLISHERS, seconds=SHOW_SECONDS)
        _, shown = run_script(stack, "status")
        hidden = [each for each in PUBLISHERS if not re.search(rf"{each}(-\d)?-workers", shown)]
        assert hidden == [], shown
    eventually(lambda: not troubled(stack), seconds=freezes.RECOVERY_SECONDS)


def troubled(stack):
    """Return the services some of whose workers Consul shows as failing."""
    found = requests.get(f"{stack.url('consul')}/v1/health/state/any", timeout=5).json()
    names = [each["ServiceName"] for each in found if each["Status"] != "passing"]
    return {name.removesuffix("-workers") for name in names if name.endswith("-workers")}
