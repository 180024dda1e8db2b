"""What the steps of a saga write to a real MongoDB, and in how many commands."""

from concurrent.futures import ThreadPoolExecutor

import pymongo
import pytest

from services.orders import domain, errors, events, store
from services.orders.ports import StepBegun
from services.orders.repository import MongoOrdersRepository
from services.orders.tests.commands import StartedCommands
from services.orders.tests.fakes import FakeClock, build_placed

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def orders(client, clock):
    return MongoOrdersRepository(client, clock=clock)


def place(orders):
    return orders.place("o", build_placed(), payment_token="tok_ok")


def test_a_step_of_a_saga_that_goes_on_writes_one_document_in_one_command(
    mongodb_url, client, clock
):
    commands = StartedCommands()
    with pymongo.MongoClient(mongodb_url, tz_aware=True, event_listeners=[commands]) as watched:
        orders = MongoOrdersRepository(watched, clock=clock)
        order = place(orders)
        commands.names.clear()
        begins = StepBegun(domain.Step.CAPTURE_PAYMENT, "orders-1")
        after = orders.append(order, [events.PaymentStarted()], begins=begins)
        assert commands.names == ["insert"]
        assert orders.load(order.order_id) == after


def test_of_many_concurrent_steps_one_succeeds(orders):
    order = place(orders)
    begins = StepBegun(domain.Step.CAPTURE_PAYMENT, "orders-1")

    def start_payment(_):
        try:
            return bool(orders.append(order, [events.PaymentStarted()], begins=begins))
        except errors.OrderChangedError:
            return False

    with ThreadPoolExecutor(8) as writers:
        assert sum(writers.map(start_payment, range(20))) == 1


def test_a_step_with_two_events_is_written_whole_or_not_at_all(orders):
    order = place(orders)
    orders.append(order, [events.OrderCancelled(reason="why")])
    begins = StepBegun(domain.Step.CAPTURE_PAYMENT, "orders-1")
    with pytest.raises(errors.OrderChangedError):
        orders.append(order, [events.PromoRedeemed(), events.PaymentStarted()], begins=begins)
    assert len(orders.history(order.order_id)) == 2
