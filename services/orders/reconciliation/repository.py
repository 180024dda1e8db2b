"""What reconciliation needs of the orders' own store: MongoDB.

Beside the collections of `repository`: `discrepancies` holds what was found, is not
repaired and was told, so that each is told once; `counters` numbers what is told; the lock
`reconciliation` says who compares until when, and where the next one goes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import pymongo
from mamie_rosa.events.v1 import events_pb2
from pymongo import errors as mongo_errors
from pymongo.client_session import ClientSession

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.messaging.events import build_event
from services.orders import codec
from services.orders.domain import Order, OrderPlaced, fold, next_step
from services.orders.reconciliation.domain import Finding
from services.orders.reconciliation.records import (
    BrokenHistory,
    IndexEntry,
    Part,
    Records,
    SagaEntry,
    Source,
)
from services.orders.repository import index_entry
from services.orders.store import MAJORITY, translate_errors

SUBJECT = "reconciliation"
MOST_TOLD = 100
EVENTS_PER_ORDER = 8
"""About so many; what is read at once depends on it, nothing else."""


class ReconciliationRepository(Protocol):
    """Keeps what was found, whose turn it is, and mends what only the orders' store can."""

    def restore_index(self, records: Records) -> None:
        """Put an order back into the lists of its client."""

    def restore_saga(self, records: Records) -> None:
        """Let anybody carry an order on that nobody carries on."""

    def rest_saga(self, records: Records) -> None:
        """Let nobody carry on an order that is at rest."""

    def waiting_since(self, moment: datetime) -> int:
        """Return how many events of before a moment the bus has yet to hear."""

    def remember(
        self, open_findings: Sequence[Finding], *, first: str, following: str
    ) -> Sequence[Finding]:
        """Keep what is not repaired of the orders from `first` until before `following`.

        Returns what was not known before, and puts it into the outbox. An empty `following`
        is after all orders.
        """

    def take_turn(self, *, now: datetime, until: datetime) -> str | None:
        """Keep others from comparing `until` then; return where to go on, None if it is theirs."""

    def go_on(self, order_id: str, *, until: datetime) -> None:
        """Keep others from comparing `until` then, and where the next turn goes on."""


class MongoReconciliationRepository:
    """Findings, turns and repairs in MongoDB; its stores of orders are sources too."""

    def __init__(
        self, client: pymongo.MongoClient, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._client = client
        self._database = client.get_default_database(write_concern=MAJORITY)
        self._clock = clock
        self._new_id = new_id

    @property
    def sources(self) -> Sequence[Source]:
        """Return what the orders' own store knows, by order."""
        return [self._orders, self._index, self._sagas]

    def _orders(self, order_id: str, size: int) -> Iterator[Part]:
        with translate_errors():
            found = self._database.events.find({"order_id": {"$gte": order_id}})
            events = found.sort([("order_id", 1), ("sequence", 1)]).batch_size(
                size * EVENTS_PER_ORDER
            )
            for each, history in groupby(events, itemgetter("order_id")):
                yield _to_order(each, list(history))

    def _index(self, order_id: str, size: int) -> Iterator[Part]:
        for document in self._by_id("orders", order_id, size):
            yield IndexEntry(order_id=document["_id"])

    def _sagas(self, order_id: str, size: int) -> Iterator[Part]:
        for document in self._by_id("sagas", order_id, size):
            yield SagaEntry(order_id=document["_id"], due_at=document["due_at"])

    def _by_id(self, collection: str, order_id: str, size: int) -> Iterator[dict[str, Any]]:
        with translate_errors():
            found = self._database[collection].find({"_id": {"$gte": order_id}}, {"due_at": 1})
            yield from found.sort("_id").batch_size(size)

    def restore_index(self, records: Records) -> None:
        """Put an order back into the lists of its client."""
        assert records.order is not None
        self._add("orders", index_entry(records.order))

    def restore_saga(self, records: Records) -> None:
        """Let anybody carry an order on that nobody carries on.

        The means of payment is lost with the entry: an order that is not paid yet is
        given up when its hold ends.
        """
        assert records.order is not None
        now = self._clock()
        due_at = now if next_step(records.order, now) else None
        entry: dict[str, Any] = {
            "_id": records.order_id,
            "due_at": due_at,
            "payment_token": "",
            "trail": [],
        }
        self._add("sagas", entry)
        self._set_due(records.order_id, before=None, after=due_at)

    def rest_saga(self, records: Records) -> None:
        """Let nobody carry on an order that is at rest."""
        assert records.saga is not None
        self._set_due(records.order_id, before=records.saga.due_at, after=None)

    def _add(self, collection: str, document: dict[str, Any]) -> None:
        """Add a document that was missing; if it is there meanwhile it stays as it is."""
        one = {"_id": document["_id"]}
        with translate_errors():
            self._database[collection].update_one(one, {"$setOnInsert": document}, upsert=True)

    def _set_due(self, order_id: str, *, before: datetime | None, after: datetime | None) -> None:
        """Change when a saga is due, unless somebody else did meanwhile."""
        one = {"_id": order_id, "due_at": before}
        with translate_errors():
            self._database.sagas.update_one(one, {"$set": {"due_at": after}})

    def waiting_since(self, moment: datetime) -> int:
        """Return how many events of before a moment the bus has yet to hear."""
        with translate_errors():
            return self._database.outbox.count_documents({"time": {"$lt": moment}})

    def remember(
        self, open_findings: Sequence[Finding], *, first: str, following: str
    ) -> Sequence[Finding]:
        """Keep what is not repaired of some orders; return, and tell, what is new of it."""
        by_key = {_key(finding): finding for finding in open_findings}
        here = {"_id": {"$gte": first} | ({"$lt": following} if following else {})}

        def write(session: ClientSession) -> Sequence[Finding]:
            known = {
                found["_id"] for found in self._database.discrepancies.find(here, session=session)
            }
            new = [finding for key, finding in by_key.items() if key not in known]
            gone = {"_id": {"$in": list(known - by_key.keys())}}
            self._database.discrepancies.delete_many(gone, session=session)
            if new:
                self._tell(session, new)
            return new

        with translate_errors(), self._client.start_session() as session:
            return session.with_transaction(write, write_concern=MAJORITY)

    def _tell(self, session: ClientSession, new: Sequence[Finding]) -> None:
        """Keep findings, and put one event about them into the outbox."""
        now = self._clock()
        documents = [{"_id": _key(finding), "found_at": now} for finding in new]
        self._database.discrepancies.insert_many(documents, session=session)
        told = events_pb2.DiscrepanciesFound(
            discrepancies=map(_to_message, new[:MOST_TOLD]), total_count=len(new)
        )
        event = build_event(told, source="orders", subject=SUBJECT, now=now, new_id=self._new_id)
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

    def take_turn(self, *, now: datetime, until: datetime) -> str | None:
        """Keep others from comparing `until` then; return where to go on, None if it is theirs."""
        free = {"_id": SUBJECT, "until": {"$lte": now}}
        try:
            with translate_errors():
                lock: Any = self._database.locks.find_one_and_update(
                    free,
                    {"$set": {"until": until}},
                    upsert=True,
                    return_document=pymongo.ReturnDocument.AFTER,
                )
        except mongo_errors.DuplicateKeyError:
            return None
        return lock.get("following", "")

    def go_on(self, order_id: str, *, until: datetime) -> None:
        """Keep others from comparing `until` then, and where the next turn goes on."""
        change = {"$set": {"until": until, "following": order_id}}
        with translate_errors():
            self._database.locks.update_one({"_id": SUBJECT}, change)


def _to_order(order_id: str, documents: Sequence[dict[str, Any]]) -> Order | BrokenHistory:
    history = [codec.to_recorded(document) for document in documents]
    is_whole = [recorded.sequence for recorded in history] == list(range(1, len(history) + 1))
    if not is_whole or not isinstance(history[0].event, OrderPlaced):
        return BrokenHistory(order_id=order_id)
    return fold(order_id, history)


def _key(finding: Finding) -> str:
    """Return the name of a finding; names sort like the orders they are about."""
    return f"{finding.discrepancy.order_id}/{finding.discrepancy.kind}"


def _to_message(finding: Finding) -> events_pb2.Discrepancy:
    found = finding.discrepancy
    return events_pb2.Discrepancy(
        kind=found.kind,
        order_id=found.order_id,
        facts=found.facts,
        failure=finding.failure,
    )
