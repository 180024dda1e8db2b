"""The effects of integration events on the notifications service, read from its store."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

FIRST_NAMES = "SELECT first_name FROM clients WHERE user_id = ANY(:ids)"
WELCOMES = """
SELECT user_id, count(*) FROM notifications
WHERE user_id = ANY(:ids) AND template = 'welcome' GROUP BY user_id
"""
PROCESSED = "SELECT event_id, handled_at FROM handled_events WHERE event_id = ANY(:ids)"


class NotificationsStore:
    """What the store of the notifications holds."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def first_names(self, user_ids: Sequence[str]) -> Sequence[str]:
        """Return the first names of those customers that are stored."""
        return [row.first_name for row in self._rows(FIRST_NAMES, user_ids)]

    def welcome_counts(self, user_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many welcomes each customer was sent."""
        return {row.user_id: row.count for row in self._rows(WELCOMES, user_ids)}

    def processing_times(self, event_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when each event had its effect."""
        return {row.event_id: row.handled_at for row in self._rows(PROCESSED, event_ids)}

    def _rows(self, query: str, ids: Sequence[str]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(sa.text(query), {"ids": list(ids)}).all()
