"""Every example of the OpenAPI document, run by a shell as a reader runs it."""

import json
import subprocess
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import pytest

from tests.api.document import DOCUMENT, OPERATIONS
from tests.support.shop import PASSWORD, Customer, Shop
from tests.support.traces import sampled_traceparent, trace_id_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

CURL = """\
curl() { command curl --silent --show-error --max-time 30 --write-out "\\n%{http_code}" "$@"; }
"""


class Reader:
    """Somebody who tries the examples: a customer who has bought, and the shop's owner."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.customer = shop.register()
        self.product = shop.add_product()
        self.order = self.customer.buy(({"productId": "prod_001"}, 1))

    @property
    def watched(self) -> str:
        """Return an order whose stream ends at once."""
        order = self.customer.buy((self.product, 1))
        self.customer.cancel(order)
        return order

    @property
    def trace(self) -> str:
        """Return a trace that is stored."""
        traceparent = sampled_traceparent()
        trace_id = trace_id_of(traceparent)
        self.customer.call("GET", "/api/home", traceparent=traceparent)
        eventually(lambda: self.shop.admin.get(f"/api/ops/traces/{trace_id}").status_code == 200)
        return trace_id


IDS: Mapping[str, Callable[[Reader], str]] = {
    "GetUser": lambda reader: reader.customer.user_id,
    "UpdateUser": lambda reader: reader.customer.user_id,
    "ChangePassword": lambda reader: reader.customer.user_id,
    "GetRecommendations": lambda reader: reader.customer.user_id,
    "GetProduct": lambda reader: "prod_001",
    "RateProduct": lambda reader: "prod_001",
    "UpdateProduct": lambda reader: reader.product["productId"],
    "AdjustInventory": lambda reader: reader.product["productId"],
    "GetPromotion": lambda reader: "WELCOME10",
    "EndPromotion": lambda reader: reader.shop.add_promotion(),
    "GetServiceHistory": lambda reader: "catalog",
    "GetTrace": lambda reader: reader.trace,
    "WatchOrder": lambda reader: reader.watched,
    "CancelOrder": lambda reader: reader.customer.buy((reader.product, 1)),
}
"""What $ID is in the path of an operation; the order that was bought unless it is said here."""


@pytest.fixture(scope="module")
def reader(shop: Shop) -> Reader:
    return Reader(shop)


def own_values(source: str, customer: Customer) -> str:
    """Return the lines with values that are new, or this customer's own."""
    unique = uuid.uuid4().hex[:12]
    if "/login" in source:
        replaced = source.replace("rosa@customers.example", customer.email)
        return replaced.replace("croquettes pour tous", PASSWORD)
    if "/users/find" in source:
        return source.replace("rosa@customers.example", customer.email)
    if "/password" in source:
        return source.replace('"croquettes pour tous"', f'"{PASSWORD}"')
    for example in ("rosa@customers.example", "new_001", "SPRING26"):
        source = source.replace(f'"{example}"', f'"{unique}{example.replace("_", "")}"')
    return source


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_example_is_answered_as_the_document_says(reader: Reader, name: str) -> None:
    operation = OPERATIONS[name].operation
    who = reader.shop.admin if operation["x-access"] == "ADMIN" else reader.customer
    environment = {
        "PATH": "/usr/bin:/bin",
        "SHOP": reader.shop.url,
        "TOKEN": who.token,
        "KEY": str(uuid.uuid4()),
        "ID": IDS.get(name, lambda found: found.order)(reader),
    }
    source = own_values(operation["x-codeSamples"][0]["source"], reader.customer)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", CURL + source],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    succeeded = min(each for each in operation["responses"] if each.startswith("2"))
    assert status == succeeded, body
    check_body(operation["responses"][succeeded], body)


def check_body(response: Mapping[str, Any], body: str) -> None:
    for media_type, content in response["content"].items():
        if media_type == "application/json":
            whole = {**content["schema"], "components": DOCUMENT["components"]}
            jsonschema.Draft202012Validator(whole).validate(json.loads(body))
        else:
            assert body.startswith("retry: 1000\n\nid: 1\nevent: status\ndata: {")
