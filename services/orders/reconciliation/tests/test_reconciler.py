"""How discrepancies are found, repaired and reported."""

from collections import Counter
from functools import partial

import pytest
import structlog
from structlog.testing import capture_logs

from services.orders.clients import ServiceUnavailableError
from services.orders.reconciliation.domain import Kind, Repair
from services.orders.reconciliation.reconciler import (
    MOST_REPAIRS,
    TURN,
    Reconciler,
    ReconciliationTurns,
    Repairs,
)
from services.orders.reconciliation.records import Records, SagaEntry
from services.orders.reconciliation.tests.reconciling import (
    FakeShelves,
    InMemoryReconciliationRepository,
    bought,
    build_payment,
    build_redemption,
    build_reservation,
    given_back,
)
from services.orders.tests.fakes import (
    NOW,
    FakeCatalog,
    FakeClock,
    FakePayments,
    FakePromotions,
)


def order_id(number):
    return f"00000000-0000-4000-8000-{number:012}"


class Shop:
    """A reconciler on shelves, with everything that it needs."""

    def __init__(self, *records):
        self.shelves = FakeShelves(*records)
        self.catalog, self.promotions, self.payments = (
            FakeCatalog(),
            FakePromotions(),
            FakePayments(),
        )
        self.repository = InMemoryReconciliationRepository()
        self.clock = FakeClock()
        repairs = Repairs(
            catalog=self.catalog,
            promotions=self.promotions,
            payments=self.payments,
            repository=self.repository,
        )
        self.reconciler = Reconciler(
            sources=self.shelves.sources,
            repairs=repairs,
            repository=self.repository,
            clock=self.clock,
        )

    def turns(self):
        return ReconciliationTurns(
            reconcile=self.reconciler.reconcile, repository=self.repository, clock=self.clock
        )

    @property
    def calls(self):
        return self.catalog.calls + self.promotions.calls + self.payments.calls


@pytest.fixture
def log():
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("debug"))
    with capture_logs() as entries:
        yield entries
    structlog.configure(**before)


def found(report):
    return [(finding.discrepancy.kind, finding.is_repaired) for finding in report.findings]


def test_orders_on_which_all_agree_give_no_alarm():
    shop = Shop(bought(order_id(1)), given_back(order_id(2)), bought(order_id(3)))
    report = shop.reconciler.reconcile()
    assert (report.findings, report.checked, report.following) == ([], 3, "")
    assert (shop.calls, shop.repository.mended, shop.repository.told) == ([], [], [])


@pytest.mark.parametrize(
    ("records", "call"),
    [
        (given_back(payment=build_payment()), "settle"),
        (bought(reservation=build_reservation(state="EXPIRED")), "commit"),
        (given_back(reservation=build_reservation()), "release"),
        (bought(redemption=None), "redeem"),
        (given_back(redemption=build_redemption()), "release"),
        (bought(index=None), "restore_index"),
        (bought(saga=None), "restore_saga"),
        (bought(saga=SagaEntry(order_id=bought().order_id, due_at=NOW)), "rest_saga"),
    ],
)
def test_what_is_safe_to_repair_is_repaired_by_one_call_and_not_told(records, call):
    shop = Shop(records)
    report = shop.reconciler.reconcile()
    assert [finding.is_repaired for finding in report.findings] == [True]
    assert shop.calls + [name for name, _ in shop.repository.mended] == [call]
    assert shop.repository.told == []


def test_every_repair_can_be_done():
    shop = Shop()
    repairs = shop.reconciler._repairs
    assert set(repairs._actions) == set(Repair)


def test_what_only_a_person_can_decide_is_told_and_not_touched():
    shop = Shop(bought(payment=None))
    report = shop.reconciler.reconcile()
    assert found(report) == [(Kind.ORDER_NOT_PAID, False)]
    assert shop.calls == []
    assert shop.repository.told == [report.findings]


def test_a_repair_that_is_refused_is_told_with_the_reason():
    shop = Shop(bought(reservation=build_reservation(state="EXPIRED")))
    shop.catalog.refuses["commit"] = "OUT_OF_STOCK"
    [finding] = shop.reconciler.reconcile().findings
    assert (finding.is_repaired, finding.failure) == (False, "OUT_OF_STOCK")
    assert shop.repository.told == [[finding]]


def test_a_service_that_is_away_fails_its_repairs_and_no_others():
    shop = Shop(given_back(payment=build_payment(), redemption=build_redemption()))
    shop.payments.away.add("settle")
    report = shop.reconciler.reconcile()
    assert found(report) == [
        (Kind.PAYMENT_NOT_RETURNED, False),
        (Kind.PROMO_NOT_RELEASED, True),
    ]
    assert report.findings[0].failure == "SERVICE_UNAVAILABLE"


def test_what_is_known_already_is_not_told_again_until_it_was_gone():
    shop = Shop(bought(payment=None))
    for _ in range(3):
        shop.reconciler.reconcile()
    assert len(shop.repository.told) == 1
    payment = build_payment()
    shop.shelves.change(payment.order_id, payment=payment)
    assert shop.reconciler.reconcile().findings == []
    shop.shelves.change(payment.order_id, payment=None)
    shop.reconciler.reconcile()
    assert len(shop.repository.told) == 2


def test_what_was_only_on_its_way_when_it_was_read_is_no_discrepancy():
    wrong, right = bought(payment=None), bought()
    shop = Shop(wrong)
    reads = len(shop.shelves.sources)

    def arrive():
        nonlocal reads
        reads -= 1
        if reads < 0:
            shop.shelves.records[right.order_id] = right

    shop.shelves.on_read = arrive
    assert shop.reconciler.reconcile().findings == []
    assert shop.repository.told == []


def test_an_order_that_is_gone_when_it_is_looked_at_again_is_no_discrepancy():
    shop = Shop(Records(order_id=order_id(1), payment=build_payment(order_id(1))))
    reads = len(shop.shelves.sources)

    def vanish():
        nonlocal reads
        reads -= 1
        if reads < 0:
            shop.shelves.records = {order_id(2): bought(order_id(2))}

    shop.shelves.on_read = vanish
    assert shop.reconciler.reconcile().findings == []


def test_orders_are_compared_slice_by_slice_each_once():
    numbers = range(1, 8)
    shop = Shop(*(bought(order_id(number), payment=None) for number in numbers))
    first, looked_at, checked = "", [], []
    while True:
        report = shop.reconciler.reconcile(first, limit=3)
        looked_at += [finding.discrepancy.order_id for finding in report.findings]
        checked.append(report.checked)
        if not (first := report.following):
            break
    assert looked_at == [order_id(number) for number in numbers]
    assert checked == [3, 3, 1]


def test_many_at_once_are_a_store_that_was_lost_and_nothing_is_repaired():
    orphans = [
        Records(order_id=order_id(number), payment=build_payment(order_id(number)))
        for number in range(MOST_REPAIRS + 1)
    ]
    shop = Shop(*orphans)
    report = shop.reconciler.reconcile()
    assert {finding.failure for finding in report.findings} == {"TOO_MANY_AT_ONCE"}
    assert (len(report.findings), shop.calls) == (MOST_REPAIRS + 1, [])


def test_events_that_nobody_publishes_are_told_once_with_their_number():
    shop = Shop(bought(order_id(1)), bought(order_id(2)))
    shop.repository.waiting = 7
    report = shop.reconciler.reconcile(limit=1)
    assert found(report) == [(Kind.OUTBOX_STUCK, False)]
    assert report.findings[0].discrepancy.facts == {"waitingEvents": "7"}
    assert shop.reconciler.reconcile(report.following).findings == []


def test_each_discrepancy_is_one_line_in_the_log_and_is_counted(log):
    shop = Shop(bought(order_id(1), payment=None), bought(order_id(2), index=None))
    shop.reconciler.reconcile()
    lines = [entry for entry in log if entry["event"] == "discrepancy_found"]
    assert [(line["kind"], line["order_id"], line["repaired"]) for line in lines] == [
        (Kind.ORDER_NOT_PAID, order_id(1), False),
        (Kind.INDEX_MISSING, order_id(2), True),
    ]
    assert shop.reconciler.counts == Counter(
        {(Kind.ORDER_NOT_PAID, False): 1, (Kind.INDEX_MISSING, True): 1}
    )


def test_a_turn_compares_everything_and_is_one_of_all_instances():
    shop = Shop(bought(order_id(1), index=None))
    turns = shop.turns()
    turns.take()
    turns.take()
    assert len(shop.repository.mended) == 1
    shop.clock.now += TURN
    turns.take()
    assert len(shop.repository.mended) == 2


def test_a_turn_goes_on_where_the_last_one_ended():
    numbers = range(1, 6)
    shop = Shop(*(bought(order_id(number), index=None) for number in numbers))
    turns = ReconciliationTurns(
        reconcile=partial(shop.reconciler.reconcile, limit=2),
        repository=shop.repository,
        slices=2,
        clock=shop.clock,
    )
    for seen in (4, 5, 9):
        turns.take()
        assert len(shop.repository.mended) == seen
        shop.clock.now += TURN


def test_a_turn_that_finds_a_service_away_ends_without_noise(log):
    def away():
        raise ServiceUnavailableError("payments")

    shop = Shop(bought())
    shop.shelves.on_read = away
    shop.turns().take()
    [line] = [entry for entry in log if entry["event"] == "reconciliation_interrupted"]
    assert (line["log_level"], line["service"]) == ("warning", "payments")
