"""The table from errors to gRPC codes and HTTP statuses, and google.rpc.Status.

The shape of an error, on the wire and in JSON: google.rpc.Status with one
google.rpc.ErrorInfo {reason, domain "mamie-rosa", metadata}; a request that breaks
field rules adds google.rpc.BadRequest. See https://google.aip.dev/193.

An error may repeat what was sent, however long that was; in trailers it would then be lost on
its way. So the text and the metadata are cut: an error takes 6 KB at most.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import grpc
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2

from services.common import errors

DOMAIN = "mamie-rosa"
HTTP_CODE = "x-http-code"
DETAILS = "grpc-status-details-bin"
MAX_TEXT_BYTES = 500
MAX_METADATA_BYTES = 2_500
"""Of all values of an ErrorInfo: ids and quantities of 50 products."""
ELLIPSIS = "..."


class Mapped(NamedTuple):
    """The gRPC code and the HTTP status of a category of errors.

    `http` is set only where it differs from the canonical mapping of the code, which
    Envoy applies by itself.
    """

    code: grpc.StatusCode
    http: int | None = None


TABLE: Mapping[type[errors.MamieRosaError], Mapped] = {
    errors.InvalidArgumentError: Mapped(grpc.StatusCode.INVALID_ARGUMENT),
    errors.UnauthenticatedError: Mapped(grpc.StatusCode.UNAUTHENTICATED),
    errors.PermissionDeniedError: Mapped(grpc.StatusCode.PERMISSION_DENIED),
    errors.NotFoundError: Mapped(grpc.StatusCode.NOT_FOUND),
    errors.AlreadyExistsError: Mapped(grpc.StatusCode.ALREADY_EXISTS),
    errors.ConflictError: Mapped(grpc.StatusCode.ABORTED),
    errors.FailedPreconditionError: Mapped(grpc.StatusCode.FAILED_PRECONDITION, http=409),
    errors.UnprocessableError: Mapped(grpc.StatusCode.FAILED_PRECONDITION, http=422),
    errors.ResourceExhaustedError: Mapped(grpc.StatusCode.RESOURCE_EXHAUSTED),
    errors.UnavailableError: Mapped(grpc.StatusCode.UNAVAILABLE),
}


def mapped(error: type[errors.MamieRosaError]) -> Mapped:
    """Look up an error class by the nearest of its base classes in the table."""
    return next(TABLE[cls] for cls in error.__mro__ if cls in TABLE)


def error_info(reason: str, metadata: Mapping[str, str]) -> error_details_pb2.ErrorInfo:
    """Build the detail that programs read."""
    values, left = {}, MAX_METADATA_BYTES
    for name, value in metadata.items():
        values[name] = cut(value, left)
        left -= len(values[name].encode())
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=values)


def cut(text: str, limit: int) -> str:
    """Cut a text to at most `limit` bytes of UTF-8; the end is then ELLIPSIS, if it fits."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    kept = encoded[: max(0, limit - len(ELLIPSIS))].decode(errors="ignore")
    return (kept + ELLIPSIS)[: max(0, limit)]


def build_status(code: grpc.StatusCode, text: str, *details: message.Message) -> status_pb2.Status:
    """Build a google.rpc.Status with packed details."""
    status = status_pb2.Status(code=code.value[0], message=cut(text, MAX_TEXT_BYTES))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


class FailedCall(Protocol):
    """A call that has failed, such as a grpc.RpcError of a call."""

    def trailing_metadata(self) -> Iterable[Any] | None:
        """Return the trailing metadata."""


def read_status(error: FailedCall) -> tuple[str, dict[str, str]]:
    """Read (reason, metadata) of an error of an upstream.

    ("", {}) when the error has no ErrorInfo, as errors of the transport.
    """
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            return _first_error_info(status_pb2.Status.FromString(value))
    return "", {}


def _first_error_info(status: status_pb2.Status) -> tuple[str, dict[str, str]]:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info.reason, dict(info.metadata)
    return "", {}
