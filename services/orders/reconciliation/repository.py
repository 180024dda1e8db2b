"""Reconciliation's part of the orders' store: records, repairs, findings and progress.

Beside the collections of `services.orders.repository`: `discrepancies` holds the findings
that are open and published, so that each is published once; `counters` numbers these events;
the lock `reconciliation` has its end, and the order with which the next run begins; `repairs`,
beside it, has the budget of this hour.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import pymongo
from mamie_rosa.events.v1 import events_pb2
from pymongo.client_session import ClientSession
from typing_extensions import override

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.messaging.events import build_event
from services.orders import codec
from services.orders.domain import Order, fold, next_step
from services.orders.events import OrderPlaced
from services.orders.reconciliation.domain import Finding, Kind
from services.orders.reconciliation.records import (
    BrokenHistory,
    IndexEntry,
    OrderRecords,
    Record,
    SagaEntry,
    Source,
)
from services.orders.repository import index_document, saga_document
from services.orders.store import Lock, open_database, run_transaction, store_call, translate_errors

SUBJECT = "reconciliation"
REPAIRS = "repairs"
MAX_DISCREPANCIES_PER_EVENT = 100
EVENTS_PER_ORDER = 8
"""The usual length of a history; the size of what is read at once depends on it."""


class ReconciliationRepository(Protocol):
    """Stores findings and progress, and repairs the orders' own store."""

    def restore_index(self, records: OrderRecords) -> None:
        """Put an order back into its customer's list."""

    def restore_saga(self, records: OrderRecords) -> None:
        """Make the saga of an order due that no instance can claim.

        The payment token is lost with the saga's document: an order that is not paid yet is
        cancelled when its stock reservation expires.
        """

    def complete_saga(self, records: OrderRecords) -> None:
        """Take the lease from a saga that has no step left."""

    def count_unpublished(self, *, before: datetime) -> int:
        """Return how many events have been in the outbox since before a moment."""

    def save_open_findings(
        self, findings: Sequence[Finding], *, first: str, next_order_id: str
    ) -> Sequence[Finding]:
        """Replace the open findings of the orders from `first` until before `next_order_id`.

        Publishes and returns those that are new. An empty `next_order_id` is after all orders.
        """

    def count_repairs(self) -> Mapping[Kind, int]:
        """Return how many discrepancies of each kind were repaired in this hour."""

    def add_repairs(self, repaired: Mapping[Kind, int]) -> None:
        """Add repairs to those of this hour."""

    def acquire_lock(self, duration: timedelta) -> str | None:
        """Lock out other instances for a time.

        Returns the order with which to begin, None when another instance has the lock.
        """

    def save_progress(self, next_order_id: str, duration: timedelta) -> bool:
        """Save the order with which the next run begins, and extend the lock.

        False, without an effect, when another instance has the lock meanwhile.
        """


class MongoReconciliationRepository(ReconciliationRepository):
    """Findings, progress and repairs in MongoDB; also a source of the orders' own records."""

    def __init__(
        self, client: pymongo.MongoClient, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._client = client
        self._database = open_database(client)
        self._clock = clock
        self._new_id = new_id
        self._lock = Lock(self._database, SUBJECT)

    @property
    def sources(self) -> Sequence[Source]:
        """Return the sources of the orders' own records."""
        return [self._orders, self._index, self._sagas]

    def _orders(self, order_id: str, size: int) -> Iterator[Record]:
        with translate_errors():
            found = self._database.events.find({"order_id": {"$gte": order_id}})
            events = found.sort([("order_id", 1), ("sequence", 1)]).batch_size(
                size * EVENTS_PER_ORDER
            )
            for each, history in groupby(events, itemgetter("order_id")):
                yield _to_order(each, list(history))

    def _index(self, order_id: str, size: int) -> Iterator[Record]:
        for document in self._by_id("orders", order_id, size):
            yield IndexEntry(order_id=document["_id"])

    def _sagas(self, order_id: str, size: int) -> Iterator[Record]:
        for document in self._by_id("sagas", order_id, size):
            yield SagaEntry(order_id=document["_id"], due_at=document["due_at"])

    def _by_id(self, collection: str, order_id: str, size: int) -> Iterator[dict[str, Any]]:
        with translate_errors():
            found = self._database[collection].find({"_id": {"$gte": order_id}}, {"due_at": 1})
            yield from found.sort("_id").batch_size(size)

    @override
    def restore_index(self, records: OrderRecords) -> None:
        assert records.order is not None
        self._insert_if_missing("orders", index_document(records.order))

    @override
    def restore_saga(self, records: OrderRecords) -> None:
        assert records.order is not None
        now = self._clock()
        due_at = now if next_step(records.order, now) else None
        self._insert_if_missing("sagas", saga_document(records.order_id, due_at=due_at))
        self._set_due(records.order_id, before=None, after=due_at)

    @override
    def complete_saga(self, records: OrderRecords) -> None:
        assert records.saga is not None
        self._set_due(records.order_id, before=records.saga.due_at, after=None)

    def _insert_if_missing(self, collection: str, document: dict[str, Any]) -> None:
        one = {"_id": document["_id"]}
        with store_call():
            self._database[collection].update_one(one, {"$setOnInsert": document}, upsert=True)

    def _set_due(self, order_id: str, *, before: datetime | None, after: datetime | None) -> None:
        """Change when a saga is due, unless another writer has changed it."""
        one = {"_id": order_id, "due_at": before}
        with store_call():
            self._database.sagas.update_one(one, {"$set": {"due_at": after}})

    @override
    def count_unpublished(self, *, before: datetime) -> int:
        with store_call():
            return self._database.outbox.count_documents({"time": {"$lt": before}})

    @override
    def save_open_findings(
        self, findings: Sequence[Finding], *, first: str, next_order_id: str
    ) -> Sequence[Finding]:
        by_key = {_key(finding): finding for finding in findings}
        in_batch = {"_id": {"$gte": first} | ({"$lt": next_order_id} if next_order_id else {})}

        def write(session: ClientSession) -> Sequence[Finding]:
            stored = self._database.discrepancies.find(in_batch, session=session)
            known = {document["_id"] for document in stored}
            new = [finding for key, finding in by_key.items() if key not in known]
            closed = {"_id": {"$in": list(known - by_key.keys())}}
            self._database.discrepancies.delete_many(closed, session=session)
            if new:
                self._publish(session, new)
            return new

        return run_transaction(self._client, write)

    def _publish(self, session: ClientSession, new: Sequence[Finding]) -> None:
        """Store findings, and put one integration event about them into the outbox."""
        now = self._clock()
        documents = [{"_id": _key(finding), "found_at": now} for finding in new]
        self._database.discrepancies.insert_many(documents, session=session)
        message = events_pb2.DiscrepanciesFound(
            discrepancies=map(_to_message, new[:MAX_DISCREPANCIES_PER_EVENT]),
            total_count=len(new),
        )
        event = build_event(message, source="orders", subject=SUBJECT, now=now, new_id=self._new_id)
        document = asdict(event) | {"sequence": self._next_sequence(session)}
        self._database.outbox.insert_one(document, session=session)

    def _next_sequence(self, session: ClientSession) -> int:
        counter: Any = self._database.counters.find_one_and_update(
            {"_id": SUBJECT},
            {"$inc": {"sequence": 1}},
            upsert=True,
            return_document=pymongo.ReturnDocument.AFTER,
            session=session,
        )
        return counter["sequence"]

    @override
    def count_repairs(self) -> Mapping[Kind, int]:
        with store_call():
            stored: Any = self._database.locks.find_one({"_id": REPAIRS, "hour": self._hour()})
        return {Kind(kind): count for kind, count in (stored or {}).get("counts", {}).items()}

    @override
    def add_repairs(self, repaired: Mapping[Kind, int]) -> None:
        if not repaired:
            return
        hour = self._hour()
        counts = {f"counts.{kind}": count for kind, count in repaired.items()}
        with store_call():
            earlier = {"_id": REPAIRS, "hour": {"$ne": hour}}
            self._database.locks.update_one(earlier, {"$set": {"hour": hour, "counts": {}}})
            change = {"$inc": counts, "$set": {"hour": hour}}
            self._database.locks.update_one({"_id": REPAIRS}, change, upsert=True)

    def _hour(self) -> datetime:
        return self._clock().replace(minute=0, second=0, microsecond=0)

    @override
    def acquire_lock(self, duration: timedelta) -> str | None:
        lock = self._lock.acquire(duration)
        return None if lock is None else str(lock.get("following", ""))

    @override
    def save_progress(self, next_order_id: str, duration: timedelta) -> bool:
        return self._lock.extend(duration, following=next_order_id)


def _to_order(order_id: str, documents: Sequence[dict[str, Any]]) -> Order | BrokenHistory:
    history = [codec.from_document(document) for document in documents]
    is_whole = [recorded.sequence for recorded in history] == list(range(1, len(history) + 1))
    if not is_whole or not isinstance(history[0].event, OrderPlaced):
        return BrokenHistory(order_id=order_id)
    return fold(order_id, history)


def _key(finding: Finding) -> str:
    """Return the id of a finding; ids sort like those of their orders."""
    return f"{finding.discrepancy.order_id}/{finding.discrepancy.kind}"


def _to_message(finding: Finding) -> events_pb2.Discrepancy:
    discrepancy = finding.discrepancy
    return events_pb2.Discrepancy(
        kind=discrepancy.kind,
        order_id=discrepancy.order_id,
        facts=discrepancy.facts,
        failure=finding.failure,
    )
