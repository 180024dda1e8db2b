"""Response metadata for the REST edge: HTTP status and caching. gRPC clients ignore it."""

from typing import TypeVar

import grpc

from services.common.rpc.status import HTTP_CODE

Response = TypeVar("Response")


def created(context: grpc.ServicerContext, response: Response) -> Response:
    """Return `response` with the HTTP status 201.

    Call it last: once metadata is sent, an error cannot send its own.
    """
    context.send_initial_metadata(((HTTP_CODE, "201"),))
    return response


def cacheable(context: grpc.ServicerContext, response: Response, *, seconds: int) -> Response:
    """Return `response`, which the edge and browsers may cache for that long.

    Call it last, as `created`; never for a response that depends on the caller.
    """
    context.send_initial_metadata((("cache-control", f"public, max-age={seconds}"),))
    return response


def uncacheable(context: grpc.ServicerContext, response: Response) -> Response:
    """Return `response`, which no cache may store.

    Call it last, as `created`; for a response that depends on the caller.
    """
    context.send_initial_metadata((("cache-control", "no-store"),))
    return response
