"""The internal gRPC service, and the first published contract: stock."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc import error_details_pb2
from mamie_rosa import catalog_pb2 as legacy_pb2
from mamie_rosa.catalog.internal.v1 import catalog_pb2 as internal_pb2

from services.catalog.servicer import (
    InternalCatalogServicer,
    LegacyCatalogServicer,
)
from services.catalog.tests.fakes import (
    InMemoryCatalogRepository,
    InMemoryReservationsRepository,
    build_product,
)
from services.common.rpc.status import DETAILS
from services.common.rpc.testing import InMemoryServer

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORDER = "11111111-1111-4111-8111-111111111111"
INTERNAL = internal_pb2.DESCRIPTOR.services_by_name["CatalogService"]
LEGACY = legacy_pb2.DESCRIPTOR.services_by_name["CatalogService"]


@pytest.fixture
def repository():
    repository = InMemoryCatalogRepository()
    for number in (1, 2, 3):
        repository.add(build_product(number))
    return repository


@pytest.fixture
def stock(repository):
    servicer = InternalCatalogServicer(
        repository=repository,
        reservations=InMemoryReservationsRepository(repository),
        clock=lambda: NOW,
    )
    return InMemoryServer(INTERNAL, servicer)


@pytest.fixture
def legacy(repository):
    return InMemoryServer(LEGACY, LegacyCatalogServicer(repository=repository))


def lines(kind, *pairs):
    return [kind(product_id=name, quantity=quantity) for name, quantity in pairs]


def reserve(stock, *pairs, order_id=ORDER):
    items = lines(internal_pb2.StockLine, *pairs)
    request = internal_pb2.ReserveStockRequest(order_id=order_id, items=items, hold_seconds=60)
    return stock.call("ReserveStock", request)


def test_verified_stock_carries_price_and_title(stock):
    request = internal_pb2.VerifyStockRequest(product_id="sku_001", quantity=11)
    answer = stock.call("VerifyStock", request).response
    assert (answer.available, answer.available_quantity) == (False, 10)
    assert (answer.unit_price, answer.currency, answer.title) == ("12.90", "EUR", "Kibble 1")


def test_a_repeated_reservation_takes_stock_off_sale_once(stock, repository):
    for _ in range(2):
        assert reserve(stock, ("sku_001", 2), ("sku_001", 1)).code == grpc.StatusCode.OK
    assert repository.find("sku_001").stock == 7


def test_a_short_line_reserves_nothing_and_is_named(stock, repository):
    answer = reserve(stock, ("sku_001", 2), ("sku_002", 11))
    assert (answer.code, answer.http) == (grpc.StatusCode.FAILED_PRECONDITION, 422)
    assert answer.reason == "OUT_OF_STOCK"
    assert answer.facts["productIds"] == repository.find("sku_002").product_id
    assert repository.find("sku_001").stock == 10


def test_all_short_lines_are_named_with_what_is_on_sale(stock, repository):
    answer = reserve(stock, ("sku_003", 12), ("sku_001", 2), ("sku_002", 11))
    short = [repository.find(name).product_id for name in ("sku_002", "sku_003")]
    assert answer.facts == {"productIds": ",".join(short), "availableQuantities": "10,10"}


def test_fifty_short_lines_fit_into_the_trailers(stock, repository):
    for number in range(100, 150):
        repository.add(build_product(number, stock=999))
    answer = reserve(stock, *((f"sku_{number}", 1000) for number in range(100, 150)))
    assert answer.facts["availableQuantities"].count(",") == 49
    assert len(answer.metadata[DETAILS]) < 3000


def test_a_repeat_is_answered_its_own_reservation_when_nothing_is_left(stock, repository):
    first = reserve(stock, ("sku_001", 10)).response
    assert repository.find("sku_001").stock == 0
    assert reserve(stock, (build_product(1).product_id, 10)).response == first
    assert first.expire_time.ToDatetime(UTC) == NOW + timedelta(seconds=60)


def test_a_repeat_after_the_release_is_a_failed_precondition(stock):
    reserve(stock, ("sku_001", 2))
    stock.call("ReleaseStock", internal_pb2.ReleaseStockRequest(order_id=ORDER))
    answer = reserve(stock, ("sku_001", 2))
    assert answer.code == grpc.StatusCode.FAILED_PRECONDITION
    assert (answer.reason, answer.facts) == ("RESERVATION_CLOSED", {"orderId": ORDER})


def test_the_stock_of_the_largest_cart_of_one_product_is_verified(stock):
    request = internal_pb2.VerifyStockRequest(product_id="sku_001", quantity=50 * 1000)
    assert stock.call("VerifyStock", request).response.available_quantity == 10


def test_an_unknown_product_reserves_nothing(stock, repository):
    answer = reserve(stock, ("sku_001", 2), ("nothing", 1))
    assert answer.facts == {"productIds": "nothing"}
    assert repository.find("sku_001").stock == 10


def test_a_repeated_release_puts_stock_back_on_sale_once(stock, repository):
    reserve(stock, ("sku_001", 2))
    stock.call("CommitStock", internal_pb2.CommitStockRequest(order_id=ORDER))
    for _ in range(2):
        stock.call("ReleaseStock", internal_pb2.ReleaseStockRequest(order_id=ORDER))
    assert repository.find("sku_001").stock == 10


def test_committing_without_a_reservation_is_not_found(stock):
    answer = stock.call("CommitStock", internal_pb2.CommitStockRequest(order_id=ORDER))
    assert answer.reason == "RESERVATION_NOT_FOUND"


@pytest.mark.parametrize(("quantity", "available"), [(10, True), (11, False)])
def test_the_legacy_contract_answers_what_is_on_sale(legacy, quantity, available):
    request = legacy_pb2.StockCheckRequest(product_id="sku_001", quantity=quantity)
    answer = legacy.call("VerifyStock", request).response
    assert answer == legacy_pb2.StockCheckResponse(available=available, available_quantity=10)


def test_the_legacy_contract_answers_not_found_for_an_unknown_product(legacy):
    request = legacy_pb2.StockCheckRequest(product_id="nothing", quantity=1)
    answer = legacy.call("VerifyStock", request)
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND")


@pytest.mark.parametrize(
    ("product_id", "quantity", "fields"),
    [
        ("", 1, ["productId"]),
        ("sku_001", 0, ["quantity"]),
        ("sku_001", -1, ["quantity"]),
        ("", 0, ["productId", "quantity"]),
    ],
)
def test_the_legacy_contract_rejects_invalid_fields_by_name(legacy, product_id, quantity, fields):
    request = legacy_pb2.StockCheckRequest(product_id=product_id, quantity=quantity)
    answer = legacy.call("VerifyStock", request)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    violations = answer.detail(error_details_pb2.BadRequest).field_violations
    assert [violation.field for violation in violations] == fields


def list_reservations(stock, **fields):
    return stock.call("ListReservations", internal_pb2.ListReservationsRequest(**fields))


def test_reservations_are_listed_in_pages_linked_by_tokens(stock):
    other = "22222222-2222-4222-8222-222222222222"
    reserve(stock, ("sku_001", 2), ("sku_002", 1))
    stock.call("ReleaseStock", internal_pb2.ReleaseStockRequest(order_id=other))
    first = list_reservations(stock, page_size=1).response
    last = list_reservations(stock, page_token=first.next_page_token).response
    held, released = first.reservations[0], last.reservations[0]
    assert (held.order_id, held.state) == (ORDER, internal_pb2.Reservation.HELD)
    assert [line.quantity for line in held.lines] == [2, 1]
    assert (held.expire_time.ToDatetime(tzinfo=UTC) - NOW).total_seconds() == 60
    assert (released.order_id, released.state) == (other, internal_pb2.Reservation.RELEASED)
    assert last.next_page_token == ""


@pytest.mark.parametrize("field", [{"page_size": 501}, {"page_size": -1}, {"page_token": "x"}])
def test_a_reservations_request_with_invalid_fields_is_rejected(stock, field):
    assert list_reservations(stock, **field).reason == "INVALID_FIELDS"
