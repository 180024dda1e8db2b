"""The circuit breakers of a process, by their upstream."""

from prometheus_client import Counter, Gauge

OPEN = Gauge(
    "mamie_circuit_breaker_open",
    "Whether calls to an upstream fail at once; also while a probe is let through.",
    ("upstream",),
)
OPENED = Counter(
    "mamie_circuit_breaker_opened", "How often the circuit to an upstream opened.", ("upstream",)
)


def declare(upstream: str) -> None:
    """Let the series of an upstream begin: its circuit is closed."""
    OPEN.labels(upstream).set(0)
    OPENED.labels(upstream)


def note(upstream: str, *, is_open: bool) -> None:
    """Record that a circuit has opened or closed."""
    OPEN.labels(upstream).set(is_open)
    if is_open:
        OPENED.labels(upstream).inc()
