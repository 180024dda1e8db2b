"""The reference: documents as they are generated, pages with all that they say and no script."""

import json
import re

import grpc
import pytest
from mamie_rosa.storefront.v1 import reference_pb2

from services.common.rpc.testing import ANONYMOUS, InMemoryServer
from services.storefront.reference import pages
from services.storefront.reference.servicer import ReferenceServicer

SERVICE = reference_pb2.DESCRIPTOR.services_by_name["ReferenceService"]
PAGES = ("GetApiPage", "GetGrpcPage", "GetEventsPage")


@pytest.fixture(scope="module")
def reference() -> InMemoryServer:
    return InMemoryServer(SERVICE, ReferenceServicer())


def get(reference: InMemoryServer, method: str):
    request = getattr(reference_pb2, f"{method}Request")()
    answer = reference.call(method, request, ANONYMOUS)
    assert answer.code is grpc.StatusCode.OK
    return answer


def text_of(reference: InMemoryServer, method: str) -> str:
    return get(reference, method).response.data.decode()


@pytest.mark.parametrize("method", ["GetOpenApi", "GetAsyncApi"])
def test_a_document_is_json_that_may_be_cached(reference, method):
    answer = get(reference, method)
    assert answer.response.content_type == "application/json"
    assert json.loads(answer.response.data)["info"]["title"].startswith("Mamie Rosa")
    assert answer.metadata["cache-control"] == "public, max-age=300"
    assert answer.metadata["etag"].startswith('W/"')


@pytest.mark.parametrize("method", PAGES)
def test_a_page_has_no_script_no_inline_style_and_nothing_from_another_host(reference, method):
    page = text_of(reference, method)
    assert "<script" not in page
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page)
    assert set(re.findall(r'(?:src|href)="(https?:|//)', page)) == set()
    assert "default-src 'none'" in get(reference, method).metadata["content-security-policy"]


@pytest.mark.parametrize("method", PAGES)
def test_every_link_within_a_page_leads_somewhere(reference, method):
    page = text_of(reference, method)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) - set(ids) == set()


def test_the_page_of_the_api_has_every_operation_and_reason(reference):
    page = text_of(reference, "GetApiPage")
    document = json.loads(text_of(reference, "GetOpenApi"))
    for path, methods in document["paths"].items():
        assert path in page
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
            for response in operation["responses"].values():
                for reason in response.get("x-reasons", ()):
                    assert f"<code>{reason}</code>" in page


def test_the_page_of_grpc_has_internal_services_too(reference):
    page = text_of(reference, "GetGrpcPage")
    assert "mamie_rosa.catalog.internal.v1.CatalogService" in page
    assert "mamie_rosa.orders.v1.OrdersService" in page


def test_the_page_of_events_has_every_event(reference):
    page = text_of(reference, "GetEventsPage")
    document = json.loads(text_of(reference, "GetAsyncApi"))
    assert len(document["channels"]) > 8
    assert all(f'id="{name}"' in page for name in document["channels"])


def test_text_of_a_comment_is_escaped():
    assert pages.to_html("a <b> `c` **d**") == (
        "<p>a &lt;b&gt; <code>c</code> <strong>d</strong></p>"
    )


def test_lists_and_blocks_of_a_comment_stay_what_they_are():
    assert pages.to_html("- a\n- b\n\n  x -> y") == (
        "<ul><li>a</li><li>b</li></ul><pre>  x -&gt; y</pre>"
    )


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"minimum": 1, "maximum": 5}, "from 1; to 5"),
        ({"maxLength": 40}, "length to 40"),
        ({"minimum": -(2**31), "maximum": 2**31 - 1}, ""),
        ({"enum": ["EUR", ""]}, "one of 'EUR', ''"),
    ],
)
def test_rules_are_said_in_words(schema, text):
    assert pages.rules(schema) == text
