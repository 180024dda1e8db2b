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

    def test_a_relay_whose_lock_has_expired_leaves_the_lock_of_the_next(self, outbox, expected):
        with outbox.take(1) as frozen:
            assert [event.subject for event in frozen] == expected[:1]
            self.expire_lock(outbox)
            later = outbox.take(100)
            later.__enter__()
        with outbox.take(100) as events:
            assert list(events) == []
        later.__exit__(None, None, None)
        assert not outbox._client.exists(OUTBOX_LOCK)

    def test_the_lock_expires_by_the_clock_of_the_store(self, outbox):
        with outbox.take(1):
            assert 0 < outbox._client.pttl(OUTBOX_LOCK) <= 3_000

    def test_an_event_is_read_as_it_was_written(self, outbox):
        with outbox.take(1) as events:
            (event,) = events
        assert (event.type, event.source) == (
            "mamie_rosa.events.v1.PromoCreated",
            "/mamie-rosa/promotions",
        )
        assert event.time.tzinfo
        assert event.data
