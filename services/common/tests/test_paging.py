"""Pages that begin with the order that their token names."""

from dataclasses import dataclass

import pytest

from services.common.rpc.paging import DEFAULT_PAGE_SIZE, read_page


@dataclass
class Request:
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True)
class Kept:
    order_id: str


ALL = [Kept(f"{number:03}a") for number in range(150)]


def list_from(order_id, limit):
    return [kept for kept in ALL if kept.order_id >= order_id][:limit]


@pytest.mark.parametrize("size", [1, 7, 149, 150, 151])
def test_the_pages_are_everything_once(size):
    pages, token = [], ""
    while True:
        page, token = read_page(Request(size, token), list_from)
        pages.append(page)
        if not token:
            break
    assert [kept for page in pages for kept in page] == ALL
    assert {len(page) for page in pages[:-1]} <= {size}
    assert pages[-1]


def test_a_page_has_a_size_when_none_is_asked_for():
    page, token = read_page(Request(), list_from)
    assert (len(page), token) == (DEFAULT_PAGE_SIZE, ALL[DEFAULT_PAGE_SIZE].order_id)


def test_orders_are_compared_without_case():
    page, _ = read_page(Request(page_size=1, page_token="149A"), list_from)
    assert page == [ALL[149]]


def test_nothing_is_one_empty_page():
    assert read_page(Request(), lambda _order_id, _limit: []) == ([], "")
