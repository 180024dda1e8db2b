"""What the notifications have made of events, as their store tells."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

from scripts.stack.client import Stack
from services.common.clock import new_id
from services.common.messaging.events import CloudEvent, build_event
from services.common.storage import postgres

WELCOMES = """
SELECT user_id, count(*) FROM notifications
WHERE user_id = ANY(:ids) AND template = 'welcome' GROUP BY user_id
"""


def tell_of(user_id: str, first_name: str, *, is_new: bool) -> CloudEvent:
    """Return what the users service says of a client who is new or has changed."""
    kind = events_pb2.UserCreated if is_new else events_pb2.UserUpdated
    data = kind(
        user_id=user_id,
        email=f"{user_id}@clients.example",
        first_name=first_name,
        notifications_enabled=True,
    )
    now = datetime.now(UTC)
    return build_event(data, source="users", subject=user_id, now=now, new_id=new_id)


@contextmanager
def engine_of(stack: Stack, service: str) -> Iterator[sa.Engine]:
    """Yield an engine on the store of a service."""
    engine = postgres.create_engine(stack.store_url(service), pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()


class Heard:
    """What the notifications know."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def names(self, client_ids: Sequence[str]) -> Sequence[str]:
        """Return the first names of those clients who are known."""
        query = "SELECT first_name FROM clients WHERE user_id = ANY(:ids)"
        return [row.first_name for row in self._rows(query, client_ids)]

    def welcomes(self, client_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how often clients are welcomed."""
        return {row.user_id: row.count for row in self._rows(WELCOMES, client_ids)}

    def times(self, event_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when events had their effect."""
        query = "SELECT event_id, handled_at FROM handled_events WHERE event_id = ANY(:ids)"
        return {row.event_id: row.handled_at for row in self._rows(query, event_ids)}

    def _rows(self, query: str, ids: Sequence[str]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(sa.text(query), {"ids": list(ids)}).all()
