"""What every outbox promises to the relay; each store's test is a subclass."""

import pytest

from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import publish_batch


class OutboxContract:
    """Subclasses give `outbox` (of a store with events in it) and `expected` (their subjects)."""

    def test_events_are_taken_oldest_first_and_then_gone(self, outbox, expected):
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

    def test_what_one_relay_has_taken_another_does_not_get(self, outbox):
        with outbox.take(100) as mine, outbox.take(100) as yours:
            assert mine
            assert list(yours) == []

    def expire_lock(self, outbox):
        """Let the time pass that a relay may hold events, where that is a matter of time."""
