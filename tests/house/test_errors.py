"""docs/errors.md lists every error of the services, with its gRPC code and HTTP status."""

import importlib
import re
from collections.abc import Iterator

import grpc

from scripts.paths import ROOT
from services.common.errors import MamieRosaError
from services.common.rpc import status

DECLARES_A_REASON = re.compile(r"^    reason\b.*=", re.MULTILINE)
CANONICAL = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
}
"""How HTTP says a code, unless the table of the services says otherwise."""


def error_classes() -> list[type[MamieRosaError]]:
    """Return the errors that services raise: what derives from a category."""
    for path in sorted((ROOT / "services").rglob("*.py")):
        if "tests" not in path.parts and DECLARES_A_REASON.search(path.read_text()):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return [found for found in subclasses(MamieRosaError) if is_ours(found)]


def is_ours(error: type[MamieRosaError]) -> bool:
    """Return whether a service declares an error: not the base classes, not those of tests."""
    is_service = error.__module__.startswith("services.") and ".tests." not in error.__module__
    return is_service and error not in status.TABLE and "reason" in vars(error)


def subclasses(cls: type[MamieRosaError]) -> Iterator[type[MamieRosaError]]:
    for each in cls.__subclasses__():
        yield each
        yield from subclasses(each)


def documented() -> set[tuple[str, str, str]]:
    """Return (reason, HTTP status, gRPC code) of every row of the document."""
    rows = [line.split("|") for line in (ROOT / "docs/errors.md").read_text().splitlines()]
    return {
        (reason, row[2].strip(), row[3].strip())
        for row in rows
        if len(row) > 4
        for reason in re.findall(r"`([A-Z_]+)`", row[1])
    }


def answered(error: type[MamieRosaError]) -> tuple[str, str, str]:
    mapped = next(status.TABLE[cls] for cls in error.__mro__ if cls in status.TABLE)
    return str(error.reason), str(mapped.http or CANONICAL[mapped.code]), mapped.code.name


def test_every_error_is_documented_as_it_is_answered():
    errors = {answered(found) for found in error_classes()}
    assert len(errors) > 30
    assert sorted(errors - documented()) == []


def test_aborted_is_for_what_a_repetition_solves():
    aborted = {found.reason for found in error_classes() if answered(found)[2] == "ABORTED"}
    assert aborted == {"ORDER_CHANGED", "REQUEST_IN_PROGRESS"}
