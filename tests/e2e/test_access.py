"""Who may call what: every public method, for every kind of caller.

The protos declare the access of each method. The matrix refines it where the message decides, and
has the bodies that a method needs before it decides.
"""

from typing import Any, NamedTuple

import grpc
import pytest

from scripts.paths import DESCRIPTORS
from scripts.protos.methods import public_methods
from services.common.rpc.status import read_status
from tests.support.shop import ADDRESS, error_of

pytestmark = pytest.mark.e2e

OPEN, SIGNED_IN, OWNER, BUYER, ADMIN = "open", "signed in", "owner", "buyer", "admin"


class Rule(NamedTuple):
    """The access that a method needs, and a body for it."""

    access: str
    body: dict | None = None


PROFILE = {"firstName": "A", "lastName": "B", "preferences": {}}
PRODUCT = {"title": "T", "category": "dog-food", "price": "1.00"}
PROMOTION = {
    "code": "MATRIX",
    "discountPercentage": 1,
    "validFrom": "2020-01-01T00:00:00Z",
    "validUntil": "2020-01-02T00:00:00Z",
}
MATRIX = {
    "POST /api/users/register": Rule(OPEN, {}),
    "POST /api/users/login": Rule(OPEN, {}),
    "GET /.well-known/jwks.json": Rule(OPEN),
    "GET /api/users/{id}": Rule(OWNER),
    "PUT /api/users/{id}": Rule(OWNER, PROFILE),
    "GET /api/products": Rule(OPEN),
    "GET /api/products/{id}": Rule(OPEN),
    "POST /api/products/check-stock": Rule(OPEN, {}),
    "POST /api/products": Rule(ADMIN, PRODUCT | {"sku": "prod_001"}),
    "PUT /api/products/{id}": Rule(ADMIN, PRODUCT),
    "PATCH /api/products/{id}/inventory": Rule(ADMIN, {"quantity": 1, "reason": "matrix"}),
    "POST /api/products/{id}/ratings": Rule(BUYER, {"stars": 5}),
    "POST /api/orders": Rule(
        SIGNED_IN,
        {"items": [{"productId": "prod_003", "quantity": 1}], "shippingAddress": ADDRESS},
    ),
    "GET /api/orders": Rule(SIGNED_IN),
    "GET /api/orders/{id}": Rule(OWNER),
    "GET /api/orders/{id}/history": Rule(OWNER),
    "POST /api/orders/{id}/status": Rule(ADMIN, {"status": "DELIVERED"}),
    "POST /api/orders/{id}/cancel": Rule(OWNER, {"reason": "matrix"}),
    # After its cancel: a stream stays open until its order is in a terminal state.
    "GET /api/orders/{id}/events": Rule(OWNER),
    "GET /api/home": Rule(SIGNED_IN),
    "GET /api/notifications": Rule(SIGNED_IN),
    "GET /api/recommendations/{id}": Rule(OWNER),
    "POST /api/recommendations/training": Rule(
        ADMIN, {"userId": "matrix", "purchasedItems": ["prod_001"]}
    ),
    "POST /api/promotions": Rule(ADMIN, PROMOTION),
    "GET /api/promotions/{code}": Rule(SIGNED_IN),
    "POST /api/promotions/validate": Rule(
        SIGNED_IN, {"promoCode": "WELCOME10", "cartTotal": "1.00"}
    ),
}
CALLERS = ("anonymous", "stranger", "owner", "admin")
MAY = {
    OPEN: CALLERS,
    SIGNED_IN: ("stranger", "owner", "admin"),
    OWNER: ("owner", "admin"),
    BUYER: ("owner",),
    ADMIN: ("admin",),
}


DECLARED = {f"{method.verb} {method.path}": method.access for method in public_methods(DESCRIPTORS)}
ACCESS = {"ANYONE": OPEN, "SIGNED_IN": SIGNED_IN, "ADMIN": ADMIN}
REFINED = (OWNER, BUYER)
UNREFINED = {call: Rule(ACCESS[access]) for call, access in DECLARED.items() if call not in MATRIX}
RULES = MATRIX | UNREFINED


def test_the_matrix_agrees_with_the_protos():
    assert set(MATRIX) <= set(DECLARED)
    for call, rule in MATRIX.items():
        expected = SIGNED_IN if rule.access in REFINED else rule.access
        assert ACCESS[DECLARED[call]] == expected, call


@pytest.fixture(scope="module")
def callers(shop):
    owner = shop.register()
    return {
        "anonymous": shop.visitor,
        "stranger": shop.register(),
        "owner": owner,
        "admin": shop.admin,
    }


@pytest.fixture(scope="module")
def path_ids(shop, callers):
    """Ids for the paths: of resources of `owner`, and of a product that they bought."""
    product = shop.add_product()
    order_id = callers["owner"].buy((product, 1))
    return {
        "/api/users/": callers["owner"].user_id,
        "/api/products/": product["sku"],
        "/api/orders/": order_id,
        "/api/promotions/": shop.add_promotion(),  # which an administrator ends here
        "/api/recommendations/": callers["owner"].user_id,
    }


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("call", RULES)
def test_a_caller_may_call_exactly_what_the_matrix_allows(callers, path_ids, call, caller):
    rule, (verb, path) = RULES[call], call.split()
    for prefix, value in path_ids.items():
        if path.startswith(prefix):
            path = path.replace("{id}", value).replace("{code}", value)
    answer = callers[caller].call(verb, path, rule.body)
    if caller in MAY[rule.access]:
        assert answer.status_code not in (401, 403, 500), answer.text
    elif caller == "anonymous":
        assert error_of(answer) == (401, "NOT_SIGNED_IN")
    else:
        assert error_of(answer)[0] == 403


def test_another_customers_orders_are_not_listed(callers):
    path = f"/api/orders?userId={callers['owner'].user_id}"
    assert error_of(callers["stranger"].get(path)) == (403, "NOT_YOURS")
    assert callers["admin"].get(path).status_code == 200


def test_identity_headers_from_outside_are_ignored(callers, path_ids):
    path = f"/api/orders/{path_ids['/api/orders/']}"
    forged = {"x_user_id": callers["owner"].user_id, "x_user_role": "admin"}
    assert error_of(callers["stranger"].call("GET", path, **forged)) == (403, "NOT_YOURS")
    assert error_of(callers["anonymous"].call("GET", path, **forged)) == (401, "NOT_SIGNED_IN")


GUARDED = [method for method in public_methods(DESCRIPTORS) if method.access != "ANYONE"]


@pytest.mark.parametrize("method", GUARDED, ids=lambda method: method.grpc_path)
def test_an_instance_believes_no_identity_headers_on_its_own_port(stack, callers, method):
    address = stack.address(f"{method.folder}-1", "order-events" if method.streams else "")
    headers = (("x-user-id", callers["owner"].user_id), ("x-user-role", "admin"))
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_stream if method.streams else channel.unary_unary
        with pytest.raises(grpc.RpcError) as caught:
            list(call(method.grpc_path)(b"", metadata=headers, timeout=5))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert read_status(caught.value)[0] == "NOT_SIGNED_IN"


def test_an_unknown_order_is_not_found(callers):
    assert error_of(callers["stranger"].get("/api/orders/nothing")) == (404, "ORDER_NOT_FOUND")
