"""Limits inside the mesh are never narrower than outside: what is accepted can be carried out."""

import importlib
import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from scripts.paths import ROOT
from services.common.money import format_amount
from services.orders.placing.checkout import MAX_TOTAL

PROTOS = sorted((ROOT / "protos").glob("mamie_rosa/**/*.proto"))
RULE: Any = validate_pb2.field
UPPER_CASE_GROWTH = 3
VALIDATED = "promotions.internal.v1.ValidatePromoRequest."

CARRIED = {
    "orders.v1.CartItem.product_id": [
        "catalog.internal.v1.VerifyStockRequest.product_id",
        "catalog.internal.v1.StockLine.product_id",
    ],
    "orders.v1.CreateOrderRequest.payment_token": [
        "payments.internal.v1.ProcessPaymentRequest.payment_token"
    ],
    "orders.v1.CancelOrderRequest.reason": ["payments.internal.v1.RefundPaymentRequest.reason"],
}
"""Where else a field's value is carried as it is."""


@cache
def fields() -> dict[str, FieldDescriptor]:
    """Return the fields of all messages, by their full name without "mamie_rosa."."""
    return {
        field.full_name.removeprefix("mamie_rosa."): field
        for path in PROTOS
        for message in _generated(path).DESCRIPTOR.message_types_by_name.values()
        for field in _fields(message)
    }


def _generated(path: Path) -> Any:
    module = ".".join(path.relative_to(ROOT / "protos").with_suffix("").parts)
    return importlib.import_module(f"{module}_pb2")


def _fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        yield from _fields(nested)


def rules(name: str) -> Any:
    return fields()[name].GetOptions().Extensions[validate_pb2.field]


def narrower(outside: Any, inside: Any) -> bool:
    """Return whether a text may be too long or too short inside that is right outside."""
    longest = inside.string.max_len if inside.string.HasField("max_len") else sys.maxsize
    allowed = outside.string.max_len if outside.string.HasField("max_len") else sys.maxsize
    return longest < allowed


@pytest.mark.parametrize(
    ("outside", "inside"), [(outside, each) for outside, all_ in CARRIED.items() for each in all_]
)
def test_a_text_that_is_carried_fits(outside, inside):
    assert not narrower(rules(outside), rules(inside))


def test_texts_of_one_name_are_never_narrower_inside():
    limited = [n for n, field in fields().items() if field.GetOptions().HasExtension(RULE)]
    inside = [name for name in limited if ".internal." in name]
    wrong = [
        f"{outer} does not fit into {inner}"
        for outer in limited
        for inner in inside
        if ".v1." in outer.replace(".internal.v1.", "")
        and outer.split(".")[-1] == inner.split(".")[-1]
        if rules(outer).HasField("string") and narrower(rules(outer), rules(inner))
    ]
    # An id of a user or an order is an UUID whatever its field would let through.
    assert [line for line in wrong if "_id " not in line.replace("product_id ", "")] == []


def test_a_cart_that_adds_up_to_the_most_fits():
    lines = rules("orders.v1.CreateOrderRequest.items").repeated.max_items
    units = rules("orders.v1.CartItem.quantity").int32.lte
    for name in ("VerifyStockRequest", "StockLine"):
        assert rules(f"catalog.internal.v1.{name}.quantity").int32.lte >= lines * units
    for name in ("catalog.internal.v1.ReserveStockRequest.items", VALIDATED + "lines"):
        assert rules(name).repeated.max_items >= lines


def test_the_largest_order_can_be_paid_and_discounted():
    for name in (
        "payments.internal.v1.ProcessPaymentRequest.amount",
        "promotions.internal.v1.CartLine.amount",
    ):
        assert re.fullmatch(rules(name).string.pattern, format_amount(MAX_TOTAL))


def test_a_code_fits_after_it_is_normalized():
    longest = rules("orders.v1.CreateOrderRequest.promo_code").string.max_len * UPPER_CASE_GROWTH
    for name in ("ValidatePromoRequest", "RedeemPromoRequest", "ReleasePromoRequest"):
        assert rules(f"promotions.internal.v1.{name}.promo_code").string.max_len >= longest
    growth = max(
        len(unicodedata.normalize("NFC", chr(each)).upper())
        for each in range(sys.maxunicode)
        if not 0xD800 <= each <= 0xDFFF
    )
    assert growth == UPPER_CASE_GROWTH
