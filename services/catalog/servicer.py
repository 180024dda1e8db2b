"""The catalog's three faces: for clients, for the other services, and the owner's first one."""

from collections.abc import Mapping
from datetime import timedelta

from mamie_rosa import catalog_pb2 as legacy_pb2
from mamie_rosa import catalog_pb2_grpc as legacy_pb2_grpc
from mamie_rosa.catalog.internal.v1 import catalog_pb2 as internal_pb2
from mamie_rosa.catalog.internal.v1 import catalog_pb2_grpc as internal_pb2_grpc
from mamie_rosa.catalog.v1 import catalog_pb2, catalog_pb2_grpc

from services.catalog import domain
from services.catalog.promotions import ActivePromotions
from services.catalog.purchases import Purchases
from services.catalog.ratings_repository import RatingsRepository
from services.catalog.repository import CatalogRepository, ProductQuery
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.money import format_amount, parse_amount
from services.common.rpc import authorization, rest_hints
from services.common.rpc.paging import read_page

DEFAULT_LIMIT = 20
CURRENCY = "EUR"
CACHE_SECONDS = 1
"""How long a product page may be out of date; ordering looks at the stock itself."""


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """What clients ask of the catalog."""

    def __init__(
        self,
        *,
        repository: CatalogRepository,
        ratings: RatingsRepository,
        promotions: ActivePromotions,
        purchases: Purchases,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._ratings = ratings
        self._promotions = promotions
        self._purchases = purchases
        self._new_id = new_id

    def ListProducts(self, request, context):
        """List products on sale, in the order of their sku."""
        query = ProductQuery(
            page=request.page or 1,
            limit=request.limit or DEFAULT_LIMIT,
            category=request.category,
            text=request.q,
        )
        found, total = self._repository.search(query)
        rendered = [self._render(product) for product in found]
        page = catalog_pb2.ListProductsResponse(products=rendered, total=total, page=query.page)
        return rest_hints.cacheable(context, page, seconds=CACHE_SECONDS)

    def GetProduct(self, request, context):
        """Return one product."""
        page = self._render(self._repository.find(request.id))
        return rest_hints.cacheable(context, page, seconds=CACHE_SECONDS)

    def CheckStock(self, request, context):
        """Tell for each line whether its quantity is on sale."""
        found = self._repository.find_many(item.product_id for item in request.items)
        items = [_stock_status(item, found) for item in request.items]
        available = catalog_pb2.StockStatus.AVAILABLE
        return catalog_pb2.CheckStockResponse(
            all_available=all(item.status == available for item in items), items=items
        )

    def CreateProduct(self, request, context):
        """Add a product."""
        authorization.require_admin()
        product = domain.Product(
            product_id=self._new_id(),
            sku=request.sku,
            title=request.title,
            description=request.description,
            category=request.category,
            price=parse_amount(request.price),
            currency=request.currency or CURRENCY,
            stock=request.stock,
            image_url=request.image_url,
        )
        self._repository.add(product)
        return rest_hints.created(context, self._render(product))

    def UpdateProduct(self, request, context):
        """Replace what a product's page says, and its price."""
        authorization.require_admin()
        product = self._repository.find(request.id)
        changed = domain.revise(
            product,
            title=request.title,
            description=request.description,
            category=request.category,
            price=parse_amount(request.price),
            image_url=request.image_url,
        )
        self._repository.update(changed)
        return self._render(changed)

    def AdjustInventory(self, request, context):
        """Change the quantity on sale by a signed amount."""
        admin = authorization.require_admin()
        product = self._repository.find(request.id)
        new_quantity = self._repository.adjust(
            product.product_id, request.quantity, reason=request.reason, by=admin.user_id
        )
        return catalog_pb2.AdjustInventoryResponse(
            product_id=product.product_id, new_quantity=new_quantity
        )

    def RateProduct(self, request, context):
        """Keep what the caller thinks of a product they have bought."""
        caller = authorization.require_user()
        product = self._repository.find(request.id)
        if not self._purchases.has_bought(caller.user_id, product.product_id):
            raise domain.NotBoughtError(product.product_id)
        rating = self._ratings.rate(
            product.product_id, caller.user_id, stars=request.stars, comment=request.comment
        )
        return rest_hints.created(context, _render_rating(rating))

    def _render(self, product: domain.Product) -> catalog_pb2.Product:
        promotion = domain.best_promotion(product.category, self._promotions.running())
        return catalog_pb2.Product(
            product_id=product.product_id,
            sku=product.sku,
            title=product.title,
            description=product.description,
            category=product.category,
            price=format_amount(product.price),
            currency=product.currency,
            stock=product.stock,
            image_url=product.image_url,
            ratings=catalog_pb2.Ratings(average=product.rating_average, count=product.rating_count),
            promotion=promotion and _render_promotion(promotion),
        )


class InternalCatalogServicer(internal_pb2_grpc.CatalogServiceServicer):
    """What the other services ask of the stock."""

    def __init__(self, *, repository: CatalogRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    def VerifyStock(self, request, context):
        """Return whether a quantity of a product is on sale, and at what price."""
        product = self._repository.find(request.product_id)
        return internal_pb2.VerifyStockResponse(
            available=product.stock >= request.quantity,
            available_quantity=product.stock,
            unit_price=format_amount(product.price),
            currency=product.currency,
            title=product.title,
            product_id=product.product_id,
            sku=product.sku,
            category=product.category,
        )

    def ReserveStock(self, request, context):
        """Hold every line for an order, or none."""
        found = self._repository.find_many(item.product_id for item in request.items)
        wanted = domain.Reservation(
            order_id=request.order_id,
            state=domain.ReservationState.HELD,
            expires_at=self._clock() + timedelta(seconds=request.hold_seconds),
            lines=domain.merge_lines(_lines(request.items, found)),
        )
        held = self._repository.change_reservation(
            request.order_id, lambda existing: domain.reserve(existing, wanted)
        )
        return internal_pb2.ReserveStockResponse(expire_time=held.expires_at)

    def CommitStock(self, request, context):
        """Sell what an order holds."""
        self._repository.change_reservation(
            request.order_id, lambda existing: domain.commit(existing, request.order_id)
        )
        return internal_pb2.CommitStockResponse()

    def ReleaseStock(self, request, context):
        """Put back on sale what an order holds or has bought."""
        now = self._clock()
        self._repository.change_reservation(
            request.order_id, lambda existing: domain.release(existing, request.order_id, now)
        )
        return internal_pb2.ReleaseStockResponse()

    def ListReservations(self, request, context):
        """List all reservations by the id of their order."""
        page, following = read_page(request, self._repository.reservations_from)
        return internal_pb2.ListReservationsResponse(
            reservations=map(_render_reservation, page), next_page_token=following
        )


class LegacyCatalogServicer(legacy_pb2_grpc.CatalogServiceServicer):
    """The contract that the owner published first."""

    def __init__(self, *, repository: CatalogRepository) -> None:
        self._repository = repository

    def VerifyStock(self, request, context):
        """Return whether a quantity of a product is on sale."""
        product = self._repository.find(request.product_id)
        return legacy_pb2.StockCheckResponse(
            available=request.quantity <= product.stock, available_quantity=product.stock
        )


def _stock_status(
    item: catalog_pb2.StockLine, found: Mapping[str, domain.Product]
) -> catalog_pb2.StockStatus:
    product = found.get(item.product_id)
    return catalog_pb2.StockStatus(
        product_id=item.product_id,
        status=domain.availability(product, item.quantity).value,
        available_quantity=product.stock if product else 0,
    )


def _lines(items, found: Mapping[str, domain.Product]) -> list[domain.Line]:
    if unknown := [item.product_id for item in items if item.product_id not in found]:
        raise domain.ProductNotFoundError(*unknown)
    return [domain.Line(found[item.product_id].product_id, item.quantity) for item in items]


def _render_rating(rating: domain.Rating) -> catalog_pb2.Rating:
    return catalog_pb2.Rating(
        product_id=rating.product_id,
        stars=rating.stars,
        comment=rating.comment,
        created_at=rating.created_at,
    )


def _render_promotion(promotion: domain.Promotion) -> catalog_pb2.ProductPromotion:
    return catalog_pb2.ProductPromotion(
        code=promotion.code, discount_percentage=promotion.discount_percentage
    )


def _render_reservation(reservation: domain.Reservation) -> internal_pb2.Reservation:
    return internal_pb2.Reservation(
        order_id=reservation.order_id,
        state=reservation.state.value,
        lines=[
            internal_pb2.StockLine(product_id=line.product_id, quantity=line.quantity)
            for line in reservation.lines
        ],
        expire_time=reservation.expires_at,
    )
