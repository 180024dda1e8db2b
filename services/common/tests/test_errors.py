"""Every error class has a reason, a gRPC code and an HTTP status."""

import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module

import grpc
import pytest
from google.rpc import error_details_pb2

from scripts.paths import ROOT
from services.common import errors
from services.common.errors import MamieRosaError
from services.common.rpc import status

CANONICAL_HTTP = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "FAILED_PRECONDITION": 400,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}
"""The HTTP status that Envoy maps a gRPC code to."""

CATEGORIES = {
    "INVALID_ARGUMENT": ("INVALID_ARGUMENT", 400),
    "UNAUTHENTICATED": ("UNAUTHENTICATED", 401),
    "PERMISSION_DENIED": ("PERMISSION_DENIED", 403),
    "NOT_FOUND": ("NOT_FOUND", 404),
    "ALREADY_EXISTS": ("ALREADY_EXISTS", 409),
    "CONFLICT": ("ABORTED", 409),
    "FAILED_PRECONDITION": ("FAILED_PRECONDITION", 409),
    "UNPROCESSABLE": ("FAILED_PRECONDITION", 422),
    "RESOURCE_EXHAUSTED": ("RESOURCE_EXHAUSTED", 429),
    "UNAVAILABLE": ("UNAVAILABLE", 503),
}

EXPECTED = {
    "common": {
        "INVALID_TIMESTAMP": ("INVALID_ARGUMENT", 400),
        **CATEGORIES,
        "STORE_UNAVAILABLE": ("UNAVAILABLE", 503),
        "NOT_SIGNED_IN": ("UNAUTHENTICATED", 401),
        "TOKEN_INVALID": ("UNAUTHENTICATED", 401),
        "TOKEN_EXPIRED": ("UNAUTHENTICATED", 401),
        "KEYS_UNAVAILABLE": ("UNAVAILABLE", 503),
        "NOT_YOURS": ("PERMISSION_DENIED", 403),
        "ADMIN_ONLY": ("PERMISSION_DENIED", 403),
        "INVALID_FIELDS": ("INVALID_ARGUMENT", 400),
        "SERVICE_UNAVAILABLE": ("UNAVAILABLE", 503),
    },
    "users": {
        "USER_NOT_FOUND": ("NOT_FOUND", 404),
        "EMAIL_EXISTS": ("ALREADY_EXISTS", 409),
        "INVALID_CREDENTIALS": ("UNAUTHENTICATED", 401),
        "ACCOUNT_THROTTLED": ("RESOURCE_EXHAUSTED", 429),
        "TOO_MANY_SIGN_INS": ("RESOURCE_EXHAUSTED", 429),
    },
    "catalog": {
        "SEARCH_OVERLOADED": ("RESOURCE_EXHAUSTED", 429),
        "STOCK_ABOVE_MAXIMUM": ("FAILED_PRECONDITION", 409),
        "PRODUCT_NOT_FOUND": ("NOT_FOUND", 404),
        "SKU_EXISTS": ("ALREADY_EXISTS", 409),
        "OUT_OF_STOCK": ("FAILED_PRECONDITION", 422),
        "STOCK_BELOW_ZERO": ("FAILED_PRECONDITION", 409),
        "RESERVATION_NOT_FOUND": ("NOT_FOUND", 404),
        "RESERVATION_CLOSED": ("FAILED_PRECONDITION", 409),
        "RESERVATION_MISMATCH": ("ALREADY_EXISTS", 409),
        "NOT_BOUGHT": ("PERMISSION_DENIED", 403),
        "SERVICE_UNAVAILABLE": ("UNAVAILABLE", 503),
    },
    "orders": {
        "TOO_MANY_STREAMS": ("RESOURCE_EXHAUSTED", 429),
        "ORDER_TOO_LARGE": ("FAILED_PRECONDITION", 422),
        "REQUEST_IN_PROGRESS": ("ABORTED", 409),
        "OVERLOADED": ("RESOURCE_EXHAUSTED", 429),
        "IDEMPOTENCY_KEY_EXPIRED": ("FAILED_PRECONDITION", 409),
        "ORDER_NOT_FOUND": ("NOT_FOUND", 404),
        "ORDER_CHANGED": ("ABORTED", 409),
        "ORDER_NOT_CANCELLABLE": ("FAILED_PRECONDITION", 409),
        "WRONG_TRANSITION": ("FAILED_PRECONDITION", 409),
        "OUT_OF_STOCK": ("FAILED_PRECONDITION", 422),
        "PRODUCT_NOT_FOUND": ("FAILED_PRECONDITION", 422),
        "PROMO_INVALID": ("FAILED_PRECONDITION", 422),
        "IDEMPOTENCY_KEY_REUSED": ("ALREADY_EXISTS", 409),
        "INVALID_IDEMPOTENCY_KEY": ("INVALID_ARGUMENT", 400),
        "INVALID_LAST_EVENT_ID": ("INVALID_ARGUMENT", 400),
        "SERVICE_UNAVAILABLE": ("UNAVAILABLE", 503),
    },
    "payments": {
        "PROVIDER_BUSY": ("RESOURCE_EXHAUSTED", 429),
        "PAYMENT_NOT_FOUND": ("NOT_FOUND", 404),
        "PAYMENT_CLOSED": ("FAILED_PRECONDITION", 409),
        "PAYMENT_MISMATCH": ("ALREADY_EXISTS", 409),
        "PROVIDER_UNAVAILABLE": ("UNAVAILABLE", 503),
    },
    "promotions": {
        "PROMOTION_NOT_FOUND": ("NOT_FOUND", 404),
        "PROMOTION_EXISTS": ("ALREADY_EXISTS", 409),
        "CODE_UNKNOWN": ("FAILED_PRECONDITION", 422),
        "CODE_NOT_STARTED": ("FAILED_PRECONDITION", 422),
        "CODE_EXPIRED": ("FAILED_PRECONDITION", 422),
        "CODE_EXHAUSTED": ("FAILED_PRECONDITION", 422),
        "CODE_ALREADY_USED": ("FAILED_PRECONDITION", 422),
        "REDEMPTION_MISMATCH": ("FAILED_PRECONDITION", 409),
        "REDEMPTION_RELEASED": ("FAILED_PRECONDITION", 409),
    },
    "storefront": {
        "ASSET_NOT_FOUND": ("NOT_FOUND", 404),
        "TRACE_NOT_FOUND": ("NOT_FOUND", 404),
        "MONITORING_UNAVAILABLE": ("UNAVAILABLE", 503),
        "TRACES_UNAVAILABLE": ("UNAVAILABLE", 503),
    },
    "recommendations": {
        "PRODUCT_NOT_FOUND": ("INVALID_ARGUMENT", 400),
    },
}
"""Per service: reason -> (gRPC code, HTTP status).

A new service may have its own table instead: ERRORS in its tests/errors.py.
"""


def module_name(path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def import_services() -> None:
    for path in sorted(ROOT.glob("services/**/*.py")):
        if path.stem != "__main__" and not {"tests", "migrations"} & set(path.parts):
            import_module(module_name(path))


def subclasses(cls: type[MamieRosaError]) -> Iterator[type[MamieRosaError]]:
    for derived in cls.__subclasses__():
        yield derived
        yield from subclasses(derived)


def in_project(cls: type) -> bool:
    return cls.__module__.startswith("services.") and ".tests." not in cls.__module__


def is_concrete(cls: type[MamieRosaError]) -> bool:
    """Check that a class is raised itself; a mere base class has no reason of its own."""
    return "reason" in vars(cls) or not cls.__subclasses__()


def service_of(cls: type) -> str:
    return cls.__module__.split(".")[1]


@pytest.fixture(scope="module")
def all_errors() -> list[type[MamieRosaError]]:
    import_services()
    found = filter(in_project, set(subclasses(MamieRosaError)))
    return sorted(filter(is_concrete, found), key=str)


def read_tables():
    tables = {path.parts[-3]: path for path in ROOT.glob("services/*/tests/errors.py")}
    own = {name: import_module(module_name(path)).ERRORS for name, path in tables.items()}
    return EXPECTED | own


def test_every_error_has_the_code_and_the_http_status_of_the_table(all_errors):
    actual: dict[str, dict] = defaultdict(dict)
    for cls in all_errors:
        code, http = status.mapped(cls)
        actual[service_of(cls)][cls.reason] = (code.name, http or CANONICAL_HTTP[code.name])
    assert actual == read_tables()


def test_every_error_has_a_reason_of_its_own(all_errors):
    assert [cls for cls in all_errors if "reason" not in vars(cls)] == []
    upper_snake_case = re.compile("[A-Z][A-Z0-9_]+[A-Z0-9]")
    assert [cls for cls in all_errors if not upper_snake_case.fullmatch(cls.reason)] == []


def test_a_reason_names_one_error_within_a_service(all_errors):
    named = defaultdict(set)
    for cls in all_errors:
        named[service_of(cls), cls.reason].add(cls)
    assert [clash for clash in named.items() if len(clash[1]) > 1] == []


def test_every_category_is_in_the_table_of_codes(all_errors):
    categories = set(filter(in_project, MamieRosaError.__subclasses__()))
    assert categories == set(status.TABLE)
    assert {cls.reason for cls in categories} == set(CATEGORIES)


def test_an_error_that_is_missing_in_the_table_is_found(all_errors):
    class PlantedError(errors.ConflictError):
        reason = "PLANTED"

    with pytest.raises(AssertionError):
        test_every_error_has_the_code_and_the_http_status_of_the_table([*all_errors, PlantedError])


class Received(grpc.RpcError):
    """An error as a client receives it."""

    def __init__(self, *trailing):
        self._trailing = trailing

    def trailing_metadata(self):
        return self._trailing


def test_a_status_is_read_as_it_was_built():
    detail = status.error_info("OUT_OF_STOCK", {"productIds": "a,b"})
    built = status.build_status(
        grpc.StatusCode.ABORTED, "text", error_details_pb2.BadRequest(), detail
    )
    received = Received(("other", "x"), (status.DETAILS, built.SerializeToString()))
    assert status.read_status(received) == ("OUT_OF_STOCK", {"productIds": "a,b"})
    assert (built.code, built.message) == (10, "text")
    assert detail.domain == "mamie-rosa"


@pytest.mark.parametrize(
    "received",
    [Received(), Received(("other", "x")), Received((status.DETAILS, b""))],
)
def test_an_error_of_the_transport_has_no_reason(received):
    assert status.read_status(received) == ("", {})
