"""The contract of the attempts, in memory and in MongoDB."""

import time
import uuid
from datetime import timedelta

import pytest

from services.orders import errors, store
from services.orders.placing.attempts import MongoAttempts
from services.orders.placing.tests.fakes import InMemoryAttempts
from services.orders.repository import MongoOrdersRepository
from services.orders.tests.fakes import build_placed
from tests.support.concurrency import call_at_once

FACTS = {"productIds": "$sku", "availableQuantities": "1"}


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.integration)])
def attempts(request):
    if request.param == "memory":
        return InMemoryAttempts()
    return MongoAttempts(request.getfixturevalue("client"))


@pytest.fixture
def order_id():
    return str(uuid.uuid4())


def test_one_attempt_is_in_progress_until_it_ends(attempts, order_id):
    attempt = attempts.begin(order_id, "cart")
    assert attempts.begin(order_id, "cart") is None
    assert attempts.begin(order_id, "other cart") is None
    attempts.end(attempt)
    assert attempts.begin(order_id, "cart")


def test_an_attempt_that_ended_ends_no_other(attempts, order_id):
    before = attempts.begin(order_id, "cart")
    attempts.end(before)
    assert attempts.begin(order_id, "cart")
    attempts.end(before)
    assert not attempts.refuse(before, errors.OutOfStockError({"$sku": 1}))
    assert attempts.begin(order_id, "cart") is None


def test_a_rejection_is_the_answer_to_the_same_cart_and_not_to_another(attempts, order_id):
    attempt = attempts.begin(order_id, "cart")
    assert attempts.refuse(attempt, errors.OutOfStockError({"$sku": 1}))
    for _ in range(2):
        with pytest.raises(errors.OutOfStockError) as caught:
            attempts.begin(order_id, "cart")
        assert caught.value.metadata == FACTS
        assert "$sku" in caught.value.message
    assert attempts.begin(order_id, "other cart")


@pytest.mark.integration
class TestInMongo:
    def test_of_many_requests_at_once_one_begins(self, client, order_id):
        attempts = MongoAttempts(client)
        begun = call_at_once(20, lambda: attempts.begin(order_id, "cart"))
        assert sum(attempt is not None for attempt in begun) == 1

    def test_an_attempt_and_a_rejection_run_out_by_the_clock_of_the_server(self, client, order_id):
        brief = timedelta(milliseconds=200)
        attempts = MongoAttempts(client, lease=brief, refusal_retention=brief)
        assert attempts.begin(order_id, "cart")
        assert attempts.begin(order_id, "cart") is None
        time.sleep(0.3)
        attempt = attempts.begin(order_id, "cart")
        assert attempt
        attempts.refuse(attempt, errors.OutOfStockError({"$sku": 1}))
        time.sleep(0.3)
        assert attempts.begin(order_id, "cart")

    def test_only_the_holder_of_the_attempt_places_the_order(self, client, order_id):
        orders = MongoOrdersRepository(client)
        attempts = MongoAttempts(client, lease=timedelta(0))

        def place(attempt):
            orders.place(order_id, build_placed(), payment_token="t", attempt=attempt)

        lost, held = (attempts.begin(order_id, "cart") for _ in range(2))
        with pytest.raises(errors.OrderChangedError):
            place(lost)
        assert orders.find(order_id) is None
        place(held)
        assert orders.find(order_id)
        assert client.get_default_database().attempts.count_documents({}) == 0
