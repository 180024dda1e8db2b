"""Access to a method: what its proto declares, required of each call before the servicer runs.

A method that declares SIGNED_IN or ADMIN (mamie_rosa.options.v1.access) is guarded: a call of it
needs a token, which is verified here. What the caller may do with the data of a message is decided
by the servicer (authorization.py). All other methods have no caller, whatever is sent with a call.
"""

import time
from dataclasses import replace
from functools import cache

import grpc
from google.protobuf import descriptor_pool
from mamie_rosa.options.v1 import options_pb2

from services.common.context import CallContext, current
from services.common.rpc.authorization import AdminOnlyError, NotSignedInError
from services.common.rpc.tokens import TokenVerifier

ACCESS = options_pb2.access
GUARDED = frozenset({options_pb2.SIGNED_IN, options_pb2.ADMIN})
SCHEME = "bearer "

Context = grpc.ServicerContext | grpc.aio.ServicerContext


class NoVerifierError(TypeError):
    """A server has guarded methods and nothing that verifies tokens."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} needs a token, and this server cannot verify one")


def is_guarded(method: str) -> bool:
    """Return whether a method, by its path "/package.Service/Method", needs a token."""
    return _access_of(method) in GUARDED


class AccessGuard:
    """Requires of the calls of one guarded method what it declares.

    NoVerifierError without a verifier.
    """

    def __init__(self, method: str, tokens: TokenVerifier | None) -> None:
        if tokens is None:
            raise NoVerifierError(method)
        self._tokens = tokens
        self._is_for_admins = _access_of(method) == options_pb2.ADMIN

    def admit(self, context: Context) -> CallContext:
        """Return the context of the current call with its caller.

        NotSignedInError without a token, the errors of TokenVerifier for a bad one, AdminOnlyError
        for a caller who may not call the method.
        """
        token = _bearer_token(context)
        verified = self._tokens.verify(token)
        if self._is_for_admins and not verified.caller.is_admin:
            raise AdminOnlyError("Only administrators may do this.")
        return replace(
            current(),
            caller=verified.caller,
            token=token,
            authorized_until=time.monotonic() + self._tokens.seconds_left(verified),
        )


@cache
def _access_of(method: str) -> int:
    service, name = method.removeprefix("/").split("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    declared: int = found.GetOptions().Extensions[ACCESS]
    return declared


def _bearer_token(context: Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str):
            if value[: len(SCHEME)].lower() != SCHEME:
                break
            return value[len(SCHEME) :].strip()
    raise NotSignedInError("Sign in first: send a bearer token.")
