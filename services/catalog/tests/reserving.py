"""Helpers of the tests of reservations: a catalog of three products, and orders of them."""

import uuid
from datetime import timedelta

from services.catalog.domain import Reservation, ReservationState
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.reservations_repository import PostgresReservationsRepository
from services.catalog.tests.fakes import NOW, build_product

FIRST, SECOND, THIRD = (build_product(number) for number in (1, 2, 3))


def build_postgres(engine):
    catalog = build_catalog(PostgresCatalogRepository(engine))
    return catalog, PostgresReservationsRepository(engine)


def build_catalog(catalog):
    for product in (FIRST, SECOND, THIRD):
        catalog.add(product)
    return catalog


def reserve(repository, *lines, order_id=None, expires_at=NOW + timedelta(minutes=1)):
    wanted = Reservation(
        order_id=order_id or str(uuid.uuid4()),
        state=ReservationState.HELD,
        expires_at=expires_at,
        lines=list(lines),
    )
    return repository.reserve(wanted)


def commit(repository, order_id):
    repository.commit(order_id)


def release(repository, order_id):
    repository.release(order_id, NOW)


def stock(catalog, product):
    return catalog.find(product.product_id).stock


def states(repository):
    return {found.order_id: found.state for found in repository.list_from("", 1000)}
