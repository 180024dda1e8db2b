"""The OpenAPI document and the shop agree, through Envoy, on what is accepted.

For each method hypothesis generates requests. What a schema accepts is never answered
INVALID_FIELDS or MALFORMED_REQUEST; what it rejects always is. Every status and reason is one that
the document has for the method, every answer fits its schema, and nothing is answered 5xx.
`--long` sends 10,000 requests (docs/results/contract.md).
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from _pytest.capture import CaptureManager
from hypothesis import HealthCheck, Phase, given, settings

from tests.api.canonical import Judge
from tests.api.document import DOCUMENT, OPERATIONS
from tests.api.generated import Case, Generator
from tests.support.shop import Shop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

JUDGE = Judge(DOCUMENT)
OF_RULES = ("INVALID_FIELDS", "MALFORMED_REQUEST")
"""The reasons of a request that the document does not accept."""
BEFORE_RULES = ("ADMIN_ONLY", "HEADERS_TOO_LARGE")
"""The reasons that are judged before the document's rules are: whatever is wrong besides."""
SHORT, LONG = 20, 10_000 // len(OPERATIONS) + 1
"""Requests of each method."""


@pytest.fixture(scope="module")
def answers(pytestconfig: pytest.Config) -> Iterator[Counter[str]]:
    """Yield a counter of all answers, and print it at the end."""
    counted: Counter[str] = Counter()
    yield counted
    summary = ", ".join(f"{count} x {answer}" for answer, count in sorted(counted.items()))
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    with capture.global_and_fixture_disabled():
        print(f"\n    {counted.total()} generated requests: {summary}", flush=True)


@pytest.fixture(scope="module")
def known(shop: Shop) -> dict[str, list[str]]:
    """Return values that exist in the shop, by the names of fields."""
    product, code = shop.add_product(stock=1_000_000), shop.add_promotion()
    customer = shop.register()
    order = customer.buy((product, 1))
    return {
        "productId": [product["productId"], product["sku"]],
        "promoCode": [code],
        "userId": [customer.user_id],
        "path": [product["sku"], order, customer.user_id, code, str(uuid.uuid4())],
        "token": [customer.token],
    }


def send(shop: Shop, token: str, path: str, verb: str, case: Case) -> httpx.Response:
    """Send a case; of a stream only the beginning is read."""
    for name, value in case.path.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    headers = {"authorization": f"Bearer {token}"}
    body = None
    if verb not in {"get", "delete"}:
        headers["content-type"] = "application/json"
        body = json.dumps(case.body, ensure_ascii=False).encode()
    query = {name: as_sent(value) for name, value in case.query.items() if value is not None}
    request = shop.http.build_request(
        verb.upper(), path, params=query, content=body, headers=headers
    )
    answer = shop.http.send(request, stream=True)
    if "event-stream" in answer.headers.get("content-type", ""):
        answer.close()
    else:
        answer.read()
        answer.close()
    return answer


def as_sent(value: Any) -> Any:
    """Return a query parameter as it is sent: a list is one parameter for each of its values."""
    return list(map(str, value)) if isinstance(value, list) else str(value)


def is_promised(operation: Mapping[str, Any], case: Case) -> bool:
    """Return whether the document accepts a case as it is sent."""
    return all(JUDGE.accepts(schema, value) for schema, value in parts(operation, case))


def is_accepted(operation: Mapping[str, Any], case: Case) -> bool:
    """Return whether the document accepts a case as the shop understands it."""
    return all(
        JUDGE.accepts(schema, JUDGE.canonical(schema, value))
        for schema, value in parts(operation, case)
    )


def parts(operation: Mapping[str, Any], case: Case) -> Iterator[tuple[Any, Any]]:
    """Yield the schema and the value of each part of a request."""
    yield from parameters(operation, case)
    if "requestBody" in operation:
        yield operation["requestBody"]["content"]["application/json"]["schema"], case.body


def parameters(operation: Mapping[str, Any], case: Case) -> Iterator[tuple[Any, Any]]:
    """Yield the schema and the value of each parameter; nothing fits an unknown one."""
    described = {
        each["name"]: each["schema"] for each in operation.get("parameters", ()) if "name" in each
    }
    for name, value in {**case.query, **case.path}.items():
        if value is not None:
            sent = as_sent(value) if isinstance(value, list) else value
            yield described.get(name, {"not": {}}), sent


def reason_of(answer: httpx.Response) -> str:
    details = answer.json()["details"]
    return str(next(each["reason"] for each in details if "reason" in each))


def check(operation: Mapping[str, Any], case: Case, answer: httpx.Response) -> str:
    """Check an answer against the document; return its kind."""
    status = str(answer.status_code)
    assert answer.status_code < 500, answer.text
    assert status in operation["responses"], f"{status} is not in the document: {answer.text}"
    response = operation["responses"][status]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if answer.status_code >= 400:
        reason = reason_of(answer)
        assert reason in response["x-reasons"], f"{status} {reason} is not in the document"
        if reason in BEFORE_RULES:
            return f"{status} {reason}"
        rejected = reason in OF_RULES
        assert rejected is not is_accepted(operation, case), f"{status}: {answer.text}"
        assert not (rejected and is_promised(operation, case)), f"{status}: {answer.text}"
        return f"{status} {reason}"
    assert is_accepted(operation, case), f"accepted, against the document: {status}"
    for media_type, content in response.get("content", {}).items():
        assert answer.headers["content-type"].startswith(media_type)
        if media_type == "application/json":
            whole = {**content["schema"], "components": DOCUMENT["components"]}
            jsonschema.Draft202012Validator(whole).validate(answer.json())
    return status


@pytest.mark.parametrize("name", OPERATIONS)
def test_document_and_shop_agree(
    shop: Shop,
    known: dict[str, list[str]],
    answers: Counter[str],
    name: str,
    pytestconfig: pytest.Config,
) -> None:
    path, verb, operation = OPERATIONS[name]
    cases = Generator(JUDGE, known).cases(operation)

    @settings(
        max_examples=LONG if pytestconfig.getoption("--long") else SHORT,
        deadline=None,
        database=None,
        derandomize=not pytestconfig.getoption("--long"),
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def agree(case: Case) -> None:
        token = shop.admin.token if case.by_admin else known["token"][0]
        answer = send(shop, token, path, verb, case)
        answers[check(operation, case, answer)] += 1

    agree()


def test_a_disagreement_is_found() -> None:
    operation = OPERATIONS["CreateOrder"].operation
    accepted = Case(path={}, query={}, body={"items": []})
    assert not is_accepted(operation, accepted)
    with pytest.raises(AssertionError, match="against the document"):
        check(operation, accepted, httpx.Response(201, json={}))
