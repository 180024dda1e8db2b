"""Orders and sagas in MongoDB; a history of events is only ever appended to.

Four collections. `events` is the source of truth: (order_id, sequence) is unique, so of two
writers who decided on the same state one fails; the times of their ids are the store's, so that
the newest changes are found by them. `orders` is an index for lists. `sagas` has a lease, `due_at`,
for each order whose saga is not complete. `outbox` holds integration events for the relay. What
belongs together is written in one transaction; most steps write one event and nothing else (0023).
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, TypeVar

import pymongo
from pymongo import errors as mongo_errors
from pymongo.client_session import ClientSession
from typing_extensions import override

from services.common.clock import Clock, NewId, new_id
from services.common.context import current
from services.common.messaging.events import build_event
from services.orders import codec
from services.orders.domain import Order, apply, fold, next_step, record
from services.orders.errors import OrderChangedError, OrderNotFoundError
from services.orders.events import Event, OrderPlaced, RecordedEvent
from services.orders.integration_events import to_integration_event
from services.orders.metrics.orders import count_change
from services.orders.placing.attempts import end_attempt
from services.orders.ports import (
    LEASE_DURATION,
    Attempt,
    OrdersRepository,
    SagaRepository,
    StepBegun,
)
from services.orders.store import (
    NOT_COMPLETE,
    WITH_EVENTS,
    StoreClock,
    after,
    build_id,
    open_database,
    run_transaction,
    store_call,
)

Result = TypeVar("Result")

TRAIL_LENGTH = 200
"""How many of its last tries a saga keeps: many times what an order needs.

An order that waits for an unavailable upstream tries once a second, and a document cannot
hold all of that.
"""


class MongoOrdersRepository(OrdersRepository):
    """Orders in the collections `events` and `orders`; updates `sagas` and `outbox` with them.

    `outbox_written` is set after this instance has written to the outbox.
    """

    def __init__(
        self, client: pymongo.MongoClient, *, clock: Clock | None = None, new_id: NewId = new_id
    ) -> None:
        self.outbox_written = threading.Event()
        self._client = client
        self._database = open_database(client)
        self.store_clock = StoreClock(client)
        self._clock = clock or self.store_clock.now
        self._new_id = new_id

    @override
    def find(self, order_id: str) -> Order | None:
        history = self.history(order_id)
        return fold(order_id, history) if history else None

    @override
    def load(self, order_id: str) -> Order:
        if order := self.find(order_id):
            return order
        raise OrderNotFoundError(order_id)

    @override
    def history(self, order_id: str) -> Sequence[RecordedEvent]:
        return self._histories([order_id]).get(order_id, [])

    @override
    def list_by_user(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Order], int]:
        by_user = {"user_id": user_id}
        with store_call():
            found = list(
                self._database.orders.aggregate(
                    [
                        {"$match": by_user},
                        {"$sort": {"created_at": pymongo.DESCENDING, "_id": pymongo.ASCENDING}},
                        {"$skip": (page - 1) * limit},
                        {"$limit": limit},
                        WITH_EVENTS,
                    ]
                )
            )
            if 0 < len(found) < limit:
                total = (page - 1) * limit + len(found)
            else:
                total = self._database.orders.count_documents(by_user)
        # An order whose history was lost is a finding of the reconciliation, not the list's end.
        return [to_order(each["_id"], each["events"]) for each in found if each["events"]], total

    @override
    def list_by_product(self, user_id: str, product_id: str) -> Sequence[Order]:
        placed = {
            "type": OrderPlaced.__name__,
            "data.user_id": user_id,
            "data.items.product_id": product_id,
        }
        with store_call():
            ids = self._database.events.distinct("order_id", placed)
        return [fold(order_id, history) for order_id, history in self._histories(ids).items()]

    @override
    def place(
        self,
        order_id: str,
        placed: OrderPlaced,
        *,
        payment_token: str,
        lease: timedelta = LEASE_DURATION,
        attempt: Attempt | None = None,
    ) -> Order:
        recorded = RecordedEvent(sequence=1, time=self._clock(), event=placed)
        order = fold(order_id, [recorded])
        saga = {"due_at": after(lease), "payment_token": {"$literal": payment_token}, "trail": []}
        saga |= {"traceparent": current().traceparent or ""}

        def write(session: ClientSession) -> None:
            if attempt:
                end_attempt(self._database, attempt, session)
            self._database.events.insert_one(_event_document(order_id, recorded), session=session)
            self._database.orders.insert_one(codec.index_document(order), session=session)
            self._database.sagas.update_one(
                {"_id": order_id}, [{"$set": saga}], upsert=True, session=session
            )

        self._transact(order_id, write)
        count_change(None, order)
        return order

    @override
    def append(
        self,
        order: Order,
        events: Sequence[Event],
        *,
        lease: timedelta = LEASE_DURATION,
        begins: StepBegun | None = None,
    ) -> Order:
        now = self._clock()
        appended = record(order, events, now)
        documents = [_event_document(order.order_id, each) for each in appended]
        if begins:
            documents[-1]["begins"] = {"step": begins.step, "by": begins.instance}
        changed, outgoing, marks = order, list[dict[str, Any]](), dict[str, Any]()
        for each in appended:
            changed = apply(changed, each)
            outgoing += self._integration_event(changed, each)
            marks |= codec.saga_marks(changed, each)
        if begins and len(documents) == 1 and not outgoing:
            self._insert(order.order_id, documents[0])
            count_change(order, changed)
            return changed
        due_at = None if next_step(changed, now) is None else after(lease)
        change = codec.saga_change(due_at, marks)

        def write(session: ClientSession) -> Order:
            for document in documents:
                self._database.events.insert_one(document, session=session)
            for message in outgoing:
                self._database.outbox.insert_one(message, session=session)
            self._database.sagas.update_one({"_id": order.order_id}, change, session=session)
            return changed

        self._transact(order.order_id, write)
        if outgoing:
            self.outbox_written.set()
        count_change(order, changed)
        return changed

    def _insert(self, order_id: str, document: dict[str, Any]) -> None:
        """Insert the only event of a step; OrderChangedError when another writer was faster."""
        try:
            with store_call():
                self._database.events.insert_one(document)
        except mongo_errors.DuplicateKeyError as error:
            raise OrderChangedError(order_id) from error

    def ping(self) -> None:
        """Raise StoreUnavailableError when the store does not answer."""
        self.store_clock.measure()

    def _histories(self, order_ids: Sequence[str]) -> dict[str, list[RecordedEvent]]:
        histories: dict[str, list[RecordedEvent]] = {}
        wanted = {"order_id": {"$in": list(order_ids)}}
        with store_call():
            found = self._database.events.find(wanted).sort([("order_id", 1), ("sequence", 1)])
            for document in found:
                known = histories.setdefault(document["order_id"], [])
                known.append(codec.from_document(document))
        return histories

    def _transact(self, order_id: str, write: Callable[[ClientSession], Result]) -> Result:
        """Run `write` in a transaction; OrderChangedError when another writer was faster."""
        try:
            return run_transaction(self._client, write)
        except mongo_errors.DuplicateKeyError as error:
            raise OrderChangedError(order_id) from error

    def _integration_event(self, order: Order, recorded: RecordedEvent) -> list[dict[str, Any]]:
        """Build the outbox's document about an event, if there is one; `order` is after it."""
        message = to_integration_event(order, recorded.event)
        if message is None:
            return []
        event = build_event(
            message,
            source="orders",
            subject=order.order_id,
            now=recorded.time,
            new_id=self._new_id,
        )
        return [asdict(event) | {"sequence": recorded.sequence}]


class MongoSagaRepository(SagaRepository):
    """Leases and trails in the collection `sagas`."""

    def __init__(self, client: pymongo.MongoClient) -> None:
        self._sagas = open_database(client).sagas

    @override
    def record_step(self, order_id: str, begun: StepBegun, *, now: datetime) -> None:
        tried = {"began": begun.step, "by": begun.instance, "at": now}
        change = {"$push": {"trail": {"$each": [tried], "$slice": -TRAIL_LENGTH}}}
        with store_call():
            self._sagas.update_one({"_id": order_id}, change)

    @override
    def payment_token(self, order_id: str) -> str:
        return self._read(order_id, "payment_token")

    @override
    def traceparent(self, order_id: str) -> str:
        return self._read(order_id, "traceparent")

    def _read(self, order_id: str, field: str) -> str:
        with store_call():
            saga = self._sagas.find_one({"_id": order_id}, {field: 1})
        return (saga or {}).get(field, "")

    @override
    def postpone(self, order_id: str, *, delay: timedelta, cause: str) -> None:
        change = {"due_at": after(delay), "waits_for": {"$literal": cause}}
        with store_call():
            self._sagas.update_one({"_id": order_id} | NOT_COMPLETE, [{"$set": change}])

    @override
    def extend_leases(self, order_ids: Sequence[str], *, lease: timedelta = LEASE_DURATION) -> None:
        driven = {"_id": {"$in": list(order_ids)}} | NOT_COMPLETE
        with store_call():
            self._sagas.update_many(driven, [{"$set": {"due_at": after(lease)}}])

    @override
    def claim_due(self, *, lease: timedelta = LEASE_DURATION) -> str | None:
        with store_call():
            saga: Any = self._sagas.find_one_and_update(
                NOT_COMPLETE | {"$expr": {"$lte": ["$due_at", "$$NOW"]}},
                [{"$set": {"due_at": after(lease)}}],
                projection={"_id": 1},
                sort=[("due_at", pymongo.ASCENDING)],
            )
        return saga and saga["_id"]


def to_order(order_id: str, documents: Sequence[dict[str, Any]]) -> Order:
    """Compute an order from the documents of its events, in any order."""
    in_order = sorted(documents, key=itemgetter("sequence"))
    return fold(order_id, map(codec.from_document, in_order))


def _event_document(order_id: str, recorded: RecordedEvent) -> dict[str, Any]:
    """Build the document of an event; its id has the event's time."""
    return {"_id": build_id(recorded.time)} | codec.to_document(order_id, recorded)
