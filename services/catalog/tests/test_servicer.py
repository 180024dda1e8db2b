"""The catalog's public gRPC service: answers, errors and authorization."""

from datetime import UTC, datetime
from functools import partial

import grpc
import pytest
from mamie_rosa.catalog.v1 import catalog_pb2

from services.catalog.domain import Promotion
from services.catalog.servicer import (
    CatalogServicer,
)
from services.catalog.tests.fakes import (
    FakePurchases,
    FixedPromotions,
    InMemoryCatalogRepository,
    InMemoryLowStock,
    InMemoryProductSearch,
    InMemoryRatingsRepository,
    build_product,
)
from services.common.rpc.testing import (
    ADMIN,
    ADMIN_ID,
    ALICE,
    ALICE_ID,
    ANONYMOUS,
    BOB,
    InMemoryServer,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PUBLIC = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"]


@pytest.fixture
def repository():
    repository = InMemoryCatalogRepository()
    for number in (1, 2, 3):
        repository.add(build_product(number))
    return repository


@pytest.fixture
def purchases():
    return FakePurchases(
        (ALICE_ID, build_product(1).product_id),
        (ADMIN_ID, build_product(1).product_id),
    )


@pytest.fixture
def catalog(repository, purchases):
    servicer = CatalogServicer(
        repository=repository,
        search=InMemoryProductSearch(repository),
        ratings=InMemoryRatingsRepository(repository),
        promotions=FixedPromotions(Promotion(code="DOG20", discount_percentage=20)),
        purchases=purchases,
        low_stock=InMemoryLowStock(repository),
    )
    return InMemoryServer(PUBLIC, servicer)


def lines(kind, *pairs):
    return [kind(product_id=name, quantity=quantity) for name, quantity in pairs]


def test_a_page_lists_products_by_sku_with_the_total(catalog):
    request = catalog_pb2.ListProductsRequest(page=2, limit=2)
    answer = catalog.call("ListProducts", request).response
    assert [product.sku for product in answer.products] == ["sku_003"]
    assert (answer.total, answer.page) == (3, 2)


@pytest.mark.parametrize("field", [{"page": -1}, {"limit": 101}, {"q": "x" * 101}])
def test_a_list_request_with_invalid_fields_is_rejected(catalog, field):
    answer = catalog.call("ListProducts", catalog_pb2.ListProductsRequest(**field))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


def test_a_list_may_be_of_some_products_by_price(catalog):
    request = catalog_pb2.ListProductsRequest(
        ids=["sku_001"], min_price="1", max_price="99.90", sort=catalog_pb2.PRICE_ASCENDING
    )
    answer = catalog.call("ListProducts", request).response
    assert [product.sku for product in answer.products] == ["sku_001"]


def test_a_product_is_found_by_id_and_by_sku(catalog):
    by_sku = catalog.call("GetProduct", catalog_pb2.GetProductRequest(id="sku_001")).response
    by_id = catalog.call("GetProduct", catalog_pb2.GetProductRequest(id=by_sku.product_id)).response
    assert by_id == by_sku
    assert (by_sku.price, by_sku.currency, by_sku.promotion.code) == ("12.90", "EUR", "DOG20")


def test_an_unknown_product_is_not_found(catalog):
    answer = catalog.call("GetProduct", catalog_pb2.GetProductRequest(id="nothing"))
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND")


def test_stock_is_checked_line_by_line(catalog):
    items = lines(catalog_pb2.StockLine, ("sku_001", 10), ("sku_002", 11), ("nothing", 1))
    answer = catalog.call("CheckStock", catalog_pb2.CheckStockRequest(items=items)).response
    status = catalog_pb2.StockStatus
    assert [item.status for item in answer.items] == [
        status.AVAILABLE,
        status.INSUFFICIENT,
        status.UNKNOWN_PRODUCT,
    ]
    assert not answer.all_available


def test_lines_of_one_product_are_checked_by_their_sum(catalog):
    upper = build_product(1).product_id.upper()
    cart = [("sku_001", 3), ("sku_002", 10), (upper, 3), (build_product(1).product_id, 5)]
    items = lines(catalog_pb2.StockLine, *cart, ("nothing", 1), ("nothing", 1))
    answer = catalog.call("CheckStock", catalog_pb2.CheckStockRequest(items=items)).response
    status = catalog_pb2.StockStatus
    short, unknown = status.INSUFFICIENT, status.UNKNOWN_PRODUCT
    expected = [short, status.AVAILABLE, short, short, unknown, unknown]
    assert [item.status for item in answer.items] == expected
    assert [item.product_id for item in answer.items] == [item.product_id for item in items]
    assert not answer.all_available


def test_lines_of_one_product_are_available_up_to_what_is_on_sale(catalog):
    items = lines(catalog_pb2.StockLine, ("sku_001", 5), (build_product(1).product_id, 5))
    request = catalog_pb2.CheckStockRequest(items=items)
    assert catalog.call("CheckStock", request).response.all_available


NEW = catalog_pb2.CreateProductRequest(sku="sku_004", title="Bone", category="toys", price="3.5")
UPDATE = catalog_pb2.UpdateProductRequest(id="sku_001", title="New", category="toys", price="1.00")
ADJUST = catalog_pb2.AdjustInventoryRequest(id="sku_001", quantity=-3, reason="broken bags")


@pytest.mark.parametrize(
    ("method", "request_"),
    [("CreateProduct", NEW), ("UpdateProduct", UPDATE), ("AdjustInventory", ADJUST)],
)
@pytest.mark.parametrize(
    ("caller", "code"),
    [(ANONYMOUS, grpc.StatusCode.UNAUTHENTICATED), (ALICE, grpc.StatusCode.PERMISSION_DENIED)],
)
def test_only_administrators_change_the_catalog(catalog, method, request_, caller, code):
    assert catalog.call(method, request_, caller).code == code


def test_a_new_product_is_created_and_can_be_read(catalog):
    answer = catalog.call("CreateProduct", NEW, ADMIN)
    assert (answer.http, answer.response.price) == (201, "3.50")
    assert catalog.call("GetProduct", catalog_pb2.GetProductRequest(id="sku_004")).response.title


def test_a_sku_is_unique(catalog):
    catalog.call("CreateProduct", NEW, ADMIN)
    answer = catalog.call("CreateProduct", NEW, ADMIN)
    assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SKU_EXISTS")


def test_updating_a_product_does_not_change_its_stock(catalog):
    answer = catalog.call("UpdateProduct", UPDATE, ADMIN).response
    assert (answer.title, answer.price, answer.stock) == ("New", "1.00", 10)


def test_inventory_changes_by_a_signed_quantity(catalog):
    assert catalog.call("AdjustInventory", ADJUST, ADMIN).response.new_quantity == 7


def test_inventory_never_goes_below_zero(catalog):
    request = catalog_pb2.AdjustInventoryRequest(id="sku_001", quantity=-11, reason="typo")
    answer = catalog.call("AdjustInventory", request, ADMIN)
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STOCK_BELOW_ZERO")
    assert answer.facts == {"availableQuantity": "10"}


def test_inventory_never_goes_above_what_can_be_stored(catalog, repository):
    repository.add(build_product(9, stock=999_999_999))
    adjust = partial(catalog_pb2.AdjustInventoryRequest, id="sku_009", reason="delivery")
    answer = catalog.call("AdjustInventory", adjust(quantity=1), ADMIN)
    assert answer.response.new_quantity == 1_000_000_000
    for quantity in (1, 1_000_000):
        answer = catalog.call("AdjustInventory", adjust(quantity=quantity), ADMIN)
        assert answer.reason == "STOCK_ABOVE_MAXIMUM"
        assert answer.code == grpc.StatusCode.FAILED_PRECONDITION


RATE = catalog_pb2.RateProductRequest(id="sku_001", stars=4, comment="Crunchy!")


def test_a_buyers_rating_counts_on_the_product(catalog):
    answer = catalog.call("RateProduct", RATE, ALICE)
    assert answer.http == 201
    rating = answer.response
    assert (rating.product_id, rating.stars, rating.comment) == (
        build_product(1).product_id,
        4,
        "Crunchy!",
    )
    assert rating.created_at.ToDatetime(UTC) == NOW
    catalog.call("RateProduct", catalog_pb2.RateProductRequest(id="sku_001", stars=5), ADMIN)
    page = catalog.call("GetProduct", catalog_pb2.GetProductRequest(id="sku_001")).response
    assert page.ratings == catalog_pb2.Ratings(average=4.5, count=2)
    listed = catalog.call("ListProducts", catalog_pb2.ListProductsRequest()).response.products
    assert [product.ratings.count for product in listed] == [2, 0, 0]


def test_a_second_rating_replaces_the_first(catalog):
    catalog.call("RateProduct", RATE, ALICE)
    catalog.call("RateProduct", catalog_pb2.RateProductRequest(id="sku_001", stars=1), ALICE)
    page = catalog.call("GetProduct", catalog_pb2.GetProductRequest(id="sku_001")).response
    assert page.ratings == catalog_pb2.Ratings(average=1, count=1)


@pytest.mark.parametrize(
    ("caller", "product", "code", "reason"),
    [
        (ANONYMOUS, "sku_001", grpc.StatusCode.UNAUTHENTICATED, "NOT_SIGNED_IN"),
        (BOB, "sku_001", grpc.StatusCode.PERMISSION_DENIED, "NOT_BOUGHT"),
        (ALICE, "sku_002", grpc.StatusCode.PERMISSION_DENIED, "NOT_BOUGHT"),
        (ALICE, "nothing", grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND"),
    ],
)
def test_only_buyers_rate_a_product(catalog, caller, product, code, reason):
    request = catalog_pb2.RateProductRequest(id=product, stars=1)
    answer = catalog.call("RateProduct", request, caller)
    assert (answer.code, answer.reason) == (code, reason)


@pytest.mark.parametrize("invalid", [{"stars": 0}, {"stars": 6}, {"comment": "x" * 2001}])
def test_a_rating_with_invalid_fields_is_rejected(catalog, invalid):
    request = catalog_pb2.RateProductRequest(**{"id": "sku_001", "stars": 1} | invalid)
    assert catalog.call("RateProduct", request, ALICE).reason == "INVALID_FIELDS"


def test_rating_is_unavailable_while_purchases_cannot_be_verified(catalog, purchases):
    purchases.is_unavailable = True
    answer = catalog.call("RateProduct", RATE, ALICE)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
    assert answer.facts == {"service": "orders"}


def test_an_administrator_lists_what_is_low_on_stock(catalog, repository):
    repository.adjust(build_product(2).product_id, -6, reason="sold", by=ADMIN_ID)
    repository.adjust(build_product(3).product_id, -10, reason="sold", by=ADMIN_ID)
    request = catalog_pb2.ListLowStockRequest(limit=1)
    answer = catalog.call("ListLowStock", request, ADMIN).response
    assert [(low.sku, low.stock) for low in answer.products] == [("sku_002", 4)]
    assert answer.total == 2


@pytest.mark.parametrize(
    ("caller", "reason"), [(ALICE, "ADMIN_ONLY"), (ANONYMOUS, "NOT_SIGNED_IN")]
)
def test_nobody_else_lists_what_is_low_on_stock(catalog, caller, reason):
    answer = catalog.call("ListLowStock", catalog_pb2.ListLowStockRequest(), caller)
    assert answer.reason == reason
