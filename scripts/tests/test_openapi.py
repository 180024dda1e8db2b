"""The OpenAPI document is valid, complete, and says what the protos declare."""

import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from scripts.openapi import files, reasons
from scripts.openapi.document import openapi
from scripts.openapi.methods import API, read_methods
from scripts.openapi.protos import Protos
from scripts.paths import DESCRIPTORS
from scripts.protos.methods import public_methods

Document = dict[str, Any]


@pytest.fixture(scope="module")
def protos() -> Protos:
    return Protos.read(DESCRIPTORS)


@pytest.fixture(scope="module")
def document(protos: Protos) -> Document:
    return openapi(protos)


def operations(document: Document) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, verb, operation)
        for path, methods in document["paths"].items()
        for verb, operation in methods.items()
    ]


def schema(document: Document, name: str) -> dict[str, Any]:
    """Return a component in a form that a validator takes: with all that it refers to."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def accepts(document: Document, name: str, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema(document, name)).is_valid(value)


def test_the_committed_documents_are_those_of_the_protos():
    assert files.stale() == []


def test_the_document_is_valid_openapi(document: Document):
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_does_not_depend_on_the_order_of_anything(protos: Protos, document: Document):
    assert json.dumps(openapi(Protos.read(DESCRIPTORS))) == json.dumps(document)


def test_every_public_method_of_the_api_is_an_operation(document: Document):
    public = {
        (method.verb.lower(), method.grpc_path)
        for method in public_methods(DESCRIPTORS)
        if method.path.startswith(API)
    }
    described = {(verb, operation["x-grpc"]) for _, verb, operation in operations(document)}
    assert described == public


def test_every_operation_and_field_has_a_description(document: Document):
    assert [op["operationId"] for *_, op in operations(document) if not op["summary"]] == []
    silent = [
        f"{name}.{field}"
        for name, described in document["components"]["schemas"].items()
        for field, value in described.get("properties", {}).items()
        if "description" not in value and not field.startswith("@")
    ]
    assert silent == []


def test_every_reason_of_a_public_service_is_one_of_a_method(protos: Protos):
    explained = reasons.read_reasons()
    methods = list(read_methods(protos))
    folders = {method.folder for method in methods}
    declared = {(method.folder, reason) for method in methods for reason in method.rest.reasons}
    known = {(each.section, each.name) for each in explained.all if each.section in folders}
    assert len(known) > 20
    assert known - declared == {("storefront", "ASSET_NOT_FOUND")}, "files are for pages alone"


def test_a_reason_that_no_document_explains_is_an_error():
    with pytest.raises(reasons.UnknownReasonError):
        reasons.read_reasons().find("orders", "NO_SUCH_REASON")


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("email", "rosa@customers.example", True),
        ("email", "rosa@customers", False),
        ("email", "rosa", False),
        ("password", "ten blanks", True),
        ("password", " " * 10, True),
        ("password", "too short", False),
        ("firstName", "R", True),
        ("firstName", " ", False),
        ("firstName", "R\0", False),
        ("firstName", "x" * 101, False),
        ("animalType", "", True),
    ],
)
def test_rules_of_texts_become_keywords(document: Document, field: str, value: str, accepted: bool):
    account = {
        "email": "rosa@customers.example",
        "password": "croquettes pour tous",
        "firstName": "Rosa",
        "lastName": "Martin",
    }
    assert accepts(document, "RegisterUserRequest", account | {field: value}) is accepted


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("AdjustInventoryRequest", {"quantity": 1, "reason": "x"}, True),
        ("AdjustInventoryRequest", {"quantity": 0, "reason": "x"}, False),
        ("AdjustInventoryRequest", {"reason": "x"}, False),
        ("UpdateOrderStatusRequest", {"status": "SHIPPED"}, True),
        ("UpdateOrderStatusRequest", {"status": "CANCELLED"}, False),
        ("UpdateOrderStatusRequest", {}, False),
        ("CheckStockRequest", {"items": [{"productId": "a", "quantity": 1}]}, True),
        ("CheckStockRequest", {"items": []}, False),
        ("CheckStockRequest", {"items": [{"productId": "a"}]}, False),
    ],
)
def test_rules_of_numbers_enums_and_lists_become_keywords(
    document: Document, name: str, value: Any, accepted: bool
):
    assert accepts(document, name, value) is accepted


@pytest.mark.parametrize("currency", ["EUR", "", None])
def test_a_rule_that_ignores_the_zero_value_accepts_it(document: Document, currency: str | None):
    product = {"sku": "a", "title": "a", "category": "a", "price": "1"}
    given = product if currency is None else product | {"currency": currency}
    assert accepts(document, "CreateProductRequest", given)
    assert not accepts(document, "CreateProductRequest", product | {"currency": "USD"})


def test_every_example_fits_its_schema(document: Document):
    checked = 0
    for *_, operation in operations(document):
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [each.get("content", {}) for each in operation["responses"].values()]
        for content in contents:
            for described in content.values():
                if "example" in described:
                    checked += 1
                    given = {**described["schema"], "components": document["components"]}
                    jsonschema.Draft202012Validator(given).validate(described["example"])
    assert checked > 35


def test_every_operation_has_an_example_of_each_part(document: Document):
    for *_, operation in operations(document):
        if body := operation.get("requestBody"):
            assert "example" in body["content"]["application/json"], operation["operationId"]
        for parameter in operation.get("parameters", ()):
            if parameter.get("in") == "path":
                assert "example" in parameter, operation["operationId"]
