"""Integration events: how late they are published and handled, and what became of them."""

from datetime import UTC, datetime

from prometheus_client import Counter, Histogram

AGES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
DONE, FAILED, DEAD_LETTER, INTERRUPTED = "done", "failed", "dead_letter", "interrupted"
OUTCOMES = (DONE, FAILED, DEAD_LETTER, INTERRUPTED)

PUBLISH_DELAY = Histogram(
    "mamie_outbox_publish_delay_seconds",
    "From when an event happened until the relay published it.",
    buckets=AGES,
)
EVENT_AGE = Histogram(
    "mamie_consumer_event_age_seconds",
    "From when an event happened until its consumer had processed it.",
    ("consumer",),
    buckets=AGES,
)
DELIVERIES = Counter(
    "mamie_consumer_deliveries",
    "Messages by what became of them: done, failed, dead_letter, or interrupted by a stop.",
    ("consumer", "outcome"),
)


def declare_consumer(consumer: str) -> None:
    """Let the series of a consumer begin at zero."""
    for outcome in OUTCOMES:
        DELIVERIES.labels(consumer, outcome)


def age_seconds(time: datetime) -> float:
    """Return the time since then; 0 when another machine's clock is ahead."""
    return max(0.0, (datetime.now(UTC) - time).total_seconds())
