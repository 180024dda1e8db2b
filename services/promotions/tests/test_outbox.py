"""The promotions' outbox, on a real Redis."""

from datetime import UTC, datetime

import pytest

from services.common.tests.outbox_contract import OutboxContract
from services.promotions.domain import Promotion
from services.promotions.outbox import OUTBOX_LOCK, RedisOutbox
from services.promotions.repository import RedisPromotionsRepository
from services.promotions.store import connect

pytestmark = pytest.mark.integration

FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


class TestRedisOutbox(OutboxContract):
    @pytest.fixture
    def expected(self):
        return ["ZEBRA", "APE"]

    @pytest.fixture
    def outbox(self, redis_url, expected):
        with connect(redis_url) as client:
            repository = RedisPromotionsRepository(client)
            for code in expected:
                promotion = Promotion(
                    code=code, discount_percentage=5, valid_from=FROM, valid_until=UNTIL
                )
                repository.add(promotion)
            yield RedisOutbox(client)

    def expire_lock(self, outbox):
        outbox._client.delete(OUTBOX_LOCK)

    def test_an_event_is_read_as_it_was_written(self, outbox):
        with outbox.take(1) as events:
            (event,) = events
        assert (event.type, event.source) == (
            "mamie_rosa.events.v1.PromoCreated",
            "/mamie-rosa/promotions",
        )
        assert event.time.tzinfo
        assert event.data
