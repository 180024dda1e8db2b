"""Contract tests of the catalog repositories: in memory and PostgreSQL."""

from dataclasses import replace

import pytest

from services.catalog import domain
from services.catalog.repository import CatalogRepository, PostgresCatalogRepository
from services.catalog.tests.fakes import InMemoryCatalogRepository, build_product
from services.common.errors import StoreUnavailableError
from services.common.storage import postgres

FIRST, SECOND, THIRD = (build_product(number) for number in (1, 2, 3))


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repository(request):
    real = request.param == "postgres"
    repository: CatalogRepository = (
        PostgresCatalogRepository(request.getfixturevalue("engine"))
        if real
        else InMemoryCatalogRepository()
    )
    for product in (FIRST, SECOND, THIRD):
        repository.add(product)
    return repository


def stock(repository, product):
    return repository.find(product.product_id).stock


def test_a_product_is_found_by_id_and_by_sku(repository):
    assert repository.find(FIRST.product_id) == FIRST
    assert repository.find(FIRST.sku) == FIRST


def test_product_ids_are_compared_case_insensitively(repository):
    assert repository.find(FIRST.product_id.upper()) == FIRST


@pytest.mark.parametrize(
    "name", ["nothing", f"urn:uuid:{FIRST.product_id}", FIRST.product_id.replace("-", ""), "٣" * 32]
)
def test_an_unknown_product_is_not_found(repository, name):
    with pytest.raises(domain.ProductNotFoundError):
        repository.find(name)


def test_many_products_are_found_by_the_names_asked_for(repository):
    found = repository.find_many([FIRST.sku, SECOND.product_id, "nothing"])
    assert found == {FIRST.sku: FIRST, SECOND.product_id: SECOND}


def test_a_sku_is_unique(repository):
    with pytest.raises(domain.SkuExistsError):
        repository.add(replace(build_product(4), sku=FIRST.sku))


def test_an_update_does_not_change_the_stock(repository):
    repository.update(replace(FIRST, title="New", stock=99))
    assert repository.find(FIRST.sku) == replace(FIRST, title="New")


def test_an_adjustment_returns_the_new_stock(repository):
    assert repository.adjust(FIRST.product_id, 5, reason="delivery", by="admin") == 15
    assert repository.adjust(FIRST.product_id, -15, reason="recall", by="admin") == 0


def test_an_adjustment_below_zero_changes_nothing(repository):
    with pytest.raises(domain.StockBelowZeroError):
        repository.adjust(FIRST.product_id, -11, reason="typo", by="admin")
    assert stock(repository, FIRST) == 10


def test_an_adjustment_above_the_maximum_changes_nothing(repository):
    repository.add(build_product(4, stock=domain.MAX_STOCK - 1))
    with pytest.raises(domain.StockAboveMaximumError):
        repository.adjust(build_product(4).product_id, 2, reason="typo", by="admin")
    assert repository.adjust(build_product(4).product_id, 1, reason="all", by="admin")
    assert stock(repository, build_product(4)) == domain.MAX_STOCK


@pytest.mark.integration
def test_an_unavailable_store_raises_store_unavailable():
    repository = PostgresCatalogRepository(postgres.create_engine("postgresql://127.0.0.1:1/none"))
    with pytest.raises(StoreUnavailableError):
        repository.find("sku_001")
