"""What clients ask about their notifications."""

from mamie_rosa.notifications.v1 import notifications_pb2, notifications_pb2_grpc

from services.common.rpc import authorization
from services.notifications.domain import Notification
from services.notifications.repository import NotificationsRepository

DEFAULT_LIMIT = 20


class NotificationsServicer(notifications_pb2_grpc.NotificationsServiceServicer):
    """Shows the send log."""

    def __init__(self, *, repository: NotificationsRepository) -> None:
        self._repository = repository

    def ListNotifications(self, request, context):
        """List what was sent to one client, newest first."""
        user_id = request.user_id or authorization.require_user().user_id
        authorization.require_self_or_admin(user_id)
        page = request.page or 1
        found, total = self._repository.list_of(
            user_id, page=page, limit=request.limit or DEFAULT_LIMIT
        )
        return notifications_pb2.ListNotificationsResponse(
            notifications=map(_render, found), total=total, page=page
        )


def _render(notification: Notification) -> notifications_pb2.Notification:
    return notifications_pb2.Notification(
        notification_id=notification.notification_id,
        channel=notification.channel.value,
        template=notification.template,
        language=notification.language,
        subject=notification.subject,
        status=notification.status.value,
        attempt_count=notification.attempt_count,
        created_at=notification.created_at,
        sent_at=notification.sent_at,
    )
