"""Workloads: what the shop does while something fails, and a record of how it was answered."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pika
import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2
from pika.adapters.blocking_connection import BlockingChannel

from services.common.clock import new_id
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent, build_event
from services.common.storage import postgres
from services.common.storage.outbox import add_to_outbox
from services.users.repository import outbox
from tests.support.shop import Customer, Product, Shop
from tests.support.steady_load import SteadyLoad

UNREADABLE = b"\xff not a message"
ONLY_FOR_NOTIFICATIONS = events_pb2.OrderShipped.DESCRIPTOR.full_name
"""An event type that no other service consumes."""


@contextmanager
def steady_reads(shop: Shop, *, per_second: int = 50) -> Iterator[SteadyLoad]:
    """Yield a steady load of reads that no cache answers, once it runs."""
    with SteadyLoad(
        lambda: shop.admin.get("/api/products/prod_001"), per_second=per_second
    ) as load:
        load.await_more(per_second)
        yield load


class PlacedOrder(NamedTuple):
    """An order that the shop acknowledged with 201."""

    customer: Customer
    order_id: str
    quantity: int


@dataclass
class Orders:
    """Orders of one product; `acknowledged` holds those that were answered with 201."""

    product: Product
    acknowledged: list[PlacedOrder] = field(default_factory=list)

    def attempt(self, customer: Customer, *, quantity: int = 1, **more: Any) -> httpx.Response:
        """Send one order, whatever the answer is."""
        answer = customer.order((self.product, quantity), **more)
        if answer.status_code == 201:
            order_id = answer.json()["orderId"]
            self.acknowledged.append(PlacedOrder(customer, order_id, quantity))
        return answer

    def place(self, customer: Customer, *, quantity: int = 1, **more: Any) -> PlacedOrder:
        """Send one order, which must be acknowledged."""
        answer = self.attempt(customer, quantity=quantity, **more)
        assert answer.status_code == 201, answer.text
        return self.acknowledged[-1]

    @property
    def ordered_units(self) -> int:
        """Return the units of the product in all acknowledged orders."""
        return sum(order.quantity for order in self.acknowledged)


@dataclass(frozen=True)
class UserEvents:
    """Integration events of new users, committed to the outbox of the users service."""

    users: sa.Engine
    user_ids: Sequence[str]

    def commit(self, change: int) -> None:
        """Commit one event of each user, each in a transaction of its own.

        Change 0 registers the users, the next ones rename them.
        """
        for user_id in self.user_ids:
            event = user_event(user_id, name_of(change), is_new=change == 0)
            with postgres.transaction(self.users) as connection:
                add_to_outbox(connection, outbox, event)


def name_of(change: int) -> str:
    """Return the first name that a user has after a change."""
    return f"Version {change}"


def user_event(user_id: str, first_name: str, *, is_new: bool) -> CloudEvent:
    """Return the integration event of a user that was created or updated."""
    kind = events_pb2.UserCreated if is_new else events_pb2.UserUpdated
    data = kind(
        user_id=user_id,
        email=f"{user_id}@customers.example",
        first_name=first_name,
        notifications_enabled=True,
    )
    now = datetime.now(UTC)
    return build_event(data, source="users", subject=user_id, now=now, new_id=new_id)


def publish_unreadable(channel: BlockingChannel, message_id: str) -> None:
    """Publish a message that is no event, to the queue of the notifications alone."""
    properties = pika.BasicProperties(
        delivery_mode=pika.DeliveryMode.Persistent, message_id=message_id
    )
    channel.basic_publish(
        rabbitmq.EXCHANGE, ONLY_FOR_NOTIFICATIONS, UNREADABLE, properties, mandatory=True
    )
