"""How discrepancies are found, repaired and reported."""

from collections import Counter

import pytest
import structlog
from structlog.testing import capture_logs

from services.orders.reconciliation.budget import (
    MAX_REPAIRS_PER_HOUR,
    MAX_WITHOUT_ORDER_PER_HOUR,
)
from services.orders.reconciliation.domain import Kind, Repair
from services.orders.reconciliation.reconciler import Reconciler, RepairActions
from services.orders.reconciliation.records import OrderRecords, SagaEntry
from services.orders.reconciliation.tests.fakes import (
    FakeSources,
    InMemoryReconciliationRepository,
    build_payment,
    build_redemption,
    build_reservation,
    compensated,
    purchased,
)
from services.orders.tests.fakes import NOW, FakeClock
from services.orders.tests.upstreams import FakeCatalog, FakePayments, FakePromotions


def order_id(number):
    return f"00000000-0000-4000-8000-{number:012}"


class Shop:
    """A reconciler with sources, upstreams and a repository in memory."""

    def __init__(self, *records):
        self.sources = FakeSources(*records)
        self.catalog, self.promotions, self.payments = (
            FakeCatalog(),
            FakePromotions(),
            FakePayments(),
        )
        self.repository = InMemoryReconciliationRepository()
        self.clock = FakeClock()
        repairs = RepairActions(
            catalog=self.catalog,
            promotions=self.promotions,
            payments=self.payments,
            repository=self.repository,
        )
        self.reconciler = Reconciler(
            sources=self.sources.sources,
            repairs=repairs,
            repository=self.repository,
            clock=self.clock,
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


def test_consistent_orders_have_no_findings():
    shop = Shop(purchased(order_id(1)), compensated(order_id(2)), purchased(order_id(3)))
    report = shop.reconciler.reconcile()
    assert (report.findings, report.checked_count, report.next_order_id) == ([], 3, "")
    assert (shop.calls, shop.repository.repaired, shop.repository.published) == ([], [], [])


@pytest.mark.parametrize(
    ("records", "call"),
    [
        (compensated(payment=build_payment()), "refund"),
        (purchased(reservation=build_reservation(state="EXPIRED")), "commit"),
        (compensated(reservation=build_reservation()), "release"),
        (purchased(redemption=None), "redeem"),
        (compensated(redemption=build_redemption()), "release"),
        (purchased(index=None), "restore_index"),
        (purchased(saga=None), "restore_saga"),
        (purchased(saga=SagaEntry(order_id=purchased().order_id, due_at=NOW)), "complete_saga"),
    ],
)
def test_a_safe_repair_is_one_call_and_is_not_published(records, call):
    shop = Shop(records)
    report = shop.reconciler.reconcile()
    assert [finding.is_repaired for finding in report.findings] == [True]
    assert shop.calls + [name for name, _ in shop.repository.repaired] == [call]
    assert shop.repository.published == []


def test_every_repair_has_an_action():
    shop = Shop()
    repairs = shop.reconciler._repairs
    assert set(repairs._actions) == set(Repair)


def test_a_discrepancy_without_a_repair_is_published():
    shop = Shop(purchased(payment=None))
    report = shop.reconciler.reconcile()
    assert found(report) == [(Kind.ORDER_NOT_PAID, False)]
    assert shop.calls == []
    assert shop.repository.published == [report.findings]


def test_a_rejected_repair_is_published_with_the_reason():
    shop = Shop(purchased(reservation=build_reservation(state="EXPIRED")))
    shop.catalog.rejections["commit"] = "OUT_OF_STOCK"
    [finding] = shop.reconciler.reconcile().findings
    assert (finding.is_repaired, finding.failure) == (False, "OUT_OF_STOCK")
    assert shop.repository.published == [[finding]]


def test_an_unavailable_upstream_fails_only_its_own_repairs():
    shop = Shop(compensated(payment=build_payment(), redemption=build_redemption()))
    shop.payments.unavailable.add("refund")
    report = shop.reconciler.reconcile()
    assert found(report) == [
        (Kind.PAYMENT_NOT_RETURNED, False),
        (Kind.PROMO_NOT_RELEASED, True),
    ]
    assert report.findings[0].failure == "SERVICE_UNAVAILABLE"


def test_an_open_finding_is_published_again_only_after_it_was_closed():
    shop = Shop(purchased(payment=None))
    for _ in range(3):
        shop.reconciler.reconcile()
    assert len(shop.repository.published) == 1
    payment = build_payment()
    shop.sources.change(payment.order_id, payment=payment)
    assert shop.reconciler.reconcile().findings == []
    shop.sources.change(payment.order_id, payment=None)
    shop.reconciler.reconcile()
    assert len(shop.repository.published) == 2


def test_a_discrepancy_that_is_gone_at_the_second_check_is_no_finding():
    wrong, right = purchased(payment=None), purchased()
    shop = Shop(wrong)
    reads = len(shop.sources.sources)

    def complete():
        nonlocal reads
        reads -= 1
        if reads < 0:
            shop.sources.records[right.order_id] = right

    shop.sources.on_read = complete
    assert shop.reconciler.reconcile().findings == []
    assert shop.repository.published == []


def test_an_order_that_is_gone_at_the_second_check_is_no_finding():
    shop = Shop(OrderRecords(order_id=order_id(1), payment=build_payment(order_id(1))))
    reads = len(shop.sources.sources)

    def vanish():
        nonlocal reads
        reads -= 1
        if reads < 0:
            shop.sources.records = {order_id(2): purchased(order_id(2))}

    shop.sources.on_read = vanish
    assert shop.reconciler.reconcile().findings == []


def test_orders_are_compared_in_batches_each_once():
    numbers = range(1, 8)
    shop = Shop(*(purchased(order_id(number), payment=None) for number in numbers))
    first, compared, checked = "", [], []
    while True:
        report = shop.reconciler.reconcile(first, limit=3)
        compared += [finding.discrepancy.order_id for finding in report.findings]
        checked.append(report.checked_count)
        if not (first := report.next_order_id):
            break
    assert compared == [order_id(number) for number in numbers]
    assert checked == [3, 3, 1]


def orphans(count: int) -> list[OrderRecords]:
    """Build payments without orders."""
    return [
        OrderRecords(order_id=order_id(number), payment=build_payment(order_id(number)))
        for number in range(count)
    ]


def reconcile_all(shop, limit):
    """Reconcile all orders in batches; return the failures of all findings."""
    failures, first = [], ""
    while True:
        report = shop.reconciler.reconcile(first, limit)
        failures += [finding.failure for finding in report.findings]
        if not (first := report.next_order_id):
            return failures


def test_a_store_that_was_set_back_repairs_nothing():
    lost = orphans(MAX_WITHOUT_ORDER_PER_HOUR + 1)
    shop = Shop(*lost, purchased(order_id(900), index=None))
    assert set(reconcile_all(shop, 1_000)) == {"TOO_MANY_AT_ONCE"}
    assert (shop.calls, shop.repository.repaired) == ([], [])


def test_orders_that_were_lost_here_and_there_are_refunded_up_to_a_budget_across_batches():
    shop = Shop(*orphans(500))
    failures = reconcile_all(shop, 1)
    assert failures.count("") == MAX_WITHOUT_ORDER_PER_HOUR == len(shop.calls)
    assert set(failures) == {"", "TOO_MANY_AT_ONCE"}


def test_each_kind_has_a_budget_for_an_hour():
    shop = Shop(*(purchased(order_id(number), index=None) for number in range(50)))
    assert reconcile_all(shop, 10).count("") == MAX_REPAIRS_PER_HOUR
    shop.repository.repairs.clear()
    assert reconcile_all(shop, 10).count("") == MAX_REPAIRS_PER_HOUR


def test_unpublished_events_are_one_finding_of_the_first_batch():
    shop = Shop(purchased(order_id(1)), purchased(order_id(2)))
    shop.repository.unpublished = 7
    report = shop.reconciler.reconcile(limit=1)
    assert found(report) == [(Kind.OUTBOX_STUCK, False)]
    assert report.findings[0].discrepancy.facts == {"waitingEvents": "7"}
    assert shop.reconciler.reconcile(report.next_order_id).findings == []


def test_each_finding_is_logged_and_counted(log):
    shop = Shop(purchased(order_id(1), payment=None), purchased(order_id(2), index=None))
    shop.reconciler.reconcile()
    lines = [entry for entry in log if entry["event"] == "discrepancy_found"]
    assert [(line["kind"], line["order_id"], line["repaired"]) for line in lines] == [
        (Kind.ORDER_NOT_PAID, order_id(1), False),
        (Kind.INDEX_MISSING, order_id(2), True),
    ]
    assert shop.reconciler.counts == Counter(
        {(Kind.ORDER_NOT_PAID, False): 1, (Kind.INDEX_MISSING, True): 1}
    )


def test_some_orders_are_compared_and_no_other_ones():
    shop = Shop(*(purchased(order_id(number), payment=None) for number in range(5)))
    report = shop.reconciler.reconcile_orders([order_id(3), order_id(1), order_id(9)])
    assert [each.discrepancy.order_id for each in report.findings] == [order_id(1), order_id(3)]


def test_a_finding_about_some_orders_is_published_once_whoever_finds_it_again():
    shop = Shop(purchased(order_id(1), payment=None), purchased(order_id(2), payment=None))
    for _ in range(2):
        shop.reconciler.reconcile_orders([order_id(1)])
        shop.reconciler.reconcile()
    published = [[each.discrepancy.order_id for each in new] for new in shop.repository.published]
    assert published == [[order_id(1)], [order_id(2)]]


def test_unpublished_events_are_a_finding_whichever_orders_are_compared():
    shop = Shop()
    shop.repository.unpublished = 7
    assert found(shop.reconciler.reconcile_orders([])) == [(Kind.OUTBOX_STUCK, False)]
    shop.repository.unpublished = 0
    shop.reconciler.reconcile_orders([])
    shop.repository.unpublished = 7
    shop.reconciler.reconcile_orders([])
    assert len(shop.repository.published) == 2
