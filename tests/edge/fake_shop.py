"""One gRPC server that stands for every service of the shop, and remembers what it was asked.

It answers any method that the protos declare. What it answers is chosen by the `id` of the
request (see `SCENARIOS`); otherwise an empty message of the right type.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from mamie_rosa.catalog.internal.v1 import catalog_pb2 as internal_catalog_pb2
from mamie_rosa.catalog.v1 import catalog_pb2
from mamie_rosa.orders.v1 import orders_pb2
from mamie_rosa.promotions.v1 import promotions_pb2
from mamie_rosa.users.v1 import users_pb2

from services.common.status import DETAILS, HTTP_CODE, build_status, error_info

DECLARED = (health_pb2, internal_catalog_pb2, catalog_pb2, orders_pb2, promotions_pb2, users_pb2)
"""Imported so that the descriptor pool knows their methods."""


@dataclass(frozen=True)
class Call:
    """What the shop saw of one call."""

    method: str
    request: Any
    metadata: Mapping[str, str]
    remaining_seconds: float


@dataclass
class FakeShop:
    """The shop's memory and its answers."""

    jwks: bytes = b""
    calls: list[Call] = field(default_factory=list)
    _tries: Counter[str] = field(default_factory=Counter)

    def serve(self) -> tuple[grpc.Server, int]:
        """Start to answer; return the server and its port."""
        server = grpc.server(ThreadPoolExecutor(16))
        server.add_generic_rpc_handlers((_AnyMethod(self.answer),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, port

    def answer(self, method: str, request: Message, context: grpc.ServicerContext) -> Message:
        """Remember a call, and answer it."""
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.calls.append(Call(method, request, metadata, context.time_remaining() or 0))
        if method.endswith("/GetJwks"):
            return httpbody_pb2.HttpBody(content_type="application/json", data=self.jwks)
        scenario = SCENARIOS.get(getattr(request, "id", ""), succeed)
        return scenario(self, request, context) or empty_answer(method)

    def tries(self, name: str) -> int:
        """Return how often a request with this id has arrived."""
        return sum(getattr(call.request, "id", "") == name for call in self.calls)


def succeed(_shop: FakeShop, _request: Message, _context: grpc.ServicerContext) -> None:
    """Answer with an empty message."""


def created(_shop, _request, context):
    context.send_initial_metadata(((HTTP_CODE, "201"),))


def missing(_shop, _request, context):
    refuse(context, grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND")


def unprocessable(_shop, _request, context):
    refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_STOCK", http=422)


def conflict(_shop, _request, context):
    refuse(context, grpc.StatusCode.ABORTED, "CONFLICT")


def slow(_shop, _request, context):
    import threading

    done = threading.Event()
    context.add_callback(done.set)
    done.wait()


def big(_shop, request, _context):
    return catalog_pb2.Product(product_id=request.id, description="long " * 100_000)


def flaky(shop, request, context):
    if shop.tries(request.id) == 1:
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")


SCENARIOS: Mapping[str, Callable[[FakeShop, Any, grpc.ServicerContext], Message | None]] = {
    "created": created,
    "missing": missing,
    "unprocessable": unprocessable,
    "conflict": conflict,
    "slow": slow,
    "big": big,
    "flaky": flaky,
}


def refuse(context, code, reason, http=None):
    status = build_status(code, "No.", error_info(reason, {"why": "test"}))
    metadata = [(DETAILS, status.SerializeToString())]
    if http:
        metadata.append((HTTP_CODE, str(http)))
    context.set_trailing_metadata(tuple(metadata))
    context.abort(code, "No.")


def empty_answer(method):
    service, _, name = method.strip("/").partition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    return message_factory.GetMessageClass(found.output_type)()


class _AnyMethod(grpc.GenericRpcHandler):
    def __init__(self, answer):
        self._answer = answer

    def service(self, details):
        service, _, name = details.method.strip("/").partition("/")
        found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(details.method, request, context),
            request_deserializer=message_factory.GetMessageClass(found.input_type).FromString,
            response_serializer=lambda m: m.SerializeToString(),
        )
