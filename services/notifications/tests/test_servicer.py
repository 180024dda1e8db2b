"""What notifications answers, to whom."""

from datetime import timedelta

import grpc
import pytest
from mamie_rosa.notifications.v1 import notifications_pb2

from services.common.rpc.testing import ADMIN, ALICE, ANONYMOUS, BOB, InMemoryServer
from services.notifications import domain
from services.notifications.domain import Effect, Notice, Wording
from services.notifications.servicer import NotificationsServicer
from services.notifications.tests.fakes import NOW, InMemoryNotificationsRepository

SERVICE = notifications_pb2.DESCRIPTOR.services_by_name["NotificationsService"]
WHO = ALICE["x-user-id"]
PB = notifications_pb2.Notification


@pytest.fixture
def repository():
    repository = InMemoryNotificationsRepository()
    for number, template in enumerate(("welcome", "order_summary", "order_shipped")):
        notice = Notice(template=template, facts={}, user_id=WHO)
        repository.apply(template, Effect(notices=[notice]), NOW + timedelta(seconds=number))
    return repository


@pytest.fixture
def service(repository):
    return InMemoryServer(SERVICE, NotificationsServicer(repository=repository))


def listed(service, who, **fields):
    request = notifications_pb2.ListNotificationsRequest(**fields)
    return service.call("ListNotifications", request, who)


@pytest.mark.parametrize("who", [ALICE, ADMIN])
def test_a_client_and_administrators_see_what_was_sent_newest_first(service, who):
    answer = listed(service, who, user_id=WHO).response
    templates = [notification.template for notification in answer.notifications]
    assert templates == ["order_shipped", "order_summary", "welcome"]
    assert (answer.total, answer.page) == (3, 1)


def test_who_names_nobody_sees_their_own(service):
    assert listed(service, ALICE).response.total == 3
    assert listed(service, BOB).response.total == 0


def test_a_page_is_a_part_of_all(service):
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
def test_others_see_nothing(service, who, code, reason):
    answer = listed(service, who, user_id=WHO)
    assert (answer.code, answer.reason) == (code, reason)


def test_nobody_is_nobody(service):
    assert listed(service, ANONYMOUS).reason == "NOT_SIGNED_IN"


@pytest.mark.parametrize("field", [{"page": -1}, {"limit": 101}, {"user_id": "x" * 65}])
def test_a_request_that_breaks_the_rules_is_refused(service, field):
    assert listed(service, ADMIN, **field).reason == "INVALID_FIELDS"


def test_what_waits_and_what_was_sent_is_told_apart(service, repository):
    claimed = repository.claim(NOW + timedelta(hours=1), NOW).notification
    worded = domain.word(claimed, Wording(language="fr", subject="Bienvenue", text="."))
    repository.save(domain.sent(worded, NOW))
    *_, waiting, sent = listed(service, ALICE).response.notifications
    assert (waiting.status, waiting.HasField("sent_at")) == (PB.PENDING, False)
    assert (sent.status, sent.subject, sent.language) == (PB.SENT, "Bienvenue", "fr")
    assert (sent.channel, sent.attempt_count) == (PB.EMAIL, 1)
    assert sent.sent_at.ToDatetime(NOW.tzinfo) == NOW
