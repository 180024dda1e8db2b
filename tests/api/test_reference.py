"""The reference of the API as browsers and programs get it, through Envoy."""

import pytest

from tests.api.document import DOCUMENT
from tests.support.shop import Shop

pytestmark = pytest.mark.e2e


def test_the_document_is_served_to_anyone_and_not_sent_twice(shop: Shop) -> None:
    answer = shop.visitor.get("/api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT
    headers = {"if-none-match": answer.headers["etag"]}
    again = shop.http.get("/api/openapi.json", headers=headers)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/docs", "/docs/grpc", "/docs/events"])
def test_a_page_is_html_that_loads_one_style_sheet_of_the_shop(shop: Shop, path: str) -> None:
    answer = shop.visitor.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    assert answer.text.count("<link") == 1
    style = shop.visitor.get("/docs/style.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert style.status_code == 200
