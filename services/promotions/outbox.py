"""What the rest of the shop hears of the promotions."""

from mamie_rosa.events.v1 import events_pb2

from services.promotions.domain import Promotion


def tell_created(promotion: Promotion) -> events_pb2.PromoCreated:
    """Return the message that tells the shop of a new promotion."""
    return events_pb2.PromoCreated(
        code=promotion.code,
        discount_percentage=promotion.discount_percentage,
        valid_from=promotion.valid_from,
        valid_until=promotion.valid_until,
        category=promotion.category,
    )
