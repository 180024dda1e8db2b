"""The saga: its steps, what was postponed or taken over, and how old unfinished orders are."""

from prometheus_client import Counter, Gauge, Histogram

from services.orders.domain import Step

STEP = Histogram(
    "mamie_saga_step_seconds",
    "How long a step took that was completed, with what it wrote.",
    ("step",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
POSTPONED = Counter(
    "mamie_saga_steps_postponed", "Steps that could not go on and are tried again.", ("step",)
)
TAKEOVERS = Counter(
    "mamie_saga_takeovers", "Orders that were claimed: their lease or retry delay had ended."
)
FAILURES = Counter("mamie_saga_failures", "Drives that ended with an unexpected error: bugs.")
UNFINISHED = Gauge(
    "mamie_saga_unfinished_orders", "Orders in the store whose saga is not complete."
)
OLDEST = Gauge(
    "mamie_saga_oldest_unfinished_age_seconds",
    "Time since the oldest of them was placed; 0 without any.",
)

for _step in Step:
    STEP.labels(_step)
    POSTPONED.labels(_step)
