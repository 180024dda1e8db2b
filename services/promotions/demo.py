"""The demo codes of the shop: one that is valid, one that has ended, one that is used up."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from services.promotions.domain import Promotion, PromotionExistsError
from services.promotions.repository import PromotionsRepository

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ENDED = datetime(2025, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2050, 1, 1, tzinfo=UTC)

# Anybody may use WELCOME10 any number of times, so that the README's walk can be repeated.
WELCOME = Promotion(
    code="WELCOME10", discount_percentage=10, valid_from=LONG_AGO, valid_until=FAR_AHEAD
)
EXPIRED = Promotion(
    code="EXPIRED20", discount_percentage=20, valid_from=LONG_AGO, valid_until=ENDED
)
SOLD_OUT = Promotion(
    code="SOLDOUT5",
    discount_percentage=5,
    valid_from=LONG_AGO,
    valid_until=FAR_AHEAD,
    max_uses=1,
)
PROMOTIONS: Sequence[Promotion] = (WELCOME, EXPIRED, SOLD_OUT)

log = structlog.get_logger()


def seed(repository: PromotionsRepository) -> None:
    """Add the demo codes that are not there yet; those that are stay as they are.

    What is used up was so before this shop knew it: there is no order here that did it. And
    no event tells of these codes: a demo shop does not write to its clients when it starts.
    """
    count = sum(_add(repository, promotion) for promotion in PROMOTIONS)
    log.info("demo_promotions_added", count=count)


def _add(repository: PromotionsRepository, promotion: Promotion) -> bool:
    try:
        repository.add(promotion, told=False, used=promotion.max_uses)
    except PromotionExistsError:
        return False
    return True
