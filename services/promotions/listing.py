"""The lists of promotions in Redis: active ones by discount, all by their end."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import redis

from services.promotions.codec import decode_usage
from services.promotions.domain import Promotion, Usage
from services.promotions.redemptions import PREFIX

BY_END = f"{PREFIX}:by-end"
BY_RANK = f"{PREFIX}:by-rank"
BATCH_SIZE = 100


class PromotionLists:
    """Lists promotions; the list by rank forgets those that have ended."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def load_ranked(self, now: datetime) -> Iterator[Usage]:
        """Yield promotions by rank, read in batches as the caller iterates; drop what has ended."""
        start = "-"
        while ranks := self._list_ranks(start):
            usages = self._load(ranks)
            pairs = zip(ranks, usages, strict=True)
            ended = [rank for rank, usage in pairs if usage.promotion.valid_until <= now]
            if ended:
                self._client.zrem(BY_RANK, *ended)
            yield from usages
            start = f"({ranks[-1].decode()}"

    def load_page(self, *, page: int, limit: int) -> tuple[Sequence[Usage], int]:
        """Return a page of all promotions, the one that ends last first, and their number."""
        first = (page - 1) * limit
        ranks: Any = self._client.zrevrange(BY_END, first, first + limit - 1)
        total: Any = self._client.zcard(BY_END)
        return self._load(ranks), total

    def _load(self, ranks: Sequence[bytes]) -> list[Usage]:
        with self._client.pipeline(transaction=False) as pipeline:
            for rank in ranks:
                pipeline.hgetall(promotion_key(ranked_code(rank)))
            return [decode_usage(fields) for fields in pipeline.execute()]

    def _list_ranks(self, start: str) -> list[bytes]:
        ranks: Any = self._client.zrangebylex(BY_RANK, start, "+", 0, BATCH_SIZE)
        return list(ranks)


def promotion_key(code: str) -> str:
    """Return the key of a promotion."""
    return f"{PREFIX}:promotion:{code}"


def rank_of(promotion: Promotion) -> str:
    """Build a string that sorts codes by discount, largest first, then by code; as release.lua."""
    return f"{100 - promotion.discount_percentage:03}:{promotion.code}"


def ranked_code(rank: bytes) -> str:
    """Return the code of a rank."""
    return rank.decode().partition(":")[2]
