"""Hints that only clients of the REST edge see; native gRPC clients never notice."""

from typing import TypeVar

import grpc

from services.common.status import HTTP_CODE

Response = TypeVar("Response")


def created(context: grpc.ServicerContext, response: Response) -> Response:
    """Return `response`, for which REST clients see 201.

    Call it last: metadata that has left cannot be followed by an error with its own.
    """
    context.send_initial_metadata(((HTTP_CODE, "201"),))
    return response
