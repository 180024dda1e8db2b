"""The start page, for clients."""

import json

from google.api import httpbody_pb2
from google.protobuf import json_format
from mamie_rosa.storefront.v1 import storefront_pb2, storefront_pb2_grpc

from services.common.rpc import authorization, rest_hints
from services.storefront.home import HomePage


class StorefrontServicer(storefront_pb2_grpc.StorefrontServiceServicer):
    """What clients see first."""

    def __init__(self, *, home: HomePage) -> None:
        self._home = home

    def GetHome(self, request, context):
        """Return everything for the caller's start page."""
        home = self._home.compose(authorization.require_user().user_id)
        body = httpbody_pb2.HttpBody(content_type="application/json", data=_render(home))
        return rest_hints.uncacheable(context, body)


def _render(home: storefront_pb2.Home) -> bytes:
    """Return JSON as the edge makes it of messages, with null for the parts that are missing."""
    page = json_format.MessageToDict(home, always_print_fields_with_no_presence=True)
    page |= dict.fromkeys(home.degraded)
    return json.dumps(page, ensure_ascii=False, allow_nan=False).encode()
