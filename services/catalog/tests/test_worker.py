"""The sweeper of overdue reservations."""

from datetime import timedelta
from functools import partial

import pytest

from services.catalog import domain
from services.catalog.tests.fakes import (
    NOW,
    InMemoryCatalogRepository,
    InMemoryReservationsRepository,
    build_product,
)
from services.catalog.worker import ReservationSweeper

KIBBLE = build_product(1, stock=10)


@pytest.fixture
def catalog():
    catalog = InMemoryCatalogRepository()
    catalog.add(KIBBLE)
    return catalog


@pytest.fixture
def reservations(catalog):
    return InMemoryReservationsRepository(catalog)


def reserve(reservations, order_id, expires_at):
    wanted = domain.Reservation(
        order_id=order_id,
        state=domain.ReservationState.HELD,
        expires_at=expires_at,
        lines=[domain.Line(KIBBLE.product_id, 3)],
    )
    reservations.change(order_id, partial(domain.reserve, wanted=wanted))


def test_a_sweep_goes_on_while_batches_are_full(catalog, reservations):
    catalog.adjust(KIBBLE.product_id, 750, reason="test", by="test")
    for number in range(250):
        reserve(reservations, f"order-{number}", NOW)
    sweeper = ReservationSweeper(reservations=reservations, clock=lambda: NOW)
    assert (sweeper.sweep(), sweeper.sweep()) == (250, 0)
    assert catalog.find(KIBBLE.sku).stock == 760


def test_overdue_reservations_go_back_on_sale_once(catalog, reservations):
    reserve(reservations, "overdue", NOW - timedelta(seconds=1))
    reserve(reservations, "held", NOW + timedelta(seconds=1))
    sweeper = ReservationSweeper(reservations=reservations, clock=lambda: NOW)
    assert (sweeper.sweep(), sweeper.sweep()) == (1, 0)
    assert catalog.find(KIBBLE.sku).stock == 7
    assert [(r.order_id, r.state) for r in reservations.list_from("", 2)] == [
        ("held", "HELD"),
        ("overdue", "EXPIRED"),
    ]
