"""The errors that a caller is meant to see.

MamieRosaError
├── InvalidArgumentError       the request is wrong by itself
├── UnauthenticatedError       the caller is not signed in
├── PermissionDeniedError      the caller may not do this
├── NotFoundError              what was named does not exist
├── AlreadyExistsError         what should be new exists
├── ConflictError              another writer was faster; read again, then retry
├── FailedPreconditionError    the state has to change first
├── UnprocessableError         the request is right, but cannot be done
├── ResourceExhaustedError     too much at once; try later
└── UnavailableError           a dependency is away; try later
    └── StoreUnavailableError  the service's own store is away

Each service derives its own from these, in its `domain.py`; this module knows neither
gRPC nor HTTP. `services.common.rpc.status` maps the ten categories, once, to both.
Anything else that is raised is a bug, and reaches the caller as a neutral INTERNAL.
"""

from collections.abc import Mapping
from typing import ClassVar


class MamieRosaError(Exception):
    """An error with a message for people and a reason for programs.

    `reason` is constant for a class, in UPPER_SNAKE_CASE. `metadata` are the facts
    that a program needs to act, such as the ids of the products that are short.
    """

    reason: ClassVar[str] = ""

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata


class InvalidArgumentError(MamieRosaError):
    """The request is wrong by itself, whatever the state of things."""

    reason = "INVALID_ARGUMENT"


class UnauthenticatedError(MamieRosaError):
    """The caller is not signed in, or not with valid credentials."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(MamieRosaError):
    """The caller is known and may not do this."""

    reason = "PERMISSION_DENIED"


class NotFoundError(MamieRosaError):
    """What was named does not exist."""

    reason = "NOT_FOUND"


class AlreadyExistsError(MamieRosaError):
    """What should be new exists."""

    reason = "ALREADY_EXISTS"


class ConflictError(MamieRosaError):
    """Another writer changed the same thing at the same moment.

    The caller may restart the read-modify-write: read again, decide again, write again.
    """

    reason = "CONFLICT"


class FailedPreconditionError(MamieRosaError):
    """The state forbids it; the same request fails until the state changes."""

    reason = "FAILED_PRECONDITION"


class UnprocessableError(MamieRosaError):
    """The request is right by itself, but cannot be done as things stand."""

    reason = "UNPROCESSABLE"


class ResourceExhaustedError(MamieRosaError):
    """Too much at once; the same request may succeed later."""

    reason = "RESOURCE_EXHAUSTED"


class UnavailableError(MamieRosaError):
    """A dependency is away; the same request may succeed later."""

    reason = "UNAVAILABLE"


class StoreUnavailableError(UnavailableError):
    """The service's own store does not answer."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The store does not answer; try again in a moment.")
