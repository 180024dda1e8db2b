"""The server interceptors of every unary call.

From the outside in: the call context is set, the call is logged, errors become statuses, the
request is validated; then the servicer runs. Each is a context manager; `with_interceptors`
wraps a method in all of them, and `ServiceInterceptor` applies it to this project's services
(health and reflection are left as they are).
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple, NoReturn

import grpc
import structlog
from google.protobuf import message
from google.rpc import status_pb2
from typing_extensions import override

from services.common import errors
from services.common.context import CallContext, Caller, current, use
from services.common.rpc import status
from services.common.rpc.normalization import is_typed_by_people, normalize_texts
from services.common.rpc.status import cut
from services.common.rpc.validation import InvalidFieldsError, validate

Context = grpc.ServicerContext | grpc.aio.ServicerContext
Interceptor = Callable[[str, message.Message, grpc.ServicerContext], AbstractContextManager[object]]
"""Given the method's path, the request and the gRPC context, wraps one call."""
Behavior = Callable[[Any, grpc.ServicerContext], Any]
"""A unary method of a servicer."""
Continuation = Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None]
"""Returns the handler of a method; None when no service has the method."""

SERVICE_PATH_PREFIX = "/mamie_rosa."
INTERNAL_MESSAGE = "Something went wrong on our side. Quote the request id {} when you report it."

log = structlog.get_logger()


@contextmanager
def set_call_context(_method: str, _request: message.Message, context: Context) -> Iterator[None]:
    """Set the call context from the metadata and the deadline of the call."""
    received = context.invocation_metadata() or ()
    metadata = {key: value for key, value in received if type(value) is str}
    call = CallContext(
        request_id=cut(metadata.get("x-request-id", ""), 128) or str(uuid.uuid4()),
        traceparent=metadata.get("traceparent"),
        deadline=_deadline(context.time_remaining()),
        caller=Caller(metadata.get("x-user-id", ""), metadata.get("x-user-role", "")),
        idempotency_key=metadata.get("idempotency-key", ""),
        accept_language=metadata.get("accept-language", ""),
        caller_address=metadata.get("x-client-address", ""),
    )
    with use(call):
        yield


def _deadline(remaining_seconds: float | None) -> float | None:
    """Return the deadline on the monotonic clock; grpcio has several values for "none"."""
    if remaining_seconds is None or remaining_seconds > 1e8:
        return None
    return time.monotonic() + remaining_seconds


@contextmanager
def log_call(
    method: str, _request: message.Message, _context: grpc.ServicerContext
) -> Iterator[None]:
    """Log the call once, at its end, without its content."""
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
    """Passes the outcome of an aborted call to the log; gRPC has the status already."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@contextmanager
def abort_on_error(
    method: str, _request: message.Message, context: grpc.ServicerContext
) -> Iterator[None]:
    """Abort the call with the status of the error that was raised.

    This is the only place that aborts. Any exception but a MamieRosaError is a bug (or a
    failed call to an upstream): its text goes to the log alone.
    """
    try:
        yield
    except errors.MamieRosaError as error:
        abort(context, error_response(error))
    except Exception:
        log.exception("call_crashed", method=method)
        abort(context, internal_error_response())


class ErrorResponse(NamedTuple):
    """The status that a failed call ends with; `http` overrides the code that REST clients see."""

    code: grpc.StatusCode
    status: status_pb2.Status
    http: int | None = None

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The metadata that carries the status and the HTTP code."""
        details = (status.DETAILS, self.status.SerializeToString())
        return (details,) if self.http is None else (details, (status.HTTP_CODE, str(self.http)))


def error_response(error: errors.MamieRosaError) -> ErrorResponse:
    """Translate an error of this project."""
    code, http = status.mapped(type(error))
    info = status.error_info(error.reason, error.metadata)
    more = [error.bad_request] if isinstance(error, InvalidFieldsError) else []
    return ErrorResponse(code, status.build_status(code, error.message, info, *more), http)


def internal_error_response() -> ErrorResponse:
    """Build the neutral INTERNAL that any other exception becomes."""
    text = INTERNAL_MESSAGE.format(current().request_id)
    info = status.error_info("INTERNAL", {"requestId": current().request_id})
    code = grpc.StatusCode.INTERNAL
    return ErrorResponse(code, status.build_status(code, text, info))


def abort(context: grpc.ServicerContext, response: ErrorResponse) -> NoReturn:
    """End the call with an error."""
    context.set_trailing_metadata(response.trailing_metadata)
    try:
        context.abort(response.code, response.status.message)
    except Exception as aborted:
        raise _AbortedError(response.code.name) from aborted


@contextmanager
def validate_request(method: str, request: message.Message, _context: Context) -> Iterator[None]:
    """Normalise what people typed; reject a request that violates the rules of its proto."""
    if is_typed_by_people(method):
        normalize_texts(request)
    validate(request)
    yield


INTERCEPTORS: Sequence[Interceptor] = (
    set_call_context,
    log_call,
    abort_on_error,
    validate_request,
)


def with_interceptors(behavior: Behavior, method: str) -> Behavior:
    """Wrap a unary method in all interceptors."""

    def handle(request: message.Message, context: grpc.ServicerContext) -> Any:
        with ExitStack() as stack:
            for interceptor in INTERCEPTORS:
                stack.enter_context(interceptor(method, request, context))
            return behavior(request, context)

    return handle


class ServiceInterceptor(grpc.ServerInterceptor):
    """Wraps every method of this project's services; all are unary (see GrpcServer)."""

    @override
    def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        handler = continuation(handler_call_details)
        if handler is None or not method.startswith(SERVICE_PATH_PREFIX):
            return handler
        assert handler.unary_unary
        return with_behavior(handler, with_interceptors(handler.unary_unary, method))


def with_behavior(handler: grpc.RpcMethodHandler, behavior: Behavior) -> grpc.RpcMethodHandler:
    """Copy a unary handler with another behavior."""
    return grpc.unary_unary_rpc_method_handler(
        behavior, handler.request_deserializer, handler.response_serializer
    )
