"""An in-memory repository of promotions, for tests."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from typing_extensions import override

from services.promotions.domain import (
    REJECTION_ERRORS,
    CodeUnknownError,
    Promotion,
    PromotionExistsError,
    PromotionNotFoundError,
    Redemption,
    RedemptionMismatchError,
    RedemptionReleasedError,
    RedemptionState,
    Usage,
    find_rejection,
    is_active,
)
from services.promotions.repository import PromotionsRepository

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def build_promotion(code: str = "TEN", **changes: Any) -> Promotion:
    """Build an active promotion of 10 %, with some fields replaced."""
    promotion = Promotion(
        code=code,
        discount_percentage=10,
        valid_from=NOW - timedelta(days=1),
        valid_until=NOW + timedelta(days=1),
    )
    return replace(promotion, **changes)


class InMemoryPromotionsRepository(PromotionsRepository):
    """Promotions and redemptions in dictionaries; uses are counted from the redemptions."""

    def __init__(self) -> None:
        self._promotions: dict[str, Promotion] = {}
        self._used_before: dict[str, int] = {}
        self._redemptions: dict[str, Redemption] = {}

    @override
    def find(self, code: str, user_id: str = "", order_id: str = "") -> Usage | None:
        if code not in self._promotions:
            return None
        of_code = [r for r in self._redemptions.values() if r.code == code]
        redeemed = [r for r in of_code if r.state is RedemptionState.REDEEMED]
        by_user = Counter(redemption.user_id for redemption in redeemed)
        own = self._redemptions.get(order_id.lower())
        return Usage(
            promotion=self._promotions[code],
            used=self._used_before[code] + len(redeemed),
            used_by_user=by_user[user_id],
            redeemed_by_order=own is not None and own.uses(code, user_id),
        )

    @override
    def load(self, code: str) -> Usage:
        if usage := self.find(code):
            return usage
        raise PromotionNotFoundError(code)

    @override
    def list_active(self, now: datetime, limit: int) -> Sequence[Promotion]:
        active = [p for p in self._promotions.values() if is_active(self.load(p.code), now)]
        return sorted(active, key=lambda p: (-p.discount_percentage, p.code))[:limit]

    @override
    def add(self, promotion: Promotion, *, publish: bool = True, used: int = 0) -> None:
        if promotion.code in self._promotions:
            raise PromotionExistsError(promotion.code)
        self._promotions[promotion.code] = promotion
        self._used_before[promotion.code] = used

    @override
    def list_page(self, *, page: int, limit: int) -> tuple[Sequence[Usage], int]:
        last_first = sorted(self._promotions.values(), key=lambda p: p.valid_until, reverse=True)
        first = (page - 1) * limit
        found = [self.load(promotion.code) for promotion in last_first[first : first + limit]]
        return found, len(last_first)

    @override
    def end(self, code: str, now: datetime) -> Usage:
        promotion = self.load(code).promotion
        if promotion.valid_until > now:
            begins = min(promotion.valid_from, now)
            self._promotions[code] = replace(promotion, valid_from=begins, valid_until=now)
        return self.load(code)

    @override
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

    @override
    def release(self, order_id: str, code: str) -> None:
        released = Redemption(order_id=order_id.lower(), state=RedemptionState.RELEASED, code=code)
        known = self._redemptions.get(order_id.lower(), released)
        if known.code != code and known.state is RedemptionState.REDEEMED:
            raise RedemptionMismatchError(order_id)
        self._redemptions[order_id.lower()] = replace(known, state=RedemptionState.RELEASED)

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Redemption]:
        stored = self._redemptions
        return [stored[key] for key in sorted(stored) if key >= order_id][:limit]

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Redemption]:
        return [self._redemptions[each] for each in order_ids if each in self._redemptions]

    @override
    def ping(self) -> None:
        pass

    def _check(self, code: str, user_id: str, now: datetime) -> None:
        usage = self.find(code, user_id)
        if usage is None:
            raise CodeUnknownError(code)
        if reason := find_rejection(usage, now):
            raise REJECTION_ERRORS[reason](code)
