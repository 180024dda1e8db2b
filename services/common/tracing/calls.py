"""The spans of gRPC calls: one of the server, one of the client."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc

from services.common.context import CallContext
from services.common.tracing import spans
from services.common.tracing.spans import ORDER_ID, REQUEST_ID, Kind, Span, valid_id

SERVER_ERRORS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The codes that are errors of a server; the rest are answers."""


class ServedMethod:
    """Records the calls of one method of a server.

    Calls that fail are recorded also when the rest of their trace is not: as far as an error came,
    each service on its way has one span.
    """

    def __init__(self, path: str) -> None:
        self._name = path.removeprefix("/")
        self._attributes = _attributes(self._name)

    def begin(self, call: CallContext) -> tuple[CallContext, Span | None]:
        """Begin a call; return its context, and its span if its trace is recorded."""
        if not call.is_sampled:
            return call, None
        begun = spans.begin(self._name, Kind.SERVER, self._attributes, parent=call.traceparent)
        if begun is None:
            return call, None
        begun.attributes[REQUEST_ID] = valid_id(call.request_id)
        return replace(call, traceparent=begun.traceparent), begun

    def end(
        self, begun: Span | None, call: CallContext, *messages: Any, outcome: str, seconds: float
    ) -> None:
        """End a call: `outcome` is the name of its code, `messages` are request and response.

        The order that the messages are about becomes an attribute.
        """
        error = outcome if outcome in SERVER_ERRORS else ""
        if begun is not None:
            begun.attributes["rpc.response.status_code"] = outcome
            if order_id := _order_id(*messages):
                begun.attributes[ORDER_ID] = order_id
            begun.end(error)
        elif error:
            attributes = self._attributes | {
                "rpc.response.status_code": outcome,
                REQUEST_ID: valid_id(call.request_id),
                ORDER_ID: _order_id(*messages),
            }
            spans.record_error(call.traceparent, self._name, attributes, error, seconds)


class CalledMethod:
    """Records the calls of one method of an upstream."""

    def __init__(self, path: str) -> None:
        self._name = path.removeprefix("/")
        self._attributes = _attributes(self._name)

    def call(self, invoke: Callable[[str | None], Any], parent: str) -> Any:
        """Call with the trace context that the upstream gets, within a span."""
        begun = spans.begin(self._name, Kind.CLIENT, self._attributes, parent=parent)
        if begun is None:
            return invoke(parent)
        try:
            answer = invoke(begun.traceparent)
        except grpc.RpcError as error:
            _end(begun, error)
            raise
        if isinstance(answer, grpc.Future):
            answer.add_done_callback(lambda done: _end(begun, done))
        else:
            _end(begun, None)
        return answer


def _end(begun: Span, outcome: Any) -> None:
    """End a client's span; `outcome` is an error or a future that says how the call ended."""
    code = outcome.code() if hasattr(outcome, "code") else None
    name = code.name if isinstance(code, grpc.StatusCode) else "OK"
    begun.attributes["rpc.response.status_code"] = name
    begun.end("" if name == "OK" else name)


def _attributes(name: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": name}


def _order_id(*messages: Any) -> str:
    found = (valid_id(getattr(message, "order_id", "")) for message in messages)
    return next(filter(None, found), "")
