"""Latency at a steady rate: a promotion code for 50 callers, and products at 80 % of their peak."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mamie_rosa.promotions.internal.v1 import promotions_pb2

from scripts.benchmarks.caller import Load, Result
from scripts.benchmarks.contenders import call
from scripts.benchmarks.verify_stock import SKU
from scripts.stack.client import Stack

CALLERS = 50
VALIDATIONS_PER_SECOND = 200.0
"""Eight times as many as a thousand shoppers cause."""
LOAD_SHARE = 0.8
VALIDATE = "/mamie_rosa.promotions.internal.v1.PromotionsService/ValidatePromo"


@dataclass(frozen=True, kw_only=True)
class Steady:
    """What callers met at a steady rate of calls per second."""

    name: str
    rate: float
    result: Result


def measure_steady(stack: Stack, seconds: float) -> Sequence[Steady]:
    """Measure every kind of call, one after the other."""
    return [
        Steady(
            name=name,
            rate=load.per_second,
            result=call(replace(load, callers=CALLERS, seconds=seconds)),
        )
        for name, load in _loads(stack, seconds)
    ]


def _loads(stack: Stack, seconds: float) -> Iterator[tuple[str, Load]]:
    line = promotions_pb2.CartLine(category="dog-food", amount="59.90")
    request = promotions_pb2.ValidatePromoRequest(
        promo_code="WELCOME10", user_id=str(uuid.uuid4()), lines=[line]
    )
    yield (
        "ValidatePromo, one instance",
        Load(
            kind="grpc",
            target=stack.address("promotions-1"),
            method=VALIDATE,
            body=request.SerializeToString().hex(),
            per_second=VALIDATIONS_PER_SECOND,
        ),
    )
    product = Load(kind="rest", target=f"{stack.url('http')}/api/products/{SKU}")
    stock = Load(
        kind="rest",
        target=f"{stack.url('http')}/api/products/check-stock",
        body=f'{{"items": [{{"productId": "{SKU}", "quantity": 1}}]}}',
    )
    for name, load in (
        ("a product through Envoy, cached", product),
        ("the stock of a cart through Envoy, never cached", stock),
    ):
        peak = call(replace(load, callers=CALLERS, seconds=seconds))
        rate = LOAD_SHARE * peak.calls / peak.seconds
        yield f"{name}, at 80 % of its peak", replace(load, per_second=rate)
