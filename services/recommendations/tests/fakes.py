"""A graph in memory, and builders of test data."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from typing_extensions import override

from services.recommendations.domain import (
    Candidates,
    Change,
    CoPurchase,
    CustomerChanged,
    History,
    OrderCancelled,
    OrderPlaced,
    Popular,
    Product,
    ProductNotFoundError,
    Purchase,
)
from services.recommendations.repository import RecommendationsRepository

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TRAINING = "training"


def build_product(name: str, category: str = "toys", **changes: Any) -> Product:
    """Build a product whose id, sku and title are derived from its name."""
    values: dict[str, Any] = {"sku": f"sku-{name}", "title": name.title(), "category": category}
    return Product(product_id=f"id-{name}", **values | changes)


class InMemoryRecommendationsRepository(RecommendationsRepository):
    """Purchases in a dictionary: (customer, product) -> order or training -> time."""

    def __init__(self) -> None:
        self._events: set[str] = set()
        self._animals: dict[str, tuple[int, datetime, str]] = {}
        self._products: dict[str, tuple[datetime, Product]] = {}
        self._purchases: dict[str, dict[str, dict[str, datetime]]] = defaultdict(dict)
        self._cancelled: set[str] = set()
        self._versions: Counter[str] = Counter()

    @override
    def apply_all(self, changes: Mapping[str, Change]) -> Collection[str]:
        new = changes.keys() - self._events
        self._events |= new
        for event_id in changes:
            if event_id in new:
                self._apply(changes[event_id])
                self._versions[changes[event_id].user_id] += 1
        return new

    def _apply(self, change: Change) -> None:
        match change:
            case CustomerChanged():
                new = (change.version, change.as_of, change.animal_type)
                self._animals[change.user_id] = max(new, self._animals.get(change.user_id, new))
            case OrderPlaced():
                self._place(change)
            case OrderCancelled():
                self._cancel(change)

    @override
    def upsert_products(self, products: Sequence[Product], as_of: datetime) -> None:
        for product in products:
            new = (as_of, product)
            known = self._products.get(product.product_id, new)
            self._products[product.product_id] = max(new, known, key=lambda each: each[0])

    @override
    def train(self, user_id: str, names: Sequence[str], now: datetime) -> int:
        ids = self._find(names)
        self._versions[user_id] += 1
        new = ids - self._purchases[user_id].keys()
        for product_id in ids:
            self._purchases[user_id].setdefault(product_id, {}).setdefault(TRAINING, now)
        return len(new)

    @override
    def load_candidates(self, user_id: str, limit: int) -> Candidates:
        history = self._history(user_id)
        return Candidates(
            history=history,
            co_purchases=self._co_purchases(history),
            with_animal=self._popular(
                history,
                lambda c, _p: self._animal(c) != "" and self._animal(c) == history.animal_type,
            ),
            in_categories=self._popular(
                history, lambda _c, p: self._product(p).category in history.categories
            ),
            overall=self._popular(history, lambda _c, _p: True),
        )

    @override
    def read_version(self, user_id: str) -> str:
        changed = self._versions[user_id]
        return str(changed) if changed else ""

    @override
    def delete_event_data(self) -> None:
        for bought in self._purchases.values():
            for product_id, sources in list(bought.items()):
                bought[product_id] = {s: t for s, t in sources.items() if s == TRAINING}
                if not bought[product_id]:
                    del bought[product_id]
        self._events.clear()
        self._cancelled.clear()

    @override
    def ping(self) -> None:
        pass

    def _place(self, order: OrderPlaced) -> None:
        self.upsert_products(order.products, order.as_of)
        if order.order_id not in self._cancelled:
            for product in order.products:
                sources = self._purchases[order.user_id].setdefault(product.product_id, {})
                sources[order.order_id] = order.as_of

    def _cancel(self, order: OrderCancelled) -> None:
        self._cancelled.add(order.order_id)
        bought = self._purchases[order.user_id]
        for product_id, sources in list(bought.items()):
            sources.pop(order.order_id, None)
            if not sources:
                del bought[product_id]

    def _find(self, names: Sequence[str]) -> set[str]:
        known = [product for _, product in self._products.values()]
        by_name = {name: p.product_id for p in known for name in (p.product_id, p.sku)}
        found = {name: by_name.get(name) or by_name.get(name.lower()) for name in names}
        if unknown := [name for name, product_id in found.items() if product_id is None]:
            raise ProductNotFoundError(unknown)
        return {product_id for product_id in found.values() if product_id}

    def _history(self, user_id: str) -> History:
        purchases = [
            Purchase(
                product=self._product(product_id),
                count=len(sources),
                last_at=max(sources.values()),
                buyers=len(self._buyers(product_id)),
            )
            for product_id, sources in self._purchases[user_id].items()
        ]
        newest_first = sorted(
            purchases, key=lambda p: (-p.last_at.timestamp(), p.product.product_id)
        )
        return History(user_id=user_id, animal_type=self._animal(user_id), purchases=newest_first)

    def _co_purchases(self, history: History) -> Sequence[CoPurchase]:
        parts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        shared_buyers: Counter[str] = Counter()
        for purchase in history.recent:
            source_id = purchase.product.product_id
            for buyer in self._buyers(source_id) - {history.user_id}:
                for product_id in self._purchases[buyer].keys() - history.product_ids:
                    parts[product_id][source_id] += 1 / math.sqrt(purchase.buyers)
                    shared_buyers[product_id] += 1
        return [
            CoPurchase(
                product=self._product(product_id),
                strength=sum(part.values()),
                source_id=max(part, key=lambda known: (round(part[known], 9), known)),
                shared_buyers=shared_buyers[product_id],
                buyers=len(self._buyers(product_id)),
            )
            for product_id, part in parts.items()
            if self._product(product_id).title
        ]

    def _popular(self, history: History, counts: Callable[[str, str], bool]) -> Sequence[Popular]:
        buyers = Counter(
            product_id
            for customer, bought in self._purchases.items()
            for product_id in bought.keys() - history.product_ids
            if counts(customer, product_id) and self._product(product_id).title
        )
        return [Popular(self._product(product_id), n) for product_id, n in buyers.items()]

    def _animal(self, user_id: str) -> str:
        return self._animals[user_id][-1] if user_id in self._animals else ""

    def _product(self, product_id: str) -> Product:
        return self._products[product_id][1]

    def _buyers(self, product_id: str) -> set[str]:
        return {customer for customer, bought in self._purchases.items() if product_id in bought}
