"""What a run of the periodic reconciliation compares."""

from datetime import timedelta
from itertools import chain
from typing import Any

import pytest

from services.orders.ports import ServiceUnavailableError
from services.orders.reconciliation import job as job_module
from services.orders.reconciliation.domain import GRACE_PERIOD
from services.orders.reconciliation.job import (
    BATCH_SIZE,
    CHANGES_PER_BATCH,
    RECENT_PERIOD,
    ReconciliationJob,
)
from services.orders.reconciliation.progress import Progress
from services.orders.reconciliation.tests.fakes import InMemoryProgress, purchased
from services.orders.reconciliation.tests.test_reconciler import Shop, log, order_id
from services.orders.tests.fakes import NOW

DAY = 86_400
A_MINUTE_AGO = NOW - GRACE_PERIOD - timedelta(seconds=1)

__all__ = ["log"]  # a fixture


class JobShop(Shop):
    """A shop with a periodic reconciliation."""

    def __init__(self, *records, round_seconds=DAY):
        super().__init__(*records)
        self.progress = InMemoryProgress()
        self.job = ReconciliationJob(
            reconciler=self.reconciler,
            progress=self.progress,
            round_seconds=round_seconds,
            clock=self.clock,
        )

    def run(self):
        self.progress.expire_lock()
        self.job.run()

    def compared(self, monkeypatch):
        """Record how many orders each batch of a round, and each other batch, compares."""
        sizes: dict[str, list[Any]] = {"round": [], "changed": []}

        def reconcile(first, limit=BATCH_SIZE):
            report = type(self.reconciler).reconcile(self.reconciler, first, limit)
            sizes["round"].append(report.checked_count)
            return report

        def reconcile_orders(order_ids):
            sizes["changed"].append(list(order_ids))
            return type(self.reconciler).reconcile_orders(self.reconciler, order_ids)

        monkeypatch.setattr(self.reconciler, "reconcile", reconcile)
        monkeypatch.setattr(self.reconciler, "reconcile_orders", reconcile_orders)
        return sizes


def broken(*numbers):
    return [purchased(order_id(number), payment=None) for number in numbers]


def found(shop):
    return [each.discrepancy.order_id for new in shop.repository.published for each in new]


def test_a_run_locks_out_other_instances():
    shop = JobShop(purchased(order_id(1), index=None))
    shop.run()
    shop.job.run()
    assert len(shop.repository.repaired) == 1
    shop.run()
    assert len(shop.repository.repaired) == 2


def test_an_order_that_changed_is_compared_in_the_next_run_wherever_the_round_is():
    shop = JobShop(*broken(1))
    shop.progress.progress = Progress(following=order_id(2), round_began_at=NOW)
    shop.progress.changes = [(A_MINUTE_AGO, order_id(1))]
    shop.run()
    assert found(shop) == [order_id(1)]


def test_an_order_that_changed_just_now_is_compared_once_it_rests():
    shop = JobShop(*broken(1))
    shop.progress.progress = Progress(following=order_id(2), round_began_at=NOW)
    shop.progress.changes = [(NOW, order_id(1))]
    shop.run()
    assert found(shop) == []
    shop.clock.move(seconds=61)
    shop.run()
    assert found(shop) == [order_id(1)]


def test_what_goes_wrong_after_an_order_was_compared_is_found_while_it_is_recent(monkeypatch):
    shop = JobShop(purchased(order_id(1)))
    shop.progress.changes = [(A_MINUTE_AGO, order_id(1))]
    for _ in range(2):
        shop.run()
    shop.progress.progress = Progress(
        following=order_id(2), round_began_at=NOW, fresh=shop.progress.progress.fresh
    )
    shop.sources.change(order_id(1), payment=None)
    shop.run()
    assert found(shop) == [order_id(1)]


def test_a_burst_of_changes_is_compared_in_bounded_runs_and_keeps_no_round_waiting(monkeypatch):
    monkeypatch.setattr(job_module, "CHANGES_PER_BATCH", 2)
    monkeypatch.setattr(job_module, "FRESH_BATCHES", 3)
    monkeypatch.setattr(job_module, "RECENT_BATCHES", 1)
    shop = JobShop(*broken(*range(1, 21)))
    sizes = shop.compared(monkeypatch)
    shop.progress.changes = [(A_MINUTE_AGO, order_id(number)) for number in range(1, 21)]
    for _ in range(2):
        shop.run()
    fresh = [order_id(number) for number in range(1, 7)]
    assert list(chain(*sizes["changed"][:3])) == fresh
    assert sizes["changed"][3] == fresh[:2]
    assert len(sizes["changed"]) == 8
    assert len(sizes["round"]) == 2
    assert shop.progress.progress.fresh == "12"


def test_changes_of_before_yesterday_are_left_to_the_round():
    shop = JobShop(*broken(1))
    shop.progress.progress = Progress(following=order_id(2), round_began_at=NOW)
    shop.progress.changes = [(NOW - RECENT_PERIOD - timedelta(seconds=1), order_id(1))]
    shop.run()
    assert found(shop) == []


def test_a_small_shop_is_compared_whole_in_each_run(monkeypatch):
    shop = JobShop(*broken(*range(5)))
    sizes = shop.compared(monkeypatch)
    for _ in range(3):
        shop.run()
    assert sizes["round"] == [5] * 3


@pytest.mark.parametrize(
    ("orders", "round_seconds", "batches"),
    [(100, DAY, 1), (1_000_000, DAY, 1), (3_000_000, DAY, 3), (10**9, DAY, 10), (5_000, 60, 5)],
)
def test_a_run_compares_as_many_as_end_a_round_in_time_up_to_a_bound(
    orders, round_seconds, batches
):
    shop = JobShop(round_seconds=round_seconds)
    assert shop.job._batches_of_round(orders) == batches


def test_a_round_goes_on_where_the_last_run_ended(monkeypatch):
    shop = JobShop(*broken(*range(25)))
    monkeypatch.setattr(
        shop.reconciler,
        "reconcile",
        lambda first: type(shop.reconciler).reconcile(shop.reconciler, first, 10),
    )
    for count in (10, 20, 25):
        shop.run()
        assert len(found(shop)) == count
    shop.clock.move(seconds=120)
    shop.run()
    assert shop.progress.progress.compared == 10


def test_a_round_knows_its_length_and_says_how_far_it_is(monkeypatch, log):
    shop = JobShop(*broken(*range(3)), round_seconds=60)
    monkeypatch.setattr(
        shop.reconciler,
        "reconcile",
        lambda first: type(shop.reconciler).reconcile(shop.reconciler, first, 2),
    )
    shop.progress.order_count = 3
    shop.run()
    assert shop.job.status == ("2 of 3 orders compared in this round; the last one took 0 s")
    shop.clock.move(seconds=200)
    shop.run()
    assert "the last one took 200 s" in shop.job.status
    assert [line for line in log if line["event"] == "reconciliation_slow"]
    shop.job.run()
    assert shop.job.status == ""


def test_a_run_that_lost_the_lock_stops_after_its_batch(monkeypatch):
    shop = JobShop(*broken(1))
    sizes = shop.compared(monkeypatch)
    shop.progress.is_lost = True
    shop.run()
    assert (len(sizes["changed"]), sizes["round"]) == (1, [])


def test_a_part_that_takes_long_leaves_the_rest_to_the_next_run(monkeypatch):
    monkeypatch.setattr(job_module, "PART_SECONDS", -1)
    shop = JobShop(*broken(1))
    sizes = shop.compared(monkeypatch)
    shop.progress.changes = [(A_MINUTE_AGO, order_id(1))] * (3 * CHANGES_PER_BATCH)
    shop.run()
    assert (len(sizes["changed"]), sizes["round"]) == (2, [1])


def test_a_run_that_meets_an_unavailable_upstream_ends_with_a_warning(log):
    def fail():
        raise ServiceUnavailableError("payments")

    shop = JobShop(purchased())
    shop.sources.on_read = fail
    shop.run()
    [line] = [entry for entry in log if entry["event"] == "reconciliation_interrupted"]
    assert (line["log_level"], line["service"]) == ("warning", "payments")
