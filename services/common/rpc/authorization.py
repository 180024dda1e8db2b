"""Authorization, which servicers check with the message's own fields.

Who the caller is has been proved by then (access.py); what they may do is decided here, in the
service that owns the data.
"""

from services.common.context import Caller, current
from services.common.errors import PermissionDeniedError, UnauthenticatedError


class NotSignedInError(UnauthenticatedError):
    """The call needs a signed-in caller."""

    reason = "NOT_SIGNED_IN"


class NotYoursError(PermissionDeniedError):
    """The call is about data of another user."""

    reason = "NOT_YOURS"


class AdminOnlyError(PermissionDeniedError):
    """The call is for administrators."""

    reason = "ADMIN_ONLY"


def require_user() -> Caller:
    """Return the caller; NotSignedInError for an anonymous one."""
    caller = current().caller
    if not caller.user_id:
        raise NotSignedInError("Sign in first: send a bearer token.")
    return caller


def require_admin() -> Caller:
    """Return the caller if an administrator; otherwise NotSignedInError or AdminOnlyError."""
    caller = require_user()
    if not caller.is_admin:
        raise AdminOnlyError("Only administrators may do this.")
    return caller


def require_self(user_id: str) -> Caller:
    """Return the caller if `user_id` is theirs, for what not even an administrator may do.

    Otherwise NotSignedInError or NotYoursError.
    """
    caller = require_user()
    if caller.user_id != user_id:
        raise NotYoursError("This belongs to another user.")
    return caller


def require_self_or_admin(user_id: str) -> Caller:
    """Return the caller if `user_id` is theirs or they are an administrator.

    Otherwise NotSignedInError or NotYoursError.
    """
    caller = require_user()
    if caller.user_id != user_id and not caller.is_admin:
        raise NotYoursError("This belongs to another user.")
    return caller
