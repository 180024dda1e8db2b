"""Admission control: rejects calls when too many wait for a thread.

A call that would wait longer than its caller does is better rejected at once, with
RESOURCE_EXHAUSTED, than answered too late: the caller can try another instance.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
from typing_extensions import override

from services.common.metrics import calls as metrics
from services.common.rpc import status
from services.common.rpc.interceptors import (
    SERVICE_PATH_PREFIX,
    Continuation,
    ErrorResponse,
    abort,
    with_behavior,
)

OVERLOADED = ErrorResponse(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    status.build_status(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "The service is overloaded; try again in a moment.",
        status.error_info("OVERLOADED", {}),
    ),
)


class CountingThreadPool(ThreadPoolExecutor):
    """A thread pool that counts the tasks that wait for a thread."""

    @property
    def waiting(self) -> int:
        """The number of tasks that no thread has started."""
        return self._work_queue.qsize()

    @property
    def busy(self) -> int:
        """The number of threads that run a task; an estimate while tasks come and go."""
        return max(0, len(self._threads) - self._idle_semaphore._value)


def measure(pool: CountingThreadPool, queue_limit: int) -> None:
    """Let the threads of the process's server and its queue be measured."""
    metrics.THREADS.set(pool._max_workers)
    metrics.BUSY.set_function(lambda: pool.busy)
    metrics.QUEUE.set_function(lambda: pool.waiting)
    metrics.QUEUE_LIMIT.set(queue_limit)


class AdmissionInterceptor(grpc.ServerInterceptor):
    """Rejects a call while `limit` calls wait for a thread.

    grpcio runs interceptors when a call arrives, before it waits for a thread, so the
    rejection is immediate; it is sent by a thread of its own.
    """

    def __init__(self, *, waiting: Callable[[], int], limit: int) -> None:
        self._waiting = waiting
        self._limit = limit

    @override
    def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        handler = continuation(handler_call_details)
        ours = handler_call_details.method.startswith(SERVICE_PATH_PREFIX)
        if handler is None or not ours or self._waiting() < self._limit:
            return handler
        return with_behavior(handler, _reject)


def _reject(_request: object, context: grpc.ServicerContext) -> None:
    metrics.REJECTED.inc()
    abort(context, OVERLOADED)


# grpcio runs a behavior that has this attribute on that pool instead of the server's.
_reject.experimental_thread_pool = ThreadPoolExecutor(1, "rejections")  # type: ignore[attr-defined]
