"""A change of the OpenAPI document that breaks generated clients is found; another one passes."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from scripts.openapi.breaking import DOCUMENT, breaking_changes
from scripts.paths import ROOT

Document = dict[str, Any]
Change = Callable[[Document], Any]


@pytest.fixture(scope="module")
def committed() -> Document:
    document: Document = json.loads((ROOT / DOCUMENT).read_text())
    return document


def changed(document: Document, change: Change) -> list[str]:
    after = copy.deepcopy(document)
    change(after)
    return list(breaking_changes(document, after))


def schema(document: Document, name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def response(document: Document, status: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"]["/api/orders"]["post"]["responses"][status]
    return found


PLANTED: dict[str, Change] = {
    "GET /api/orders/{id} was removed": lambda d: d["paths"]["/api/orders/{id}"].pop("get"),
    "POST /api/orders: body.promoCode was removed": (
        lambda d: schema(d, "CreateOrderRequest")["properties"].pop("promoCode")
    ),
    "POST /api/orders: body.promoCode is required now": (
        lambda d: schema(d, "CreateOrderRequest")["required"].append("promoCode")
    ),
    "POST /api/orders: body.promoCode: maxLength is 20 now": (
        lambda d: schema(d, "CreateOrderRequest")["properties"]["promoCode"].update(maxLength=20)
    ),
    "POST /api/orders: body.items[].quantity: minimum is 2 now": (
        lambda d: schema(d, "CartItem")["properties"]["quantity"].update(minimum=2)
    ),
    "POST /api/orders: body.items[].quantity is of another type now": (
        lambda d: schema(d, "CartItem")["properties"]["quantity"].update(type="string")
    ),
    "POST /api/orders/{id}/status: body.status is never SHIPPED now": (
        lambda d: schema(d, "UpdateOrderStatusRequest")["properties"]["status"]["enum"].remove(
            "SHIPPED"
        )
    ),
    "GET /api/products: the parameter q was removed": (
        lambda d: d["paths"]["/api/products"]["get"]["parameters"].pop(3)
    ),
    "POST /api/orders 422: the reason OUT_OF_STOCK was removed": (
        lambda d: response(d, "422")["x-reasons"].remove("OUT_OF_STOCK")
    ),
    "POST /api/orders 422 was removed": (
        lambda d: d["paths"]["/api/orders"]["post"]["responses"].pop("422")
    ),
    "POST /api/orders 201.finalAmount was removed": (
        lambda d: schema(d, "CreateOrderResponse")["properties"].pop("finalAmount")
    ),
    "POST /api/orders 201.finalAmount may be left out now": (
        lambda d: schema(d, "CreateOrderResponse")["required"].remove("finalAmount")
    ),
    "GET /api/products needs SIGNED_IN now": (
        lambda d: d["paths"]["/api/products"]["get"].update({"x-access": "SIGNED_IN"})
    ),
}


@pytest.mark.parametrize("problem", PLANTED)
def test_a_planted_change_is_found(committed: Document, problem: str):
    assert problem in changed(committed, PLANTED[problem])


def add_a_field(document: Document) -> None:
    schema(document, "CreateOrderRequest")["properties"]["giftMessage"] = {"type": "string"}
    schema(document, "CreateOrderResponse")["properties"]["giftMessage"] = {"type": "string"}


COMPATIBLE: dict[str, Change] = {
    "nothing": lambda d: None,
    "a new field": add_a_field,
    "a new path": lambda d: d["paths"].update({"/api/new": {}}),
    "a rule that allows more": (
        lambda d: schema(d, "CreateOrderRequest")["properties"]["promoCode"].update(maxLength=80)
    ),
    "another text": lambda d: schema(d, "CreateOrderRequest").update(description="Another."),
    "a new reason": lambda d: response(d, "422")["x-reasons"].append("NEW"),
}


@pytest.mark.parametrize("change", COMPATIBLE)
def test_a_compatible_change_passes(committed: Document, change: str):
    assert changed(committed, COMPATIBLE[change]) == []
