"""Promotions and redemptions in Redis; every change is one Lua script.

    promotions:promotion:<CODE>   hash: the rules; `used`, the number of orders that use it;
                                  `used_before`, what that was when the code was added;
                                  `creation`, the id of the call that added it
    promotions:uses:<CODE>        hash: customer -> number of their orders that use it; expires
                                  RETENTION after the promotion's end, when no limit is judged
    promotions:order:<order id>   hash: state (REDEEMED, RELEASED), code, user, at (when); expires
                                  RETENTION after its last change. Until then the order cannot
                                  redeem a second time
    promotions:by-order           sorted set: the ids of the orders that have such a hash; those
                                  whose hash has expired are removed when they are met
    promotions:by-end             sorted set: every code behind its rank, by `valid_until`
    promotions:by-rank            sorted set, all scores 0: the codes that have not ended and are
                                  not used up, behind their rank; what has ended goes when it is met
    promotions:outbox-lock        held by the relay that publishes the outbox
    promotions:outbox             stream: events to publish, oldest first; the fields are
                                  those of CloudEvent, `data` is binary

All keys live on one server (a script uses several), which must keep an append-only file.
The driver may send a script again when the connection breaks before the answer. That changes
nothing: redemptions are keyed by their order and creations by an id of their own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

import redis
from typing_extensions import override

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.messaging.events import CloudEvent, build_event
from services.common.messaging.relay import wake_relays
from services.promotions.codec import (
    decode_redemption,
    decode_usage,
    encode_event,
    encode_moment,
    encode_promotion,
)
from services.promotions.domain import (
    REJECTION_ERRORS,
    Promotion,
    PromotionExistsError,
    PromotionNotFoundError,
    Redemption,
    RedemptionMismatchError,
    RedemptionReleasedError,
    Usage,
    is_active,
)
from services.promotions.integration_events import to_integration_event
from services.promotions.listing import (
    BATCH_SIZE,
    BY_END,
    BY_RANK,
    PromotionLists,
    promotion_key,
    rank_of,
    ranked_code,
)
from services.promotions.redemptions import (
    BY_ORDER,
    PREFIX,
    RETENTION,
    RedemptionLists,
    never_expiring,
    order_key,
    register_script,
)
from services.promotions.store import store_call

OUTBOX = f"{PREFIX}:outbox"
MICROSECONDS = 1_000_000


class PromotionsRepository(Protocol):
    """Stores promotions and redemptions. Codes are upper case.

    `redeem` and `release` are idempotent: the order is their key.
    """

    def find(self, code: str, user_id: str = "", order_id: str = "") -> Usage | None:
        """Return a promotion and its uses: in all, by a customer, by an order; None without one."""

    def load(self, code: str) -> Usage:
        """Return a promotion and its uses; PromotionNotFoundError without one."""

    def list_active(self, now: datetime, limit: int) -> Sequence[Promotion]:
        """Return the active promotions, largest discount first."""

    def add(self, promotion: Promotion, *, publish: bool = True, used: int = 0) -> None:
        """Add a promotion and, with `publish`, its event; PromotionExistsError changes nothing.

        `used` counts uses of the code before it was added.
        """

    def list_page(self, *, page: int, limit: int) -> tuple[Sequence[Usage], int]:
        """Return a page of all promotions, the one that ends last first, and their number."""

    def end(self, code: str, now: datetime) -> Usage:
        """End a promotion now, if it has not ended; PromotionNotFoundError without one."""

    def redeem(self, order_id: str, code: str, user_id: str, now: datetime) -> None:
        """Count one use of a code for an order.

        CodeRejectedError when the code does not apply at `now`, also to an order that was
        placed before its end and arrives after.
        RedemptionReleasedError when the order released the code before,
        RedemptionMismatchError when the order redeemed another code.
        """

    def release(self, order_id: str, code: str) -> None:
        """Return the use of a code by an order; the order cannot redeem it later.

        RedemptionMismatchError when the order redeemed another code.
        """

    def list_from(self, order_id: str, limit: int) -> Sequence[Redemption]:
        """Return redemptions ordered by order id, from `order_id` on; "" is the start."""

    def list_of(self, order_ids: Sequence[str]) -> Sequence[Redemption]:
        """Return the redemptions of some orders, in any order."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class RedisPromotionsRepository(PromotionsRepository):
    """Promotions and redemptions in Redis."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
        retention: timedelta = RETENTION,
    ) -> None:
        self._client = client
        self._retention_seconds = int(retention.total_seconds())
        self._clock = clock
        self._new_id = new_id
        self._add = register_script(client, "add")
        self._redeem = register_script(client, "redeem")
        self._release = register_script(client, "release")
        self._end = register_script(client, "end")
        self._lists = PromotionLists(client)
        self._redemptions = RedemptionLists(client, self._retention_seconds)

    @override
    def find(self, code: str, user_id: str = "", order_id: str = "") -> Usage | None:
        with store_call(), self._client.pipeline() as pipeline:
            pipeline.hgetall(promotion_key(code))
            pipeline.hget(_uses_key(code), user_id)
            if order_id:
                pipeline.hgetall(order_key(order_id))
            fields, used_by_user, *redemption = pipeline.execute()
        if not fields:
            return None
        return decode_usage(
            fields,
            used_by_user=int(used_by_user or 0),
            redeemed_by_order=any(
                decode_redemption(order_id, found).uses(code, user_id)
                for found in redemption
                if found
            ),
        )

    @override
    def load(self, code: str) -> Usage:
        if usage := self.find(code):
            return usage
        raise PromotionNotFoundError(code)

    @override
    def list_active(self, now: datetime, limit: int) -> Sequence[Promotion]:
        with store_call():
            active = (
                usage.promotion for usage in self._lists.load_ranked(now) if is_active(usage, now)
            )
            return list(islice(active, limit))

    def index(self, now: datetime) -> None:
        """Complete the codes of earlier releases: their index by rank, and when uses expire."""
        with store_call():
            codes: Any = self._client.zrange(BY_END, 0, -1, withscores=True)
            active = [rank for rank, ends in codes if ends > encode_moment(now)]
            for start in range(0, len(active), BATCH_SIZE):
                ranks = active[start : start + BATCH_SIZE]
                self._client.zadd(BY_RANK, dict.fromkeys(ranks, 0))
            ends_of = {_uses_key(ranked_code(rank)): ends for rank, ends in codes}
            for key in never_expiring(self._client, list(ends_of)):
                seconds = int(ends_of[key] / MICROSECONDS) + self._retention_seconds
                self._client.expireat(key, seconds)

    @override
    def add(self, promotion: Promotion, *, publish: bool = True, used: int = 0) -> None:
        fields = _flatten(encode_promotion(promotion) | {"used": used, "used_before": used})
        event = _flatten(encode_event(self._build_event(promotion))) if publish else []
        index: list[Any] = [rank_of(promotion), encode_moment(promotion.valid_until)]
        with store_call():
            outcome = self._add(
                keys=[promotion_key(promotion.code), BY_END, OUTBOX, BY_RANK],
                args=[self._new_id(), *index, len(fields), *fields, *event],
            )
        if outcome == b"EXISTS":
            raise PromotionExistsError(promotion.code)
        wake_relays()

    @override
    def list_page(self, *, page: int, limit: int) -> tuple[Sequence[Usage], int]:
        with store_call():
            return self._lists.load_page(page=page, limit=limit)

    @override
    def end(self, code: str, now: datetime) -> Usage:
        usage = self.load(code)
        with store_call():
            keys = [promotion_key(code), BY_END, BY_RANK]
            self._end(keys=keys, args=[encode_moment(now), rank_of(usage.promotion)])
        return self.load(code)

    @override
    def redeem(self, order_id: str, code: str, user_id: str, now: datetime) -> None:
        moment, retention = encode_moment(now), self._retention_seconds
        arguments: list[Any] = [code, order_id.lower(), user_id, moment, retention]
        with store_call():
            outcome = self._redeem(keys=_redemption_keys(order_id, code), args=arguments)
        _raise_rejection(outcome.decode(), order_id, code)

    @override
    def release(self, order_id: str, code: str) -> None:
        arguments: list[Any] = [code, order_id.lower(), self._retention_seconds]
        with store_call():
            outcome = self._release(keys=_redemption_keys(order_id, code), args=arguments)
        _raise_rejection(outcome.decode(), order_id, code)

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Redemption]:
        with store_call():
            return self._redemptions.list_from(order_id, limit)

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Redemption]:
        with store_call():
            return self._redemptions.list_of(order_ids)

    @override
    def ping(self) -> None:
        with store_call():
            self._client.ping()

    def _build_event(self, promotion: Promotion) -> CloudEvent:
        return build_event(
            to_integration_event(promotion),
            source="promotions",
            subject=promotion.code,
            now=self._clock(),
            new_id=self._new_id,
        )


def _uses_key(code: str) -> str:
    return f"{PREFIX}:uses:{code}"


def _redemption_keys(order_id: str, code: str) -> list[str]:
    """Build the keys that the scripts redeem and release take."""
    return [promotion_key(code), _uses_key(code), order_key(order_id), BY_ORDER, BY_RANK]


def _raise_rejection(outcome: str, order_id: str, code: str) -> None:
    """Raise the error that a script's outcome stands for, if any."""
    if outcome == RedemptionReleasedError.reason:
        raise RedemptionReleasedError(order_id)
    if outcome == RedemptionMismatchError.reason:
        raise RedemptionMismatchError(order_id)
    if error := REJECTION_ERRORS.get(outcome):
        raise error(code)


def _flatten(fields: Mapping[str, Any]) -> list[Any]:
    """Flatten fields to name, value, name, value, ... as scripts take them."""
    return [part for field in fields.items() for part in field]
