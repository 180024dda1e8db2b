"""Each event has the right effect, once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.message import DecodeError
from mamie_rosa.events.v1 import events_pb2

from services.common.rpc.timestamps import to_timestamp
from services.notifications.consumer import (
    CONVERTERS,
    QUEUE,
    EventHandler,
    InvalidEventError,
    to_effect,
)
from services.notifications.domain import (
    MAX_EVENT_AGE,
    PROCESSED_EVENT_RETENTION,
    Audience,
    Channel,
    Customer,
)
from services.notifications.tests.fakes import (
    LINE,
    NOW,
    InMemoryNotificationsRepository,
    build_customer,
    cloud_event,
    order_created,
    user_created,
)


def requests_of(data):
    return to_effect(cloud_event(data)).requests


def test_a_new_customer_is_stored_and_welcomed():
    effect = to_effect(cloud_event(user_created()))
    assert effect.customer == build_customer()
    assert [(n.template, n.user_id) for n in effect.requests] == [("welcome", "marie")]


def test_a_changed_customer_is_stored_without_a_notification():
    changed = events_pb2.UserUpdated(user_id="marie", email="marie@example.org")
    effect = to_effect(cloud_event(changed))
    assert effect.customer == Customer(
        user_id="marie",
        email="marie@example.org",
        first_name="",
        last_name="",
        language="",
        notifications_enabled=False,
        as_of=NOW,
    )
    assert effect.requests == ()


def test_an_order_summary_has_its_lines_and_amounts():
    (request,) = requests_of(order_created())
    assert request.template == "order_summary"
    assert request.variables["items"] == [
        {"title": "Croquettes", "quantity": 2, "line_total": "25.80"}
    ]
    assert (request.variables["final_amount"], request.variables["placed_time"]) == (
        "23.22",
        NOW.isoformat(),
    )


def test_a_shipment_causes_a_mail_and_an_sms():
    shipped = events_pb2.OrderShipped(order_id="o", user_id="marie", tracking_number="TRK42")
    requests = requests_of(shipped)
    assert [request.channel for request in requests] == [Channel.EMAIL, Channel.SMS]
    assert {request.variables["tracking_number"] for request in requests} == {"TRK42"}


@pytest.mark.parametrize(
    ("data", "template"),
    [
        (events_pb2.OrderCancelled(user_id="marie", refund_amount="1.00"), "order_cancelled"),
        (events_pb2.OrderDelivered(user_id="marie", items=[LINE]), "order_delivered"),
    ],
)
def test_a_cancelled_or_delivered_order_causes_a_mail_to_its_customer(data, template):
    (request,) = requests_of(data)
    assert (request.template, request.user_id, request.audience) == (
        template,
        "marie",
        Audience.CUSTOMER,
    )


def test_a_promotion_is_for_all_subscribers_and_has_its_last_day():
    midnight = NOW.replace(hour=0)
    created = events_pb2.PromoCreated(
        code="NOEL", valid_from=to_timestamp(NOW), valid_until=to_timestamp(midnight)
    )
    (request,) = requests_of(created)
    assert (request.audience, request.user_id) == (Audience.SUBSCRIBERS, "")
    assert request.variables["last_valid"].startswith("2026-11-23T23:59:59")


def test_low_stock_alerts_the_administrator():
    (request,) = requests_of(events_pb2.StockLow(sku="prod_001", title="Croquettes", quantity=3))
    assert (request.template, request.audience, request.user_id) == (
        "stock_low",
        Audience.ADMIN,
        "",
    )


def test_discrepancies_alert_the_administrator():
    found = events_pb2.Discrepancy(kind="ORDER_NOT_PAID", order_id="o", facts={"amount": "9.90"})
    (request,) = requests_of(events_pb2.DiscrepanciesFound(discrepancies=[found], total_count=1))
    assert (request.template, request.audience) == ("discrepancies_found", Audience.ADMIN)
    assert request.variables["discrepancies"] == [
        {"kind": "ORDER_NOT_PAID", "order_id": "o", "facts": {"amount": "9.90"}, "failure": ""}
    ]


def test_every_integration_event_has_a_converter():
    assert set(QUEUE.types) == set(CONVERTERS)
    names = {name.rpartition(".")[2] for name in QUEUE.types}
    assert names == set(events_pb2.DESCRIPTOR.message_types_by_name) - {"OrderLine", "Discrepancy"}


@pytest.mark.parametrize(
    "data", [LINE, events_pb2.OrderCreated(), events_pb2.UserCreated(user_id="marie")]
)
def test_an_event_of_an_unknown_type_or_without_a_customer_is_invalid(data):
    with pytest.raises(InvalidEventError):
        to_effect(cloud_event(data))


def test_bytes_that_are_not_a_message_are_rejected():
    with pytest.raises(DecodeError):
        to_effect(replace(cloud_event(order_created()), data=b"\xff"))


class TestHandler:
    @pytest.fixture
    def wake_ups(self):
        return []

    @pytest.fixture
    def repository(self):
        return InMemoryNotificationsRepository()

    @pytest.fixture
    def handler(self, repository, wake_ups):
        wake = lambda: wake_ups.append(True)  # noqa: E731
        return EventHandler(repository=repository, wake=wake, clock=lambda: NOW)

    def test_an_event_that_is_delivered_twice_has_one_effect(self, handler, repository, wake_ups):
        event = cloud_event(order_created())
        handler.handle(event)
        handler.handle(event)
        assert repository.list_by_user("marie", page=1, limit=10)[1] == 1
        assert wake_ups == [True]

    def test_the_newest_event_of_a_customer_wins(self, handler, repository):
        handler.handle(cloud_event(user_created(first_name="New"), time=NOW))
        old = cloud_event(user_created(first_name="Old"), time=NOW - timedelta(seconds=1))
        handler.handle(old)
        assert repository.customers["marie"].first_name == "New"

    def test_an_expired_event_updates_its_customer_without_a_notification(
        self, handler, repository
    ):
        handler.handle(cloud_event(user_created(), time=NOW - MAX_EVENT_AGE))
        assert repository.list_by_user("marie", page=1, limit=10)[1] == 0
        assert "marie" in repository.customers

    def test_an_event_that_is_about_to_expire_causes_a_notification(self, handler, repository):
        recent = NOW - MAX_EVENT_AGE + timedelta(seconds=1)
        handler.handle(cloud_event(order_created(), time=recent))
        assert repository.list_by_user("marie", page=1, limit=10)[1] == 1

    def test_a_dead_letter_redriven_after_its_id_was_deleted_has_no_second_effect(self, repository):
        now = NOW
        handler = EventHandler(repository=repository, wake=lambda: None, clock=lambda: now)
        event = cloud_event(order_created(), time=NOW + timedelta(minutes=1))  # its clock is ahead
        handler.handle(event)
        now = NOW + PROCESSED_EVENT_RETENTION + timedelta(seconds=1)
        assert (
            repository.delete_processed_events(before=now - PROCESSED_EVENT_RETENTION, limit=10)
            == 1
        )
        handler.handle(event)
        assert repository.list_by_user("marie", page=1, limit=10)[1] == 1
