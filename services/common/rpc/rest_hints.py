"""Response metadata for the REST edge: HTTP status and caching. gRPC clients ignore it."""

from hashlib import blake2b
from typing import TypeVar

import grpc
from google.protobuf import message

from services.common.rpc.status import HTTP_CODE

Response = TypeVar("Response", bound=message.Message)


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
    caching = ("cache-control", f"public, max-age={seconds}")
    context.send_initial_metadata((caching, ("etag", entity_tag(response))))
    return response


def uncacheable(context: grpc.ServicerContext, response: Response) -> Response:
    """Return `response`, which no cache may store.

    Call it last, as `created`; for a response that says what was done, once.
    """
    context.send_initial_metadata((("cache-control", "no-store"),))
    return response


def revalidated(context: grpc.ServicerContext, response: Response) -> Response:
    """Return `response`, which the caller's own cache may keep, and has to ask about each time.

    Call it last, as `created`; for a response that depends on the caller. The edge answers 304
    when the client has it already.
    """
    caching = ("cache-control", "private, no-cache")
    context.send_initial_metadata((caching, ("etag", entity_tag(response))))
    return response


def entity_tag(response: message.Message) -> str:
    """Return the entity tag of a response: weak, since the edge may compress it."""
    content = response.SerializeToString(deterministic=True)
    return f'W/"{blake2b(content, digest_size=12).hexdigest()}"'
