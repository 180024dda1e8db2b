"""Every error of the project has a reason, a place in the table, and one HTTP status."""

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
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
}
"""What Envoy makes of a code by itself."""

CATEGORIES = {
    errors.InvalidArgumentError: ("INVALID_ARGUMENT", 400),
    errors.UnauthenticatedError: ("UNAUTHENTICATED", 401),
    errors.PermissionDeniedError: ("PERMISSION_DENIED", 403),
    errors.NotFoundError: ("NOT_FOUND", 404),
    errors.AlreadyExistsError: ("ALREADY_EXISTS", 409),
    errors.ConflictError: ("ABORTED", 409),
    errors.FailedPreconditionError: ("FAILED_PRECONDITION", 409),
    errors.UnprocessableError: ("FAILED_PRECONDITION", 422),
    errors.ResourceExhaustedError: ("RESOURCE_EXHAUSTED", 429),
    errors.UnavailableError: ("UNAVAILABLE", 503),
}


def import_services() -> None:
    for path in sorted(ROOT.glob("services/*/*.py")):
        if path.stem != "__main__":
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def subclasses(cls: type[MamieRosaError]) -> Iterator[type[MamieRosaError]]:
    for derived in cls.__subclasses__():
        yield derived
        yield from subclasses(derived)


def in_project(cls: type) -> bool:
    return cls.__module__.startswith("services.") and ".tests." not in cls.__module__


@pytest.fixture(scope="module")
def all_errors() -> list[type[MamieRosaError]]:
    import_services()
    return sorted(filter(in_project, set(subclasses(MamieRosaError))), key=str)


def test_the_errors_of_all_services_are_looked_at(all_errors):
    services = {cls.__module__.split(".")[1] for cls in all_errors}
    assert {"common", "catalog", "orders"} <= services


def test_every_error_has_a_reason_that_programs_can_compare(all_errors):
    wrong = [cls for cls in all_errors if not re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", cls.reason)]
    assert wrong == []


def test_a_reason_names_one_error_within_a_service(all_errors):
    named = defaultdict(set)
    for cls in all_errors:
        named[cls.__module__.split(".")[1], cls.reason].add(cls)
    assert [clash for clash in named.items() if len(clash[1]) > 1] == []


def test_every_error_belongs_to_a_category_that_is_mapped(all_errors):
    categories = set(filter(in_project, MamieRosaError.__subclasses__()))
    assert categories == set(status.TABLE)
    assert [cls for cls in all_errors if not set(cls.__mro__) & set(status.TABLE)] == []


def test_all_ten_categories_are_in_the_table_of_this_test():
    assert set(CATEGORIES) == set(status.TABLE)


@pytest.mark.parametrize(("category", "expected"), CATEGORIES.items())
def test_a_category_has_one_code_and_one_http_status(category, expected):
    code, http = status.mapped(category("text"))
    assert (code.name, http or CANONICAL_HTTP[code]) == expected


def test_an_error_of_a_service_is_mapped_as_its_category():
    assert status.mapped(errors.StoreUnavailableError()).code is grpc.StatusCode.UNAVAILABLE


class Received(grpc.RpcError):
    """An error as a client gets it."""

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
