"""Converts integration events into notifications and customers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from google.protobuf import message
from google.protobuf.timestamp_pb2 import Timestamp
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import Clock, utc_now
from services.common.messaging import queues
from services.common.messaging.events import CloudEvent
from services.common.money import format_amount, parse_amount
from services.notifications import domain
from services.notifications.domain import (
    Audience,
    Channel,
    Customer,
    Effect,
    NotificationRequest,
    TemplateVariables,
)
from services.notifications.repository import NotificationsRepository

log = structlog.get_logger()


class InvalidEventError(ValueError):
    """An event has an unknown type or lacks a required field."""


class EventHandler:
    """Applies the effect of each event once; calls `wake` when there is something to send."""

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
        """Record an event as processed and apply its effect, in one transaction.

        An expired event still updates its customer: the newest event wins.
        """
        now, effect = self._clock(), to_effect(event)
        if effect.requests and domain.is_expired(event.time, now):
            log.warning("event_expired", event_id=event.id, time=event.time.isoformat())
            effect = replace(effect, requests=())
        if self._repository.apply(event.id, effect, now):
            self._wake()
        else:
            log.info("event_already_processed", event_id=event.id)


def to_effect(event: CloudEvent) -> Effect:
    """Convert an event into its effect.

    InvalidEventError, or protobuf's DecodeError, when it cannot be converted.
    """
    if event.type not in CONVERTERS:
        raise InvalidEventError(f"unknown event type {event.type}")
    message_class, convert = CONVERTERS[event.type]
    return convert(message_class.FromString(event.data), event)


def _user_created(data: events_pb2.UserCreated, event: CloudEvent) -> Effect:
    welcome = _request(data.user_id, "welcome", {"animal_type": data.animal_type})
    return Effect(customer=_customer(data, event), requests=[welcome])


def _user_updated(data: events_pb2.UserUpdated, event: CloudEvent) -> Effect:
    return Effect(customer=_customer(data, event))


def _order_created(data: events_pb2.OrderCreated, _event: CloudEvent) -> Effect:
    variables = {
        "order_id": data.order_id,
        "items": [_line(line) for line in data.items],
        "total_amount": data.total_amount,
        "discount": data.discount,
        "final_amount": data.final_amount,
        "currency": data.currency,
        "placed_time": _time(data.placed_time),
    }
    return Effect(requests=[_request(data.user_id, "order_summary", variables)])


def _order_cancelled(data: events_pb2.OrderCancelled, _event: CloudEvent) -> Effect:
    variables = {
        "order_id": data.order_id,
        "reason": data.reason,
        "refund_amount": data.refund_amount,
        "currency": data.currency,
    }
    return Effect(requests=[_request(data.user_id, "order_cancelled", variables)])


def _order_shipped(data: events_pb2.OrderShipped, _event: CloudEvent) -> Effect:
    variables = {"order_id": data.order_id, "tracking_number": data.tracking_number}
    return Effect(
        requests=[
            _request(data.user_id, "order_shipped", variables, channel) for channel in Channel
        ]
    )


def _order_delivered(data: events_pb2.OrderDelivered, _event: CloudEvent) -> Effect:
    variables = {"order_id": data.order_id, "items": [_line(line) for line in data.items]}
    return Effect(requests=[_request(data.user_id, "order_delivered", variables)])


def _promo_created(data: events_pb2.PromoCreated, _event: CloudEvent) -> Effect:
    variables = {
        "code": data.code,
        "discount_percentage": data.discount_percentage,
        "valid_from": _time(data.valid_from),
        # A promotion that ends at midnight is valid until the day before.
        "last_valid": _time(data.valid_until, timedelta(microseconds=-1)),
        "category": data.category,
    }
    return _effect_for(Audience.SUBSCRIBERS, "promo_created", variables)


def _stock_low(data: events_pb2.StockLow, _event: CloudEvent) -> Effect:
    variables = {"sku": data.sku, "title": data.title, "quantity": data.quantity}
    return _effect_for(Audience.ADMIN, "stock_low", variables)


def _discrepancies_found(data: events_pb2.DiscrepanciesFound, _event: CloudEvent) -> Effect:
    variables = {
        "total_count": data.total_count,
        "discrepancies": [_discrepancy(each) for each in data.discrepancies],
    }
    return _effect_for(Audience.ADMIN, "discrepancies_found", variables)


def _discrepancy(found: events_pb2.Discrepancy) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "order_id": found.order_id,
        "facts": dict(found.facts),
        "failure": found.failure,
    }


def _customer(data: events_pb2.UserCreated | events_pb2.UserUpdated, event: CloudEvent) -> Customer:
    if not data.user_id or not data.email:
        raise InvalidEventError("the event has no user id or no email address")
    return Customer(
        user_id=data.user_id,
        email=data.email,
        first_name=data.first_name,
        last_name=data.last_name,
        language=data.language,
        notifications_enabled=data.notifications_enabled,
        as_of=event.time,
    )


def _request(
    user_id: str, template: str, variables: TemplateVariables, channel: Channel = Channel.EMAIL
) -> NotificationRequest:
    """Build the request of a notification to one customer."""
    if not user_id:
        raise InvalidEventError("the event has no user id")
    return NotificationRequest(
        template=template, variables=variables, channel=channel, user_id=user_id
    )


def _effect_for(audience: Audience, template: str, variables: TemplateVariables) -> Effect:
    """Build the effect of a mail to the administrator or to all subscribers."""
    request = NotificationRequest(template=template, variables=variables, audience=audience)
    return Effect(requests=[request])


def _line(line: events_pb2.OrderLine) -> dict[str, Any]:
    return {
        "title": line.title,
        "quantity": line.quantity,
        "line_total": format_amount(parse_amount(line.unit_price) * line.quantity),
    }


def _time(stamp: Timestamp, shift: timedelta = timedelta()) -> str:
    return f"{(stamp.ToDatetime() + shift).isoformat()}+00:00"


CONVERTERS: Mapping[str, tuple[type[message.Message], Callable[..., Effect]]] = {
    message_class.DESCRIPTOR.full_name: (message_class, convert)
    for message_class, convert in (
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
"""The message and the converter of each event type."""

QUEUE = queues.NOTIFICATIONS
