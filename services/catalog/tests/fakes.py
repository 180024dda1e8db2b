"""In-memory implementations of the catalog's ports, for tests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any

from typing_extensions import override

from services.catalog.domain import (
    LOW_STOCK_THRESHOLD,
    MAX_STOCK,
    OutOfStockError,
    Product,
    ProductNotFoundError,
    Promotion,
    Rating,
    Reservation,
    ReservationState,
    SkuExistsError,
    StockAboveMaximumError,
    StockBelowZeroError,
    expire,
)
from services.catalog.low_stock import LowStock, LowStockRepository
from services.catalog.promotions import ActivePromotions
from services.catalog.purchases import OrdersUnavailableError, Purchases
from services.catalog.ratings_repository import RatingsRepository
from services.catalog.repository import CatalogRepository
from services.catalog.reservations_repository import Decide, ReservationsRepository
from services.catalog.search_repository import ProductOrder, ProductQuery, ProductSearch
from services.catalog.search_text import search_words, split_words
from services.common.clock import Clock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def build_product(number: int = 1, **changes: Any) -> Product:
    """Build product number `number`, with some fields replaced."""
    product = Product(
        product_id=f"00000000-0000-4000-8000-{number:012}",
        sku=f"sku_{number:03}",
        title=f"Kibble {number}",
        description="Crunchy.",
        category="dog-food",
        price=Decimal("12.90"),
        currency="EUR",
        stock=10,
        image_url="",
    )
    return replace(product, **changes)


class InMemoryCatalogRepository(CatalogRepository):
    """Products in a dictionary."""

    def __init__(self) -> None:
        self._products: dict[str, Product] = {}

    @override
    def find(self, name: str) -> Product:
        if product := self.find_many([name]).get(name):
            return product
        raise ProductNotFoundError(name)

    @override
    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        by_name = {
            key: product
            for product in self._products.values()
            for key in (product.product_id, product.sku)
        }
        return {name: by_name[name.lower()] for name in names if name.lower() in by_name}

    def list_all(self) -> Sequence[Product]:
        """Return all products, ordered by sku."""
        return sorted(self._products.values(), key=lambda product: product.sku)

    @override
    def add(self, product: Product) -> None:
        if any(known.sku == product.sku for known in self._products.values()):
            raise SkuExistsError(product.sku)
        self._products[product.product_id] = product

    @override
    def update(self, product: Product) -> None:
        known = self._products[product.product_id]
        self._products[product.product_id] = replace(
            product,
            stock=known.stock,
            rating_average=known.rating_average,
            rating_count=known.rating_count,
        )

    def update_summary(self, product_id: str, stars: Sequence[int]) -> None:
        """Store the average and the number of a product's ratings."""
        average = Decimal(sum(stars)) / len(stars)
        self._products[product_id] = replace(
            self._products[product_id],
            rating_average=float(average.quantize(Decimal("0.01"), ROUND_HALF_UP)),
            rating_count=len(stars),
        )

    @override
    def adjust(self, product_id: str, quantity: int, *, reason: str, by: str) -> int:
        stock = self._products[product_id].stock
        if stock + quantity < 0:
            raise StockBelowZeroError(on_sale=stock)
        if quantity > 0 and stock + quantity > MAX_STOCK:
            raise StockAboveMaximumError
        self._products[product_id] = replace(self._products[product_id], stock=stock + quantity)
        return stock + quantity

    @override
    def ping(self) -> None:
        pass


class InMemoryLowStock(LowStockRepository):
    """The products of an in-memory catalog whose stock is low, all since NOW."""

    def __init__(self, catalog: InMemoryCatalogRepository) -> None:
        self._catalog = catalog

    @override
    def list_low(self, limit: int) -> tuple[Sequence[LowStock], int]:
        low = [p for p in self._catalog.list_all() if p.stock <= LOW_STOCK_THRESHOLD]
        found = [
            LowStock(
                product_id=p.product_id,
                sku=p.sku,
                title=p.title,
                category=p.category,
                stock=p.stock,
                since=NOW,
            )
            for p in low
        ]
        return found[:limit], len(found)


class InMemoryProductSearch(ProductSearch):
    """Lists and searches of an in-memory catalog: words of titles rank first."""

    def __init__(self, catalog: InMemoryCatalogRepository) -> None:
        self._catalog = catalog

    @override
    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        products: Sequence[Product] = [
            p for p in self._catalog.list_all() if query.category in ("", p.category)
        ]
        if query.text:
            words = search_words(query.text)
            ranked = [(_rank(product, words), product) for product in products]
            found = [(rank, product) for rank, product in ranked if rank and words]
            products = [p for _, p in sorted(found, key=lambda pair: (-pair[0], pair[1].sku))]
        products = _order(query, [product for product in products if _is_selected(query, product)])
        return products[query.offset : query.offset + query.limit], len(products)


def _is_selected(query: ProductQuery, product: Product) -> bool:
    is_named = not query.names or {product.product_id, product.sku} & query.names
    is_dear_enough = query.min_price is None or product.price >= query.min_price
    return bool(
        is_named
        and is_dear_enough
        and (query.max_price is None or product.price <= query.max_price)
    )


def _order(query: ProductQuery, products: list[Product]) -> list[Product]:
    if query.order is ProductOrder.SKU:
        return sorted(products, key=lambda p: p.sku) if query.is_by_product else products
    is_dearest = query.order is ProductOrder.DEAREST
    return sorted(products, key=lambda p: (p.price, p.sku), reverse=is_dearest)


def _rank(product: Product, words: Sequence[str]) -> int:
    """Return 2 when the title has all words, 1 when title and description have, else 0."""
    title, description = split_words(product.title), split_words(product.description)
    if not _has(title + description, words):
        return 0
    return 2 if _has(title, words) else 1


def _has(found: Sequence[str], words: Sequence[str]) -> bool:
    *whole, last = words or [""]
    return set(whole) <= set(found) and any(word.startswith(last) for word in found)


class InMemoryReservationsRepository(ReservationsRepository):
    """Reservations in a dictionary, of the products of an in-memory catalog."""

    def __init__(self, catalog: InMemoryCatalogRepository) -> None:
        self._catalog = catalog
        self._reservations: dict[str, Reservation] = {}

    @override
    def change(self, order_id: str, decide: Decide) -> Reservation:
        change = decide(self._reservations.get(order_id))
        stock = {line.product_id: self._stock(line.product_id) for line in change.taken}
        short = [line for line in change.taken if stock[line.product_id] < line.quantity]
        if short:
            raise OutOfStockError({line.product_id: stock[line.product_id] for line in short})
        for line in change.taken:
            self._catalog.adjust(line.product_id, -line.quantity, reason="order", by=order_id)
        self._reservations[order_id] = change.reservation
        return change.reservation

    @override
    def expire(self, now: datetime, limit: int) -> int:
        held = [r for r in self._reservations.values() if r.state is ReservationState.HELD]
        overdue = [reservation for reservation in held if reservation.expires_at <= now]
        oldest = sorted(overdue, key=lambda reservation: reservation.expires_at)[:limit]
        for reservation in oldest:
            self.change(reservation.order_id, partial(expire, now=now))
        return len(oldest)

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        stored = self._reservations
        return [stored[key] for key in sorted(stored) if key >= order_id][:limit]

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Reservation]:
        return [self._reservations[each] for each in order_ids if each in self._reservations]

    def _stock(self, product_id: str) -> int:
        return self._catalog.find(product_id).stock


class InMemoryRatingsRepository(RatingsRepository):
    """Ratings in a dictionary, of the products of an in-memory catalog."""

    def __init__(self, catalog: InMemoryCatalogRepository, *, clock: Clock = lambda: NOW) -> None:
        self._catalog = catalog
        self._clock = clock
        self._ratings: dict[tuple[str, str], Rating] = {}

    @override
    def rate(self, product_id: str, user_id: str, *, stars: int, comment: str) -> Rating:
        earlier = self._ratings.get((product_id, user_id))
        rating = Rating(
            product_id=product_id,
            user_id=user_id,
            stars=stars,
            comment=comment,
            created_at=earlier.created_at if earlier else self._clock(),
        )
        self._ratings[product_id, user_id] = rating
        of_product = [r for r in self._ratings.values() if r.product_id == product_id]
        self._catalog.update_summary(product_id, [rating.stars for rating in of_product])
        return rating


class FakePurchases(Purchases):
    """Fixed purchases; with `is_unavailable` they cannot be verified."""

    def __init__(self, *purchases: tuple[str, str]) -> None:
        self._purchases = purchases
        self.is_unavailable = False

    @override
    def has_bought(self, user_id: str, product_id: str) -> bool:
        if self.is_unavailable:
            raise OrdersUnavailableError
        return (user_id, product_id) in self._purchases


class FixedPromotions(ActivePromotions):
    """Promotions that are always active."""

    def __init__(self, *promotions: Promotion) -> None:
        self._promotions = promotions

    @override
    def list_active(self) -> Sequence[Promotion]:
        return self._promotions
