"""The trace of an order: kept with its saga, and continued by whoever takes it over."""

from datetime import timedelta

import pytest

from services.common.context import CallContext, use
from services.orders import store
from services.orders.ports import LEASE_DURATION
from services.orders.repository import MongoOrdersRepository, MongoSagaRepository
from services.orders.states import OrderStatus
from services.orders.tests.fakes import InMemoryOrdersRepository, build_placed
from services.orders.tests.test_saga import World
from tests.support.waiting import eventually

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = CallContext(traceparent=f"00-{TRACE_ID}-{SPAN_ID}-01")
STEPS = ["saga REDEEM_PROMO", "saga CAPTURE_PAYMENT", "saga COMMIT_STOCK"]


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.integration)])
def repositories(request):
    """Yield the repositories of orders and of sagas."""
    if request.param == "memory":
        orders = InMemoryOrdersRepository()
        yield orders, orders.sagas
        return
    with store.connect(request.getfixturevalue("mongodb_url")) as client:
        store.migrate(client)
        yield MongoOrdersRepository(client), MongoSagaRepository(client)


def test_a_saga_keeps_the_trace_in_which_its_order_was_placed(repositories):
    orders, sagas = repositories
    with use(TRACED):
        orders.place("traced", build_placed(), payment_token="t", lease=timedelta(0))
    orders.place("untraced", build_placed(), payment_token="t")
    assert sagas.claim_due() == "traced"
    assert sagas.traceparent("traced") == TRACED.traceparent
    assert sagas.traceparent("untraced") == ""
    assert sagas.traceparent("unknown") == ""


@pytest.fixture
def world():
    return World()


def test_the_steps_of_a_takeover_are_a_part_of_the_trace_of_the_order(world, recorded):
    with use(TRACED):
        world.place()
    world.clock.now += LEASE_DURATION
    world.orchestrator("orders-2")._take_over()
    eventually(lambda: world.orders.load("o").status is OrderStatus.CONFIRMED)
    eventually(lambda: len(recorded) == len(STEPS))
    assert {(each.trace_id, each.parent_id) for each in recorded} == {(TRACE_ID, SPAN_ID)}
    assert [each.name for each in recorded] == STEPS


def test_a_step_that_has_to_wait_is_a_failed_span(world, recorded):
    world.payments.unavailable.add("capture")
    with use(TRACED):
        world.orchestrator().drive(world.place())
    assert (recorded[-1].name, recorded[-1].error) == (STEPS[1], "ServiceUnavailableError")


def test_an_order_whose_trace_is_not_recorded_has_no_spans(world, recorded):
    with use(CallContext(traceparent=f"00-{TRACE_ID}-{SPAN_ID}-00")):
        world.orchestrator().drive(world.place())
    assert not recorded
