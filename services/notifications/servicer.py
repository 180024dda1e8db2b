"""The notifications service over gRPC."""

import grpc
from mamie_rosa.notifications.v1 import notifications_pb2, notifications_pb2_grpc
from typing_extensions import override

from services.common.messaging.dead_letter_queue import DeadLetterQueue
from services.common.rpc import authorization, rest_hints
from services.common.rpc.timestamps import to_timestamp
from services.notifications.domain import Notification
from services.notifications.repository import NotificationsRepository

DEFAULT_LIMIT = 20


class NotificationsServicer(notifications_pb2_grpc.NotificationsServiceServicer):
    """Serves the send log."""

    def __init__(
        self, *, repository: NotificationsRepository, dead_letters: DeadLetterQueue
    ) -> None:
        self._repository = repository
        self._dead_letters = dead_letters

    @override
    def ListNotifications(
        self, request: notifications_pb2.ListNotificationsRequest, context: grpc.ServicerContext
    ) -> notifications_pb2.ListNotificationsResponse:
        user_id = request.user_id or authorization.require_user().user_id
        authorization.require_self_or_admin(user_id)
        page = request.page or 1
        found, total = self._repository.list_by_user(
            user_id, page=page, limit=request.limit or DEFAULT_LIMIT
        )
        response = notifications_pb2.ListNotificationsResponse(
            notifications=map(_to_proto, found), total=total, page=page
        )
        return rest_hints.revalidated(context, response)

    @override
    def ListNotificationsDeadLetters(
        self,
        request: notifications_pb2.ListNotificationsDeadLettersRequest,
        context: grpc.ServicerContext,
    ) -> notifications_pb2.ListNotificationsDeadLettersResponse:
        authorization.require_admin()
        found, total = self._dead_letters.list(request.limit)
        response = notifications_pb2.ListNotificationsDeadLettersResponse(
            dead_letters=found, total=total
        )
        return rest_hints.revalidated(context, response)

    @override
    def RedriveNotificationsDeadLetters(
        self,
        request: notifications_pb2.RedriveNotificationsDeadLettersRequest,
        context: grpc.ServicerContext,
    ) -> notifications_pb2.RedriveNotificationsDeadLettersResponse:
        authorization.require_admin()
        moved_count = self._dead_letters.redrive()
        return notifications_pb2.RedriveNotificationsDeadLettersResponse(moved_count=moved_count)


def _to_proto(notification: Notification) -> notifications_pb2.Notification:
    sent_at = notification.sent_at
    return notifications_pb2.Notification(
        notification_id=notification.notification_id,
        channel=notifications_pb2.Notification.Channel.Value(notification.channel),
        template=notification.template,
        language=notification.language,
        subject=notification.subject,
        status=notifications_pb2.Notification.Status.Value(notification.status),
        attempt_count=notification.attempt_count,
        created_at=to_timestamp(notification.created_at),
        sent_at=to_timestamp(sent_at) if sent_at else None,
    )
