"""Hints that only clients of the REST edge see; native gRPC clients never notice."""

from typing import TypeVar

import grpc

from services.common.rpc.status import HTTP_CODE

Response = TypeVar("Response")


def created(context: grpc.ServicerContext, response: Response) -> Response:
    """Return `response`, for which REST clients see 201.

    Call it last: metadata that has left cannot be followed by an error with its own.
    """
    context.send_initial_metadata(((HTTP_CODE, "201"),))
    return response


def cacheable(context: grpc.ServicerContext, response: Response, *, seconds: int) -> Response:
    """Return `response`, which the edge and browsers may answer again for that long.

    Call it last, as `created`; never for an answer that depends on the caller.
    """
    context.send_initial_metadata((("cache-control", f"public, max-age={seconds}"),))
    return response


def uncacheable(context: grpc.ServicerContext, response: Response) -> Response:
    """Return `response`, which nobody on the way to the client may keep, nor the client.

    Call it last, as `created`; for an answer that is put together anew for each caller.
    """
    context.send_initial_metadata((("cache-control", "no-store"),))
    return response
