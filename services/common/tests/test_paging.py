"""Pages of items keyed by order id."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from services.common.rpc.paging import DEFAULT_PAGE_SIZE, read_page


@dataclass
class Request:
    page_size: int = 0
    page_token: str = ""
    order_ids: Sequence[str] = ()


@dataclass(frozen=True)
class Item:
    order_id: str


ALL = [Item(f"{number:03}a") for number in range(150)]


class Items:
    def __init__(self, items=ALL):
        self._items = items

    def list_from(self, order_id, limit):
        return [item for item in self._items if item.order_id >= order_id][:limit]

    def list_of(self, order_ids):
        return [item for item in self._items if item.order_id in order_ids]


@pytest.mark.parametrize("size", [1, 7, 149, 150, 151])
def test_the_pages_have_every_item_once(size):
    pages, token = [], ""
    while True:
        page, token = read_page(Request(size, token), Items())
        pages.append(page)
        if not token:
            break
    assert [item for page in pages for item in page] == ALL
    assert {len(page) for page in pages[:-1]} <= {size}
    assert pages[-1]


def test_a_request_without_a_size_gets_the_default():
    page, token = read_page(Request(), Items())
    assert (len(page), token) == (DEFAULT_PAGE_SIZE, ALL[DEFAULT_PAGE_SIZE].order_id)


def test_page_tokens_are_case_insensitive():
    page, _ = read_page(Request(page_size=1, page_token="149A"), Items())
    assert page == [ALL[149]]


def test_no_items_are_one_empty_page():
    assert read_page(Request(), Items([])) == ([], "")


def test_the_items_of_some_orders_are_one_page():
    page, token = read_page(Request(page_size=1, order_ids=["149A", "007a", "999a"]), Items())
    assert (page, token) == ([ALL[7], ALL[149]], "")
