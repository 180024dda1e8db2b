"""What orders logs when MongoDB rejects a document: no address, no card, no name."""

from dataclasses import replace

import pytest
import structlog
from pymongo import errors as mongo_errors

from services.common.tests.logs import assert_nothing_private, logged
from services.orders import store
from services.orders.repository import MongoOrdersRepository
from services.orders.tests.fakes import build_placed
from tests.support.shop import ADDRESS

pytestmark = pytest.mark.integration

TOKEN = "tok_slow"
ORDER = "11111111-1111-4111-8111-111111111111"
PLACED = build_placed()
PLACED = replace(
    PLACED,
    address=replace(PLACED.address, recipient=ADDRESS["recipient"], line1=ADDRESS["line1"]),
)
RULES = {
    "events": {
        "$jsonSchema": {"properties": {"data": {"properties": {"address": {"type": "null"}}}}}
    },
    "sagas": {"$jsonSchema": {"properties": {"payment_token": {"type": "null"}}}},
}
"""Rules that the documents of an order break; MongoDB quotes the values in its errors."""


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.mark.parametrize("collection", RULES)
def test_an_order_that_cannot_be_stored_logs_nothing_about_the_customer(client, collection):
    client.get_default_database().command("collMod", collection, validator=RULES[collection])
    with logged("orders") as output:
        with pytest.raises(mongo_errors.WriteError) as caught:
            MongoOrdersRepository(client).place(ORDER, PLACED, payment_token=TOKEN)
        structlog.get_logger().error("call_crashed", exc_info=caught.value)
    assert_nothing_private(output, event="call_crashed")
