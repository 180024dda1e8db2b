"""The read model of products: what it knows, when it forgets, and when it asks the store."""

from dataclasses import replace

import pytest

from services.catalog.read_model import STALE_SECONDS, ProductReadModel
from services.catalog.tests.fakes import build_product

FIRST, SECOND, THIRD = (build_product(number) for number in (1, 2, 3))


class Store:
    """Products by name, and the names that were read."""

    def __init__(self, *products):
        self.products = {product.product_id: product for product in products}
        self.reads = []
        self.meanwhile = lambda: None

    def load(self, names):
        self.reads.extend(names)
        by_name = {
            name: product
            for product in self.products.values()
            for name in (product.product_id, product.sku)
        }
        found = {name: by_name[name] for name in names if name in by_name}
        self.meanwhile()
        return found


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def store():
    return Store(FIRST, SECOND, THIRD)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def model(clock):
    model = ProductReadModel(monotonic=clock)
    model.connected()
    model.confirmed(clock())
    return model


def test_a_product_is_read_once_and_then_known_by_id_and_sku(model, store):
    for name in (FIRST.sku, FIRST.product_id, FIRST.sku):
        assert model.find_many([name], store.load) == {name: FIRST}
    assert store.reads == [FIRST.sku]


def test_what_is_not_known_is_read_together(model, store):
    model.find_many([FIRST.sku], store.load)
    names = [FIRST.sku, SECOND.sku, "nothing"]
    assert model.find_many(names, store.load) == {FIRST.sku: FIRST, SECOND.sku: SECOND}
    assert store.reads == [FIRST.sku, SECOND.sku, "nothing"]


def test_an_unknown_product_is_asked_for_each_time(model, store):
    for _ in range(2):
        assert model.find_many(["nothing"], store.load) == {}
    assert store.reads == ["nothing", "nothing"]


def test_a_product_that_changed_is_read_again(model, store):
    model.find_many([FIRST.sku, SECOND.sku], store.load)
    sold = store.products[FIRST.product_id] = replace(FIRST, stock=0)
    model.changed([FIRST.product_id])
    assert model.find_many([FIRST.sku, SECOND.sku], store.load)[FIRST.sku] == sold
    assert store.reads == [FIRST.sku, SECOND.sku, FIRST.sku]


def test_a_notification_of_all_products_forgets_all(model, store):
    model.find_many([FIRST.sku], store.load)
    model.changed([""])
    model.find_many([FIRST.sku], store.load)
    assert store.reads == [FIRST.sku, FIRST.sku]


@pytest.mark.parametrize("notification", [FIRST.product_id, ""])
def test_a_product_that_changes_while_it_is_read_is_read_again(model, store, notification):
    """What was read may be older than the notification, which comes only once."""
    store.meanwhile = lambda: model.changed([notification])
    model.find_many([FIRST.sku], store.load)
    store.meanwhile = lambda: None
    store.products[FIRST.product_id] = replace(FIRST, stock=0)
    assert model.find_many([FIRST.sku], store.load)[FIRST.sku].stock == 0


def test_what_was_read_while_the_connection_was_lost_is_not_known(model, store, clock):
    def reconnect():
        model.disconnected()
        model.connected()
        model.confirmed(clock())

    store.meanwhile = reconnect
    model.find_many([FIRST.sku], store.load)
    store.meanwhile = lambda: None
    model.find_many([FIRST.sku], store.load)
    assert store.reads == [FIRST.sku, FIRST.sku]


def test_without_a_connection_the_store_answers(model, store):
    model.find_many([FIRST.sku], store.load)
    model.disconnected()
    for _ in range(2):
        assert model.find_many([FIRST.sku], store.load) == {FIRST.sku: FIRST}
    assert len(store.reads) == 3


def test_after_a_connection_was_lost_nothing_is_known(model, store, clock):
    model.find_many([FIRST.sku], store.load)
    model.disconnected()
    store.products[FIRST.product_id] = replace(FIRST, stock=0)
    model.connected()
    model.confirmed(clock())
    assert model.find_many([FIRST.sku], store.load)[FIRST.sku].stock == 0


def test_a_connection_that_is_not_confirmed_is_not_relied_on(model, store, clock):
    model.find_many([FIRST.sku], store.load)
    clock.now += STALE_SECONDS
    assert model.find_many([FIRST.sku], store.load) == {FIRST.sku: FIRST}
    assert len(store.reads) == 2
    model.confirmed(clock())
    model.find_many([FIRST.sku], store.load)
    assert len(store.reads) == 2


def test_the_oldest_products_make_room(store, clock):
    model = ProductReadModel(capacity=2, monotonic=clock)
    model.connected()
    model.confirmed(clock())
    for product in (FIRST, SECOND, THIRD):
        model.find_many([product.sku], store.load)
    model.find_many([SECOND.sku, THIRD.product_id], store.load)
    assert len(store.reads) == 3
    model.find_many([FIRST.product_id], store.load)
    assert len(store.reads) == 4


def test_a_read_that_fails_leaves_no_trace(model, store):
    def fail():
        raise ConnectionError

    store.meanwhile = fail
    with pytest.raises(ConnectionError):
        model.find_many([FIRST.sku], store.load)
    store.meanwhile = lambda: None
    for _ in range(2):
        model.find_many([FIRST.sku], store.load)
    assert store.reads == [FIRST.sku, FIRST.sku]
