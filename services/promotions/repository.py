"""Where promotions and redemptions are kept: Redis, every change one Lua script.

    promotions:promotion:<CODE>   hash: the rules; `used`, orders that use it now;
                                  `creation`, which call made it
    promotions:uses:<CODE>        hash: client -> orders of theirs that use it now
    promotions:order:<order id>   hash: state (REDEEMED, RELEASED), code, user, at (when);
                                  kept for good, so that an order never uses a code twice
    promotions:by-order           sorted set: every order that has such a hash, by its id
    promotions:by-end             sorted set: every code behind its rank, by `valid_until`
    promotions:outbox-lock        who publishes them now
    promotions:outbox             stream: events that wait to be published, oldest first;
                                  the fields are those of CloudEvent, `data` is binary

All keys live on one server (a script touches several), which must keep an append-only
file. Moments are microseconds since 1970. The client may send a script again when the
connection breaks before the answer: redemptions are keyed by their order and creations by
an id of their own, so that changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import redis
from redis.commands.core import Script

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.messaging.events import CloudEvent, build_event
from services.common.money import format_amount
from services.promotions import outbox
from services.promotions.domain import (
    REFUSED,
    Promotion,
    PromotionExistsError,
    PromotionNotFoundError,
    Redemption,
    RedemptionMismatchError,
    RedemptionReleasedError,
    RedemptionState,
    Usage,
    is_running,
)
from services.promotions.store import translate_errors

PREFIX = "promotions"
BY_END = f"{PREFIX}:by-end"
BY_ORDER = f"{PREFIX}:by-order"
OUTBOX = f"{PREFIX}:outbox"
SCRIPTS = Path(__file__).with_name("lua")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 100


class PromotionsRepository(Protocol):
    """Keeps promotions and who used them. Codes are upper case.

    What changes a redemption is keyed by the order and may be repeated freely.
    """

    def find(self, code: str, user_id: str = "") -> Usage | None:
        """Return a promotion and its uses, in all and by a client; None without one."""

    def load(self, code: str) -> Usage:
        """Return a promotion and its uses; PromotionNotFoundError without one."""

    def running(self, now: datetime, limit: int) -> Sequence[Promotion]:
        """Return the promotions that run now, those that take most off first."""

    def add(self, promotion: Promotion, *, told: bool = True, used: int = 0) -> None:
        """Add a promotion and, if `told`, its event; PromotionExistsError changes nothing.

        `used` counts orders that used it elsewhere, before it came here.
        """

    def redeem(self, order_id: str, code: str, user_id: str, now: datetime) -> None:
        """Count one use of a code for an order.

        CodeRefusedError when the code does not apply, judged at `now`: an order that was
        placed just before the code ended and arrives here after is refused like any other.
        RedemptionReleasedError when the order gave it back before,
        RedemptionMismatchError when the order used another code.
        """

    def release(self, order_id: str, code: str) -> None:
        """Give back the use of a code by an order, and see that it is not used later.

        RedemptionMismatchError when the order used another code.
        """

    def list_from(self, order_id: str, limit: int) -> Sequence[Redemption]:
        """Return redemptions by the id of their order, from an order on; "" is before all."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class RedisPromotionsRepository:
    """Promotions and redemptions in Redis."""

    def __init__(
        self, client: redis.Redis, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._client = client
        self._clock = clock
        self._new_id = new_id
        self._add = _script(client, "add")
        self._redeem = _script(client, "redeem")
        self._release = _script(client, "release")

    def find(self, code: str, user_id: str = "") -> Usage | None:
        """Return a promotion and its uses, in all and by a client; None without one."""
        with translate_errors(), self._client.pipeline() as both:
            both.hgetall(_promotion_key(code))
            both.hget(_uses_key(code), user_id)
            fields, by_user = both.execute()
        return _to_usage(fields, int(by_user or 0)) if fields else None

    def load(self, code: str) -> Usage:
        """Return a promotion and its uses; PromotionNotFoundError without one."""
        if usage := self.find(code):
            return usage
        raise PromotionNotFoundError(code)

    def running(self, now: datetime, limit: int) -> Sequence[Promotion]:
        """Return the promotions that run now, those that take most off first."""
        with translate_errors():
            not_ended: Any = self._client.zrangebyscore(BY_END, f"({_to_micros(now)}", "+inf")
            best_first = [_ranked_code(rank) for rank in sorted(not_ended)]
            running = (u.promotion for u in self._load_all(best_first) if is_running(u, now))
            return list(islice(running, limit))

    def add(self, promotion: Promotion, *, told: bool = True, used: int = 0) -> None:
        """Add a promotion and, if `told`, its event; PromotionExistsError changes nothing.

        `used` counts orders that used it elsewhere, before it came here.
        """
        fields = _flat(_from_promotion(promotion) | {"used": used})
        event = _flat(_from_event(self._created(promotion))) if told else []
        index: list[Any] = [_rank(promotion), _to_micros(promotion.valid_until)]
        with translate_errors():
            outcome = self._add(
                keys=[_promotion_key(promotion.code), BY_END, OUTBOX],
                args=[self._new_id(), *index, len(fields), *fields, *event],
            )
        if outcome == b"EXISTS":
            raise PromotionExistsError(promotion.code)

    def redeem(self, order_id: str, code: str, user_id: str, now: datetime) -> None:
        """Count one use of a code for an order; see the protocol for the errors."""
        arguments: list[Any] = [code, order_id.lower(), user_id, _to_micros(now)]
        with translate_errors():
            outcome = self._redeem(keys=_redemption_keys(order_id, code), args=arguments)
        _raise_refusal(outcome.decode(), order_id, code)

    def release(self, order_id: str, code: str) -> None:
        """Give back the use of a code by an order, and see that it is not used later."""
        with translate_errors():
            outcome = self._release(
                keys=_redemption_keys(order_id, code), args=[code, order_id.lower()]
            )
        _raise_refusal(outcome.decode(), order_id, code)

    def list_from(self, order_id: str, limit: int) -> Sequence[Redemption]:
        """Return redemptions by the id of their order, from an order on; "" is before all."""
        with translate_errors(), self._client.pipeline(transaction=False) as batch:
            ids: Any = self._client.zrangebylex(BY_ORDER, f"[{order_id}", "+", 0, limit)
            for found in ids:
                batch.hgetall(_order_key(found.decode()))
            return [_to_redemption(*pair) for pair in zip(ids, batch.execute(), strict=True)]

    def ping(self) -> None:
        """Raise when the store cannot be used."""
        with translate_errors():
            self._client.ping()

    def _load_all(self, codes: Sequence[str]) -> Iterator[Usage]:
        """Yield promotions with their uses in all, loaded as far as they are taken."""
        for start in range(0, len(codes), BATCH):
            with self._client.pipeline(transaction=False) as batch:
                for code in codes[start : start + BATCH]:
                    batch.hgetall(_promotion_key(code))
                yield from (_to_usage(fields) for fields in batch.execute())

    def _created(self, promotion: Promotion) -> CloudEvent:
        return build_event(
            outbox.tell_created(promotion),
            source="promotions",
            subject=promotion.code,
            now=self._clock(),
            new_id=self._new_id,
        )


def _script(client: redis.Redis, name: str) -> Script:
    source = (SCRIPTS / f"{name}.lua").read_text(encoding="utf-8")
    return client.register_script(source)


def _promotion_key(code: str) -> str:
    return f"{PREFIX}:promotion:{code}"


def _uses_key(code: str) -> str:
    return f"{PREFIX}:uses:{code}"


def _order_key(order_id: str) -> str:
    """Return where an order's redemption is; ids of orders are compared without case."""
    return f"{PREFIX}:order:{order_id.lower()}"


def _redemption_keys(order_id: str, code: str) -> list[str]:
    """Return the keys that redemption scripts take."""
    return [_promotion_key(code), _uses_key(code), _order_key(order_id), BY_ORDER]


def _raise_refusal(outcome: str, order_id: str, code: str) -> None:
    """Raise the error that a script's answer stands for, if any."""
    if outcome == RedemptionReleasedError.reason:
        raise RedemptionReleasedError(order_id)
    if outcome == RedemptionMismatchError.reason:
        raise RedemptionMismatchError(order_id)
    if error := REFUSED.get(outcome):
        raise error(code)


def _rank(promotion: Promotion) -> str:
    """Return a code behind what sorts the codes by what they take off, the most first."""
    return f"{100 - promotion.discount_percentage:03}:{promotion.code}"


def _ranked_code(rank: bytes) -> str:
    return rank.decode().partition(":")[2]


def _flat(fields: dict[str, Any]) -> list[Any]:
    return [part for field in fields.items() for part in field]


def _from_event(event: CloudEvent) -> dict[str, Any]:
    return asdict(event) | {"time": event.time.isoformat()}


def _from_promotion(promotion: Promotion) -> dict[str, Any]:
    return asdict(promotion) | {
        "valid_from": _to_micros(promotion.valid_from),
        "valid_until": _to_micros(promotion.valid_until),
        "min_cart_total": format_amount(promotion.min_cart_total),
    }


def _to_usage(fields: dict[bytes, bytes], used_by_user: int = 0) -> Usage:
    text = {name.decode(): value.decode() for name, value in fields.items()}
    promotion = Promotion(
        code=text["code"],
        discount_percentage=int(text["discount_percentage"]),
        valid_from=_from_micros(text["valid_from"]),
        valid_until=_from_micros(text["valid_until"]),
        max_uses=int(text["max_uses"]),
        max_uses_per_user=int(text["max_uses_per_user"]),
        min_cart_total=Decimal(text["min_cart_total"]),
        category=text["category"],
    )
    return Usage(promotion=promotion, used=int(text["used"]), used_by_user=used_by_user)


def _to_redemption(order_id: bytes, fields: dict[bytes, bytes]) -> Redemption:
    text = {name.decode(): value.decode() for name, value in fields.items()}
    return Redemption(
        order_id=order_id.decode(),
        state=RedemptionState(text["state"]),
        code=text["code"],
        user_id=text.get("user", ""),
        redeemed_at=_from_micros(text["at"]) if "at" in text else None,
    )


def _to_micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _from_micros(text: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(text))
