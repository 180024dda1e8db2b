"""Reconciliation's part of the orders' store: records, repairs and findings.

Beside the collections of `services.orders.repository`: `discrepancies` holds the findings
that are open and published, so that each is published once; `counters` numbers these events;
`locks` has the budget of this hour, `repairs`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
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
from services.orders.codec import index_document, restored_marks, saga_document
from services.orders.domain import next_step
from services.orders.reconciliation.domain import Finding, Kind, Scope
from services.orders.reconciliation.records import (
    MAX_ORDERS,
    IndexEntry,
    OrderRecords,
    Record,
    SagaEntry,
    Source,
    fold_history,
)
from services.orders.store import open_database, run_transaction, store_call, translate_errors

SUBJECT = "reconciliation"
REPAIRS = "repairs"
MAX_DISCREPANCIES_PER_EVENT = 100
Condition = Mapping[str, Any]
"""A condition on a field, as MongoDB takes it."""
EVENTS_PER_ORDER = 8
"""The usual length of a history; the size of what is read at once depends on it."""


class ReconciliationRepository(Protocol):
    """Stores findings, and repairs the orders' own store."""

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

    def save_open_findings(self, findings: Sequence[Finding], scope: Scope) -> Sequence[Finding]:
        """Replace the open findings of the orders in a scope.

        Publishes and returns those that are new.
        """

    def count_repairs(self) -> Mapping[Kind, int]:
        """Return how many discrepancies of each kind were repaired in this hour."""

    def add_repairs(self, repaired: Mapping[Kind, int]) -> None:
        """Add repairs to those of this hour."""


class MongoReconciliationRepository(ReconciliationRepository):
    """Findings and repairs in MongoDB; also a source of the orders' own records."""

    def __init__(
        self, client: pymongo.MongoClient, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._client = client
        self._database = open_database(client)
        self._clock = clock
        self._new_id = new_id

    @property
    def sources(self) -> Sequence[Source]:
        """Return the sources of the orders' own records."""
        return [
            Source(self._orders_from, self._orders_of),
            Source(self._index_from, self._index_of),
            Source(self._sagas_from, self._sagas_of),
        ]

    def _orders_from(self, order_id: str, size: int) -> Iterator[Record]:
        return self._orders({"$gte": order_id}, size)

    def _orders_of(self, order_ids: Sequence[str]) -> Iterator[Record]:
        return self._orders({"$in": list(order_ids)}, len(order_ids))

    def _orders(self, ids: Condition, size: int) -> Iterator[Record]:
        with translate_errors():
            found = self._database.events.find({"order_id": ids})
            events = found.sort([("order_id", 1), ("sequence", 1)]).batch_size(
                size * EVENTS_PER_ORDER
            )
            for each, history in groupby(events, itemgetter("order_id")):
                yield fold_history(each, [codec.from_document(found) for found in history])

    def _index_from(self, order_id: str, size: int) -> Iterator[Record]:
        return map(_to_index_entry, self._by_id("orders", {"$gte": order_id}, size))

    def _index_of(self, order_ids: Sequence[str]) -> Iterator[Record]:
        return map(_to_index_entry, self._by_id("orders", {"$in": list(order_ids)}, MAX_ORDERS))

    def _sagas_from(self, order_id: str, size: int) -> Iterator[Record]:
        return map(_to_saga_entry, self._by_id("sagas", {"$gte": order_id}, size))

    def _sagas_of(self, order_ids: Sequence[str]) -> Iterator[Record]:
        return map(_to_saga_entry, self._by_id("sagas", {"$in": list(order_ids)}, MAX_ORDERS))

    def _by_id(self, collection: str, ids: Condition, size: int) -> Iterator[dict[str, Any]]:
        with translate_errors():
            found = self._database[collection].find({"_id": ids}, {"due_at": 1})
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
        saga = saga_document(records.order_id, due_at=due_at) | restored_marks(records.order)
        self._insert_if_missing("sagas", saga)
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
    def save_open_findings(self, findings: Sequence[Finding], scope: Scope) -> Sequence[Finding]:
        by_key = {_key(finding): finding for finding in findings}
        in_scope = {"order_id": _matches(scope)}

        def write(session: ClientSession) -> Sequence[Finding]:
            stored = self._database.discrepancies.find(in_scope, session=session)
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
        documents = [
            {"_id": _key(each), "order_id": each.discrepancy.order_id, "found_at": now}
            for each in new
        ]
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


def _to_index_entry(document: Mapping[str, Any]) -> IndexEntry:
    return IndexEntry(order_id=document["_id"])


def _to_saga_entry(document: Mapping[str, Any]) -> SagaEntry:
    return SagaEntry(order_id=document["_id"], due_at=document["due_at"])


def _matches(scope: Scope) -> Condition:
    """Return the condition that the ids of orders in a scope match."""
    if scope.order_ids is not None:
        return {"$in": list(scope.order_ids)}
    return {"$gte": scope.first} | ({"$lt": scope.next_order_id} if scope.next_order_id else {})


def _key(finding: Finding) -> str:
    """Return the id of a finding."""
    return f"{finding.discrepancy.order_id}/{finding.discrepancy.kind}"


def _to_message(finding: Finding) -> events_pb2.Discrepancy:
    discrepancy = finding.discrepancy
    return events_pb2.Discrepancy(
        kind=discrepancy.kind,
        order_id=discrepancy.order_id,
        facts=discrepancy.facts,
        failure=finding.failure,
    )
