"""Time and identity, injected so that tests choose them."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present, in UTC."""

NewId = Callable[[], str]
"""Returns an id that was never returned before, a UUID."""


def utc_now() -> datetime:
    """Return the present, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())
