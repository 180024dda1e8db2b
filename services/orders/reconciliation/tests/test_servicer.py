"""The answers of the reconciliation servicer."""

import pytest
from mamie_rosa.orders.internal.v1 import orders_pb2

from services.common.rpc.testing import InMemoryServer
from services.orders.ports import ServiceUnavailableError
from services.orders.reconciliation.reconciler import Reconciler, RepairActions
from services.orders.reconciliation.servicer import ReconciliationServicer
from services.orders.reconciliation.tests.fakes import (
    ORDER,
    FakeSources,
    InMemoryReconciliationRepository,
    build_payment,
    build_reservation,
    compensated,
    purchased,
)
from services.orders.tests.fakes import NOW
from services.orders.tests.upstreams import FakeCatalog, FakePayments, FakePromotions

SECOND = "22222222-2222-4222-8222-222222222222"
SERVICE = orders_pb2.DESCRIPTOR.services_by_name["ReconciliationService"]


@pytest.fixture
def sources():
    return FakeSources(
        purchased(ORDER, payment=None, reservation=build_reservation(state="EXPIRED")),
        compensated(SECOND, payment=build_payment(SECOND)),
    )


@pytest.fixture
def server(sources):
    repository = InMemoryReconciliationRepository()
    catalog = FakeCatalog()
    catalog.rejections["commit"] = "OUT_OF_STOCK"
    repairs = RepairActions(
        catalog=catalog,
        promotions=FakePromotions(),
        payments=FakePayments(),
        repository=repository,
    )
    reconciler = Reconciler(
        sources=sources.sources, repairs=repairs, repository=repository, clock=lambda: NOW
    )
    return InMemoryServer(SERVICE, ReconciliationServicer(reconciler=reconciler))


def reconcile(server, **fields):
    return server.call("Reconcile", orders_pb2.ReconcileRequest(**fields))


def test_every_discrepancy_is_answered_with_the_outcome_of_its_repair(server):
    answer = reconcile(server).response
    assert (answer.checked_count, answer.next_page_token) == (2, "")
    found = [
        (each.order_id, each.kind, each.repair, each.is_repaired, each.failure)
        for each in answer.discrepancies
    ]
    assert found == [
        (ORDER, "ORDER_NOT_PAID", "", False, ""),
        (ORDER, "STOCK_NOT_SOLD", "COMMIT_STOCK", False, "OUT_OF_STOCK"),
        (SECOND, "PAYMENT_NOT_RETURNED", "REFUND_PAYMENT", True, ""),
    ]
    assert answer.discrepancies[1].facts["reservationState"] == "EXPIRED"


def test_orders_are_compared_page_by_page(server):
    first = reconcile(server, page_size=1).response
    assert (first.checked_count, first.next_page_token) == (1, SECOND)
    last = reconcile(server, page_size=1, page_token=first.next_page_token.upper()).response
    assert (last.checked_count, last.next_page_token) == (1, "")
    assert [each.order_id for each in last.discrepancies] == [SECOND]


def test_an_unavailable_upstream_is_named(server, sources):
    def fail():
        raise ServiceUnavailableError("payments")

    sources.on_read = fail
    answer = reconcile(server)
    assert (answer.reason, answer.facts) == ("SERVICE_UNAVAILABLE", {"service": "payments"})


@pytest.mark.parametrize("field", [{"page_size": 1001}, {"page_size": -1}, {"page_token": "x"}])
def test_an_invalid_page_is_rejected(server, field):
    assert reconcile(server, **field).reason == "INVALID_FIELDS"
