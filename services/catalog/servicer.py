"""The catalog's three gRPC services: public, internal, and the first published contract.

What each method does, and its errors, is documented in its proto.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import grpc
from mamie_rosa import catalog_pb2 as legacy_pb2
from mamie_rosa import catalog_pb2_grpc as legacy_pb2_grpc
from mamie_rosa.catalog.internal.v1 import catalog_pb2 as internal_pb2
from mamie_rosa.catalog.internal.v1 import catalog_pb2_grpc as internal_pb2_grpc
from mamie_rosa.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from typing_extensions import override

from services.catalog import domain
from services.catalog.low_stock import LowStockRepository
from services.catalog.promotions import ActivePromotions
from services.catalog.purchases import Purchases
from services.catalog.ratings_repository import RatingsRepository
from services.catalog.rendering import (
    render_low_stock,
    render_product,
    render_rating,
    render_reservation,
    render_stock_status,
    render_verified_stock,
)
from services.catalog.repository import CatalogRepository
from services.catalog.reservations_repository import ReservationsRepository
from services.catalog.search_repository import ProductOrder, ProductQuery, ProductSearch
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.money import parse_amount
from services.common.rpc import authorization, rest_hints
from services.common.rpc.paging import read_page
from services.common.rpc.timestamps import to_timestamp

DEFAULT_LIMIT = 20
CURRENCY = "EUR"
CACHE_SECONDS = 1
"""How old a cached product page may be; an order checks the stock itself."""


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """The public service: products, stock and ratings."""

    def __init__(
        self,
        *,
        repository: CatalogRepository,
        search: ProductSearch,
        ratings: RatingsRepository,
        promotions: ActivePromotions,
        purchases: Purchases,
        low_stock: LowStockRepository,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._search = search
        self._ratings = ratings
        self._promotions = promotions
        self._purchases = purchases
        self._low_stock = low_stock
        self._new_id = new_id

    @override
    def ListProducts(
        self, request: catalog_pb2.ListProductsRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.ListProductsResponse:
        query = _parse_query(request)
        found, total = self._search.search(query)
        response = catalog_pb2.ListProductsResponse(
            products=map(self._render, found), total=total, page=query.page
        )
        return rest_hints.cacheable(context, response, seconds=CACHE_SECONDS)

    @override
    def GetProduct(
        self, request: catalog_pb2.GetProductRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.Product:
        response = self._render(self._repository.find(request.id))
        return rest_hints.cacheable(context, response, seconds=CACHE_SECONDS)

    @override
    def CheckStock(
        self, request: catalog_pb2.CheckStockRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.CheckStockResponse:
        found = self._repository.find_many(line.product_id for line in request.items)
        products = [found.get(line.product_id) for line in request.items]
        totals = _sum_quantities(request.items, products)
        items = list(map(render_stock_status, request.items, products, totals))
        available = catalog_pb2.StockStatus.AVAILABLE
        return catalog_pb2.CheckStockResponse(
            all_available=all(item.status == available for item in items), items=items
        )

    @override
    def CreateProduct(
        self, request: catalog_pb2.CreateProductRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.Product:
        authorization.require_admin()
        product = _parse_product(request, self._new_id())
        self._repository.add(product)
        return rest_hints.created(context, self._render(product))

    @override
    def UpdateProduct(
        self, request: catalog_pb2.UpdateProductRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.Product:
        authorization.require_admin()
        product = self._repository.find(request.id)
        updated = _parse_update(request, product)
        self._repository.update(updated)
        return self._render(updated)

    @override
    def AdjustInventory(
        self, request: catalog_pb2.AdjustInventoryRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.AdjustInventoryResponse:
        admin = authorization.require_admin()
        product = self._repository.find(request.id)
        new_quantity = self._repository.adjust(
            product.product_id, request.quantity, reason=request.reason, by=admin.user_id
        )
        return catalog_pb2.AdjustInventoryResponse(
            product_id=product.product_id, new_quantity=new_quantity
        )

    @override
    def ListLowStock(
        self, request: catalog_pb2.ListLowStockRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.ListLowStockResponse:
        authorization.require_admin()
        found, total = self._low_stock.list_low(request.limit or DEFAULT_LIMIT)
        response = catalog_pb2.ListLowStockResponse(
            products=map(render_low_stock, found), total=total
        )
        return rest_hints.revalidated(context, response)

    @override
    def RateProduct(
        self, request: catalog_pb2.RateProductRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.Rating:
        caller = authorization.require_user()
        product = self._repository.find(request.id)
        if not self._purchases.has_bought(caller.user_id, product.product_id):
            raise domain.NotBoughtError(product.product_id)
        rating = self._ratings.rate(
            product.product_id, caller.user_id, stars=request.stars, comment=request.comment
        )
        return rest_hints.created(context, render_rating(rating))

    def _render(self, product: domain.Product) -> catalog_pb2.Product:
        active = self._promotions.list_active()
        return render_product(product, domain.best_promotion(product.category, active))


class InternalCatalogServicer(internal_pb2_grpc.CatalogServiceServicer):
    """The internal service: stock, as the other services use it."""

    def __init__(
        self,
        *,
        repository: CatalogRepository,
        reservations: ReservationsRepository,
        clock: Clock = utc_now,
    ) -> None:
        self._repository = repository
        self._reservations = reservations
        self._clock = clock

    @override
    def VerifyStock(
        self, request: internal_pb2.VerifyStockRequest, context: grpc.ServicerContext
    ) -> internal_pb2.VerifyStockResponse:
        product = self._repository.find(request.product_id)
        return render_verified_stock(product, request.quantity)

    @override
    def ReserveStock(
        self, request: internal_pb2.ReserveStockRequest, context: grpc.ServicerContext
    ) -> internal_pb2.ReserveStockResponse:
        found = self._repository.find_many(item.product_id for item in request.items)
        wanted = domain.Reservation(
            order_id=request.order_id,
            state=domain.ReservationState.HELD,
            expires_at=self._clock() + timedelta(seconds=request.hold_seconds),
            lines=domain.merge_lines(_parse_lines(request.items, found)),
        )
        reservation = self._reservations.reserve(wanted)
        return internal_pb2.ReserveStockResponse(expire_time=to_timestamp(reservation.expires_at))

    @override
    def CommitStock(
        self, request: internal_pb2.CommitStockRequest, context: grpc.ServicerContext
    ) -> internal_pb2.CommitStockResponse:
        self._reservations.commit(request.order_id)
        return internal_pb2.CommitStockResponse()

    @override
    def ReleaseStock(
        self, request: internal_pb2.ReleaseStockRequest, context: grpc.ServicerContext
    ) -> internal_pb2.ReleaseStockResponse:
        self._reservations.release(request.order_id, self._clock())
        return internal_pb2.ReleaseStockResponse()

    @override
    def ListReservations(
        self, request: internal_pb2.ListReservationsRequest, context: grpc.ServicerContext
    ) -> internal_pb2.ListReservationsResponse:
        page, next_page_token = read_page(request, self._reservations)
        return internal_pb2.ListReservationsResponse(
            reservations=map(render_reservation, page), next_page_token=next_page_token
        )


class LegacyCatalogServicer(legacy_pb2_grpc.CatalogServiceServicer):
    """The first published contract, for clients generated from it."""

    def __init__(self, *, repository: CatalogRepository) -> None:
        self._repository = repository

    @override
    def VerifyStock(
        self, request: legacy_pb2.StockCheckRequest, context: grpc.ServicerContext
    ) -> legacy_pb2.StockCheckResponse:
        product = self._repository.find(request.product_id)
        return legacy_pb2.StockCheckResponse(
            available=request.quantity <= product.stock, available_quantity=product.stock
        )


def _parse_query(request: catalog_pb2.ListProductsRequest) -> ProductQuery:
    return ProductQuery(
        page=request.page or 1,
        limit=request.limit or DEFAULT_LIMIT,
        category=request.category,
        text=request.q.strip(),
        names=frozenset(request.ids),
        min_price=parse_amount(request.min_price) if request.min_price else None,
        max_price=parse_amount(request.max_price) if request.max_price else None,
        order=ProductOrder(catalog_pb2.ProductOrder.Name(request.sort)),
    )


def _parse_product(request: catalog_pb2.CreateProductRequest, product_id: str) -> domain.Product:
    return domain.Product(
        product_id=product_id,
        sku=request.sku,
        title=request.title,
        description=request.description,
        category=request.category,
        price=parse_amount(request.price),
        currency=request.currency or CURRENCY,
        stock=request.stock,
        image_url=request.image_url,
    )


def _parse_update(
    request: catalog_pb2.UpdateProductRequest, product: domain.Product
) -> domain.Product:
    return domain.update_details(
        product,
        title=request.title,
        description=request.description,
        category=request.category,
        price=parse_amount(request.price),
        image_url=request.image_url,
    )


def _sum_quantities(
    items: Sequence[catalog_pb2.StockLine], products: Sequence[domain.Product | None]
) -> list[int]:
    """List, for each line, the quantity of its product on all lines, by id or sku."""
    names = [
        product.product_id if product else item.product_id
        for item, product in zip(items, products, strict=True)
    ]
    totals: Counter[str] = Counter()
    for name, item in zip(names, items, strict=True):
        totals[name] += item.quantity
    return [totals[name] for name in names]


def _parse_lines(
    items: Sequence[internal_pb2.StockLine], found: Mapping[str, domain.Product]
) -> list[domain.Line]:
    """Parse lines, naming products by their ids; ProductNotFoundError names the unknown."""
    if unknown := [item.product_id for item in items if item.product_id not in found]:
        raise domain.ProductNotFoundError(*unknown)
    return [domain.Line(found[item.product_id].product_id, item.quantity) for item in items]
