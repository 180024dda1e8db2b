"""Sends spans to a collector: OTLP over HTTP, in batches, in a thread of its own.

A collector that is slow, full or not there costs no call anything: spans wait in a queue with a
limit, the thread tries less and less often, and one line of the log says so. Nothing of it is
imported or connected before there is a span.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from services.common.background import BackgroundLoop
from services.common.threads.priority import yield_to_calls
from services.common.tracing import spans
from services.common.tracing.spans import Span

BATCH_SIZE = 512
INTERVAL_SECONDS = 0.5
TIMEOUT_SECONDS = 2.0
MAX_DELAY_SECONDS = 30.0
STOP_SECONDS = 1.0
"""How long a process that stops takes for its last spans."""

Send = Callable[[bytes], None]
"""Sends an ExportTraceServiceRequest; OSError when the collector did not take it."""

log = structlog.get_logger()


class SpanExporter:
    """Exports the spans of this process; `url` is the collector's, with the path /v1/traces."""

    def __init__(
        self,
        *,
        url: str,
        service: str,
        instance: str,
        send: Send | None = None,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._send = send or _Sender(url)
        self._service = service
        self._instance = instance
        self._interval_seconds = interval_seconds
        self._delay_seconds = 0.0
        self._loop = BackgroundLoop(name="trace-export", work=self._run)

    def start(self) -> None:
        """Record spans from now on, and begin to export them."""
        spans.enable()
        self._loop.start()

    def stop(self) -> None:
        """Export what waits, unless the collector is unavailable, and stop."""
        self._loop.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while spans.waiting and not self._delay_seconds and time.monotonic() < deadline:
            self.export_batch()
        spans.enable(enabled=False)

    def export_batch(self) -> None:
        """Export the oldest spans, if there are any; they are dropped if that fails."""
        batch = _take(BATCH_SIZE)
        if not batch:
            return
        from services.common.tracing import otlp  # noqa: PLC0415 - costs memory and time

        request = otlp.encode(batch, service=self._service, instance=self._instance)
        try:
            self._send(request)
        except OSError as error:
            self._failed(error)
        else:
            self._succeeded()

    def _run(self, loop: BackgroundLoop) -> None:
        yield_to_calls()
        while not loop.wait(self._delay_seconds or self._interval_seconds):
            self.export_batch()
            while len(spans.waiting) >= BATCH_SIZE and not self._delay_seconds:
                self.export_batch()
            loop.succeeded()  # no work of the shop depends on the collector

    def _failed(self, error: OSError) -> None:
        if not self._delay_seconds:
            log.warning("traces_not_exported", error=type(error).__name__)
        longer = max(2 * self._delay_seconds, self._interval_seconds)
        self._delay_seconds = min(MAX_DELAY_SECONDS, longer)

    def _succeeded(self) -> None:
        if self._delay_seconds:
            log.info("traces_exported_again")
        self._delay_seconds = 0.0


def exporters(url: str, service: str, instance: str) -> Sequence[SpanExporter]:
    """Return what exports the spans of this process; nothing without the URL of a collector.

    It is the last worker to stop, so that it exports the spans of what stops before it.
    """
    return [SpanExporter(url=url, service=service, instance=instance)] if url else []


def _take(limit: int) -> Sequence[Span]:
    """Remove the oldest spans from the queue."""
    taken: list[Span] = []
    while spans.waiting and len(taken) < limit:
        try:
            taken.append(spans.waiting.popleft())
        except IndexError:  # pragma: no cover - the queue was full and has dropped it
            break
    return taken


class _Sender:
    """Posts to one URL over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: Any = None

    def __call__(self, request: bytes) -> None:
        import requests  # noqa: PLC0415 - costs memory and time

        if self._session is None:
            self._session = requests.Session()
            self._session.trust_env = False
        headers = {"content-type": "application/x-protobuf"}
        with self._session.post(
            self._url, data=request, headers=headers, timeout=TIMEOUT_SECONDS
        ) as answer:
            answer.raise_for_status()
