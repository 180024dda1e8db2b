"""What surrounds every unary call.

From the outside in: the call context is set, the call is logged, errors become statuses, the
caller's token is verified if the method needs one, the request is normalised and validated; then
the servicer runs. `with_interceptors` wraps a method in all of that, in one function, and
`ServiceInterceptor` applies it to this project's services (health and reflection are left as they
are).
"""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import grpc
import structlog
from google.protobuf import message
from google.rpc import status_pb2
from typing_extensions import override

from services.common import errors
from services.common.context import CallContext, current, use
from services.common.logging import AnsweredCallLog
from services.common.metrics.calls import CallMeter
from services.common.rpc import status
from services.common.rpc.access import AccessGuard, is_guarded
from services.common.rpc.normalization import is_typed_by_people, normalize_texts
from services.common.rpc.status import cut
from services.common.rpc.tokens import TokenVerifier
from services.common.rpc.validation import InvalidFieldsError, validate
from services.common.tracing import trace_context
from services.common.tracing.calls import ServedMethod

Context = grpc.ServicerContext | grpc.aio.ServicerContext
Behavior = Callable[[Any, grpc.ServicerContext], Any]
"""A unary method of a servicer."""
Continuation = Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None]
"""Returns the handler of a method; None when no service has the method."""

SERVICE_PATH_PREFIX = "/mamie_rosa."
INTERNAL_MESSAGE = "Something went wrong on our side. Quote the request id {} when you report it."

log = structlog.get_logger()


def read_call_context(context: Context, now: float) -> CallContext:
    """Read the metadata and the deadline of a call; `now` is on the monotonic clock."""
    received = context.invocation_metadata() or ()
    metadata = {key: value for key, value in received if type(value) is str}
    return CallContext(
        request_id=cut(metadata.get("x-request-id", ""), 128) or new_request_id(),
        traceparent=trace_context.accept(
            metadata.get(trace_context.HEADER),
            forced=metadata.get(trace_context.FORCE_HEADER) == trace_context.FORCED,
        ),
        deadline=_deadline(context.time_remaining(), now),
        idempotency_key=metadata.get("idempotency-key", ""),
        accept_language=metadata.get("accept-language", ""),
        caller_address=metadata.get("x-client-address", ""),
    )


def new_request_id() -> str:
    """Return an id for a call that came without one."""
    return os.urandom(16).hex()


def _deadline(remaining_seconds: float | None, now: float) -> float | None:
    """Return the deadline on the monotonic clock; grpcio has several values for "none"."""
    if remaining_seconds is None or remaining_seconds > 1e8:
        return None
    return now + remaining_seconds


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


def translate(error: Exception, method: str) -> ErrorResponse:
    """Translate what a servicer raised.

    Any exception but a MamieRosaError is a bug (or a failed call to an upstream): its text goes to
    the log alone.
    """
    if isinstance(error, errors.MamieRosaError):
        return error_response(error)
    log.exception("call_crashed", method=method)
    return internal_error_response()


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
    context.abort(response.code, response.status.message)


def request_check(method: str) -> Callable[[message.Message], None]:
    """Return what normalises the texts that people typed, then validates a request of a method."""
    if not is_typed_by_people(method):
        return validate

    def check(request: message.Message) -> None:
        normalize_texts(request)
        validate(request)

    return check


def with_interceptors(
    behavior: Behavior, method: str, tokens: TokenVerifier | None = None
) -> Behavior:
    """Wrap a unary method in context, log, errors, access and validation.

    This is the only place that aborts. NoVerifierError for a guarded method without `tokens`.
    """
    log_of_calls, meter, traced = AnsweredCallLog(method), CallMeter(method), ServedMethod(method)
    check = request_check(method)
    guard = AccessGuard(method, tokens) if is_guarded(method) else None

    def answer(request: message.Message, context: grpc.ServicerContext) -> Any:
        check(request)
        return behavior(request, context)

    def handle(request: message.Message, context: grpc.ServicerContext) -> Any:
        started, outcome, response = time.monotonic(), "OK", None
        call, span = traced.begin(read_call_context(context, started))
        with use(call):
            try:
                if not guard:
                    response = answer(request, context)
                    return response
                # What is not admitted is not validated: that could cost much more.
                with use(guard.admit(context)):
                    response = answer(request, context)
                    return response
            except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a status
                failure = translate(error, method)
                outcome = failure.code.name
                return abort(context, failure)
            finally:
                elapsed = time.monotonic() - started
                log_of_calls.write(outcome, elapsed)
                meter.observe(outcome, elapsed)
                traced.end(span, call, request, response, outcome=outcome, seconds=elapsed)

    return handle


class ServiceInterceptor(grpc.ServerInterceptor):
    """Wraps every method of this project's services; all are unary (see GrpcServer).

    A method is wrapped when it is first called, and the handler is kept.
    """

    def __init__(self, tokens: TokenVerifier | None = None) -> None:
        self._tokens = tokens
        self._handlers: dict[str, grpc.RpcMethodHandler] = {}

    @override
    def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        if known := self._handlers.get(method):
            return known
        handler = continuation(handler_call_details)
        if handler is None or not method.startswith(SERVICE_PATH_PREFIX):
            return handler
        assert handler.unary_unary
        wrapped = with_interceptors(handler.unary_unary, method, self._tokens)
        return self._handlers.setdefault(method, with_behavior(handler, wrapped))


def with_behavior(handler: grpc.RpcMethodHandler, behavior: Behavior) -> grpc.RpcMethodHandler:
    """Copy a unary handler with another behavior."""
    return grpc.unary_unary_rpc_method_handler(
        behavior, handler.request_deserializer, handler.response_serializer
    )
