"""The redemptions in Redis, as lists; they expire RETENTION after their last change."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import Script

from services.promotions.codec import decode_redemption
from services.promotions.domain import Redemption

PREFIX = "promotions"
BY_ORDER = f"{PREFIX}:by-order"
RETENTION = timedelta(days=400)
"""How long a redemption is kept: longer than the reconciliation of orders compares it."""
SCRIPTS = Path(__file__).with_name("lua")


class RedemptionLists:
    """Lists redemptions by order; the index forgets those that have expired."""

    def __init__(self, client: redis.Redis, retention_seconds: int) -> None:
        self._client = client
        self._retention_seconds = retention_seconds
        self._forget = register_script(client, "forget")

    def list_from(self, order_id: str, limit: int) -> Sequence[Redemption]:
        """Return redemptions ordered by order id, from `order_id` on; "" is the start."""
        listed: list[Redemption] = []
        start = f"[{order_id}"
        while len(listed) < limit and (ids := self._list_ids(start, limit - len(listed))):
            found = self._load(ids)
            for expired in set(ids) - {redemption.order_id for redemption in found}:
                self._forget(keys=[order_key(expired), BY_ORDER], args=[expired])
            self._expire([redemption.order_id for redemption in found])
            listed += found
            start = f"({ids[-1]}"
        return listed

    def list_of(self, order_ids: Sequence[str]) -> Sequence[Redemption]:
        """Return the redemptions of some orders, in any order."""
        return self._load(order_ids)

    def _list_ids(self, start: str, limit: int) -> list[str]:
        found: Any = self._client.zrangebylex(BY_ORDER, start, "+", 0, limit)
        return [name.decode() for name in found]

    def _load(self, order_ids: Sequence[str]) -> list[Redemption]:
        """Load the redemptions that have not expired."""
        with self._client.pipeline(transaction=False) as pipeline:
            for order_id in order_ids:
                pipeline.hgetall(order_key(order_id))
            pairs = zip(order_ids, pipeline.execute(), strict=True)
            return [decode_redemption(order_id, fields) for order_id, fields in pairs if fields]

    def _expire(self, order_ids: Sequence[str]) -> None:
        """Let redemptions that earlier releases wrote expire too."""
        keys = [order_key(order_id) for order_id in order_ids]
        for key in never_expiring(self._client, keys):
            self._client.expire(key, self._retention_seconds)


def never_expiring(client: redis.Redis, keys: Sequence[str]) -> Sequence[str]:
    """Return those of some keys that exist and do not expire."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.ttl(key)
        return [key for key, ttl in zip(keys, pipeline.execute(), strict=True) if ttl == -1]


def order_key(order_id: str) -> str:
    """Build the key of an order's redemption; order ids are case-insensitive."""
    return f"{PREFIX}:order:{order_id.lower()}"


def register_script(client: redis.Redis, name: str) -> Script:
    """Prepare a script of the folder lua."""
    return client.register_script((SCRIPTS / f"{name}.lua").read_text(encoding="utf-8"))
