"""What the reconciliation answers."""

import pytest
from mamie_rosa.orders.internal.v1 import orders_pb2

from services.common.rpc.testing import InMemoryServer
from services.orders.clients import ServiceUnavailableError
from services.orders.reconciliation.reconciler import Reconciler, Repairs
from services.orders.reconciliation.servicer import ReconciliationServicer
from services.orders.reconciliation.tests.reconciling import (
    ORDER,
    FakeShelves,
    InMemoryReconciliationRepository,
    bought,
    build_payment,
    build_reservation,
    given_back,
)
from services.orders.tests.fakes import NOW, FakeCatalog, FakePayments, FakePromotions

OTHER = "22222222-2222-4222-8222-222222222222"
SERVICE = orders_pb2.DESCRIPTOR.services_by_name["ReconciliationService"]


@pytest.fixture
def shelves():
    return FakeShelves(
        bought(ORDER, payment=None, reservation=build_reservation(state="EXPIRED")),
        given_back(OTHER, payment=build_payment(OTHER)),
    )


@pytest.fixture
def server(shelves):
    repository = InMemoryReconciliationRepository()
    catalog = FakeCatalog()
    catalog.refuses["commit"] = "OUT_OF_STOCK"
    repairs = Repairs(
        catalog=catalog,
        promotions=FakePromotions(),
        payments=FakePayments(),
        repository=repository,
    )
    reconciler = Reconciler(
        sources=shelves.sources, repairs=repairs, repository=repository, clock=lambda: NOW
    )
    return InMemoryServer(SERVICE, ReconciliationServicer(reconciler=reconciler))


def reconcile(server, **fields):
    return server.call("Reconcile", orders_pb2.ReconcileRequest(**fields))


def test_every_discrepancy_is_told_with_what_became_of_it(server):
    answer = reconcile(server).response
    assert (answer.checked_count, answer.next_page_token) == (2, "")
    told = [
        (each.order_id, each.kind, each.repair, each.is_repaired, each.failure)
        for each in answer.discrepancies
    ]
    assert told == [
        (ORDER, "ORDER_NOT_PAID", "", False, ""),
        (ORDER, "STOCK_NOT_SOLD", "COMMIT_STOCK", False, "OUT_OF_STOCK"),
        (OTHER, "PAYMENT_NOT_RETURNED", "REFUND_PAYMENT", True, ""),
    ]
    assert answer.discrepancies[1].facts["reservationState"] == "EXPIRED"


def test_orders_are_compared_page_by_page(server):
    first = reconcile(server, page_size=1).response
    assert (first.checked_count, first.next_page_token) == (1, OTHER)
    last = reconcile(server, page_size=1, page_token=first.next_page_token.upper()).response
    assert (last.checked_count, last.next_page_token) == (1, "")
    assert [each.order_id for each in last.discrepancies] == [OTHER]


def test_a_service_that_is_away_is_named(server, shelves):
    def away():
        raise ServiceUnavailableError("payments")

    shelves.on_read = away
    answer = reconcile(server)
    assert (answer.reason, answer.facts) == ("SERVICE_UNAVAILABLE", {"service": "payments"})


@pytest.mark.parametrize("field", [{"page_size": 1001}, {"page_size": -1}, {"page_token": "x"}])
def test_a_page_that_breaks_the_rules_is_refused(server, field):
    assert reconcile(server, **field).reason == "INVALID_FIELDS"
