"""Refuses work at the door when too much of it waits.

A call that would wait longer than anybody is patient for is better refused at once,
with RESOURCE_EXHAUSTED, than answered too late: the caller can try another instance.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

from services.common.rpc import status
from services.common.rpc.interceptors import SERVICE_PATH_PREFIX, abort, with_behavior

OVERLOADED = status.build_status(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "The service is overloaded; try again in a moment.",
    status.error_info("OVERLOADED", {}),
)


class CountingThreadPool(ThreadPoolExecutor):
    """A thread pool that tells how many tasks wait for a thread."""

    @property
    def waiting(self) -> int:
        """Return the number of tasks that no thread has begun."""
        return self._work_queue.qsize()


class AdmissionInterceptor(grpc.ServerInterceptor):
    """Refuses calls while more than `limit` others wait for a thread.

    grpcio runs interceptors when a call arrives, before it waits for a thread, so the
    refusal is immediate; it is answered on a thread of its own.
    """

    def __init__(self, *, waiting: Callable[[], int], limit: int) -> None:
        self._waiting = waiting
        self._limit = limit

    def intercept_service(self, continuation, handler_call_details):
        """Return the method's handler, or the refusal."""
        handler = continuation(handler_call_details)
        ours = handler_call_details.method.startswith(SERVICE_PATH_PREFIX)
        if handler is None or not ours or self._waiting() < self._limit:
            return handler
        return with_behavior(handler, _refuse)


def _refuse(_request: object, context: grpc.ServicerContext) -> None:
    abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, OVERLOADED)


# grpcio runs a behaviour that has this attribute on that pool instead of the server's.
_refuse.experimental_thread_pool = ThreadPoolExecutor(1, "refusals")  # type: ignore[attr-defined]
