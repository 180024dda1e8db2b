"""Requests: no string contains a NUL, lists are counted first, refusals are short."""

import resource
import time
import uuid
from urllib.parse import quote

import pytest
from google.protobuf import any_pb2, struct_pb2, wrappers_pb2
from google.rpc import error_details_pb2
from mamie_rosa.catalog.v1 import catalog_pb2

from services.common.errors import InvalidArgumentError
from services.common.rpc.interceptors import error_response
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


def cart(count):
    return catalog_pb2.CheckStockRequest(items=[catalog_pb2.StockLine()] * count)


def test_a_list_that_is_too_long_is_rejected_by_its_length_alone():
    with pytest.raises(InvalidFieldsError) as caught:
        validate(cart(51))
    (violation,) = caught.value.bad_request.field_violations
    assert (violation.field, violation.description) == (
        "items",
        "must contain no more than 50 item(s)",
    )


def test_lists_and_maps_without_a_rule_have_a_limit_too():
    debug = error_details_pb2.DebugInfo(stack_entries=["a"] * 1_001)
    assert fields(debug) == ["stackEntries"]
    info = error_details_pb2.ErrorInfo(metadata={str(n): "" for n in range(1_001)})
    assert fields(info) == ["metadata"]


def test_a_long_list_is_found_inside_of_messages_lists_and_maps():
    request = struct_pb2.Struct()
    request.update({"a": [{"b": ["c"] * 1_001}]})
    path = "fields[a].listValue.values[0].structValue.fields[b].listValue.values"
    assert fields(request) == [path]


def test_the_longest_list_that_is_allowed_is_validated():
    assert len(fields(cart(50))) == 20


@pytest.mark.parametrize("count", [50_000, 349_000])
def test_a_mebibyte_of_empty_lines_costs_little_time_and_memory(count):
    data, before = cart(count).SerializeToString(), peak_bytes()
    started = time.monotonic()
    request = catalog_pb2.CheckStockRequest.FromString(data)
    assert fields(request) == ["items"]
    assert time.monotonic() - started < 1
    assert peak_bytes() - before < 50e6


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    "request_",
    [
        cart(50),
        cart(1_000),
        catalog_pb2.GetProductRequest(id="x" * 1_000_000),
        error_details_pb2.ErrorInfo(metadata={"k" * 1_000 + str(n): "\0" for n in range(900)}),
    ],
    ids=["many violations", "a long list", "a long text", "long names"],
)
def test_a_refusal_is_short_whatever_was_sent(request_):
    with pytest.raises(InvalidFieldsError) as caught:
        validate(request_)
    assert size(caught.value) <= 5_000


def size(error):
    """Return the bytes of an error on the wire: the text, and the details in base64."""
    response = error_response(error)
    details = sum(len(value) for _, value in response.trailing_metadata)
    return len(quote(response.status.message)) + details * 4 // 3


class RepeatingError(InvalidArgumentError):
    """An error that repeats what was sent."""

    reason = "REPEATING"


@pytest.mark.parametrize("sent", ["x" * 5_000, "é" * 100_000, "\U0001f436" * 100_000])
def test_an_error_that_repeats_what_was_sent_is_short(sent):
    error = RepeatingError(f"There is no {sent}.", productId=sent, more=sent)
    response = error_response(error)
    assert size(error) <= 6_000
    assert response.status.message.startswith("There is no ")
    assert response.status.message.endswith("...")


def test_the_ids_of_fifty_products_fit_into_an_error():
    ids = ",".join([str(uuid.uuid4())] * 50)
    status = error_response(RepeatingError("Out of stock.", productIds=ids)).status
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.metadata["productIds"] == ids
