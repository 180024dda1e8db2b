"""The contract of an Outbox; the test of each store's outbox is a subclass."""

import pytest

from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import publish_batch
from tests.support.waiting import eventually


class OutboxContract:
    """Subclasses define fixtures: `outbox` with events, and `expected`, their subjects in order."""

    def test_events_are_taken_oldest_first_and_deleted(self, outbox, expected):
        with outbox.take(100) as events:
            assert [event.subject for event in events] == expected
        with outbox.take(100) as events:
            assert list(events) == []

    def test_events_stay_when_publishing_fails(self, outbox, expected):
        def fail(_event):
            raise ConnectionError

        with pytest.raises(ConnectionError):
            publish_batch(outbox, fail)
        self.expire_lock(outbox)
        published: list[CloudEvent] = []
        assert publish_batch(outbox, published.append) == len(expected)
        assert [event.subject for event in published] == expected

    def test_a_relay_that_hangs_keeps_the_events_for_seconds_only(self, outbox, expected):
        hanging = outbox.take(100)
        assert hanging.__enter__()
        taken = eventually(lambda: self._take(outbox), seconds=20)
        assert [event.subject for event in taken] == expected
        hanging.__exit__(None, None, None)  # it goes on, and changes nothing more
        assert self._take(outbox) == []

    def _take(self, outbox):
        with outbox.take(100) as events:
            return list(events)

    def test_a_second_relay_gets_no_events(self, outbox):
        with outbox.take(100) as first, outbox.take(100) as second:
            assert first
            assert list(second) == []

    def expire_lock(self, outbox):
        """Expire the lock of a relay, for stores with a lock that expires."""
