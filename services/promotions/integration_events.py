"""The integration events that the promotions publish."""

from mamie_rosa.events.v1 import events_pb2

from services.common.rpc.timestamps import to_timestamp
from services.promotions.domain import Promotion


def to_integration_event(promotion: Promotion) -> events_pb2.PromoCreated:
    """Build the event of a new promotion."""
    return events_pb2.PromoCreated(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        valid_from=to_timestamp(promotion.valid_from),
        valid_until=to_timestamp(promotion.valid_until),
        category=promotion.category,
    )
