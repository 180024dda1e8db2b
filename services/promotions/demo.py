"""The demo codes of the shop: one valid, one expired, one used up."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from services.promotions.domain import Promotion, PromotionExistsError
from services.promotions.repository import PromotionsRepository

START = datetime(2020, 1, 1, tzinfo=UTC)
PAST_END = datetime(2025, 1, 1, tzinfo=UTC)
FUTURE_END = datetime(2050, 1, 1, tzinfo=UTC)

# WELCOME10 has no limits, so that the README's walk can be repeated.
WELCOME = Promotion(
    code="WELCOME10", discount_percentage=10, valid_from=START, valid_until=FUTURE_END
)
EXPIRED = Promotion(
    code="EXPIRED20", discount_percentage=20, valid_from=START, valid_until=PAST_END
)
SOLD_OUT = Promotion(
    code="SOLDOUT5",
    discount_percentage=5,
    valid_from=START,
    valid_until=FUTURE_END,
    max_uses=1,
)
PROMOTIONS: Sequence[Promotion] = (WELCOME, EXPIRED, SOLD_OUT)

log = structlog.get_logger()


def seed(repository: PromotionsRepository) -> None:
    """Add the demo codes that do not exist yet; existing codes do not change.

    SOLDOUT5 is added as used up, without an order that redeemed it. No event is published:
    a demo shop does not write to its customers when it starts.
    """
    count = sum(_add(repository, promotion) for promotion in PROMOTIONS)
    log.info("demo_promotions_added", count=count)


def _add(repository: PromotionsRepository, promotion: Promotion) -> bool:
    try:
        repository.add(promotion, publish=False, used=promotion.max_uses)
    except PromotionExistsError:
        return False
    return True
