"""Pages of items keyed by order id; a page token is the order id of the page's first item."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

DEFAULT_PAGE_SIZE = 100


class PageRequest(Protocol):
    """The page fields of a list request, such as ListPaymentsRequest."""

    page_size: int
    page_token: str

    @property
    def order_ids(self) -> Sequence[str]:
        """The orders whose items are listed, in one page; empty lists page by page."""


class KeyedByOrderId(Protocol):
    """An item of which a store has at most one per order."""

    @property
    def order_id(self) -> str:
        """The order id."""


Item_co = TypeVar("Item_co", bound=KeyedByOrderId, covariant=True)


class ListsByOrderId(Protocol[Item_co]):
    """A repository of items keyed by order id."""

    def list_from(self, order_id: str, limit: int) -> Sequence[Item_co]:
        """Return items ordered by order id, from `order_id` on; "" is the start."""

    def list_of(self, order_ids: Sequence[str]) -> Sequence[Item_co]:
        """Return the items of some orders, in any order."""


def read_page(
    request: PageRequest, repository: ListsByOrderId[Item_co]
) -> tuple[Sequence[Item_co], str]:
    """Return the requested page and the token of the next page; "" after the last."""
    if request.order_ids:
        return repository.list_of([order_id.lower() for order_id in request.order_ids]), ""
    size = request.page_size or DEFAULT_PAGE_SIZE
    found = repository.list_from(request.page_token.lower(), size + 1)
    return found[:size], found[size].order_id if len(found) > size else ""
