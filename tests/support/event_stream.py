"""Customers that watch an order as it changes, as a browser's EventSource does."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.support.shop import Customer, Shop


class Event(NamedTuple):
    """One Server-Sent Event."""

    id: int
    name: str
    data: dict[str, Any]

    @property
    def status(self) -> str:
        """Return the status of the order."""
        return str(self.data["status"])


def watch_headers(customer: Customer, last_event_id: int | None = None) -> dict[str, str]:
    """Return the headers of a request for a stream, which continues after `last_event_id`."""
    headers = {"authorization": f"Bearer {customer.token}"} if customer.token else {}
    return headers if last_event_id is None else headers | {"last-event-id": str(last_event_id)}


@contextmanager
def open_stream(
    shop: Shop, customer: Customer, order_id: str, *, last_event_id: int | None = None
) -> Iterator[httpx.Response]:
    """Yield the response with the stream of an order's events after `last_event_id`."""
    # Over a connection of its own: an open stream would hold one of the shop's pool.
    url, headers = (
        f"{shop.url}/api/orders/{order_id}/events",
        watch_headers(customer, last_event_id),
    )
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        yield answer


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events in the lines of a stream, each as soon as it is complete."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "data" in fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


class Follower:
    """Watches an order and reconnects when the stream ends, until the answer is 204.

    `connections` counts how often it connected.
    """

    def __init__(self, shop: Shop, customer: Customer, order_id: str) -> None:
        self.connections = 0
        self.events = self._follow(shop, customer, order_id)

    def _follow(self, shop: Shop, customer: Customer, order_id: str) -> Iterator[Event]:
        last: int | None = None
        while True:
            self.connections += 1
            with open_stream(shop, customer, order_id, last_event_id=last) as answer:
                if answer.status_code == 204:
                    return
                assert answer.status_code == 200, answer.read()
                for event in read_events(answer.iter_lines()):
                    last = event.id
                    yield event

    def until(self, status: str) -> Event:
        """Return the next event with a status."""
        return next(event for event in self.events if event.status == status)
