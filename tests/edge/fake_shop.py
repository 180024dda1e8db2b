"""A gRPC server in place of every service of the shop, which records its calls.

It answers any method that the protos declare. The `id` of the request, up to a "-", selects
the answer (see `SCENARIOS`); by default it is an empty message of the right type.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from mamie_rosa.catalog.v1 import catalog_pb2
from mamie_rosa.storefront.v1 import storefront_pb2

from scripts.paths import PROTOS
from scripts.protos.generate import names
from services.common.rpc import interceptors, rest_hints, status

for proto in names(PROTOS):
    import_module(f"{proto.removesuffix('.proto').replace('/', '.')}_pb2")
KNOWN = (health_pb2, reflection_pb2)
"""Imported, as are all protos, so that the descriptor pool has their methods."""


@dataclass(frozen=True)
class Call:
    """One recorded call. `instance` is the port of the called server."""

    instance: int
    method: str
    request: Any
    metadata: Mapping[str, str]
    remaining_seconds: float


@dataclass
class FakeShop:
    """The recorded calls of all instances, and the public keys of the users service."""

    jwks: bytes = b""
    stream_parts: queue.Queue[str] = field(default_factory=queue.Queue)
    """The parts of the stream of the order "live", one after the other; "" ends it."""
    calls: list[Call] = field(default_factory=list)
    servers: list[grpc.Server] = field(default_factory=list)

    def open(self) -> int:
        """Start one more instance of every service; return its port."""
        server = grpc.server(ThreadPoolExecutor(16))
        self.servers.append(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.add_generic_rpc_handlers((_EveryMethod(self, port),))
        server.start()
        return port

    def close(self) -> None:
        """Stop every instance."""
        for stopped in [server.stop(0) for server in self.servers]:
            stopped.wait()

    def answer(
        self, instance: int, method: str, request: Message, context: grpc.ServicerContext
    ) -> Message:
        """Record a call and answer it."""
        self._record(instance, method, request, context)
        if method.endswith("/GetJwks"):
            return self._keys(context)
        if method.endswith(("/LoginUser", "/RegisterUser")):
            return sign_in(method, request)
        if isinstance(request, storefront_pb2.GetAssetRequest):
            return asset(request, context)
        scenario = SCENARIOS.get(getattr(request, "id", "").partition("-")[0], empty)
        return scenario(method, request, context)

    def stream(
        self, instance: int, method: str, request: Any, context: grpc.ServicerContext
    ) -> Iterator[Message]:
        """Record a call and stream to it; the stream of the order "over" has ended before."""
        self._record(instance, method, request, context)
        if request.id == "over":
            context.send_initial_metadata(((status.HTTP_CODE, "204"),))
            yield httpbody_pb2.HttpBody(content_type="text/event-stream")
        elif request.id == "live":
            for text in iter(self.stream_parts.get, ""):
                yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=text.encode())
        else:
            yield SCENARIOS[request.id](method, request, context)

    def _record(
        self, instance: int, method: str, request: Message, context: grpc.ServicerContext
    ) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        remaining = context.time_remaining() or 0
        self.calls.append(Call(instance, method, request, metadata, remaining))

    def _keys(self, context: grpc.ServicerContext) -> Message:
        if not self.jwks:
            context.abort(grpc.StatusCode.UNAVAILABLE, "no keys yet")
        return httpbody_pb2.HttpBody(content_type="application/json", data=self.jwks)

    def calls_of(self, method: str, **fields: Any) -> list[Call]:
        """Return the calls of a method (without its service) that had these fields."""
        return [
            call
            for call in self.calls
            if call.method.endswith(f"/{method}")
            and all(getattr(call.request, name) == value for name, value in fields.items())
        ]


Scenario = Callable[[str, Any, grpc.ServicerContext], Message]


def empty(method: str, _request: Any, _context: grpc.ServicerContext) -> Message:
    """Answer an empty message."""
    return message_factory.GetMessageClass(_declared(method).output_type)()


def sign_in(method: str, request: Any) -> Message:
    """Answer with a token; the password is the token."""
    answer = message_factory.GetMessageClass(_declared(method).output_type)
    return answer(user_id="someone", token=request.password, expires_in=3600)


def asset(
    request: storefront_pb2.GetAssetRequest, context: grpc.ServicerContext
) -> httpbody_pb2.HttpBody:
    """Answer with a script that may be kept, as the storefront does."""
    context.send_initial_metadata((("cache-control", "public, max-age=60, immutable"),))
    return httpbody_pb2.HttpBody(content_type="text/javascript", data=b"go();" * 200)


def created(method: str, request: Any, context: grpc.ServicerContext) -> Message:
    """Answer as a service that created something."""
    return rest_hints.created(context, empty(method, request, context))


def cached(method: str, request: Any, context: grpc.ServicerContext) -> Message:
    """Answer something that may be cached for a second."""
    return rest_hints.cacheable(context, big(method, request, context), seconds=1)


def big(_method: str, request: Any, _context: grpc.ServicerContext) -> Message:
    """Answer with a page of text."""
    return catalog_pb2.Product(product_id=request.id, description="long " * 1_000)


def huge(_method: str, request: Any, _context: grpc.ServicerContext) -> Message:
    """Answer more than the edge lets through."""
    return catalog_pb2.Product(product_id=request.id, description="x" * (4 << 20))


def slow(method: str, request: Any, context: grpc.ServicerContext) -> Message:
    """Answer after the call has ended."""
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()
    return empty(method, request, context)


def unavailable(_method: str, _request: Any, context: grpc.ServicerContext) -> Message:
    """Answer the error of an unavailable store."""
    return _reject(context, grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


def missing(_method: str, _request: Any, context: grpc.ServicerContext) -> Message:
    """Answer the error of an unknown resource."""
    return _reject(context, grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND")


def conflict(_method: str, _request: Any, context: grpc.ServicerContext) -> Message:
    """Answer the error of a concurrent change."""
    return _reject(context, grpc.StatusCode.ABORTED, "CONFLICT")


def unprocessable(_method: str, _request: Any, context: grpc.ServicerContext) -> Message:
    """Answer an error with an HTTP status of its own."""
    return _reject(context, grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_STOCK", http_code=422)


def bare(_method: str, request: Any, context: grpc.ServicerContext) -> Message:
    """Answer an error without details, as the gRPC library makes them; the id names its code."""
    code = grpc.StatusCode[request.id.partition("-")[2]]
    context.abort(code, "peer ipv4:10.1.2.3:8001: x-user-id:77B")


SCENARIOS: Mapping[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        created,
        cached,
        big,
        huge,
        slow,
        unavailable,
        missing,
        conflict,
        unprocessable,
        bare,
    )
}


def _reject(
    context: grpc.ServicerContext, code: grpc.StatusCode, reason: str, http_code: int | None = None
) -> Message:
    error = status.build_status(code, "No.", status.error_info(reason, {"productIds": "prod_001"}))
    interceptors.abort(context, interceptors.ErrorResponse(code, error, http_code))


def _declared(method: str) -> Any:
    service, _, name = method.strip("/").partition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


class _EveryMethod(grpc.GenericRpcHandler):
    """Answers every declared method, as one instance of the shop."""

    def __init__(self, shop: FakeShop, instance: int) -> None:
        self._shop = shop
        self._instance = instance

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        declared = _declared(method)
        is_stream = declared.server_streaming
        answer: Callable = self._shop.stream if is_stream else self._shop.answer
        kind = (
            grpc.unary_stream_rpc_method_handler
            if is_stream
            else grpc.unary_unary_rpc_method_handler
        )
        return kind(
            lambda request, context: answer(self._instance, method, request, context),
            request_deserializer=message_factory.GetMessageClass(declared.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
