"""The age of the oldest unfinished order, as MongoDB knows it."""

from datetime import UTC, datetime, timedelta

import pytest

from services.orders import store
from services.orders.metrics.unfinished import UnfinishedOrders
from tests.support.metrics import value

pytestmark = pytest.mark.integration


def test_only_orders_whose_saga_is_not_complete_count(mongodb_url):
    now = datetime.now(UTC)
    with store.connect(mongodb_url) as client:
        database = store.open_database(client)
        for name, minutes, due_at in (("old", 60, None), ("stuck", 10, now), ("new", 1, now)):
            created_at = now - timedelta(minutes=minutes)
            database.orders.insert_one({"_id": name, "created_at": created_at})
            database.sagas.insert_one({"_id": name, "due_at": due_at})
        UnfinishedOrders(client).measure()
        assert value("mamie_saga_unfinished_orders") == 2
        assert value("mamie_saga_oldest_unfinished_age_seconds") == pytest.approx(600, abs=30)
        database.sagas.update_many({}, {"$set": {"due_at": None}})
        UnfinishedOrders(client).measure()
        assert value("mamie_saga_unfinished_orders") == 0
        assert value("mamie_saga_oldest_unfinished_age_seconds") == 0
