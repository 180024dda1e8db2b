"""Invalid requests: the right status and reason, the common error shape, and nothing stored."""

import pytest

from tests.support.shop import ADDRESS, error_of

pytestmark = pytest.mark.e2e

ITEM = {"productId": "prod_001", "quantity": 1}
ORDER = {"items": [ITEM], "shippingAddress": ADDRESS}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        ORDER | {"items": [ITEM | {"quantity": -1}]},
        ORDER | {"items": [ITEM | {"quantity": 0}]},
        ORDER | {"items": [ITEM | {"quantity": 1001}]},
        ORDER | {"items": [ITEM | {"productId": ""}]},
        ORDER | {"items": [ITEM | {"productId": "prod\0001"}]},
        ORDER | {"items": [ITEM] * 51},
        {"items": [ITEM]},
        ORDER | {"shippingAddress": ADDRESS | {"country": "France"}},
        ORDER | {"shippingAddress": ADDRESS | {"line1": "x" * 201}},
        ORDER | {"promoCode": "x" * 41},
    ],
)
def test_an_invalid_order_is_rejected_with_its_fields(customer, body):
    answer = customer.post("/api/orders", body)
    assert error_of(answer) == (400, "INVALID_FIELDS")
    kinds = [detail["@type"].rsplit(".", 1)[-1] for detail in answer.json()["details"]]
    assert kinds == ["ErrorInfo", "BadRequest"]
    assert customer.get("/api/orders").json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        ORDER | {"items": [ITEM | {"quantity": "many"}]},
        ORDER | {"items": [ITEM | {"quantity": 1.5}]},
        ORDER | {"items": [ITEM | {"quantity": 99999999999}]},
        ORDER | {"items": "prod_001"},
    ],
)
def test_a_value_of_a_wrong_type_is_rejected(customer, body):
    assert error_of(customer.post("/api/orders", body)) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("text", ["{", "[1", '{"items": [}', '{"items"'])
def test_malformed_json_is_rejected(shop, customer, text):
    headers = {"authorization": f"Bearer {customer.token}", "content-type": "application/json"}
    answer = shop.http.post("/api/orders", content=text, headers=headers)
    assert error_of(answer) == (400, "MALFORMED_REQUEST")


def test_an_order_of_an_unknown_product_names_it(customer):
    answer = customer.order(({"productId": "prod_999"}, 1))
    assert error_of(answer) == (422, "PRODUCT_NOT_FOUND")
    assert answer.json()["details"][0]["metadata"]["productIds"] == "prod_999"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/products?colour=red", 400),
        ("/api/products?page=-1", 400),
        ("/api/products?limit=101", 400),
        ("/api/products?page=one", 400),
        ("/api/products/prod_999", 404),
        ("/api/nothing", 404),
        ("/index.html", 404),
    ],
)
def test_unknown_paths_and_invalid_parameters_have_different_statuses(shop, path, status):
    assert error_of(shop.visitor.get(path))[0] == status


def test_a_body_over_one_mebibyte_is_rejected(customer):
    answer = customer.post("/api/orders", ORDER | {"promoCode": "x" * 1_100_000})
    assert error_of(answer)[0] == 413


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"password": "too short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"firstName": ""}, "firstName"),
    ],
)
def test_an_invalid_registration_names_the_field(shop, change, field):
    account = {
        "email": "customer@customers.example",
        "password": "a long enough password",
        "firstName": "A",
        "lastName": "B",
    }
    answer = shop.visitor.post("/api/users/register", account | change)
    assert error_of(answer) == (400, "INVALID_FIELDS")
    violations = answer.json()["details"][1]["fieldViolations"]
    assert {violation["field"] for violation in violations} == {field}


def test_a_query_parameter_does_not_override_the_path(shop, customer):
    own, other = customer.place(({"productId": "prod_002"}, 1)), "nothing"
    answer = customer.get(f"/api/orders/{own}?id={other}")
    assert answer.status_code == 400 or answer.json()["orderId"] == own


def test_an_idempotency_key_that_is_too_long_is_rejected(customer):
    answer = customer.post("/api/orders", ORDER, idempotency_key="k" * 256)
    assert error_of(answer) == (400, "INVALID_IDEMPOTENCY_KEY")
