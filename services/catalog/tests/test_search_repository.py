"""Contract tests of product searches: in memory and PostgreSQL."""

import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa

from services.catalog import search_repository
from services.catalog.bulkhead import Bulkhead, SearchOverloadedError
from services.catalog.repository import CatalogRepository, PostgresCatalogRepository
from services.catalog.search_repository import PostgresProductSearch, ProductOrder, ProductQuery
from services.catalog.tests.fakes import (
    InMemoryCatalogRepository,
    InMemoryProductSearch,
    build_product,
)

FIRST = build_product(1, title="PÂTÉE au bœuf", description="Poulet 100%, sans gluten.")
SECOND = build_product(2, title="Croquettes pour chat adulte", description="Au bœuf.")
THIRD = build_product(3, title="Chaton : pâtée", category="cat-food", description="500g")
PRODUCTS = (FIRST, SECOND, THIRD)


def build_postgres(engine):
    return PostgresCatalogRepository(engine), PostgresProductSearch(engine)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repositories(request):
    """Return a catalog of three products and its search."""
    catalog: CatalogRepository
    if request.param == "postgres":
        catalog, search = build_postgres(request.getfixturevalue("engine"))
    else:
        catalog = InMemoryCatalogRepository()
        search = InMemoryProductSearch(catalog)
    for product in PRODUCTS:
        catalog.add(product)
    return catalog, search


def find(repositories, text="", page=1, limit=10, **query):
    _, search = repositories
    found, total = search.search(ProductQuery(page=page, limit=limit, text=text, **query))
    return [product.sku for product in found], total


def test_products_are_listed_by_sku_with_the_total(repositories):
    _, search = repositories
    page, total = search.search(ProductQuery(page=1, limit=2))
    assert (page, total) == ([FIRST, SECOND], 3)
    assert find(repositories, page=2, limit=2) == ([THIRD.sku], 3)
    assert find(repositories, page=3, limit=2) == ([], 3)
    assert find(repositories, page=100_000, limit=100) == ([], 3)


def test_a_category_narrows_the_list(repositories):
    assert find(repositories, category="dog-food") == ([FIRST.sku, SECOND.sku], 2)
    assert find(repositories, category="toys") == ([], 0)


CHEAP = build_product(7, title="Balle", category="toys", price=Decimal("2.90"))
DEAR = build_product(8, title="Balle", category="toys", price=Decimal("29.00"))


@pytest.fixture
def priced(repositories):
    """Return the three products of 12.90 and two toys, one cheaper and one dearer."""
    catalog, search = repositories
    for product in (DEAR, CHEAP):
        catalog.add(product)
    return catalog, search


def test_products_are_listed_by_price_in_both_directions(priced):
    equal = [FIRST.sku, SECOND.sku, THIRD.sku]
    cheapest = [CHEAP.sku, *equal, DEAR.sku]
    assert find(priced, order=ProductOrder.CHEAPEST) == (cheapest, 5)
    assert find(priced, order=ProductOrder.DEAREST) == (cheapest[::-1], 5)
    assert find(priced, order=ProductOrder.CHEAPEST, page=2, limit=2) == (equal[1:], 5)
    assert find(priced, order=ProductOrder.DEAREST, category="toys", limit=1) == ([DEAR.sku], 2)


def test_the_bounds_of_a_range_of_prices_belong_to_it(priced):
    exactly = {"min_price": Decimal("2.90"), "max_price": Decimal("2.90")}
    assert find(priced, **exactly) == ([CHEAP.sku], 1)
    assert find(priced, min_price=Decimal("12.91")) == ([DEAR.sku], 1)
    assert find(priced, "balle", max_price=Decimal("12.90")) == ([CHEAP.sku], 1)


def test_products_are_selected_by_ids_and_skus(priced):
    names = frozenset({CHEAP.product_id, FIRST.sku, "unknown"})
    assert find(priced, names=names) == ([FIRST.sku, CHEAP.sku], 2)
    assert find(priced, names=names, category="toys") == ([CHEAP.sku], 1)


@pytest.mark.parametrize(
    "text",
    [
        "pâtée",
        "PÂTÉE",
        "patee",
        "pa\u0302te\u0301e",
        "PATÉE  ",
        "pât",
        "\uff30âtée",
    ],
)
def test_a_word_is_found_in_any_case_spelling_and_as_a_beginning(repositories, text):
    assert set(find(repositories, text)[0]) == {FIRST.sku, THIRD.sku}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("chat adulte", [2]),
        ("adulte chat", [2]),
        ("adulte\u00a0 CHAT", [2]),
        ("poulet 100%", [1]),
        ("100% poulet", [1]),
        ("100%", [1]),
        ("boeuf", [1, 2]),
        ("BŒUF pâtée", [1]),
        ("500", [3]),
        ("500g pâtée", [3]),
        ("chat", [2, 3]),
        ("adultes chats", [2]),
        ("croquette adulte", [2]),
        ("chat pâtée", []),
        ("chat poisson", []),
        ("hat", []),
        ("_", []),
        ("%", []),
        ("' & | ! ( ) : * \\", []),
        ("gluten-sans", [1]),
        ("d'bœuf", [1, 2]),
    ],
)
def test_all_words_are_found_in_any_order(repositories, text, numbers):
    found, total = find(repositories, text)
    assert (sorted(found), total) == ([f"sku_{number:03}" for number in numbers], len(numbers))


def test_a_text_and_a_category_both_narrow_the_search(repositories):
    assert find(repositories, "patee", category="cat-food") == ([THIRD.sku], 1)


def test_words_of_the_title_rank_before_words_of_the_description(repositories):
    catalog, _ = repositories
    catalog.add(build_product(4, title="Bœuf séché"))
    assert find(repositories, "boeuf") == ([FIRST.sku, "sku_004", SECOND.sku], 3)
    assert find(repositories, "boeuf", page=2, limit=2) == ([SECOND.sku], 3)


def test_an_updated_product_is_found_by_its_new_words_and_category_only(repositories):
    catalog, _ = repositories
    catalog.update(replace(FIRST, title="Biscuits", description="", category="cat-food"))
    assert find(repositories, "boeuf") == ([SECOND.sku], 1)
    assert find(repositories, "biscuit") == ([FIRST.sku], 1)
    assert find(repositories, category="cat-food") == ([FIRST.sku, THIRD.sku], 2)


@pytest.mark.integration
class TestManyProducts:
    @pytest.fixture
    def repositories(self, engine, monkeypatch):
        """Return a catalog of 60 products, and its search with small bounds."""
        monkeypatch.setattr(search_repository, "MAX_EXACT", 20)
        monkeypatch.setattr(search_repository, "RANKED", 10)
        catalog, search = build_postgres(engine)
        for number in range(60, 0, -1):
            title = "Os" if number % 4 else "Biscuit au boeuf"
            catalog.add(build_product(number, title=title, description="boeuf"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE listings"))
        return catalog, search

    def test_more_matches_than_are_ranked_are_listed_by_sku(self, repositories):
        found, total = find(repositories, "biscuit", limit=20)
        assert (found, total) == ([f"sku_{number:03}" for number in range(4, 61, 4)], 15)

    def test_beyond_the_bound_the_total_is_estimated(self, repositories):
        found, total = find(repositories, page=6)
        assert found == [f"sku_{number:03}" for number in range(51, 61)]
        assert 21 <= total <= 70
        assert find(repositories, category="dog-food")[1] == total

    def test_a_common_word_is_found_by_the_index_when_its_page_is_late(
        self, repositories, monkeypatch
    ):
        monkeypatch.setattr(search_repository, "_walk", lambda *_: None)
        self.test_a_search_ends_after_the_bound(repositories)

    def test_a_common_word_that_is_not_found_in_time_along_the_skus_leaves_the_rest_of_the_time(
        self, repositories, monkeypatch
    ):
        monkeypatch.setattr(search_repository, "WALK_SECONDS", 0.05)
        monkeypatch.setattr(search_repository, "_list", sleep_along_the_skus)
        assert len(find(repositories, "boeuf")[0]) == 10

    def test_a_search_ends_after_the_bound(self, repositories):
        pages = [find(repositories, "boeuf", page=page)[0] for page in (1, 2, 3)]
        assert [len(page) for page in pages] == [10, 10, 0]
        assert len(set(pages[0] + pages[1])) == 20
        assert find(repositories, "boeuf")[1] >= 21


@pytest.mark.integration
class TestUnderLoad:
    def test_a_search_that_takes_too_long_is_rejected(self, engine, monkeypatch):
        _, search = build_postgres(engine)
        monkeypatch.setattr(search_repository, "TIMEOUT_SECONDS", 0.05)
        monkeypatch.setattr(search_repository, "_find", sleep_in_the_store)
        started = time.monotonic()
        with pytest.raises(SearchOverloadedError):
            search.search(ProductQuery(page=1, limit=1, text="os"))
        assert time.monotonic() - started < 1

    def test_lists_do_not_pass_the_bulkhead(self, engine):
        search = PostgresProductSearch(engine, bulkhead=Bulkhead(running=0))
        assert search.search(ProductQuery(page=1, limit=1)) == ([], 0)
        for query in (
            ProductQuery(page=1, limit=1, text="os"),
            ProductQuery(page=10_002, limit=1),
        ):
            with pytest.raises(SearchOverloadedError):
                search.search(query)


def sleep_in_the_store(connection, _query):
    return connection.execute(sa.text("SELECT pg_sleep(2)")).scalar_one()


def sleep_along_the_skus(_query):
    slow = sa.func.pg_sleep(2).cast(sa.Text).label("sku")
    return sa.select(slow, sa.literal(0.0).label("rank")).subquery("matching")


class TestTheBulkhead:
    def test_as_many_as_run_may_wait_and_the_rest_is_rejected_at_once(self):
        bulkhead = Bulkhead(running=1, wait_seconds=5)
        waited = threading.Event()
        with bulkhead.enter():
            thread = threading.Thread(target=lambda: enter(bulkhead, waited))
            thread.start()
            while bulkhead._admitted._value:
                time.sleep(0.001)
            with pytest.raises(SearchOverloadedError):
                enter(bulkhead, waited)
            assert not waited.is_set()
        thread.join()
        assert waited.is_set()

    def test_who_waits_too_long_is_rejected_with_a_time_to_retry(self):
        bulkhead = Bulkhead(running=1, wait_seconds=0)
        with bulkhead.enter(), pytest.raises(SearchOverloadedError) as caught:
            enter(bulkhead, threading.Event())
        assert caught.value.metadata == {"retryAfterSeconds": "1"}

    def test_a_failed_search_leaves_its_place(self):
        bulkhead = Bulkhead(running=1, wait_seconds=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), bulkhead.enter():
                raise ZeroDivisionError
        enter(bulkhead, threading.Event())


def enter(bulkhead, entered):
    with bulkhead.enter():
        entered.set()
