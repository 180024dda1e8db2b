"""Promotions, redemptions and events as the fields of Redis hashes and streams.

Moments are microseconds since 1970, those of events in ISO 8601; amounts are decimal strings.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.common.messaging.events import CloudEvent
from services.common.money import format_amount
from services.promotions.domain import Promotion, Redemption, RedemptionState, Usage

Fields = Mapping[bytes, bytes]
"""The fields of a hash or a stream entry, as Redis answers them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_promotion(promotion: Promotion) -> dict[str, Any]:
    """Encode a promotion's rules as hash fields."""
    return asdict(promotion) | {
        "valid_from": encode_moment(promotion.valid_from),
        "valid_until": encode_moment(promotion.valid_until),
        "min_cart_total": format_amount(promotion.min_cart_total),
    }


def decode_usage(
    fields: Fields, *, used_by_user: int = 0, redeemed_by_order: bool = False
) -> Usage:
    """Decode a promotion's rules and the number of its uses."""
    text = _decode_text(fields)
    promotion = Promotion(
        code=text["code"],
        discount_percentage=int(text["discount_percentage"]),
        valid_from=_decode_moment(text["valid_from"]),
        valid_until=_decode_moment(text["valid_until"]),
        max_uses=int(text["max_uses"]),
        max_uses_per_user=int(text["max_uses_per_user"]),
        min_cart_total=Decimal(text["min_cart_total"]),
        category=text["category"],
    )
    return Usage(
        promotion=promotion,
        used=int(text["used"]),
        used_by_user=used_by_user,
        redeemed_by_order=redeemed_by_order,
    )


def decode_redemption(order_id: str, fields: Fields) -> Redemption:
    """Decode the redemption of an order."""
    text = _decode_text(fields)
    return Redemption(
        order_id=order_id,
        state=RedemptionState(text["state"]),
        code=text["code"],
        user_id=text.get("user", ""),
        redeemed_at=_decode_moment(text["at"]) if "at" in text else None,
    )


def encode_event(event: CloudEvent) -> dict[str, Any]:
    """Encode an event as the fields of a stream entry."""
    return asdict(event) | {"time": event.time.isoformat()}


def decode_event(fields: Fields) -> CloudEvent:
    """Decode an event; its data stays binary."""
    attributes: dict[str, Any] = _decode_text({k: v for k, v in fields.items() if k != b"data"})
    attributes["time"] = datetime.fromisoformat(attributes["time"])
    return CloudEvent(data=fields[b"data"], **attributes)


def encode_moment(moment: datetime) -> int:
    """Encode a moment in microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _decode_moment(text: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(text))


def _decode_text(fields: Fields) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}
