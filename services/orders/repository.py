"""Where orders are kept: MongoDB, as events that are only ever added.

Four collections. `events` is the truth: (order_id, sequence) is unique, so of two writers
who decided on the same state one fails. `orders` is an index for lists. `sagas` says which
orders are not at rest, and who may drive them from when. `outbox` holds what the bus has
yet to hear. What belongs together is written in one transaction, journaled by a majority.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

import pymongo
from pymongo import errors as mongo_errors
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.messaging.events import build_event
from services.orders import codec, integration_events
from services.orders.domain import (
    Event,
    Order,
    OrderChangedError,
    OrderNotFoundError,
    OrderPlaced,
    Recorded,
    Step,
    apply,
    fold,
    next_step,
)
from services.orders.store import MAJORITY, translate_errors

SNAPSHOT = ReadConcern("snapshot")
TRAIL_LENGTH = 200
"""How many of its last tries and steps a saga shows: many times what an order needs.

One that waits for another service tries every second, however long that is away, and a
document has no room for all of it.
"""


class OrdersRepository(Protocol):
    """Keeps orders as the sequence of their events."""

    def find(self, order_id: str) -> Order | None:
        """Return an order, or None."""

    def load(self, order_id: str) -> Order:
        """Return an order; OrderNotFoundError without one."""

    def history(self, order_id: str) -> Sequence[Recorded]:
        """Return every event of an order, oldest first; empty when there is none."""

    def list_of(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Order], int]:
        """Return a page of a client's orders, newest first, and how many there are."""

    def with_product(self, user_id: str, product_id: str) -> Sequence[Order]:
        """Return the orders of a client that have a product, in no order."""

    def place(
        self, order_id: str, placed: OrderPlaced, *, payment_token: str, due_at: datetime
    ) -> Order:
        """Keep a new order, to be driven by others from `due_at`; OrderChangedError if known."""

    def append(self, order: Order, events: Sequence[Event], *, due_at: datetime) -> Order:
        """Add events to an order and return what it is then.

        While something has to be done next, others may do it from `due_at`.
        OrderChangedError when the order is no longer what `order` says.
        """


class SagaRepository(Protocol):
    """Keeps who drives which order, and what was tried."""

    def begin_step(self, order_id: str, step: Step, *, by: str, now: datetime) -> None:
        """Record that a step is about to be tried."""

    def payment_token(self, order_id: str) -> str:
        """Return the token that an order is paid with; empty once it is at rest."""

    def postpone(self, order_id: str, *, due_at: datetime, why: str) -> None:
        """Let anybody drive an order again from `due_at`."""

    def extend(self, order_ids: Sequence[str], *, due_at: datetime) -> None:
        """Keep others from driving these orders until `due_at`."""

    def claim_due(self, *, now: datetime, due_at: datetime) -> str | None:
        """Return an order that anybody may drive and keep others off until `due_at`."""


class MongoOrdersRepository:
    """Orders and sagas in MongoDB."""

    def __init__(
        self, client: pymongo.MongoClient, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._client = client
        self._database = client.get_default_database(write_concern=MAJORITY)
        self._clock = clock
        self._new_id = new_id

    def find(self, order_id: str) -> Order | None:
        """Return an order, or None."""
        history = self.history(order_id)
        return fold(order_id, history) if history else None

    def load(self, order_id: str) -> Order:
        """Return an order; OrderNotFoundError without one."""
        if order := self.find(order_id):
            return order
        raise OrderNotFoundError(order_id)

    def history(self, order_id: str) -> Sequence[Recorded]:
        """Return every event of an order, oldest first; empty when there is none."""
        return self._histories([order_id]).get(order_id, [])

    def list_of(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Order], int]:
        """Return a page of a client's orders, newest first, and how many there are."""
        mine = {"user_id": user_id}
        with translate_errors():
            total = self._database.orders.count_documents(mine)
            newest_first = self._database.orders.find(mine, {"_id": 1}).sort(
                [("created_at", pymongo.DESCENDING), ("_id", pymongo.ASCENDING)]
            )
            ids = [found["_id"] for found in newest_first.skip((page - 1) * limit).limit(limit)]
        histories = self._histories(ids)
        return [fold(order_id, histories[order_id]) for order_id in ids], total

    def with_product(self, user_id: str, product_id: str) -> Sequence[Order]:
        """Return the orders of a client that have a product, in no order."""
        placed = {
            "type": OrderPlaced.__name__,
            "data.user_id": user_id,
            "data.items.product_id": product_id,
        }
        with translate_errors():
            ids = self._database.events.distinct("order_id", placed)
        return [fold(order_id, history) for order_id, history in self._histories(ids).items()]

    def place(
        self, order_id: str, placed: OrderPlaced, *, payment_token: str, due_at: datetime
    ) -> Order:
        """Keep a new order, to be driven by others from `due_at`; OrderChangedError if known."""
        recorded = Recorded(sequence=1, time=self._clock(), event=placed)
        order = fold(order_id, [recorded])
        saga = {"_id": order_id, "due_at": due_at, "payment_token": payment_token, "trail": []}

        def write(session: ClientSession) -> None:
            self._add_events(session, order, [recorded])
            self._database.orders.insert_one(index_entry(order), session=session)
            self._database.sagas.insert_one(saga, session=session)

        self._transact(order_id, write)
        return order

    def append(self, order: Order, events: Sequence[Event], *, due_at: datetime) -> Order:
        """Add events to an order and return what it is then.

        While something has to be done next, others may do it from `due_at`.
        OrderChangedError when the order is no longer what `order` says.
        """
        now = self._clock()
        added = [
            Recorded(sequence=sequence, time=now, event=event)
            for sequence, event in enumerate(events, order.sequence + 1)
        ]

        def write(session: ClientSession) -> Order:
            after = self._add_events(session, order, added)
            self._update_saga(session, after, added, due_at)
            return after

        return self._transact(order.order_id, write)

    def begin_step(self, order_id: str, step: Step, *, by: str, now: datetime) -> None:
        """Record that a step is about to be tried."""
        tried = {"began": step, "by": by, "at": now}
        with translate_errors():
            self._database.sagas.update_one({"_id": order_id}, _to_trail([tried]))

    def payment_token(self, order_id: str) -> str:
        """Return the token that an order is paid with; empty once it is at rest."""
        with translate_errors():
            saga = self._database.sagas.find_one({"_id": order_id}, {"payment_token": 1})
        return (saga or {}).get("payment_token", "")

    def postpone(self, order_id: str, *, due_at: datetime, why: str) -> None:
        """Let anybody drive an order again from `due_at`."""
        change = {"$set": {"due_at": due_at, "waits_for": why}}
        with translate_errors():
            self._database.sagas.update_one({"_id": order_id}, change)

    def extend(self, order_ids: Sequence[str], *, due_at: datetime) -> None:
        """Keep others from driving these orders until `due_at`."""
        not_at_rest = {"_id": {"$in": list(order_ids)}, "due_at": {"$ne": None}}
        with translate_errors():
            self._database.sagas.update_many(not_at_rest, {"$set": {"due_at": due_at}})

    def claim_due(self, *, now: datetime, due_at: datetime) -> str | None:
        """Return an order that anybody may drive and keep others off until `due_at`."""
        with translate_errors():
            saga = self._database.sagas.find_one_and_update(
                {"due_at": {"$lte": now}},
                {"$set": {"due_at": due_at}},
                projection={"_id": 1},
                sort=[("due_at", pymongo.ASCENDING)],
            )
        return saga and saga["_id"]

    def ping(self) -> None:
        """Raise when the store cannot be used."""
        with translate_errors():
            self._client.admin.command("ping")

    def _histories(self, order_ids: Sequence[str]) -> dict[str, list[Recorded]]:
        histories: dict[str, list[Recorded]] = {}
        wanted = {"order_id": {"$in": list(order_ids)}}
        with translate_errors():
            found = self._database.events.find(wanted).sort([("order_id", 1), ("sequence", 1)])
            for document in found:
                histories.setdefault(document["order_id"], []).append(codec.to_recorded(document))
        return histories

    def _transact(self, order_id: str, write: Any) -> Any:
        """Run `write` in a transaction; it may run again after a conflict inside the store."""
        with translate_errors(), self._client.start_session() as session:
            try:
                return session.with_transaction(
                    write, read_concern=SNAPSHOT, write_concern=MAJORITY
                )
            except mongo_errors.DuplicateKeyError as error:
                raise OrderChangedError(order_id) from error

    def _add_events(self, session: ClientSession, order: Order, added: Sequence[Recorded]) -> Order:
        """Add events, and what the bus shall hear of them; return the order after them."""
        for recorded in added:
            self._database.events.insert_one(
                codec.from_recorded(order.order_id, recorded), session=session
            )
            if recorded.sequence > order.sequence:
                order = apply(order, recorded)
            self._tell(session, order, recorded)
        return order

    def _tell(self, session: ClientSession, order: Order, recorded: Recorded) -> None:
        told = integration_events.tell(order, recorded.event)
        if told is None:
            return
        event = build_event(
            told, source="orders", subject=order.order_id, now=recorded.time, new_id=self._new_id
        )
        document = asdict(event) | {"sequence": recorded.sequence}
        self._database.outbox.insert_one(document, session=session)

    def _update_saga(
        self,
        session: ClientSession,
        order: Order,
        added: Sequence[Recorded],
        due_at: datetime,
    ) -> None:
        """Record what was done; an order at rest is due no more and forgets its token."""
        done = [{"did": type(each.event).__name__, "at": each.time} for each in added]
        at_rest = next_step(order, self._clock()) is None
        change: dict[str, Any] = _to_trail(done) | {
            "$set": {"due_at": None if at_rest else due_at},
            "$unset": {"waits_for": ""} | ({"payment_token": ""} if at_rest else {}),
        }
        self._database.sagas.update_one({"_id": order.order_id}, change, session=session)


def _to_trail(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"$push": {"trail": {"$each": entries, "$slice": -TRAIL_LENGTH}}}


def index_entry(order: Order) -> dict[str, Any]:
    """Return the document that puts an order into the lists of its client."""
    return {"_id": order.order_id, "user_id": order.user_id, "created_at": order.created_at}
