"""The storefront service: the JSON of start pages, and authorisation."""

import json

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from mamie_rosa.storefront.v1 import storefront_pb2

from services.common.rpc.testing import ADMIN, ADMIN_ID, ALICE, ALICE_ID, ANONYMOUS, InMemoryServer
from services.storefront.assets import Assets
from services.storefront.servicer import StorefrontServicer
from services.storefront.tests.fakes import (
    NAMES,
    ORDERS,
    PROFILE,
    PROMOTIONS,
    RECOMMENDATIONS,
    VALUES,
    build_fakes,
    build_home,
)

SERVICE = storefront_pb2.DESCRIPTOR.services_by_name["StorefrontService"]


@pytest.fixture
def parts():
    return build_fakes()


@pytest.fixture
def storefront(parts):
    return InMemoryServer(SERVICE, StorefrontServicer(home=build_home(parts), assets=Assets()))


def get_home(storefront, who=ALICE):
    return storefront.call("GetHome", storefront_pb2.GetHomeRequest(), who)


def page(storefront):
    return json.loads(get_home(storefront).response.data)


def as_rest(message):
    """Convert a message as the edge does: print_options in envoy/transcoder.yaml."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def test_a_page_is_for_the_caller(storefront, parts):
    for who, user_id in ((ALICE, ALICE_ID), (ADMIN, ADMIN_ID)):
        assert get_home(storefront, who).code is grpc.StatusCode.OK
        assert {part.user_ids.pop() for part in parts.values()} == {user_id}


def test_an_anonymous_caller_is_rejected(storefront, parts):
    answer = get_home(storefront, ANONYMOUS)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "NOT_SIGNED_IN")
    assert not any(part.user_ids for part in parts.values())


def test_a_page_is_json_that_no_shared_cache_keeps(storefront):
    answer = get_home(storefront)
    assert answer.response.content_type == "application/json"
    assert answer.metadata["cache-control"] == "private, no-cache"


def test_each_part_is_as_in_its_own_method(storefront):
    assert page(storefront) == {
        "profile": as_rest(PROFILE),
        "orders": [as_rest(order) for order in ORDERS],
        "recommendations": [as_rest(recommendation) for recommendation in RECOMMENDATIONS],
        "promotions": [as_rest(promotion) for promotion in PROMOTIONS],
        "degraded": [],
    }


def test_a_complete_page_has_the_shape_of_the_proto(storefront):
    assert page(storefront) == as_rest(storefront_pb2.Home(**VALUES))


def test_names_and_values_are_as_in_rest(storefront):
    shown = page(storefront)
    assert shown["profile"]["createdAt"] == "2026-11-24T12:00:00.120Z"
    assert shown["profile"]["preferences"] == {"animalType": "", "notificationsEnabled": False}
    assert shown["orders"][0]["status"] == "PAYMENT_PROCESSING"
    assert shown["orders"][0]["items"][0]["unitPrice"] == "12.90"
    assert shown["recommendations"][0]["score"] == 0.75
    assert shown["promotions"] == [{"code": "WELCOME10", "discountPercentage": 10, "category": ""}]


def test_an_empty_part_is_not_degraded(storefront, parts):
    for name in ("orders", "recommendations", "promotions"):
        parts[name].value = []
    shown = page(storefront)
    assert (shown["orders"], shown["recommendations"], shown["promotions"]) == ([], [], [])
    assert shown["degraded"] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_unavailable_part_is_null_and_degraded(storefront, parts, name):
    complete = page(storefront)
    parts[name].make_unavailable()
    assert page(storefront) == complete | {name: None, "degraded": [name]}


def test_without_any_part_every_part_is_null(storefront, parts):
    for part in parts.values():
        part.make_unavailable()
    assert page(storefront) == dict.fromkeys(NAMES) | {"degraded": NAMES}


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_page_is_valid_json_for_any_score(storefront, parts, score):
    parts["recommendations"].value[0].score = score
    data = get_home(storefront).response.data

    def fail(name):
        raise AssertionError(name)

    assert json.loads(data, parse_constant=fail)["degraded"] == []


def test_every_page_is_the_same_html_with_a_strict_policy(storefront):
    start = storefront.call("GetStartPage", storefront_pb2.GetStartPageRequest())
    page = storefront.call("GetPage", storefront_pb2.GetPageRequest(path="orders/1"))
    admin = storefront.call("GetAdminPage", storefront_pb2.GetAdminPageRequest(path="orders"))
    ops = storefront.call("GetOpsPage", storefront_pb2.GetOpsPageRequest(path="traces"))
    assert start.response == page.response == admin.response == ops.response
    assert start.response.content_type == "text/html; charset=utf-8"
    policy = start.metadata["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert start.metadata["x-content-type-options"] == "nosniff"


def test_a_page_has_a_tag_that_the_edge_compares_with_the_browsers(storefront):
    page = storefront.call("GetStartPage", storefront_pb2.GetStartPageRequest())
    assert page.metadata["etag"] == f'"{Assets().version}"'
    assert page.metadata["cache-control"] == "no-cache"


def get_asset(storefront, version, path="app.js"):
    return storefront.call("GetAsset", storefront_pb2.GetAssetRequest(version=version, path=path))


def test_a_file_is_kept_for_a_year_under_its_version_only(storefront):
    now = get_asset(storefront, Assets().version)
    assert now.response.content_type == "text/javascript; charset=utf-8"
    assert now.metadata["cache-control"] == "public, max-age=31536000, immutable"
    old = get_asset(storefront, "of-before")
    assert old.response == now.response
    assert old.metadata["cache-control"] == "no-store"


def test_an_unknown_file_is_not_found(storefront):
    answer = get_asset(storefront, Assets().version, "nothing.js")
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "ASSET_NOT_FOUND")


def test_a_session_ends_whoever_ends_it(storefront):
    answer = storefront.call("EndSession", storefront_pb2.EndSessionRequest(), ANONYMOUS)
    assert (answer.code, answer.metadata["cache-control"]) == (grpc.StatusCode.OK, "no-store")
