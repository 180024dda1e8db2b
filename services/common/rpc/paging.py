"""Pages of what the services keep by order: each begins with the order that its token names."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

DEFAULT_PAGE_SIZE = 100


class PageRequest(Protocol):
    """What every request for a page has; see ListPaymentsRequest."""

    page_size: int
    page_token: str


class OfOrder(Protocol):
    """Something that is kept once per order."""

    @property
    def order_id(self) -> str:
        """Return the order."""


Kept = TypeVar("Kept", bound=OfOrder)
ListFrom = Callable[[str, int], Sequence[Kept]]
"""Given an order and a number, returns so many at most, by order, beginning with that one."""


def read_page(request: PageRequest, list_from: ListFrom[Kept]) -> tuple[Sequence[Kept], str]:
    """Return the page that is asked for, and the token of the next one; "" after the last."""
    size = request.page_size or DEFAULT_PAGE_SIZE
    found = list_from(request.page_token.lower(), size + 1)
    return found[:size], found[size].order_id if len(found) > size else ""
