"""The OpenAPI document, for tests that hold the shop to it."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from scripts.paths import ROOT

PATH = ROOT / "services" / "storefront" / "reference" / "openapi.json"
DOCUMENT: Mapping[str, Any] = json.loads(PATH.read_text())


class Described(NamedTuple):
    """An operation, with the path and the verb that it is found at."""

    path: str
    verb: str
    operation: Mapping[str, Any]


OPERATIONS = {
    operation["operationId"]: Described(path, verb, operation)
    for path, methods in DOCUMENT["paths"].items()
    for verb, operation in methods.items()
}
"""All operations by their ids, which are the names of the gRPC methods."""
