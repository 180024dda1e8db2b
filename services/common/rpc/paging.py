"""Pages of items keyed by order id; a page token is the order id of the page's first item."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

DEFAULT_PAGE_SIZE = 100


class PageRequest(Protocol):
    """The page fields of a list request, such as ListPaymentsRequest."""

    page_size: int
    page_token: str


class KeyedByOrderId(Protocol):
    """An item of which a store has at most one per order."""

    @property
    def order_id(self) -> str:
        """The order id."""


Item = TypeVar("Item", bound=KeyedByOrderId)
ListFrom = Callable[[str, int], Sequence[Item]]
"""Given an order id and a limit, lists items in the order of their ids, from that id on."""


def read_page(request: PageRequest, list_from: ListFrom[Item]) -> tuple[Sequence[Item], str]:
    """Return the requested page and the token of the next page; "" after the last."""
    size = request.page_size or DEFAULT_PAGE_SIZE
    found = list_from(request.page_token.lower(), size + 1)
    return found[:size], found[size].order_id if len(found) > size else ""
