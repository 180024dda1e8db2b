"""The errors that are visible to callers.

MamieRosaError
├── InvalidArgumentError       the request is invalid in any state
├── UnauthenticatedError       the caller is not signed in
├── PermissionDeniedError      the caller is not allowed to do this
├── NotFoundError              a named resource does not exist
├── AlreadyExistsError         a resource to be created exists
├── ConflictError              a concurrent change; read again, then retry
├── FailedPreconditionError    the state has to change first
├── UnprocessableError         the request is valid, but cannot be done
├── ResourceExhaustedError     too many requests; retry later
└── UnavailableError           a dependency is unavailable; retry later
    └── StoreUnavailableError  the service's own store is unavailable

Each service derives its own errors from these ten categories, in its `domain.py`. This module
knows neither gRPC nor HTTP; `services.common.rpc.status` maps the categories to both. Any
other exception is a bug, and reaches the caller as a neutral INTERNAL.
"""

from collections.abc import Mapping
from typing import ClassVar


class MamieRosaError(Exception):
    """An error with a message for people and a reason for programs.

    `reason` is a constant of the class, in UPPER_SNAKE_CASE. `metadata` has what a program
    needs to react, such as the ids of the products that are out of stock.
    """

    reason: ClassVar[str] = ""

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata


class InvalidArgumentError(MamieRosaError):
    """The request is invalid, in any state of the system."""

    reason = "INVALID_ARGUMENT"


class UnauthenticatedError(MamieRosaError):
    """The caller is not signed in, or has invalid credentials."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(MamieRosaError):
    """The caller is signed in but not allowed to do this."""

    reason = "PERMISSION_DENIED"


class NotFoundError(MamieRosaError):
    """A named resource does not exist."""

    reason = "NOT_FOUND"


class AlreadyExistsError(MamieRosaError):
    """A resource to be created exists."""

    reason = "ALREADY_EXISTS"


class ConflictError(MamieRosaError):
    """Another writer changed the resource at the same time.

    The caller may restart the read-modify-write.
    """

    reason = "CONFLICT"


class FailedPreconditionError(MamieRosaError):
    """The state does not allow it; the request fails until the state changes."""

    reason = "FAILED_PRECONDITION"


class UnprocessableError(MamieRosaError):
    """The request is valid, but cannot be done in the current state."""

    reason = "UNPROCESSABLE"


class ResourceExhaustedError(MamieRosaError):
    """Too many requests; the same request may succeed later."""

    reason = "RESOURCE_EXHAUSTED"


class UnavailableError(MamieRosaError):
    """A dependency does not answer; the same request may succeed later."""

    reason = "UNAVAILABLE"


class StoreUnavailableError(UnavailableError):
    """The service's own store does not answer."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The store does not answer; try again in a moment.")
