"""What happens around every call that a service answers.

From the outside in: the context of the call is set, the call is logged, errors become
statuses, the request is validated; then the servicer acts. Each is one small context
manager, and `with_interceptors` puts them around a behaviour; the interceptor applies it to the
services of this project (health and reflection pass untouched).
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import grpc
import structlog
from google.protobuf import message
from google.rpc import status_pb2

from services.common import errors
from services.common.context import CallContext, Caller, current, use
from services.common.rpc import status
from services.common.rpc.validation import InvalidFieldsError, validate

Around = Callable[[str, message.Message, grpc.ServicerContext], AbstractContextManager[Any]]
Behavior = Callable[[Any, grpc.ServicerContext], Any]

SERVICE_PATH_PREFIX = "/mamie_rosa."
INTERNAL_MESSAGE = "Something went wrong on our side. Quote the request id {} when you report it."

log = structlog.get_logger()


@contextmanager
def call_context(
    _method: str,
    _request: message.Message,
    context: grpc.ServicerContext | grpc.aio.ServicerContext,
) -> Iterator[None]:
    """Set the context of the call from its metadata and deadline."""
    received = context.invocation_metadata() or ()
    metadata = {key: value for key, value in received if type(value) is str}
    call = CallContext(
        request_id=metadata.get("x-request-id") or str(uuid.uuid4()),
        traceparent=metadata.get("traceparent"),
        deadline=_deadline(context.time_remaining()),
        caller=Caller(metadata.get("x-user-id", ""), metadata.get("x-user-role", "")),
        idempotency_key=metadata.get("idempotency-key", ""),
        accept_language=metadata.get("accept-language", ""),
    )
    with use(call):
        yield


def _deadline(remaining_seconds: float | None) -> float | None:
    """Return the deadline on the monotonic clock; grpcio says "none" in several ways."""
    if remaining_seconds is None or remaining_seconds > 1e8:
        return None
    return time.monotonic() + remaining_seconds


@contextmanager
def logged(
    method: str, _request: message.Message, _context: grpc.ServicerContext
) -> Iterator[None]:
    """Log the call once, when it is over; never its content."""
    started = time.monotonic()
    outcome = "OK"
    try:
        yield
    except _AbortedError as aborted:
        outcome = aborted.outcome
        raise
    finally:
        elapsed_ms = round((time.monotonic() - started) * 1000, 1)
        log.info("call_answered", method=method, outcome=outcome, elapsed_ms=elapsed_ms)


class _AbortedError(Exception):
    """Carries the outcome of an aborted call past the log; gRPC has the status already."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@contextmanager
def abort_on_error(
    method: str, _request: message.Message, context: grpc.ServicerContext
) -> Iterator[None]:
    """Abort the call with the status of the error that was raised.

    This is the only place that aborts. What is not an error of ours is a bug (or a
    failed call to another service): its text goes to the log alone.
    """
    try:
        yield
    except errors.MamieRosaError as error:
        abort(context, *refusal(error))
    except Exception:
        log.exception("call_crashed", method=method)
        abort(context, *crash())


class Refusal(NamedTuple):
    """How a call ends that is not answered; `http` overrides the code that REST clients see."""

    code: grpc.StatusCode
    details: status_pb2.Status
    http: int | None = None

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return what follows the status on the wire."""
        details = (status.DETAILS, self.details.SerializeToString())
        return (details,) if self.http is None else (details, (status.HTTP_CODE, str(self.http)))


def refusal(error: errors.MamieRosaError) -> Refusal:
    """Return what an error of ours becomes."""
    code, http = status.mapped(error)
    detail = status.error_info(error.reason, error.metadata)
    more = [error.bad_request] if isinstance(error, InvalidFieldsError) else []
    return Refusal(code, status.build_status(code, error.message, detail, *more), http)


def crash() -> Refusal:
    """Return what any other error becomes; its text is for the log alone."""
    text = INTERNAL_MESSAGE.format(current().request_id)
    detail = status.error_info("INTERNAL", {"requestId": current().request_id})
    code = grpc.StatusCode.INTERNAL
    return Refusal(code, status.build_status(code, text, detail))


def abort(
    context: grpc.ServicerContext,
    code: grpc.StatusCode,
    details: status_pb2.Status,
    http: int | None = None,
) -> None:
    """End the call with a status; `http` overrides the code that REST clients see."""
    context.set_trailing_metadata(Refusal(code, details, http).trailing_metadata)
    try:
        context.abort(code, details.message)
    except Exception as aborted:
        raise _AbortedError(code.name) from aborted


@contextmanager
def validated(
    _method: str, request: message.Message, _context: grpc.ServicerContext
) -> Iterator[None]:
    """Refuse a request that breaks the rules that its proto declares."""
    validate(request)
    yield


AROUND_EVERY_CALL: Sequence[Around] = (call_context, logged, abort_on_error, validated)


def with_interceptors(behavior: Behavior, method: str) -> Behavior:
    """Return a unary behaviour with everything around it that every call has."""

    def answer(request: message.Message, context: grpc.ServicerContext) -> Any:
        with ExitStack() as stack:
            for around in AROUND_EVERY_CALL:
                stack.enter_context(around(method, request, context))
            return behavior(request, context)

    return answer


class GuardInterceptor(grpc.ServerInterceptor):
    """Guards every method of this project's services; all are unary (see GrpcServer)."""

    def intercept_service(self, continuation, handler_call_details):
        """Return the method's handler inside the interceptors; foreign methods pass as they are."""
        method = handler_call_details.method
        handler = continuation(handler_call_details)
        if handler is None or not method.startswith(SERVICE_PATH_PREFIX):
            return handler
        return with_behavior(handler, with_interceptors(handler.unary_unary, method))


def with_behavior(handler: grpc.RpcMethodHandler, behavior: Behavior) -> grpc.RpcMethodHandler:
    """Return a unary handler like `handler` that does `behavior`."""
    return grpc.unary_unary_rpc_method_handler(
        behavior, handler.request_deserializer, handler.response_serializer
    )
