"""The storefront service over gRPC."""

import json

import grpc
from google.api import httpbody_pb2
from google.protobuf import json_format
from mamie_rosa.storefront.v1 import storefront_pb2, storefront_pb2_grpc
from typing_extensions import override

from services.common.rpc import authorization, rest_hints
from services.storefront import pages
from services.storefront.assets import Assets
from services.storefront.home import HomePage


class StorefrontServicer(storefront_pb2_grpc.StorefrontServiceServicer):
    """Serves the web pages, their files, and what the start page shows."""

    def __init__(self, *, home: HomePage, assets: Assets) -> None:
        self._home = home
        self._assets = assets

    @override
    def GetStartPage(
        self, request: storefront_pb2.GetStartPageRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return pages.answer_shell(context, self._assets)

    @override
    def GetPage(
        self, request: storefront_pb2.GetPageRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return pages.answer_shell(context, self._assets)

    @override
    def GetAdminPage(
        self, request: storefront_pb2.GetAdminPageRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return pages.answer_shell(context, self._assets)

    @override
    def GetOpsPage(
        self, request: storefront_pb2.GetOpsPageRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return pages.answer_shell(context, self._assets)

    @override
    def GetAsset(
        self, request: storefront_pb2.GetAssetRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        return pages.answer_asset(context, self._assets, version=request.version, path=request.path)

    @override
    def EndSession(
        self, request: storefront_pb2.EndSessionRequest, context: grpc.ServicerContext
    ) -> storefront_pb2.EndSessionResponse:
        # The cookie is the edge's (envoy/session.lua), which deletes it with this answer.
        return rest_hints.uncacheable(context, storefront_pb2.EndSessionResponse())

    @override
    def GetHome(
        self, request: storefront_pb2.GetHomeRequest, context: grpc.ServicerContext
    ) -> httpbody_pb2.HttpBody:
        home = self._home.compose(authorization.require_user().user_id)
        body = httpbody_pb2.HttpBody(content_type="application/json", data=_to_json(home))
        return rest_hints.revalidated(context, body)


def _to_json(home: storefront_pb2.Home) -> bytes:
    """Convert a page to JSON as the edge does, with null for degraded parts."""
    page = json_format.MessageToDict(home, always_print_fields_with_no_presence=True)
    page |= dict.fromkeys(home.degraded)
    return json.dumps(page, ensure_ascii=False, allow_nan=False).encode()
