"""The calls that a process makes, by upstream: rate, errors and duration, as the caller sees them.

Retries, which gRPC makes by itself, belong to their call. A call that a circuit breaker rejects
is none. A call costs one `observe`, as at its server.
"""

import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import grpc
from prometheus_client import Histogram

from services.common.metrics.calls import BUCKETS, exemplar

PACKAGE = re.compile(r"/mamie_rosa\.([a-z_]+)\.")

CALLS = Histogram(
    "mamie_upstream_call_seconds",
    "How long calls to another service took, by the code that they ended with.",
    ("upstream", "grpc_code"),
    buckets=BUCKETS,
)


class UpstreamMeter:
    """Counts the calls to one upstream."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._by_code: dict[str, Histogram] = {}

    def call(self, invoke: Callable[[], Any]) -> Any:
        """Make a call and count it when it has ended: `invoke` returns an answer or a future."""
        begun = time.perf_counter()
        try:
            answer = invoke()
        except grpc.RpcError as error:
            self._end(error, begun)
            raise
        if isinstance(answer, grpc.Future):
            answer.add_done_callback(lambda done: self._end(done, begun))
        else:
            self.observe("OK", time.perf_counter() - begun)
        return answer

    def _end(self, outcome: Any, begun: float) -> None:
        code = outcome.code() if hasattr(outcome, "code") else None
        name = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
        self.observe(name, time.perf_counter() - begun)

    def observe(self, code: str, seconds: float) -> None:
        """Count a call that ended with a gRPC code, such as "OK"."""
        histogram = self._by_code.get(code)
        if histogram is None:
            histogram = self._by_code[code] = CALLS.labels(self._upstream, code)
        histogram.observe(seconds, exemplar())


@cache
def _meter_of(upstream: str) -> UpstreamMeter:
    return UpstreamMeter(upstream)


@cache
def upstream_meter(path: str) -> UpstreamMeter:
    """Return the meter of the service that a method belongs to, by its package."""
    found = PACKAGE.match(path)
    return _meter_of(found[1] if found else "unknown")
