"""Facts that break no invariant, to be changed by tests, and a shop of facts in memory."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from scripts.verification.facts import (
    Charge,
    ChargeState,
    Effects,
    Facts,
    KeyedAnswer,
    ListEntry,
    Mailing,
    OrderFacts,
    ProductFacts,
    PromotionFacts,
    Published,
    Waiting,
)
from scripts.verification.judge import judge
from services.orders.events import RecordedEvent
from services.orders.reconciliation.records import OrderRecords, SagaEntry
from services.orders.reconciliation.tests.fakes import (
    COMPENSATED,
    CONFIRMED,
    FINAL_AMOUNT,
    LONG_AGO,
    ORDER,
    build_order,
    compensated,
    purchased,
)
from services.orders.tests.fakes import KIBBLE, NOW, build_placed

MINUTE = timedelta(minutes=1)
OTHER = "22222222-2222-4222-8222-222222222222"


def history(*later, placed=None, at=LONG_AGO):
    domain_events = [placed or build_placed(), *later]
    return tuple(
        RecordedEvent(sequence=sequence, time=at, event=event)
        for sequence, event in enumerate(domain_events, 1)
    )


def charge(state="CHARGED", amount=FINAL_AMOUNT, key="p"):
    return Charge(order_id=ORDER, key=key, state=ChargeState(state), amount=amount)


def published(name="OrderCreated", event_id="e1"):
    return Published(order_id=ORDER, event_id=event_id, name=name, time=LONG_AGO)


def effects(processed=("e1", "e2"), purchases=((KIBBLE.product_id, 1),), is_silent=False):
    return Effects(processed=frozenset(processed), purchases=dict(purchases), is_silent=is_silent)


def mailing(summaries):
    return Mailing(order_id=ORDER, summaries=summaries)


def answer(status=201, at=0.0, body="cart", order_id=ORDER, reason=""):
    placed_id = order_id if status == 201 else ""
    return KeyedAnswer(
        order_id=ORDER, body=body, at=at, status=status, placed_id=placed_id, reason=reason
    )


def bought(**changes):
    """Return the facts of a confirmed order, with some changed."""
    facts = OrderFacts(
        records=purchased(index=ListEntry(order_id=ORDER, user_id="alice", created_at=LONG_AGO)),
        history=history(*CONFIRMED),
        charges=[charge()],
        published=[published(), published()],
        mailing=mailing(1),
        effects=effects(),
        log_begins=LONG_AGO - MINUTE,
    )
    return replace(facts, **changes)


def returned(**changes):
    """Return the facts of an order that was confirmed and cancelled, with some changed."""
    facts = bought(
        records=compensated(),
        history=history(*COMPENSATED),
        charges=[charge("REFUNDED")],
        published=[published(), published("OrderCancelled", "e2")],
        effects=effects(purchases=()),
    )
    return replace(facts, **changes)


def with_records(facts, **changes):
    return replace(facts, records=replace(facts.records, **changes))


def running(*so_far, at=LONG_AGO, **changes):
    saga = SagaEntry(order_id=ORDER, due_at=NOW)
    order = build_order(*so_far, at=at, hold_expires_at=NOW + MINUTE)
    records = OrderRecords(order_id=ORDER, order=order, index=purchased().index, saga=saga)
    facts = OrderFacts(records=records, log_begins=LONG_AGO - MINUTE)
    return replace(facts, **changes)


def unordered(**records):
    return OrderFacts(records=OrderRecords(order_id=ORDER, **records))


def product(**changes):
    facts = ProductFacts(product_id="kibble", supplied=10, stock=7, off_sale=3)
    return replace(facts, **changes)


def promotion(**changes):
    facts = PromotionFacts(
        code="TEN",
        max_uses=5,
        max_uses_per_user=2,
        used=(3, 3),
        used_before=0,
        orders=3,
        by_customer=[("alice", 2), ("bob", 1)],
    )
    return replace(facts, **changes)


@dataclass
class FakeFacts(Facts):
    """Facts in memory."""

    all_orders: list = field(default_factory=list)
    all_products: list = field(default_factory=list)
    all_promotions: list = field(default_factory=list)
    charges: list = field(default_factory=list)
    messages: list = field(default_factory=list)

    def orders(self):
        return iter(self.all_orders)

    def products(self):
        return iter(self.all_products)

    def promotions(self):
        return iter(self.all_promotions)

    def charges_without_payment(self):
        return iter(self.charges)

    def waiting(self):
        return iter(self.messages)


FIELDS = {
    OrderFacts: "all_orders",
    ProductFacts: "all_products",
    PromotionFacts: "all_promotions",
    Charge: "charges",
    Waiting: "messages",
}


def verdict_of(*planted):
    facts = FakeFacts()
    for each in planted:
        getattr(facts, FIELDS[type(each)]).append(each)
    return judge(facts, NOW, within=MINUTE)


def broken(*planted):
    return {
        violation.invariant
        for found in verdict_of(*planted).violations.values()
        for violation in found
    }
