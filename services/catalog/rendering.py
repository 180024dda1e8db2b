"""Renders the catalog's domain as protobuf messages."""

from mamie_rosa.catalog.internal.v1 import catalog_pb2 as internal_pb2
from mamie_rosa.catalog.v1 import catalog_pb2

from services.catalog import domain
from services.catalog.low_stock import LowStock
from services.common.money import format_amount
from services.common.rpc.timestamps import to_timestamp


def render_product(
    product: domain.Product, promotion: domain.Promotion | None
) -> catalog_pb2.Product:
    """Render a product with the promotion that applies to it, if any."""
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
        promotion=_render_promotion(promotion) if promotion else None,
    )


def _render_promotion(promotion: domain.Promotion) -> catalog_pb2.ProductPromotion:
    return catalog_pb2.ProductPromotion(
        code=promotion.code, discount_percentage=promotion.discount_percentage
    )


def render_low_stock(low: LowStock) -> catalog_pb2.LowStock:
    """Render a product whose stock is low."""
    return catalog_pb2.LowStock(
        product_id=low.product_id,
        sku=low.sku,
        title=low.title,
        category=low.category,
        stock=low.stock,
        since=to_timestamp(low.since),
    )


def render_stock_status(
    line: catalog_pb2.StockLine, product: domain.Product | None, quantity: int
) -> catalog_pb2.StockStatus:
    """Render whether a quantity of a line's product is on sale; None is an unknown product."""
    availability = domain.availability(product, quantity)
    return catalog_pb2.StockStatus(
        product_id=line.product_id,
        status=catalog_pb2.StockStatus.Status.Value(availability),
        available_quantity=product.stock if product else 0,
    )


def render_verified_stock(
    product: domain.Product, quantity: int
) -> internal_pb2.VerifyStockResponse:
    """Render whether a quantity of a product is on sale, and the product."""
    return internal_pb2.VerifyStockResponse(
        available=quantity <= product.stock,
        available_quantity=product.stock,
        unit_price=format_amount(product.price),
        currency=product.currency,
        title=product.title,
        product_id=product.product_id,
        sku=product.sku,
        category=product.category,
    )


def render_rating(rating: domain.Rating) -> catalog_pb2.Rating:
    """Render a rating."""
    return catalog_pb2.Rating(
        product_id=rating.product_id,
        stars=rating.stars,
        comment=rating.comment,
        created_at=to_timestamp(rating.created_at),
    )


def render_reservation(reservation: domain.Reservation) -> internal_pb2.Reservation:
    """Render a reservation."""
    return internal_pb2.Reservation(
        order_id=reservation.order_id,
        state=internal_pb2.Reservation.State.Value(reservation.state),
        lines=[
            internal_pb2.StockLine(product_id=line.product_id, quantity=line.quantity)
            for line in reservation.lines
        ],
        expire_time=to_timestamp(reservation.expires_at),
    )
