"""The read model of products: those that were asked for last, kept right by notifications.

A trigger notifies of each change of a product or of its ratings, when it is committed; the product
is then forgotten, and read again when it is asked for. The model answers while it is sure to hear
of changes; else, and for what it does not know, the store does. It lags behind the store by
milliseconds, by STALE_SECONDS at most. So it shows stock and prices, but sells nothing: the truth
is the guarded update of the stock.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from typing_extensions import override

from services.catalog.domain import Product
from services.common.storage.listener import Subscriber

CHANNEL = "products"
CAPACITY = 10_000
"""How many products an instance knows at most: some 15 MB."""
STALE_SECONDS = 3.0
"""How long the model answers after it last knew that it hears of changes."""
NEVER = float("-inf")

Products = Mapping[str, Product]
"""Products by the names asked for, which are ids or skus."""


class ProductReadModel(Subscriber):
    """Products in memory, by id and by sku."""

    def __init__(
        self, *, capacity: int = CAPACITY, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._monotonic = monotonic
        self._fresh_until = NEVER
        self._by_name: OrderedDict[str, Product] = OrderedDict()
        self._lock = threading.Lock()
        self._reads: list[set[str]] = []
        """Of each read of the store in progress, the products that changed meanwhile."""

    def find_many(
        self, names: Iterable[str], load: Callable[[Sequence[str]], Products]
    ) -> Products:
        """Return products by name; `load` reads those from the store that are not known."""
        wanted = list(names)
        if self._monotonic() >= self._fresh_until:
            return load(wanted)
        found = {name: product for name in wanted if (product := self._by_name.get(name))}
        missing = [name for name in wanted if name not in found]
        return {**found, **self._load(missing, load)} if missing else found

    @override
    def connected(self) -> None:
        """Know nothing, and begin to learn."""
        with self._lock:
            self._forget_all()

    @override
    def changed(self, names: Sequence[str]) -> None:
        """Forget products by id; "" stands for all."""
        with self._lock:
            if "" in names:
                self._forget_all()
            for name in names:
                self._forget(name)
            for changed in self._reads:
                changed.update(names)

    @override
    def confirmed(self, at: float) -> None:
        self._fresh_until = at + STALE_SECONDS

    @override
    def disconnected(self) -> None:
        """Answer nothing more."""
        self._fresh_until = NEVER
        with self._lock:
            self._forget_all()

    def _load(self, names: Sequence[str], load: Callable[[Sequence[str]], Products]) -> Products:
        """Read products and learn them, except those that change meanwhile.

        What was read is then perhaps older than the notification, which comes only once.
        """
        changed: set[str] = set()
        with self._lock:
            self._reads.append(changed)
        try:
            loaded = load(names)
        except BaseException:
            self._end_read(changed, {})
            raise
        self._end_read(changed, loaded)
        return loaded

    def _end_read(self, changed: set[str], loaded: Products) -> None:
        with self._lock:
            before = len(self._reads)
            self._reads = [each for each in self._reads if each is not changed]
            if len(self._reads) == before:  # everything was forgotten meanwhile
                return
            for product in loaded.values():
                if product.product_id not in changed:
                    self._learn(product)

    def _learn(self, product: Product) -> None:
        self._forget(product.product_id)
        self._by_name[product.product_id] = self._by_name[product.sku] = product
        while len(self._by_name) > 2 * self._capacity:
            _, oldest = self._by_name.popitem(last=False)
            self._forget(oldest.product_id)
            self._by_name.pop(oldest.sku, None)

    def _forget(self, product_id: str) -> None:
        if product := self._by_name.pop(product_id, None):
            self._by_name.pop(product.sku, None)

    def _forget_all(self) -> None:
        self._by_name.clear()
        self._reads.clear()
