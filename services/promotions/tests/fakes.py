"""Promotions in memory, for tests of what stands on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.promotions.domain import (
    REFUSED,
    CodeUnknownError,
    Promotion,
    PromotionExistsError,
    PromotionNotFoundError,
    Redemption,
    RedemptionMismatchError,
    RedemptionReleasedError,
    RedemptionState,
    Usage,
    is_running,
    refuse_use,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def build_promotion(code: str = "TEN", **changes) -> Promotion:
    """Return a promotion of 10 % that runs now, changed as told."""
    promotion = Promotion(
        code=code,
        discount_percentage=10,
        valid_from=NOW - timedelta(days=1),
        valid_until=NOW + timedelta(days=1),
    )
    return replace(promotion, **changes)


class InMemoryPromotionsRepository:
    """Promotions and redemptions in two dictionaries; uses are counted from the latter."""

    def __init__(self) -> None:
        self._promotions: dict[str, Promotion] = {}
        self._used_before: dict[str, int] = {}
        self._redemptions: dict[str, Redemption] = {}

    def find(self, code: str, user_id: str = "") -> Usage | None:
        if code not in self._promotions:
            return None
        used = [r for r in self._redemptions.values() if r.code == code]
        live = [r for r in used if r.state is RedemptionState.REDEEMED]
        by_user = Counter(redemption.user_id for redemption in live)
        return Usage(
            promotion=self._promotions[code],
            used=self._used_before[code] + len(live),
            used_by_user=by_user[user_id],
        )

    def load(self, code: str) -> Usage:
        if usage := self.find(code):
            return usage
        raise PromotionNotFoundError(code)

    def running(self, now: datetime, limit: int) -> Sequence[Promotion]:
        running = [p for p in self._promotions.values() if is_running(self.load(p.code), now)]
        return sorted(running, key=lambda p: (-p.discount_percentage, p.code))[:limit]

    def add(self, promotion: Promotion, *, told: bool = True, used: int = 0) -> None:
        if promotion.code in self._promotions:
            raise PromotionExistsError(promotion.code)
        self._promotions[promotion.code] = promotion
        self._used_before[promotion.code] = used

    def redeem(self, order_id: str, code: str, user_id: str, now: datetime) -> None:
        known = self._redemptions.get(order_id.lower())
        if known and known.state is RedemptionState.RELEASED:
            raise RedemptionReleasedError(order_id)
        if known and (known.code, known.user_id) != (code, user_id):
            raise RedemptionMismatchError(order_id)
        if not known:
            self._check(code, user_id, now)
            self._redemptions[order_id.lower()] = Redemption(
                order_id=order_id.lower(),
                state=RedemptionState.REDEEMED,
                code=code,
                user_id=user_id,
                redeemed_at=now,
            )

    def release(self, order_id: str, code: str) -> None:
        released = Redemption(order_id=order_id.lower(), state=RedemptionState.RELEASED, code=code)
        known = self._redemptions.get(order_id.lower(), released)
        if known.code != code and known.state is RedemptionState.REDEEMED:
            raise RedemptionMismatchError(order_id)
        self._redemptions[order_id.lower()] = replace(known, state=RedemptionState.RELEASED)

    def list_from(self, order_id: str, limit: int) -> Sequence[Redemption]:
        kept = self._redemptions
        return [kept[key] for key in sorted(kept) if key >= order_id][:limit]

    def ping(self) -> None:
        pass

    def _check(self, code: str, user_id: str, now: datetime) -> None:
        usage = self.find(code, user_id)
        if usage is None:
            raise CodeUnknownError(code)
        if refusal := refuse_use(usage, now):
            raise REFUSED[refusal](code)
