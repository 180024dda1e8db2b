"""A catalog in memory, for tests of what stands on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from services.catalog.domain import (
    OutOfStockError,
    Product,
    ProductNotFoundError,
    Promotion,
    Rating,
    Reservation,
    ReservationState,
    SkuExistsError,
    StockBelowZeroError,
)
from services.catalog.purchases import OrdersUnavailableError
from services.catalog.repository import Decide, ProductQuery
from services.common.clock import Clock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def build_product(number: int = 1, **changes) -> Product:
    """Return product number `number`, changed as told."""
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


class InMemoryCatalogRepository:
    """Products and reservations in two dictionaries."""

    def __init__(self) -> None:
        self._products: dict[str, Product] = {}
        self._reservations: dict[str, Reservation] = {}

    def find(self, name: str) -> Product:
        if product := self.find_many([name]).get(name):
            return product
        raise ProductNotFoundError(name)

    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        by_name = {
            key: product
            for product in self._products.values()
            for key in (product.product_id, product.sku)
        }
        return {name: by_name[name.lower()] for name in names if name.lower() in by_name}

    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        text = query.text.lower()
        matching = [
            product
            for product in sorted(self._products.values(), key=lambda p: p.sku)
            if query.category in ("", product.category)
            and (text in product.title.lower() or text in product.description.lower())
        ]
        start = (query.page - 1) * query.limit
        return matching[start : start + query.limit], len(matching)

    def add(self, product: Product) -> None:
        if any(known.sku == product.sku for known in self._products.values()):
            raise SkuExistsError(product.sku)
        self._products[product.product_id] = product

    def update(self, product: Product) -> None:
        known = self._products[product.product_id]
        self._products[product.product_id] = replace(
            product,
            stock=known.stock,
            rating_average=known.rating_average,
            rating_count=known.rating_count,
        )

    def count_ratings(self, product_id: str, stars: Sequence[int]) -> None:
        """Write on a product what its ratings come to."""
        average = Decimal(sum(stars)) / len(stars)
        self._products[product_id] = replace(
            self._products[product_id],
            rating_average=float(average.quantize(Decimal("0.01"), ROUND_HALF_UP)),
            rating_count=len(stars),
        )

    def adjust(self, product_id: str, quantity: int, *, reason: str, by: str) -> int:
        stock = self._products[product_id].stock
        if stock + quantity < 0:
            raise StockBelowZeroError(on_sale=stock)
        self._products[product_id] = replace(self._products[product_id], stock=stock + quantity)
        return stock + quantity

    def change_reservation(self, order_id: str, decide: Decide) -> Reservation:
        change = decide(self._reservations.get(order_id))
        left = {
            line.product_id: self._products[line.product_id].stock - line.quantity
            for line in change.taken
        }
        if short := [product_id for product_id, stock in left.items() if stock < 0]:
            raise OutOfStockError({name: self._products[name].stock for name in short})
        for product_id, stock in left.items():
            self._products[product_id] = replace(self._products[product_id], stock=stock)
        self._reservations[order_id] = change.reservation
        return change.reservation

    def expired_orders(self, now: datetime, limit: int) -> Sequence[str]:
        held = [r for r in self._reservations.values() if r.state is ReservationState.HELD]
        due = [r for r in held if r.expires_at < now]
        return [r.order_id for r in sorted(due, key=lambda r: r.expires_at)][:limit]

    def reservations_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        kept = self._reservations
        return [kept[key] for key in sorted(kept) if key >= order_id][:limit]

    def ping(self) -> None:
        pass


class InMemoryRatingsRepository:
    """Ratings in a dictionary, of the products of a catalog in memory."""

    def __init__(self, catalog: InMemoryCatalogRepository, *, clock: Clock = lambda: NOW) -> None:
        self._catalog = catalog
        self._clock = clock
        self._ratings: dict[tuple[str, str], Rating] = {}

    def rate(self, product_id: str, user_id: str, *, stars: int, comment: str) -> Rating:
        before = self._ratings.get((product_id, user_id))
        rating = Rating(
            product_id=product_id,
            user_id=user_id,
            stars=stars,
            comment=comment,
            created_at=before.created_at if before else self._clock(),
        )
        self._ratings[product_id, user_id] = rating
        given = [each for each in self._ratings.values() if each.product_id == product_id]
        self._catalog.count_ratings(product_id, [each.stars for each in given])
        return rating


class FakePurchases:
    """Purchases that the test names; `is_away` makes them unknown."""

    def __init__(self, *purchases: tuple[str, str]) -> None:
        self._purchases = purchases
        self.is_away = False

    def has_bought(self, user_id: str, product_id: str) -> bool:
        if self.is_away:
            raise OrdersUnavailableError
        return (user_id, product_id) in self._purchases


class FixedPromotions:
    """Promotions that run for as long as the test does."""

    def __init__(self, *promotions: Promotion) -> None:
        self._promotions = promotions

    def running(self) -> Sequence[Promotion]:
        return self._promotions
