"""A graph in memory, for tests of what stands on it."""

import math
from collections import Counter, defaultdict
from datetime import UTC, datetime

from services.recommendations.domain import (
    ClientTold,
    Companion,
    Evidence,
    History,
    OrderPlaced,
    OrderUndone,
    Popular,
    Product,
    ProductUnknownError,
    Purchase,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TRAINING = "training"


def build_product(name: str, category: str = "toys", **changes) -> Product:
    """Return a product whose id, sku and title can be told from its name."""
    values = {"sku": f"sku-{name}", "title": name.title(), "category": category}
    return Product(product_id=f"id-{name}", **values | changes)


class InMemoryRecommendationsRepository:
    """Purchases in a dictionary: (client, product) -> order or training -> when."""

    def __init__(self) -> None:
        self._events: set[str] = set()
        self._animals: dict[str, tuple[datetime, str]] = {}
        self._products: dict[str, tuple[datetime, Product]] = {}
        self._purchases: dict[str, dict[str, dict[str, datetime]]] = defaultdict(dict)
        self._cancelled: set[str] = set()

    def apply(self, event_id, change):
        if event_id in self._events:
            return False
        self._events.add(event_id)
        match change:
            case ClientTold():
                told = (change.as_of, change.animal_type)
                self._animals[change.user_id] = max(told, self._animals.get(change.user_id, told))
            case OrderPlaced():
                self._place(change)
            case OrderUndone():
                self._undo(change)
        return True

    def name(self, products, as_of):
        for product in products:
            told = (as_of, product)
            known = self._products.get(product.product_id, told)
            self._products[product.product_id] = max(told, known, key=lambda each: each[0])

    def train(self, user_id, names, now):
        ids = self._find(names)
        new = ids - self._purchases[user_id].keys()
        for product_id in ids:
            self._purchases[user_id].setdefault(product_id, {}).setdefault(TRAINING, now)
        return len(new)

    def gather(self, user_id, limit):
        history = self._history(user_id)
        return Evidence(
            history=history,
            companions=self._companions(history),
            with_animal=self._popular(
                history,
                lambda c, _p: self._animal(c) != "" and self._animal(c) == history.animal_type,
            ),
            in_categories=self._popular(
                history, lambda _c, p: self._product(p).category in history.categories
            ),
            overall=self._popular(history, lambda _c, _p: True),
        )

    def clear(self):
        for bought in self._purchases.values():
            for product_id, sources in list(bought.items()):
                bought[product_id] = {s: t for s, t in sources.items() if s == TRAINING}
                if not bought[product_id]:
                    del bought[product_id]
        self._events.clear()
        self._cancelled.clear()

    def ping(self):
        pass

    def _place(self, order):
        self.name(order.products, order.as_of)
        if order.order_id not in self._cancelled:
            for product in order.products:
                sources = self._purchases[order.user_id].setdefault(product.product_id, {})
                sources[order.order_id] = order.as_of

    def _undo(self, order):
        self._cancelled.add(order.order_id)
        bought = self._purchases[order.user_id]
        for product_id, sources in list(bought.items()):
            sources.pop(order.order_id, None)
            if not sources:
                del bought[product_id]

    def _find(self, names):
        known = [product for _, product in self._products.values()]
        by_name = {name: p.product_id for p in known for name in (p.product_id, p.sku)}
        found = {name: by_name.get(name) or by_name.get(name.lower()) for name in names}
        if unknown := [name for name, product_id in found.items() if product_id is None]:
            raise ProductUnknownError(unknown)
        return set(found.values())

    def _history(self, user_id):
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

    def _companions(self, history):
        parts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        together: Counter[str] = Counter()
        for purchase in history.basis:
            known = purchase.product.product_id
            for other in self._buyers(known) - {history.user_id}:
                for product_id in self._purchases[other].keys() - history.bought:
                    parts[product_id][known] += 1 / math.sqrt(purchase.buyers)
                    together[product_id] += 1
        return [
            Companion(
                product=self._product(product_id),
                strength=sum(part.values()),
                because=max(part, key=lambda known: (round(part[known], 9), known)),
                together=together[product_id],
                buyers=len(self._buyers(product_id)),
            )
            for product_id, part in parts.items()
            if self._product(product_id).title
        ]

    def _popular(self, history, counts):
        buyers = Counter(
            product_id
            for client, bought in self._purchases.items()
            for product_id in bought.keys() - history.bought
            if counts(client, product_id) and self._product(product_id).title
        )
        return [Popular(self._product(product_id), n) for product_id, n in buyers.items()]

    def _animal(self, user_id):
        return self._animals.get(user_id, (None, ""))[1]

    def _product(self, product_id):
        return self._products[product_id][1]

    def _buyers(self, product_id):
        return {client for client, bought in self._purchases.items() if product_id in bought}
