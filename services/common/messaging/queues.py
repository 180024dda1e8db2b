"""The queues of all consumers, with the event types that each subscribes to.

They stand in one place because publishers declare them too: an event that is published while
its consumer has no queue would be lost to that consumer.
"""

from services.common.messaging.rabbitmq import Queue

PACKAGE = "mamie_rosa.events.v1"


def _queue(consumer: str, *names: str) -> Queue:
    return Queue(consumer, tuple(f"{PACKAGE}.{name}" for name in names))


NOTIFICATIONS = _queue(
    "notifications",
    "UserCreated",
    "UserUpdated",
    "OrderCreated",
    "OrderCancelled",
    "OrderShipped",
    "OrderDelivered",
    "PromoCreated",
    "StockLow",
    "DiscrepanciesFound",
)
RECOMMENDATIONS = _queue(
    "recommendations", "UserCreated", "UserUpdated", "OrderCreated", "OrderCancelled"
)

ALL = (NOTIFICATIONS, RECOMMENDATIONS)
