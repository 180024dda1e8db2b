"""No string of a request may contain a NUL."""

import pytest
from google.protobuf import any_pb2, struct_pb2, wrappers_pb2
from google.rpc import error_details_pb2
from mamie_rosa.catalog.v1 import catalog_pb2

from services.common.rpc.validation import InvalidFieldsError, validate


def fields(request):
    with pytest.raises(InvalidFieldsError) as caught:
        validate(request)
    return [violation.field for violation in caught.value.bad_request.field_violations]


def line(product_id, quantity=1):
    return catalog_pb2.StockLine(product_id=product_id, quantity=quantity)


def test_a_nul_is_found_in_a_field():
    assert fields(catalog_pb2.GetProductRequest(id="prod\0_001")) == ["id"]


def test_a_nul_is_found_in_a_list_of_messages_with_its_index():
    request = catalog_pb2.CheckStockRequest(items=[line("a"), line("b\0"), line("\0")])
    assert fields(request) == ["items[1].productId", "items[2].productId"]


def test_a_nul_is_found_in_a_list_of_strings():
    debug = error_details_pb2.DebugInfo(stack_entries=["a", "b\0"])
    assert fields(debug) == ["stackEntries[1]"]


def test_a_nul_is_found_in_the_keys_and_the_values_of_maps():
    info = error_details_pb2.ErrorInfo(metadata={"key": "value\0"})
    assert fields(info) == ["metadata[key]"]
    info = error_details_pb2.ErrorInfo(metadata={"key\0": "value"})
    assert fields(info) == ["metadata"]


def test_a_nul_is_found_in_nested_messages():
    request = struct_pb2.Struct()
    request.update({"a": [{"b": "c\0"}]})
    path = "fields[a].listValue.values[0].structValue.fields[b].stringValue"
    assert fields(request) == [path]


def test_rule_violations_and_nuls_are_reported_together():
    request = catalog_pb2.CheckStockRequest(items=[line("a\0", quantity=0)])
    assert sorted(fields(request)) == ["items[0].productId", "items[0].quantity"]


@pytest.mark.parametrize(
    "request_",
    [
        catalog_pb2.CheckStockRequest(items=[line("a"), line("é✓\U0001f436\x01")]),
        wrappers_pb2.BytesValue(value=b"\0"),
        wrappers_pb2.DoubleValue(value=1.0),
        any_pb2.Any(type_url="x", value=b"\0\0"),
        catalog_pb2.ListProductsRequest(),
    ],
)
def test_zero_bytes_outside_of_strings_are_valid(request_):
    validate(request_)
