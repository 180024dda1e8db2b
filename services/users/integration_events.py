"""The integration events that users publishes."""

from datetime import datetime

from mamie_rosa.events.v1 import events_pb2

from services.common.clock import NewId
from services.common.messaging.events import CloudEvent, build_event
from services.users.domain import User

UserEventType = type[events_pb2.UserCreated] | type[events_pb2.UserUpdated]


def to_integration_event(
    user: User, event_type: UserEventType, *, now: datetime, new_id: NewId
) -> CloudEvent:
    """Build the event of an account that was created or updated, with all of its profile."""
    data = event_type(
        user_id=user.user_id,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        animal_type=user.animal_type,
        notifications_enabled=user.notifications_enabled,
        language=user.language,
        version=user.version,
    )
    return build_event(data, source="users", subject=user.user_id, now=now, new_id=new_id)
