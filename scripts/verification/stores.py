"""The facts of a running shop, read from its own stores and its bus; nothing is changed.

(A bookmark goes into the event log, as with every reader of it.)
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path

import neo4j
from typing_extensions import override

from scripts.verification import sql_records
from scripts.verification.facts import (
    Charge,
    Effects,
    Facts,
    OrderFacts,
    ProductFacts,
    PromotionFacts,
    Waiting,
    gather,
)
from scripts.verification.order_records import OrderRecords
from scripts.verification.promotion_records import PromotionRecords
from scripts.verification.published import PublishedEvents, RecordedAnswers
from services.common.messaging import queues, rabbitmq
from services.orders.domain import Order
from services.recommendations.repository import connect as connect_graph

ORDERS_AT_ONCE = 500
PURCHASES = """
UNWIND $orders AS placed
MATCH (:Client {user_id: placed.user_id})-[b:BOUGHT]->(p:Product)
WHERE placed.order_id IN b.orders
RETURN placed.order_id AS order_id, p.product_id AS product_id,
       size([each IN b.orders WHERE each = placed.order_id]) AS times
"""
PUBLISHERS = ("users", "catalog")
"""The services that have an outbox in PostgreSQL."""


@dataclass(frozen=True)
class Urls:
    """Where the stores of the services and the bus are."""

    stores: Mapping[str, str]
    bus: str


class StoredFacts(Facts):
    """The facts of a running shop; what was opened is closed at the end of a `with` block."""

    def __init__(self, urls: Urls, answers: Path | None = None) -> None:
        self._urls = urls
        self._answers = answers
        self._opened = ExitStack()
        self._held: Counter[str] = Counter()
        self._used: Mapping[str, int] = {}

    def __enter__(self) -> "StoredFacts":
        """Open the stores."""
        stores = self._urls.stores
        self._orders = self._opened.enter_context(closing(OrderRecords(stores["orders"])))
        promotions = PromotionRecords(stores["promotions"])
        self._promotions = self._opened.enter_context(closing(promotions))
        driver, self._graph_name = connect_graph(stores["recommendations"])
        self._graph = self._opened.enter_context(driver)
        return self

    def __exit__(self, *_error: object) -> None:
        """Close them."""
        self._opened.close()

    @override
    def orders(self) -> Iterator[OrderFacts]:
        self._held.clear()
        self._used = {code: self._promotions.used(code) for code in self._promotions.codes()}
        with (
            closing(PublishedEvents(self._urls.bus)) as published,
            closing(RecordedAnswers(self._answers)) as answers,
        ):
            found = gather(
                [
                    self._orders.histories(),
                    self._orders.list_entries(),
                    self._orders.sagas(),
                    sql_records.read_payments(self._urls.stores["payments"]),
                    sql_records.read_charges(self._urls.stores["payments"]),
                    sql_records.read_reservations(self._urls.stores["catalog"]),
                    self._promotions.redemptions(),
                    sql_records.read_summaries(self._urls.stores["notifications"]),
                    iter(published),
                    iter(answers),
                ]
            )
            while batch := list(islice(found, ORDERS_AT_ONCE)):
                for facts in self._with_effects(batch):
                    self._count_use(facts)
                    yield replace(facts, log_begins=published.begins)

    def _count_use(self, facts: OrderFacts) -> None:
        """Count the order for its code; redemptions expire, and the orders that had them do not."""
        redemption, order = facts.records.redemption, facts.records.order
        if redemption:
            self._held[redemption.code] += redemption.is_redeemed
        elif order and order.placed.promo_code and order.is_purchased:
            self._held[order.placed.promo_code] += 1

    def _with_effects(self, batch: Sequence[OrderFacts]) -> Iterator[OrderFacts]:
        """Add what the consumers made of the events of some orders."""
        events = [each.event_id for facts in batch for each in facts.published]
        notifications = self._urls.stores["notifications"]
        processed = sql_records.find_processed(notifications, events) if events else frozenset()
        users = {each.records.order.user_id for each in batch if each.records.order}
        customers = sql_records.find_customers(notifications, sorted(users)) if users else {}
        purchases = self._purchases(batch)
        for facts in batch:
            effects = Effects(
                processed=processed,
                purchases=purchases.get(facts.order_id, {}),
                is_silent=_is_silent(facts.records.order, customers),
            )
            yield replace(facts, effects=effects)

    def _purchases(self, batch: Sequence[OrderFacts]) -> Mapping[str, Mapping[str, int]]:
        placed = [
            {"order_id": each.order_id, "user_id": each.records.order.user_id}
            for each in batch
            if each.records.order
        ]
        found: defaultdict[str, dict[str, int]] = defaultdict(dict)
        # Not in a transaction that is retried: a graph that does not answer is named at once.
        with self._graph.session(
            database=self._graph_name, default_access_mode=neo4j.READ_ACCESS
        ) as session:
            for record in session.run(PURCHASES, orders=placed):
                found[record["order_id"]][record["product_id"]] = record["times"]
        return found

    @override
    def products(self) -> Iterator[ProductFacts]:
        return sql_records.read_products(self._urls.stores["catalog"])

    @override
    def promotions(self) -> Iterator[PromotionFacts]:
        for code, used in self._used.items():
            yield self._promotions.read(code, used=used, orders=self._held[code])

    @override
    def charges_without_payment(self) -> Iterator[Charge]:
        query = sql_records.CHARGES_WITHOUT_PAYMENT
        return sql_records.read_charges(self._urls.stores["payments"], query)

    @override
    def waiting(self) -> Iterator[Waiting]:
        for service in PUBLISHERS:
            yield sql_records.read_outbox(self._urls.stores[service], service)
        yield self._orders.outbox()
        yield self._promotions.outbox()
        with rabbitmq.connection(self._urls.bus, "verify") as connection:
            for queue in queues.ALL:
                for name in (queue.name, queue.dead):
                    declared = connection.channel().queue_declare(name, passive=True)
                    yield Waiting(where=name, count=declared.method.message_count)


def _is_silent(order: Order | None, customers: Mapping[str, tuple[datetime, bool]]) -> bool:
    """Return whether an order may have no summary: its customer accepts no mail, or did not then.

    Only the present choice is stored, and when anything about the customer changed last.
    """
    if order is None or order.user_id not in customers:
        return True
    as_of, accepts_mail = customers[order.user_id]
    return not accepts_mail or as_of > order.created_at
