"""The records of promotions in Redis; read only: it deletes nothing that has expired."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from scripts.verification.facts import PromotionFacts, Waiting
from services.orders.reconciliation.records import Redemption, RedemptionState
from services.promotions.codec import EPOCH, decode_redemption
from services.promotions.redemptions import BY_ORDER, PREFIX, RETENTION, order_key
from services.promotions.repository import BY_END, OUTBOX

PAGE_SIZE = 1_000
TIMEOUT_SECONDS = 5


class PromotionRecords:
    """The redemptions and the counters of one database."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def redemptions(self) -> Iterator[Redemption]:
        """Yield the redemptions of orders that have not expired."""
        start = "-"
        while ids := self._ids(start):
            with self._redis.pipeline(transaction=False) as pipeline:
                for order_id in ids:
                    pipeline.hgetall(order_key(order_id))
                for order_id, fields in zip(ids, pipeline.execute(), strict=True):
                    if fields:
                        yield _to_redemption(order_id, fields)
            start = f"({ids[-1]}"

    def codes(self) -> Iterator[str]:
        """Yield all codes."""
        for rank, _ in self._redis.zscan_iter(BY_END):
            yield rank.decode().partition(":")[2]

    def used(self, code: str) -> int:
        """Return the counter of a code."""
        return int(self._redis.hget(_promotion_key(code), "used") or 0)

    def read(self, code: str, *, used: int, orders: int) -> PromotionFacts:
        """Read a code; `used` is its counter before `orders` were counted."""
        found: Any = self._redis.hgetall(_promotion_key(code))
        fields = {name.decode(): value.decode() for name, value in found.items()}
        before = fields.get("used_before")
        ended = EPOCH + timedelta(microseconds=int(fields["valid_until"]))
        counters_expired = datetime.now(UTC) >= ended + RETENTION
        return PromotionFacts(
            code=code,
            max_uses=int(fields["max_uses"]),
            max_uses_per_user=int(fields["max_uses_per_user"]),
            used=(used, int(fields["used"])),
            used_before=None if before is None else int(before),
            orders=orders,
            by_customer=None if counters_expired else self._by_customer(code),
        )

    def outbox(self) -> Waiting:
        """Return what waits in the outbox."""
        entries: Any = self._redis.xrange(OUTBOX, count=1)
        seconds = 0.0
        if entries:
            milliseconds = int(entries[0][0].decode().partition("-")[0])
            seconds = datetime.now(UTC).timestamp() - milliseconds / 1_000
        count = int(self._redis.xlen(OUTBOX))
        return Waiting(where="outbox of promotions", count=count, seconds=seconds)

    def _by_customer(self, code: str) -> Iterator[tuple[str, int]]:
        """Yield the counter of each customer; the scan may repeat one while the hash grows."""
        for customer, uses in self._redis.hscan_iter(_uses_key(code), count=PAGE_SIZE):
            yield customer.decode(), int(uses)

    def _ids(self, start: str) -> list[str]:
        found: Any = self._redis.zrangebylex(BY_ORDER, start, "+", 0, PAGE_SIZE)
        return [name.decode() for name in found]


def _to_redemption(order_id: str, fields: Mapping[bytes, bytes]) -> Redemption:
    found = decode_redemption(order_id, fields)
    return Redemption(
        order_id=order_id,
        state=RedemptionState(found.state),
        code=found.code,
        user_id=found.user_id,
        redeemed_at=found.redeemed_at,
    )


def _promotion_key(code: str) -> str:
    return f"{PREFIX}:promotion:{code}"


def _uses_key(code: str) -> str:
    return f"{PREFIX}:uses:{code}"
