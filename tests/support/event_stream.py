"""Clients who follow an order as it changes, as a browser's EventSource does."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.support.shop import Person, Shop


class Event(NamedTuple):
    """One event of a stream."""

    id: int
    name: str
    data: dict[str, Any]

    @property
    def status(self) -> str:
        """Return where the order stands."""
        return self.data["status"]


def headers_of(person: Person, last: int | None = None) -> dict[str, str]:
    """Return what somebody says about themselves, and about the last event that they got."""
    headers = {"authorization": f"Bearer {person.token}"} if person.token else {}
    return headers if last is None else headers | {"last-event-id": str(last)}


@contextmanager
def opened(
    shop: Shop, person: Person, order_id: str, *, last: int | None = None
) -> Iterator[httpx.Response]:
    """Yield the answer to who begins to follow an order, after the event `last`."""
    # A client of its own: a stream that is left behind must not hold the locks of the others'.
    url, headers = f"{shop.url}/api/orders/{order_id}/events", headers_of(person, last)
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        yield answer


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events in the lines of a stream, each as soon as it is whole."""
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
    """Somebody who comes back whenever their stream ends, until told not to.

    `connections` counts how often they came.
    """

    def __init__(self, shop: Shop, person: Person, order_id: str) -> None:
        self.connections = 0
        self.events = self._follow(shop, person, order_id)

    def _follow(self, shop: Shop, person: Person, order_id: str) -> Iterator[Event]:
        last: int | None = None
        while True:
            self.connections += 1
            with opened(shop, person, order_id, last=last) as answer:
                if answer.status_code == 204:
                    return
                assert answer.status_code == 200, answer.read()
                for event in events(answer.iter_lines()):
                    last = event.id
                    yield event

    def until(self, status: str) -> Event:
        """Return the next event with a status."""
        return next(event for event in self.events if event.status == status)
