"""The repository with its read model on PostgreSQL: it hears of changes, and never oversells."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from services.catalog.domain import Line, OutOfStockError, Reservation, ReservationState
from services.catalog.ratings_repository import PostgresRatingsRepository
from services.catalog.read_model import CHANNEL, ProductReadModel
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.reservations_repository import PostgresReservationsRepository
from services.catalog.schema import products
from services.catalog.tests.fakes import NOW, build_product
from services.common.storage.listener import Listener
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

FIRST, SECOND = (build_product(number) for number in (1, 2))
END_LISTENER = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT 1$'"


class WatchedModel(ProductReadModel):
    """A read model that counts its connections and the reads that reach the store."""

    def __init__(self):
        super().__init__()
        self.connections = 0
        self.loads = 0

    def connected(self):
        super().connected()
        self.connections += 1

    def find_many(self, names, load):
        def count(missing):
            self.loads += 1
            return load(missing)

        return super().find_many(names, count)


@pytest.fixture
def model(engine, postgres_url):
    """Yield a read model that listens."""
    model = WatchedModel()
    listener = Listener(url=postgres_url, channel=CHANNEL, subscriber=model)
    listener.start()
    eventually(lambda: model._monotonic() < model._fresh_until)
    yield model
    listener.stop()


@pytest.fixture
def catalog(engine, model):
    """Return a catalog of two products that the read model knows."""
    catalog = PostgresCatalogRepository(engine, read_model=model)
    for product in (FIRST, SECOND):
        catalog.add(product)
    known = {FIRST.sku: FIRST, SECOND.sku: SECOND}
    assert catalog.find_many(known) == catalog.find_many(known) == known
    assert model.loads == 1
    return catalog


def reserve(engine, *lines):
    wanted = Reservation(
        order_id=str(uuid.uuid4()),
        state=ReservationState.HELD,
        expires_at=NOW + timedelta(minutes=1),
        lines=list(lines),
    )
    return PostgresReservationsRepository(engine).reserve(wanted)


def test_what_does_not_change_is_read_once(catalog, model):
    for _ in range(50):
        assert catalog.find(FIRST.sku) == FIRST
    assert model.loads == 1


def test_every_kind_of_change_is_heard(engine, catalog):
    reserve(engine, Line(FIRST.product_id, 2))
    eventually(lambda: catalog.find(FIRST.sku).stock == 8)
    catalog.adjust(FIRST.product_id, 5, reason="delivery", by="admin")
    eventually(lambda: catalog.find(FIRST.sku).stock == 13)
    catalog.update(replace(FIRST, price=Decimal("9.90")))
    eventually(lambda: catalog.find(FIRST.product_id).price == Decimal("9.90"))
    PostgresRatingsRepository(engine).rate(FIRST.product_id, "alice", stars=5, comment="")
    eventually(lambda: catalog.find(FIRST.sku).rating_average == 5)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM product_ratings"))
    eventually(lambda: catalog.find(FIRST.sku).rating_count == 0)
    assert catalog.find(SECOND.sku) == SECOND


def test_what_was_missed_while_nobody_listened_is_read(engine, catalog, model):
    """The session that listens is ended, and the product changes before it is back."""
    with engine.begin() as connection:
        connection.execute(sa.text(END_LISTENER))
        connection.execute(sa.update(products).values(stock=3))
    eventually(lambda: model.connections == 2)
    eventually(lambda: catalog.find(FIRST.sku).stock == 3)

    def is_known():
        before = model.loads
        return catalog.find(FIRST.sku).stock == 3 and model.loads == before

    eventually(is_known)


def test_a_change_that_is_rolled_back_is_not_seen(engine, catalog):
    with engine.connect() as connection:
        connection.execute(sa.update(products).values(stock=3))
        connection.rollback()
    assert catalog.find(FIRST.sku) == FIRST


def test_twenty_writers_sell_what_is_there_while_stale_stock_is_shown(engine, catalog):
    """Readers fill the model all the time; at the end it shows what the store has."""
    stopping = threading.Event()

    def keep_reading():
        while not stopping.is_set():
            assert catalog.find(FIRST.sku).stock >= 0

    def buy(_):
        if not catalog.find(FIRST.sku).stock:
            return False
        try:
            return bool(reserve(engine, Line(FIRST.product_id, 1)))
        except OutOfStockError:  # what was shown was stale
            return False

    with ThreadPoolExecutor(22) as pool:
        readers = [pool.submit(keep_reading) for _ in range(2)]
        sold = sum(pool.map(buy, range(40)))
        stopping.set()
        for reader in readers:
            reader.result()
    assert sold == 10
    eventually(lambda: catalog.find(FIRST.sku).stock == 0)
