"""What an event asks to be told, and to whom."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from google.protobuf import message
from google.protobuf.timestamp_pb2 import Timestamp
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import Clock, utc_now
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent
from services.common.money import format_amount, parse_amount
from services.notifications import domain
from services.notifications.domain import Audience, Channel, Client, Effect, Facts, Notice
from services.notifications.repository import NotificationsRepository

log = structlog.get_logger()


class UnusableEventError(ValueError):
    """An event is of no known type, or lacks what it is about."""


class EventHandler:
    """Does what events ask for, each once; `wake` is called when there is something to send."""

    def __init__(
        self,
        *,
        repository: NotificationsRepository,
        wake: Callable[[], None],
        clock: Clock = utc_now,
    ) -> None:
        self._repository = repository
        self._wake = wake
        self._clock = clock

    def handle(self, event: CloudEvent) -> None:
        """Remember an event and do what it asks for, in one step.

        What it tells of a client is kept however old it is; the newest told wins.
        """
        now, effect = self._clock(), effect_of(event)
        if effect.notices and domain.is_too_late(event.time, now):
            log.warning("event_too_late", event_id=event.id, time=event.time.isoformat())
            effect = replace(effect, notices=())
        if self._repository.apply(event.id, effect, now):
            self._wake()
        else:
            log.info("event_known", event_id=event.id)


def effect_of(event: CloudEvent) -> Effect:
    """Return what an event asks for.

    UnusableEventError, or protobuf's DecodeError, when nobody can tell.
    """
    if event.type not in EFFECTS:
        raise UnusableEventError(f"nobody knows the type {event.type}")
    kind, tell = EFFECTS[event.type]
    return tell(kind.FromString(event.data), event)


def _user_created(data: events_pb2.UserCreated, event: CloudEvent) -> Effect:
    facts = {"animal_type": data.animal_type}
    return Effect(client=_client(data, event), notices=[_notice("welcome", data, facts)])


def _user_updated(data: events_pb2.UserUpdated, event: CloudEvent) -> Effect:
    return Effect(client=_client(data, event))


def _order_created(data: events_pb2.OrderCreated, _event: CloudEvent) -> Effect:
    facts = {
        "order_id": data.order_id,
        "items": [_line(line) for line in data.items],
        "total_amount": data.total_amount,
        "discount": data.discount,
        "final_amount": data.final_amount,
        "currency": data.currency,
        "placed_time": _time(data.placed_time),
    }
    return Effect(notices=[_notice("order_summary", data, facts)])


def _order_cancelled(data: events_pb2.OrderCancelled, _event: CloudEvent) -> Effect:
    facts = {
        "order_id": data.order_id,
        "reason": data.reason,
        "refund_amount": data.refund_amount,
        "currency": data.currency,
    }
    return Effect(notices=[_notice("order_cancelled", data, facts)])


def _order_shipped(data: events_pb2.OrderShipped, _event: CloudEvent) -> Effect:
    facts = {"order_id": data.order_id, "tracking_number": data.tracking_number}
    return Effect(notices=[_notice("order_shipped", data, facts, channel) for channel in Channel])


def _order_delivered(data: events_pb2.OrderDelivered, _event: CloudEvent) -> Effect:
    facts = {"order_id": data.order_id, "items": [_line(line) for line in data.items]}
    return Effect(notices=[_notice("order_delivered", data, facts)])


def _promo_created(data: events_pb2.PromoCreated, _event: CloudEvent) -> Effect:
    facts = {
        "code": data.code,
        "discount_percentage": data.discount_percentage,
        "valid_from": _time(data.valid_from),
        # What ends at midnight is over the day before.
        "last_valid": _time(data.valid_until, timedelta(microseconds=-1)),
        "category": data.category,
    }
    notice = Notice(template="promo_created", facts=facts, audience=Audience.SUBSCRIBERS)
    return Effect(notices=[notice])


def _stock_low(data: events_pb2.StockLow, _event: CloudEvent) -> Effect:
    facts = {"sku": data.sku, "title": data.title, "quantity": data.quantity}
    return Effect(notices=[Notice(template="stock_low", facts=facts, audience=Audience.ADMIN)])


def _discrepancies_found(data: events_pb2.DiscrepanciesFound, _event: CloudEvent) -> Effect:
    facts = {
        "total_count": data.total_count,
        "discrepancies": [_discrepancy(each) for each in data.discrepancies],
    }
    notice = Notice(template="discrepancies_found", facts=facts, audience=Audience.ADMIN)
    return Effect(notices=[notice])


def _discrepancy(found: events_pb2.Discrepancy) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "order_id": found.order_id,
        "facts": dict(found.facts),
        "failure": found.failure,
    }


def _client(data: events_pb2.UserCreated | events_pb2.UserUpdated, event: CloudEvent) -> Client:
    if not data.user_id or not data.email:
        raise UnusableEventError("it does not say which client it is about")
    return Client(
        user_id=data.user_id,
        email=data.email,
        first_name=data.first_name,
        last_name=data.last_name,
        language=data.language,
        notifications_enabled=data.notifications_enabled,
        as_of=event.time,
    )


def _notice(template: str, data: Any, facts: Facts, channel: Channel = Channel.EMAIL) -> Notice:
    if not data.user_id:
        raise UnusableEventError("it does not say which client it is about")
    return Notice(template=template, facts=facts, channel=channel, user_id=data.user_id)


def _line(line: events_pb2.OrderLine) -> dict[str, Any]:
    return {
        "title": line.title,
        "quantity": line.quantity,
        "line_total": format_amount(parse_amount(line.unit_price) * line.quantity),
    }


def _time(stamp: Timestamp, shift: timedelta = timedelta()) -> str:
    return f"{(stamp.ToDatetime() + shift).isoformat()}+00:00"


EFFECTS: Mapping[str, tuple[type[message.Message], Callable[..., Effect]]] = {
    kind.DESCRIPTOR.full_name: (kind, tell)
    for kind, tell in (
        (events_pb2.UserCreated, _user_created),
        (events_pb2.UserUpdated, _user_updated),
        (events_pb2.OrderCreated, _order_created),
        (events_pb2.OrderCancelled, _order_cancelled),
        (events_pb2.OrderShipped, _order_shipped),
        (events_pb2.OrderDelivered, _order_delivered),
        (events_pb2.PromoCreated, _promo_created),
        (events_pb2.StockLow, _stock_low),
        (events_pb2.DiscrepanciesFound, _discrepancies_found),
    )
}
"""How each type of event is read, and what it asks for."""

QUEUE = rabbitmq.Queue("notifications", tuple(EFFECTS))
