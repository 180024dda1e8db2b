"""Whatever a client sends wrong: the right status, one shape, a reason, and nothing written."""

import pytest

from tests.support.shop import ADDRESS, problem

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
def test_an_order_that_breaks_the_rules_is_refused_field_by_field(alice, body):
    answer = alice.post("/api/orders", body)
    assert problem(answer) == (400, "INVALID_FIELDS")
    kinds = [detail["@type"].rsplit(".", 1)[-1] for detail in answer.json()["details"]]
    assert kinds == ["ErrorInfo", "BadRequest"]
    assert alice.get("/api/orders").json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        ORDER | {"items": [ITEM | {"quantity": "many"}]},
        ORDER | {"items": [ITEM | {"quantity": 1.5}]},
        ORDER | {"items": [ITEM | {"quantity": 99999999999}]},
        ORDER | {"items": "prod_001"},
    ],
)
def test_a_wrong_type_is_refused(alice, body):
    assert problem(alice.post("/api/orders", body)) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("text", ["{", "[1", '{"items": [}', '{"items"'])
def test_malformed_json_is_refused(shop, alice, text):
    headers = {"authorization": f"Bearer {alice.token}", "content-type": "application/json"}
    answer = shop.http.post("/api/orders", content=text, headers=headers)
    assert problem(answer) == (400, "MALFORMED_REQUEST")


def test_an_unknown_product_is_named(alice):
    answer = alice.order(({"productId": "prod_999"}, 1))
    assert problem(answer) == (422, "PRODUCT_NOT_FOUND")
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
        ("/", 404),
    ],
)
def test_wrong_paths_and_parameters_are_told_apart(shop, path, status):
    assert problem(shop.visitor.get(path))[0] == status


def test_a_body_over_one_mebibyte_is_refused(alice):
    answer = alice.post("/api/orders", ORDER | {"promoCode": "x" * 1_100_000})
    assert problem(answer)[0] == 413


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"password": "too short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"firstName": ""}, "firstName"),
    ],
)
def test_a_registration_that_breaks_the_rules_names_the_field(shop, change, field):
    account = {
        "email": "somebody@clients.example",
        "password": "a long enough password",
        "firstName": "A",
        "lastName": "B",
    }
    answer = shop.visitor.post("/api/users/register", account | change)
    assert problem(answer) == (400, "INVALID_FIELDS")
    violations = answer.json()["details"][1]["fieldViolations"]
    assert [violation["field"] for violation in violations] == [field]


def test_a_query_parameter_does_not_override_the_path(shop, alice):
    own, other = alice.place(({"productId": "prod_002"}, 1)), "nothing"
    answer = alice.get(f"/api/orders/{own}?id={other}")
    assert answer.status_code == 400 or answer.json()["orderId"] == own


def test_an_idempotency_key_that_is_too_long_is_refused(alice):
    answer = alice.post("/api/orders", ORDER, idempotency_key="k" * 256)
    assert problem(answer) == (400, "INVALID_IDEMPOTENCY_KEY")
