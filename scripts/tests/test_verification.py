"""The invariants hold of consistent facts, and each finds what is planted."""

from dataclasses import replace
from decimal import Decimal

import pytest

from scripts.tests.verified import (
    MINUTE,
    OTHER,
    answer,
    bought,
    broken,
    charge,
    effects,
    history,
    mailing,
    product,
    promotion,
    published,
    returned,
    running,
    unordered,
    with_records,
)
from scripts.verification.facts import (
    Charge,
    ChargeState,
    History,
    ListEntry,
    Waiting,
    gather,
)
from scripts.verification.histories import RULES
from scripts.verification.invariants import OF_KIND, Invariant, check_order, is_final
from services.orders import events
from services.orders.domain import ZERO, Order, fold
from services.orders.reconciliation.domain import Kind
from services.orders.reconciliation.records import BrokenHistory, SagaEntry
from services.orders.reconciliation.tests.fakes import (
    COMPENSATED,
    CONFIRMED,
    FINAL_AMOUNT,
    LONG_AGO,
    ORDER,
    build_order,
    build_payment,
    build_redemption,
    build_reservation,
)
from services.orders.tests.fakes import KIBBLE, NOW, build_placed

PAID_NOTHING = build_order(*CONFIRMED, discount=KIBBLE.total)
DECLINED = (
    events.PromoRedeemed(),
    events.PaymentStarted(),
    events.PaymentDeclined(decline_reason="CARD_DECLINED"),
    events.OrderCancelled(reason="PAYMENT_DECLINED"),
    events.PaymentSettled(refunded=ZERO),
    events.PromoReleased(),
    events.StockReleased(),
)


@pytest.mark.parametrize(
    "facts",
    [
        bought(),
        returned(),
        bought(answers=[answer(503), answer(), answer(409, reason="REQUEST_IN_PROGRESS")]),
        bought(answers=[answer(), answer(409, reason="KEY_REUSED", body="other cart")]),
        bought(answers=[answer(422, reason="OUT_OF_STOCK"), answer(at=31.0)]),
        unordered(),
        replace(unordered(), answers=[answer(422, reason="OUT_OF_STOCK"), answer(0)]),
        bought(mailing=None, effects=effects(is_silent=True)),
        bought(published=[], log_begins=NOW),
        bought(published=[], log_begins=None),
        with_records(
            bought(
                history=history(*CONFIRMED, placed=build_placed(discount=KIBBLE.total)), charges=[]
            ),
            order=PAID_NOTHING,
            payment=build_payment(amount=ZERO),
        ),
        with_records(
            returned(history=history(*DECLINED), published=[], charges=[charge("NONE")]),
            order=build_order(*DECLINED),
            payment=build_payment(state="DECLINED"),
        ),
        running(*CONFIRMED[:2], at=NOW - MINUTE),
        running(*CONFIRMED[:2], at=NOW, charges=[charge()]),
        product(),
        product(supplied=None, off_sale=0),
        promotion(),
        promotion(used=(4, 4), used_before=1),
        promotion(used=(4, 4), used_before=None),
        promotion(by_customer=None),
        promotion(used=(2, 4)),
        Charge(order_id="", key="k", state=ChargeState.REFUNDED, amount=FINAL_AMOUNT),
        Waiting(where="outbox", count=3, seconds=9.0),
        Waiting(where="queue", count=0),
    ],
)
def test_consistent_facts_break_no_invariant(facts):
    assert broken(facts) == set()


CANCELLED = events.OrderCancelled(reason="CUSTOMER")
PLANTED = [
    (Invariant.ORDERS_END, running(*CONFIRMED[:2], at=NOW - 2 * MINUTE)),
    (Invariant.ORDERS_END, with_records(running(*CONFIRMED[:2], at=NOW), saga=None)),
    (Invariant.ORDERS_END, unordered(saga=SagaEntry(order_id=ORDER, due_at=None))),
    (Invariant.ORDERS_END, replace(unordered(), answers=[answer()])),
    (Invariant.MONEY, bought(charges=[charge(), charge(key="again")])),
    (Invariant.MONEY, bought(charges=[])),
    (Invariant.MONEY, bought(charges=[charge(amount=Decimal("1.00"))])),
    (Invariant.MONEY, returned(charges=[charge()])),
    (Invariant.MONEY, with_records(bought(), payment=None)),
    (Invariant.MONEY, with_records(returned(), payment=build_payment())),
    (Invariant.MONEY, Charge(order_id="", key="k", state=ChargeState.CHARGED, amount=FINAL_AMOUNT)),
    (Invariant.STOCK, product(stock=8)),
    (Invariant.STOCK, product(off_sale=4)),
    (Invariant.STOCK, product(supplied=None, stock=-1)),
    (Invariant.STOCK, with_records(bought(), reservation=build_reservation(state="HELD"))),
    (Invariant.STOCK, with_records(returned(), reservation=build_reservation())),
    (Invariant.PROMOTIONS, promotion(orders=4)),
    (Invariant.PROMOTIONS, promotion(orders=2)),
    (Invariant.PROMOTIONS, promotion(used=(6, 6), orders=6, by_customer=None)),
    (Invariant.PROMOTIONS, promotion(by_customer=[("alice", 3)])),
    (Invariant.PROMOTIONS, promotion(by_customer=[("alice", 2)])),
    (Invariant.PROMOTIONS, promotion(used_before=None, orders=4)),
    (Invariant.PROMOTIONS, with_records(bought(), redemption=None)),
    (Invariant.PROMOTIONS, with_records(returned(), redemption=build_redemption())),
    (Invariant.EVENTS, bought(published=[])),
    (Invariant.EVENTS, bought(published=[published(), published(event_id="e2")])),
    (Invariant.EVENTS, bought(effects=effects(processed=()))),
    (Invariant.EVENTS, bought(mailing=mailing(2))),
    (Invariant.EVENTS, bought(mailing=None)),
    (Invariant.EVENTS, bought(effects=effects(purchases=()))),
    (Invariant.EVENTS, bought(effects=effects(purchases=[(KIBBLE.product_id, 2)]))),
    (Invariant.EVENTS, returned(effects=effects())),
    (Invariant.HISTORY, unordered(broken=BrokenHistory(order_id=ORDER))),
    (Invariant.HISTORY, bought(history=history(*CONFIRMED, CONFIRMED[-1]))),
    (
        Invariant.HISTORY,
        with_records(bought(), index=ListEntry(order_id=ORDER, user_id="bob", created_at=LONG_AGO)),
    ),
    (Invariant.DRAINED, Waiting(where="outbox", count=1, seconds=11.0)),
    (Invariant.DRAINED, Waiting(where="queue", count=1)),
    (Invariant.KEYS, bought(answers=[answer(), answer(order_id=OTHER)])),
    (Invariant.KEYS, bought(answers=[answer(), answer(422, reason="OUT_OF_STOCK")])),
    (Invariant.KEYS, bought(answers=[answer(422, reason="OUT_OF_STOCK"), answer(at=29.0)])),
    (Invariant.KEYS, bought(answers=[answer(), answer(body="other cart")])),
    (Invariant.TIMEOUTS, unordered(payment=build_payment())),
    (Invariant.TIMEOUTS, unordered(reservation=build_reservation())),
    (Invariant.TIMEOUTS, unordered(redemption=build_redemption())),
    (Invariant.TIMEOUTS, bought(answers=[answer(422, reason="OUT_OF_STOCK")])),
]


@pytest.mark.parametrize(("invariant", "facts"), PLANTED)
def test_a_planted_violation_is_found_and_named(invariant, facts):
    assert invariant in broken(bought(), product(), facts)


def test_every_invariant_is_proved_able_to_fail():
    assert {invariant for invariant, _ in PLANTED} == set(Invariant)


def test_every_kind_of_discrepancy_breaks_an_invariant():
    assert set(OF_KIND) == set(Kind)


IMPOSSIBLE = [
    (events.PaymentStarted(),),
    (*CONFIRMED[:1], *CONFIRMED[:1]),
    (*CONFIRMED[:1], *CONFIRMED[2:3]),
    (*CONFIRMED[:2], *CONFIRMED[3:]),
    (*CONFIRMED[:3], *CONFIRMED[2:3]),
    (*CONFIRMED, events.OrderShipped(tracking_number="n")),
    (*CONFIRMED, events.OrderDelivered()),
    (*CONFIRMED[:2], events.OrderPreparationStarted()),
    (CANCELLED, CANCELLED),
    (CANCELLED, CONFIRMED[0]),
    (*CONFIRMED[:2], CANCELLED, CONFIRMED[2]),
    (events.PaymentSettled(refunded=ZERO),),
    (events.PromoReleased(),),
    (events.StockReleased(),),
    (*CONFIRMED, CANCELLED, events.PaymentSettled(refunded=ZERO)),
    (*COMPENSATED, COMPENSATED[-1]),
    (*COMPENSATED, COMPENSATED[-2]),
    (*COMPENSATED, COMPENSATED[-3]),
    (build_placed(),),
]


@pytest.mark.parametrize("later", IMPOSSIBLE)
def test_a_history_that_no_rule_allows_is_found(later):
    facts = bought(history=history(*later))
    found = [each for each in check_order(facts, NOW, within=MINUTE)]
    assert Invariant.HISTORY in {violation.invariant for violation in found}


def test_every_type_of_event_has_a_rule():
    assert set(RULES) == set(events.Event.__subclasses__())


def test_a_fulfilled_order_has_a_possible_history():
    fulfilled = (
        *CONFIRMED,
        events.OrderPreparationStarted(),
        events.OrderShipped(tracking_number="n"),
        events.OrderDelivered(),
    )
    facts = with_records(bought(history=history(*fulfilled)), order=build_order(*fulfilled))
    assert broken(facts) == set()


def test_records_of_all_sources_are_gathered_by_order():
    sources: list[list] = [
        [
            History(order_id=ORDER, events=history(*CONFIRMED)),
            History(order_id=OTHER, events=history()),
        ],
        [build_payment(), build_payment(OTHER)],
        [charge(), charge(key="again")],
        [answer(at=2.0), answer(503, at=1.0)],
        [published()],
    ]
    first, second = gather(iter(source) for source in sources)
    assert first.records.order == fold(ORDER, history(*CONFIRMED))
    assert [each.key for each in first.charges] == ["p", "again"]
    assert [each.status for each in first.answers] == [503, 201]
    assert first.published == [published()]
    assert isinstance(second.records.order, Order)
    assert second.order_id == OTHER


def test_a_history_with_a_gap_is_broken():
    whole = history(*CONFIRMED)
    (facts,) = gather([iter([History(order_id=ORDER, events=whole[:1] + whole[2:])])])
    assert facts.records.broken
    assert broken(facts) == {Invariant.HISTORY}


@pytest.mark.parametrize(
    ("status", "reason", "final"),
    [
        (201, "", True),
        (422, "OUT_OF_STOCK", True),
        (409, "IDEMPOTENCY_KEY_REUSED", True),
        (409, "REQUEST_IN_PROGRESS", False),
        (429, "OVERLOADED", False),
        (503, "SERVICE_UNAVAILABLE", False),
        (0, "", False),
    ],
)
def test_an_order_is_final_and_so_is_a_reason_in_the_request(status, reason, final):
    assert is_final(status, reason) is final
