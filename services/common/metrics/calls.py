"""The calls that a process answers: rate, errors and duration, by method.

One histogram has all three, under the names of the gRPC ecosystem. A call costs one `observe`:
the labels of a method are resolved once.
"""

from prometheus_client import Counter, Gauge, Histogram

from services.common.context import current

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

HANDLING = Histogram(
    "grpc_server_handling_seconds",
    "How long unary calls took in their thread, by the code that they ended with.",
    ("grpc_service", "grpc_method", "grpc_code"),
    buckets=BUCKETS,
)
REJECTED = Counter(
    "mamie_rpc_rejected", "Calls that were rejected as OVERLOADED, before they had a thread."
)
THREADS = Gauge("mamie_rpc_threads", "Threads that answer calls, at most.")
BUSY = Gauge("mamie_rpc_threads_busy", "Threads that answer a call now.")
QUEUE = Gauge("mamie_rpc_queue_length", "Calls that wait for a thread.")
QUEUE_LIMIT = Gauge("mamie_rpc_queue_limit", "Calls that may wait; the next one is rejected.")
STREAMS = Gauge("mamie_streams_open", "Streams to customers that are open.")


class CallMeter:
    """Counts the calls of one method, "/package.Service/Method"."""

    def __init__(self, method: str) -> None:
        _, self._service, self._method = method.split("/")
        self._by_code: dict[str, Histogram] = {}

    def observe(self, code: str, seconds: float) -> None:
        """Count a call that ended with a gRPC code, such as "OK"."""
        histogram = self._by_code.get(code)
        if histogram is None:
            histogram = HANDLING.labels(self._service, self._method, code)
            self._by_code[code] = histogram
        histogram.observe(seconds, exemplar())


def exemplar() -> dict[str, str] | None:
    """Return the trace of the current call, if it is kept: a bucket then leads to a trace."""
    call = current()
    return {"trace_id": call.trace_id} if call.is_sampled else None
