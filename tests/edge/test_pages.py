"""The pages of the shop and their files, through the edge."""

import httpx
import pytest

from tests.edge.envelope import error_of
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GetStartPage"),
        ("/?utm_source=mail", "GetStartPage"),
        ("/shop?q=foin", "GetPage"),
        ("/shop/orders/1?q=%C3%A9t%C3%A9&page=2", "GetPage"),
        ("/admin", "GetAdminPage"),
        ("/admin/orders?show=stuck", "GetAdminPage"),
        ("/ops", "GetOpsPage"),
        ("/ops/traces?id=1", "GetOpsPage"),
    ],
)
def test_a_page_may_have_any_query(
    client: httpx.Client, shop: FakeShop, path: str, method: str
) -> None:
    before = len(shop.calls_of(method))
    assert client.get(path).status_code == 200
    assert len(shop.calls_of(method)) == before + 1


def test_a_query_does_not_override_the_path(client: httpx.Client, shop: FakeShop) -> None:
    assert client.get("/shop/cart?path=elsewhere").status_code == 200
    assert shop.calls_of("GetPage", path="cart")


@pytest.mark.parametrize(
    "path", ["/nothing", "/shops/1", "/administration", "/opsen", "/index.html", "/api/nothing"]
)
def test_what_is_no_page_is_an_unknown_path(client: httpx.Client, path: str) -> None:
    assert error_of(client.get(path)) == (404, "UNKNOWN_PATH")


def test_a_page_takes_no_other_method(client: httpx.Client) -> None:
    assert client.post("/", json={}).status_code in (404, 405)


def test_a_file_is_compressed_and_then_served_by_the_edge_alone(
    client: httpx.Client, shop: FakeShop
) -> None:
    path = "/assets/v1/pages/home.js"
    first = client.get(path)
    assert first.headers["content-type"] == "text/javascript"
    assert first.headers["content-encoding"] == "gzip"
    assert "immutable" in first.headers["cache-control"]
    eventually(lambda: "age" in client.get(path).headers)
    asked = len(shop.calls_of("GetAsset", version="v1", path="pages/home.js"))
    assert client.get(path).text == first.text
    assert len(shop.calls_of("GetAsset", version="v1", path="pages/home.js")) == asked
