"""All facts of a shop are judged in one pass, and what is broken is counted."""

import tracemalloc
from dataclasses import replace

from scripts.tests.verified import (
    MINUTE,
    FakeFacts,
    bought,
    charge,
    history,
    product,
    verdict_of,
    with_records,
)
from scripts.verification.facts import History, gather
from scripts.verification.invariants import Invariant
from scripts.verification.judge import judge, seen_twice
from services.orders.reconciliation.tests.fakes import (
    CONFIRMED,
    build_payment,
    build_reservation,
)
from services.orders.tests.fakes import NOW

MANY = 2_000


def test_what_is_broken_once_only_does_not_count():
    first = verdict_of(product(stock=8), with_records(bought(), payment=None))
    second = verdict_of(product(stock=8), product(product_id="litter", stock=8))
    both = seen_twice(first, second)
    assert [violation.subject for violation in both.of(Invariant.STOCK)] == ["kibble"]
    assert both.totals.total() == 1
    assert not both.holds


class ManyOrders(FakeFacts):
    """Confirmed orders, made when they are read."""

    def orders(self):
        ids = [f"{number:08}" for number in range(MANY)]
        whole = history(*CONFIRMED)
        return gather(
            [
                (History(order_id=each, events=whole) for each in ids),
                (replace(charge(), order_id=each) for each in ids),
                (build_payment(each) for each in ids),
                (build_reservation(each) for each in ids),
            ]
        )


def test_the_memory_of_the_judge_does_not_grow_with_the_shop(monkeypatch):
    monkeypatch.setattr("scripts.verification.judge.MAX_KEPT", 10)
    tracemalloc.start()
    verdict = judge(ManyOrders(), NOW, within=MINUTE)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (verdict.counts["orders"], verdict.totals[Invariant.PROMOTIONS]) == (MANY, MANY)
    assert peak_bytes < 500 * MANY  # the facts of one order alone take more than that


def test_of_many_violations_some_are_kept_and_all_are_counted(monkeypatch):
    monkeypatch.setattr("scripts.verification.judge.MAX_KEPT", 2)
    many = [product(product_id=f"p{number}", stock=1) for number in range(5)]
    verdict = seen_twice(verdict_of(*many), verdict_of(*many))
    assert len(verdict.of(Invariant.STOCK)) == 2
    assert verdict.totals[Invariant.STOCK] == 5
