"""The demo codes of the shop: one that is valid, one that has ended, one that is used up."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from services.common.clock import Clock, utc_now
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

DEMO_ORDER = "d5d41d8a-7a53-4c0b-8a5e-0f3f6f1c5b05"
"""The order that used SOLDOUT5 up; always the same one, so that it does so once."""
DEMO_CLIENT = "5e1f0a52-9d0c-4a7e-b0a5-3c9d6b2e7f11"

log = structlog.get_logger()


def seed(repository: PromotionsRepository, *, clock: Clock = utc_now) -> None:
    """Add the demo codes that are not there yet; those that are stay as they are.

    No event tells of them: a demo shop does not write to all its clients when it starts.
    """
    count = sum(_add(repository, promotion) for promotion in PROMOTIONS)
    if repository.load(SOLD_OUT.code).promotion == SOLD_OUT:
        repository.redeem(DEMO_ORDER, SOLD_OUT.code, DEMO_CLIENT, clock())
    log.info("demo_promotions_added", count=count)


def _add(repository: PromotionsRepository, promotion: Promotion) -> bool:
    try:
        repository.add(promotion, told=False)
    except PromotionExistsError:
        return False
    return True
