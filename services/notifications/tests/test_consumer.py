"""What each event asks to be told, and that it is told once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.message import DecodeError
from mamie_rosa.events.v1 import events_pb2

from services.notifications.consumer import QUEUE, EventHandler, UnusableEventError, effect_of
from services.notifications.domain import (
    MAX_EVENT_AGE,
    PROCESSED_EVENT_RETENTION,
    Audience,
    Channel,
    Client,
)
from services.notifications.tests.fakes import (
    LINE,
    NOW,
    InMemoryNotificationsRepository,
    build_client,
    cloud_event,
    order_created,
    stamp,
    user_created,
)


def told(data):
    return effect_of(cloud_event(data)).notices


def test_a_new_client_is_kept_and_welcomed():
    effect = effect_of(cloud_event(user_created()))
    assert effect.client == build_client()
    assert [(n.template, n.user_id) for n in effect.notices] == [("welcome", "marie")]


def test_a_changed_client_is_kept_and_told_nothing():
    changed = events_pb2.UserUpdated(user_id="marie", email="marie@example.org")
    effect = effect_of(cloud_event(changed))
    assert effect.client == Client(
        user_id="marie",
        email="marie@example.org",
        first_name="",
        last_name="",
        language="",
        notifications_enabled=False,
        as_of=NOW,
    )
    assert effect.notices == ()


def test_an_order_is_summed_up_line_by_line():
    (notice,) = told(order_created())
    assert notice.template == "order_summary"
    assert notice.facts["items"] == [{"title": "Croquettes", "quantity": 2, "line_total": "25.80"}]
    assert (notice.facts["final_amount"], notice.facts["placed_time"]) == (
        "23.22",
        NOW.isoformat(),
    )


def test_a_parcel_is_told_by_mail_and_by_sms():
    shipped = events_pb2.OrderShipped(order_id="o", user_id="marie", tracking_number="TRK42")
    notices = told(shipped)
    assert [notice.channel for notice in notices] == [Channel.EMAIL, Channel.SMS]
    assert {notice.facts["tracking_number"] for notice in notices} == {"TRK42"}


@pytest.mark.parametrize(
    ("data", "template"),
    [
        (events_pb2.OrderCancelled(user_id="marie", refund_amount="1.00"), "order_cancelled"),
        (events_pb2.OrderDelivered(user_id="marie", items=[LINE]), "order_delivered"),
    ],
)
def test_the_end_of_an_order_is_told_to_its_client(data, template):
    (notice,) = told(data)
    assert (notice.template, notice.user_id, notice.audience) == (
        template,
        "marie",
        Audience.CLIENT,
    )


def test_a_promotion_is_told_to_all_subscribers_with_its_last_day():
    midnight = NOW.replace(hour=0)
    created = events_pb2.PromoCreated(
        code="NOEL", valid_from=stamp(NOW), valid_until=stamp(midnight)
    )
    (notice,) = told(created)
    assert (notice.audience, notice.user_id) == (Audience.SUBSCRIBERS, "")
    assert notice.facts["last_valid"].startswith("2026-11-23T23:59:59")


def test_low_stock_is_told_to_the_administrator():
    (notice,) = told(events_pb2.StockLow(sku="prod_001", title="Croquettes", quantity=3))
    assert (notice.template, notice.audience, notice.user_id) == ("stock_low", Audience.ADMIN, "")


def test_discrepancies_are_told_to_the_administrator():
    found = events_pb2.Discrepancy(kind="ORDER_NOT_PAID", order_id="o", facts={"amount": "9.90"})
    (notice,) = told(events_pb2.DiscrepanciesFound(discrepancies=[found], total_count=1))
    assert (notice.template, notice.audience) == ("discrepancies_found", Audience.ADMIN)
    assert notice.facts["discrepancies"] == [
        {"kind": "ORDER_NOT_PAID", "order_id": "o", "facts": {"amount": "9.90"}, "failure": ""}
    ]


def test_every_event_that_is_asked_for_has_an_effect():
    names = {name.rpartition(".")[2] for name in QUEUE.types}
    assert names == set(events_pb2.DESCRIPTOR.message_types_by_name) - {"OrderLine", "Discrepancy"}


@pytest.mark.parametrize(
    "data", [LINE, events_pb2.OrderCreated(), events_pb2.UserCreated(user_id="marie")]
)
def test_an_event_of_an_unknown_type_or_about_nobody_is_refused(data):
    with pytest.raises(UnusableEventError):
        effect_of(cloud_event(data))


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(DecodeError):
        effect_of(replace(cloud_event(order_created()), data=b"\xff"))


class TestHandler:
    @pytest.fixture
    def woken(self):
        return []

    @pytest.fixture
    def repository(self):
        return InMemoryNotificationsRepository()

    @pytest.fixture
    def handler(self, repository, woken):
        wake = lambda: woken.append(True)  # noqa: E731
        return EventHandler(repository=repository, wake=wake, clock=lambda: NOW)

    def test_an_event_that_is_delivered_twice_has_one_effect(self, handler, repository, woken):
        event = cloud_event(order_created())
        handler.handle(event)
        handler.handle(event)
        assert repository.list_of("marie", page=1, limit=10)[1] == 1
        assert woken == [True]

    def test_a_client_stays_as_the_latest_event_tells(self, handler, repository):
        handler.handle(cloud_event(user_created(first_name="New"), time=NOW))
        old = cloud_event(user_created(first_name="Old"), time=NOW - timedelta(seconds=1))
        handler.handle(old)
        assert repository.clients["marie"].first_name == "New"

    def test_what_happened_too_long_ago_is_not_told_but_its_client_is_kept(
        self, handler, repository
    ):
        handler.handle(cloud_event(user_created(), time=NOW - MAX_EVENT_AGE))
        assert repository.list_of("marie", page=1, limit=10)[1] == 0
        assert "marie" in repository.clients

    def test_what_is_nearly_too_old_is_told(self, handler, repository):
        recent = NOW - MAX_EVENT_AGE + timedelta(seconds=1)
        handler.handle(cloud_event(order_created(), time=recent))
        assert repository.list_of("marie", page=1, limit=10)[1] == 1

    def test_a_dead_letter_that_comes_back_after_its_id_was_forgotten_has_no_second_effect(
        self, repository
    ):
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
        assert repository.list_of("marie", page=1, limit=10)[1] == 1
