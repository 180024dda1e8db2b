"""Clock and id generator, injected so that tests control them."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time, in UTC."""

NewId = Callable[[], str]
"""Returns a new UUID."""


def utc_now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Generate a random UUID."""
    return str(uuid.uuid4())
