"""The notifications service: its answers, authorisation and errors."""

from datetime import timedelta

import grpc
import pytest
from mamie_rosa.notifications.v1 import notifications_pb2

from services.common.languages import Language
from services.common.rpc.testing import ADMIN, ALICE, ALICE_ID, ANONYMOUS, BOB, InMemoryServer
from services.common.tests.fake_dead_letters import FakeDeadLetterQueue
from services.notifications import domain
from services.notifications.domain import Content, Effect, NotificationRequest
from services.notifications.servicer import NotificationsServicer
from services.notifications.tests.fakes import NOW, InMemoryNotificationsRepository

SERVICE = notifications_pb2.DESCRIPTOR.services_by_name["NotificationsService"]
USER_ID = ALICE_ID
PB = notifications_pb2.Notification


@pytest.fixture
def repository():
    repository = InMemoryNotificationsRepository()
    for number, template in enumerate(("welcome", "order_summary", "order_shipped")):
        request = NotificationRequest(template=template, variables={}, user_id=USER_ID)
        repository.apply(template, Effect(requests=[request]), NOW + timedelta(seconds=number))
    return repository


@pytest.fixture
def service(repository):
    return InMemoryServer(
        SERVICE, NotificationsServicer(repository=repository, dead_letters=FakeDeadLetterQueue())
    )


def listed(service, who, **fields):
    request = notifications_pb2.ListNotificationsRequest(**fields)
    return service.call("ListNotifications", request, who)


@pytest.mark.parametrize("who", [ALICE, ADMIN])
def test_a_customer_and_an_administrator_see_the_notifications_newest_first(service, who):
    answer = listed(service, who, user_id=USER_ID).response
    templates = [notification.template for notification in answer.notifications]
    assert templates == ["order_shipped", "order_summary", "welcome"]
    assert (answer.total, answer.page) == (3, 1)


def test_the_default_user_is_the_caller(service):
    assert listed(service, ALICE).response.total == 3
    assert listed(service, BOB).response.total == 0


def test_a_page_is_a_part_of_the_list(service):
    answer = listed(service, ALICE, page=2, limit=2).response
    assert [n.template for n in answer.notifications] == ["welcome"]
    assert (answer.total, answer.page) == (3, 2)


@pytest.mark.parametrize(
    ("who", "code", "reason"),
    [
        (ANONYMOUS, grpc.StatusCode.UNAUTHENTICATED, "NOT_SIGNED_IN"),
        (BOB, grpc.StatusCode.PERMISSION_DENIED, "NOT_YOURS"),
    ],
)
def test_another_customer_is_rejected(service, who, code, reason):
    answer = listed(service, who, user_id=USER_ID)
    assert (answer.code, answer.reason) == (code, reason)


def test_an_anonymous_caller_is_rejected(service):
    assert listed(service, ANONYMOUS).reason == "NOT_SIGNED_IN"


@pytest.mark.parametrize("field", [{"page": -1}, {"limit": 101}, {"user_id": "x" * 65}])
def test_an_invalid_request_is_rejected(service, field):
    assert listed(service, ADMIN, **field).reason == "INVALID_FIELDS"


def test_pending_and_sent_notifications_have_their_status(service, repository):
    claimed = repository.claim(NOW + timedelta(hours=1), NOW).notification
    rendered = domain.record_content(
        claimed, Content(language=Language.FR, subject="Bienvenue", text=".")
    )
    repository.save(domain.record_success(rendered, NOW))
    *_, pending, sent = listed(service, ALICE).response.notifications
    assert (pending.status, pending.HasField("sent_at")) == (PB.PENDING, False)
    assert (sent.status, sent.subject, sent.language) == (PB.SENT, "Bienvenue", "fr")
    assert (sent.channel, sent.attempt_count) == (PB.EMAIL, 1)
    assert sent.sent_at.ToDatetime(NOW.tzinfo) == NOW


def test_an_administrator_lists_and_redrives_dead_letters(service):
    def call(method, **fields):
        request = getattr(notifications_pb2, f"{method}NotificationsDeadLettersRequest")(**fields)
        return service.call(f"{method}NotificationsDeadLetters", request, ADMIN).response

    answer = call("List", limit=1)
    assert ([each.event_id for each in answer.dead_letters], answer.total) == (["1"], 2)
    assert call("Redrive").moved_count == 2
    assert call("List").total == 0


@pytest.mark.parametrize(("who", "reason"), [(ALICE, "ADMIN_ONLY"), (ANONYMOUS, "NOT_SIGNED_IN")])
def test_nobody_else_lists_or_redrives_dead_letters(service, who, reason):
    for method in ("ListNotificationsDeadLetters", "RedriveNotificationsDeadLetters"):
        request = getattr(notifications_pb2, f"{method}Request")()
        assert service.call(method, request, who).reason == reason
