"""The reference of the API over gRPC, and so over REST."""

import grpc
from google.api import httpbody_pb2
from mamie_rosa.storefront.v1 import reference_pb2, reference_pb2_grpc
from typing_extensions import override

from services.common.rpc.rest_hints import entity_tag
from services.storefront.reference import pages

MAX_AGE_SECONDS = 300
HEADERS = (
    ("cache-control", f"public, max-age={MAX_AGE_SECONDS}"),
    # No script at all, and a style sheet of this shop alone.
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'",
    ),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
)


class ReferenceServicer(reference_pb2_grpc.ReferenceServiceServicer):
    """Serves documents and pages that it has rendered at its start."""

    def __init__(self) -> None:
        self._files = pages.load()
        self._tags = {name: entity_tag(body) for name, body in self._files.items()}

    @override
    def GetOpenApi(
        self, request: reference_pb2.GetOpenApiRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return self._answer(context, "openapi.json")

    @override
    def GetAsyncApi(
        self, request: reference_pb2.GetAsyncApiRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return self._answer(context, "asyncapi.json")

    @override
    def GetApiPage(
        self, request: reference_pb2.GetApiPageRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return self._answer(context, "api.html")

    @override
    def GetGrpcPage(
        self, request: reference_pb2.GetGrpcPageRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return self._answer(context, "grpc.html")

    @override
    def GetEventsPage(
        self, request: reference_pb2.GetEventsPageRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return self._answer(context, "events.html")

    @override
    def GetPageStyle(
        self, request: reference_pb2.GetPageStyleRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return self._answer(context, "style.css")

    def _answer(self, context: grpc.ServicerContext, name: str) -> httpbody_pb2.HttpBody:
        context.send_initial_metadata((*HEADERS, ("etag", self._tags[name])))
        return self._files[name]
